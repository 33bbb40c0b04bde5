//! The last changes of all jobs, in the order in which they became durable.

use std::collections::VecDeque;

use abide_engine::{JobKey, Owner};
use parking_lot::Mutex;
use tokio::sync::watch;

/// The most changes that are remembered.
pub const FEED_CHANGES_MAX: usize = 65_536;

/// One change of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// Its place in the feed: ascending, not dense, and never used again after a restart.
    pub cursor: u64,
    /// Whose job it is.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
    /// The revision that the change made.
    pub revision: u64,
}

/// The feed.
#[derive(Debug)]
pub(super) struct Feed {
    changes: Mutex<Changes>,
    /// The cursor of the newest change.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Changes {
    last: VecDeque<FeedChange>,
    /// Changes up to this cursor may be missing.
    forgotten: u64,
}

impl Feed {
    /// No changes; those up to that cursor are forgotten.
    pub(super) fn new(forgotten: u64) -> Self {
        Self {
            changes: Mutex::new(Changes {
                last: VecDeque::new(),
                forgotten,
            }),
            newest: watch::Sender::new(forgotten),
        }
    }

    pub(super) fn add(&self, added: Vec<FeedChange>) {
        let Some(newest) = added.last().map(|change| change.cursor) else {
            return;
        };
        let mut changes = self.changes.lock();
        changes.last.extend(added);
        let surplus = changes.last.len().saturating_sub(FEED_CHANGES_MAX);
        let newest_forgotten = changes.last.drain(..surplus).next_back();
        if let Some(change) = newest_forgotten {
            changes.forgotten = change.cursor;
        }
        drop(changes);
        self.newest.send_replace(newest);
    }

    pub(super) fn after(&self, cursor: u64, limit: usize) -> (Option<Vec<FeedChange>>, u64) {
        let changes = self.changes.lock();
        let newest = *self.newest.borrow();
        if cursor < changes.forgotten {
            return (None, newest);
        }
        let from = changes.last.partition_point(|it| it.cursor <= cursor);
        let after = changes.last.range(from..).take(limit).copied();
        (Some(after.collect()), newest)
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
