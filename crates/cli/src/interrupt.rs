//! Ctrl-C, SIGTERM and SIGHUP.

use std::future::Future;
use std::io;

/// What tells a program to end. Listened for from the moment it is made; before that the system ends the program by
/// itself.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// The terminal or the connection to it is gone. `None` if that was ignored when the program started, as under
    /// `nohup`.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: match is_hangup_ignored() {
                    true => None,
                    false => Some(signal(SignalKind::hangup())?),
                },
            })
        }
        #[cfg(windows)]
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
        })
    }

    /// Waits until one is heard.
    pub(crate) async fn heard(&mut self) {
        let _is_hangup = self.is_hangup().await;
    }

    /// Waits until one is heard, and says whether it is SIGHUP.
    pub(crate) async fn is_hangup(&mut self) -> bool {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.terminate.recv() => false,
            () = async {
                match &mut self.hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            } => true,
        }
        #[cfg(windows)]
        {
            self.interrupt.recv().await;
            false
        }
    }

    /// Waits for the work, or until a signal is heard, also one since [`Signals::listen`]; then there is no answer, and
    /// the work has been dropped.
    ///
    /// # Cancel safety
    ///
    /// That of the work.
    pub(crate) async fn unless_heard<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = work => Some(result),
            () = self.heard() => None,
        }
    }
}

/// Whether SIGHUP is ignored, which only the kernel's list tells without unsafe code. Asked before we listen for it
/// ourselves, which would be in that list too.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Waits for the work, or for an interrupt from now on; then there is no answer, and the work has been dropped.
///
/// # Errors
///
/// The system doesn't let us listen for signals.
///
/// # Cancel safety
///
/// That of the work.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> io::Result<Option<T>> {
    Ok(Signals::listen()?.unless_heard(work).await)
}
