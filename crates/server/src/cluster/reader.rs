//! A follower's reads of the log, beside what comes by its link.

use futures_util::future::BoxFuture;
use tokio::task::JoinError;

use crate::journal::{Batch, JournalError, Position, Tail, may_block};

type Read = (Box<dyn Tail>, Result<Vec<Batch>, JournalError>);

/// Reads one piece at a time.
pub(super) struct Reader {
    /// Away while a read is under way.
    tail: Option<Box<dyn Tail>>,
    is_blocking: bool,
    reading: Option<BoxFuture<'static, Result<Read, JoinError>>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(tail: Box<dyn Tail>, is_blocking: bool) -> Self {
        Self {
            tail: Some(tail),
            is_blocking,
            reading: None,
        }
    }

    /// Begins to read what comes after that place, unless a read is under way.
    pub(super) fn read(&mut self, after: Position) {
        let Some(mut tail) = self.tail.take() else {
            return;
        };
        self.reading = Some(Box::pin(may_block(self.is_blocking, move || {
            let batches = tail.read(after);
            (tail, batches)
        })));
    }

    /// What was read. Waits for ever if no read is under way.
    ///
    /// # Errors
    ///
    /// The task that reads panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub(super) async fn done(&mut self) -> Result<Result<Vec<Batch>, JournalError>, JoinError> {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let (tail, batches) = reading.await?;
        (self.tail, self.reading) = (Some(tail), None);
        Ok(batches)
    }
}
