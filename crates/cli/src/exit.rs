//! How the program ends: documented codes, and the last words on stderr.

use std::io;
use std::process::ExitCode;

use abide::Outcome;

use crate::output;

/// Every job completed; or the command did what it should.
pub(crate) const COMPLETED: u8 = 0;
/// A job failed or was canceled.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The server refused, or can't be reached.
pub(crate) const UNREACHABLE: u8 = 3;
/// A job was still running at the deadline.
pub(crate) const STILL_RUNNING: u8 = 4;
/// Interrupted by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error that knows with which code the program ends.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Stdin can't be read, which is no fault of a server's.
pub(crate) fn unread_stdin(error: &io::Error) -> Failure {
    Failure::new(USAGE, format!("stdin can't be read: {error}"))
}

/// The code of a job that ended so.
pub(crate) const fn of_outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Completed => COMPLETED,
        Outcome::Failed | Outcome::Canceled => FAILED,
    }
}

/// Says on stderr what is wrong, and gives the code. A closed pipe is success: the reader has had enough.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::from(COMPLETED);
    }
    output::say(&format!("abide: {}", in_one_line(error)));
    let code = error
        .downcast_ref::<Failure>()
        .map_or(UNREACHABLE, |failure| failure.code);
    ExitCode::from(code)
}

/// An error and its causes, but for those that it has told of itself.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) && !cause.contains(&line) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// Whether what failed is our own writing. That a server's connection broke is something else, and further down the
/// chain.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    // Asking the whole would find it under a context, too.
    let outermost = error.chain().next();
    outermost
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let told = Err::<(), _>(io::Error::other("no room")).context("x can't grow: no room");
        assert_eq!(in_one_line(&told.unwrap_err()), "x can't grow: no room");
        let untold = Err::<(), _>(io::Error::other("no room")).context("x can't grow");
        assert_eq!(in_one_line(&untold.unwrap_err()), "x can't grow: no room");
    }

    #[test]
    fn only_our_own_closed_pipe_is_success() {
        let ours = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_closed_pipe(&ours));
        let other = ours.context("the connection broke");
        assert!(!is_closed_pipe(&other.context("outer")));
    }
}
