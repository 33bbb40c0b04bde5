//! How the program ends: documented codes, and the last words on stderr.

use std::io;
use std::process::ExitCode;

use abide::Outcome;

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
/// Somebody pressed Ctrl-C.
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

/// The code of a job that ended so.
pub(crate) const fn of_outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Completed => COMPLETED,
        Outcome::Failed | Outcome::Canceled => FAILED,
    }
}

/// Says on stderr what is wrong, and gives the code. A closed pipe is success: whoever read has had enough.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::from(COMPLETED);
    }
    anstream::eprintln!("abide: {error:#}");
    let code = error
        .downcast_ref::<Failure>()
        .map_or(UNREACHABLE, |failure| failure.code);
    ExitCode::from(code)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}
