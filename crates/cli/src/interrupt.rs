//! Ctrl-C and SIGTERM.

use std::future::Future;
use std::io;

/// What tells a program to end. Listened for from the moment it is made; before that the system ends the program by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
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
            })
        }
        #[cfg(windows)]
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
        })
    }

    /// Waits until one is heard.
    pub(crate) async fn heard(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(windows)]
        self.interrupt.recv().await;
    }

    /// Waits for the work, or until a signal is heard, also one since [`Signals::listen`]; then there is no answer, and the work has been
    /// dropped.
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

/// Waits for the work, or for somebody to interrupt it from now on; then there is no answer, and the work has been dropped.
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
