//! Who waits for which job.

use std::net::IpAddr;
use std::sync::Arc;

use abide_engine::JobKey;
use abide_engine::hash::FastMap;
use abide_wire::{Timestamp, Until};
use slab::Slab;
use tokio::sync::Notify;

use super::Board;

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A held request for one job.
    LongPoll,
    /// A held request for a set of jobs.
    Set,
    /// A stream of one job's events.
    Stream,
    /// A create that holds until its job has ended.
    Create,
}

impl Channel {
    /// Every channel, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::LongPoll, Self::Set, Self::Stream, Self::Create];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LongPoll => "long_poll",
            Self::Set => "set",
            Self::Stream => "stream",
            Self::Create => "create",
        }
    }
}

/// A client that waits, as `GET /v1/jobs/{id}/watchers` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// How it waits.
    pub channel: Channel,
    /// Since when.
    pub since: Timestamp,
    /// From which address; `None` if the server can't tell.
    pub address: Option<IpAddr>,
}

/// A waiter's bell. It hangs at every job that the waiter waits for.
#[derive(Debug)]
pub(super) struct Bell {
    ring: Notify,
    until: Until,
    watcher: Watcher,
}

/// The bells of a shard's jobs. A job has a list only while a client waits for it, so that the million jobs that none waits
/// for pay nothing.
#[derive(Debug, Default)]
pub(super) struct Waiters(FastMap<JobKey, Slab<Arc<Bell>>>);

impl Waiters {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the bells that must ring after a change of that job. The last change takes them all off: no other will follow.
    pub(super) fn changed(&mut self, key: JobKey, is_last: bool, rung: &mut Vec<Arc<Bell>>) {
        // Most shards have no waiters at all.
        if self.0.is_empty() {
            return;
        }
        if is_last {
            if let Some(mut bells) = self.0.remove(&key) {
                rung.extend(bells.drain());
            }
        } else if let Some(bells) = self.0.get(&key) {
            let any = bells.iter().filter(|(_, bell)| bell.until == Until::Any);
            rung.extend(any.map(|(_, bell)| bell.clone()));
        }
    }

    pub(super) fn of(&self, key: JobKey) -> Vec<Watcher> {
        let bells = self.0.get(&key).into_iter().flatten();
        bells.map(|(_, bell)| bell.watcher.clone()).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Bell>> {
        let bells = self.0.values().flatten();
        bells.map(|(_, bell)| bell.clone()).collect()
    }

    fn add(&mut self, key: JobKey, bell: Arc<Bell>) -> usize {
        self.0.entry(key).or_default().insert(bell)
    }

    fn remove(&mut self, key: JobKey, place: usize, bell: &Arc<Bell>) {
        let Some(bells) = self.0.get_mut(&key) else {
            return;
        };
        // After a job's end its list is gone, and the place may be another bell's.
        if bells.get(place).is_some_and(|it| Arc::ptr_eq(it, bell)) {
            bells.remove(place);
        }
        if bells.is_empty() {
            self.0.remove(&key);
        }
    }
}

/// A client that waits for one job or for several. Dropping it takes it off the board.
///
/// The order is what makes it safe: [`register`](Self::register), then [`Board::look`], and only if there is no news sleep until
/// it is [`rung`](Self::rung), then look again.
#[derive(Debug)]
pub struct Waiter {
    board: Arc<Board>,
    bell: Arc<Bell>,
    /// Where its bell hangs. Most wait for a single job and need no list.
    place: Option<(JobKey, usize)>,
    more_places: Vec<(JobKey, usize)>,
}

impl Waiter {
    pub(super) fn new(board: Arc<Board>, until: Until, watcher: Watcher) -> Self {
        Self {
            board,
            bell: Arc::new(Bell {
                ring: Notify::new(),
                until,
                watcher,
            }),
            place: None,
            more_places: Vec::new(),
        }
    }

    /// Begins to wait for that job. Does nothing if there is no such job or it has ended: look after this, and only then
    /// sleep.
    pub fn register(&mut self, key: JobKey) {
        let mut shard = self.board.shards.write(&key);
        if !shard.is_running(key) {
            return;
        }
        let place = (key, shard.waiters.add(key, self.bell.clone()));
        if self.place.is_none() {
            self.place = Some(place);
        } else {
            self.more_places.push(place);
        }
    }

    /// Sleeps until one of the jobs has changed since this was last awaited, or since it was registered.
    ///
    /// # Cancel safety
    ///
    /// A ring that wasn't awaited is kept for the next time.
    pub async fn rung(&self) {
        self.bell.ring.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let places = self.place.take().into_iter();
        for (key, place) in places.chain(self.more_places.drain(..)) {
            let mut shard = self.board.shards.write(&key);
            shard.waiters.remove(key, place, &self.bell);
        }
    }
}

/// Wakes the waiters, each to look for itself.
pub(super) fn ring(bells: Vec<Arc<Bell>>) {
    for bell in bells {
        bell.ring.notify_one();
    }
}
