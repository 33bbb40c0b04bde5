//! Who waits for which job.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use abide_engine::JobKey;
use abide_wire::{Timestamp, Until};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::Board;

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    /// How it waits.
    pub channel: Channel,
    /// Since when.
    pub since: Timestamp,
    /// The client's address; `None` if the server can't tell.
    pub address: Option<IpAddr>,
}

/// A waiter's bell. It hangs at every job that the waiter waits for.
#[derive(Debug)]
pub(super) struct Bell {
    ring: Notify,
    until: Until,
    watcher: Watcher,
    /// The jobs that it was rung for, of a set: so that one of a thousand that changes isn't looked for among them all.
    /// Others have no room for it.
    news: Option<Box<Mutex<Vec<JobKey>>>>,
}

impl Bell {
    fn note(&self, key: JobKey) {
        if let Some(news) = &self.news {
            news.lock().push(key);
        }
    }
}

/// The bells of a shard's jobs, sorted by the job and the bell's address. So a bell costs its place here and nothing
/// else, also where a thousand jobs have one bell each; and the million jobs that none waits for pay nothing.
#[derive(Debug, Default)]
pub(super) struct Waiters(BTreeMap<(JobKey, usize), Arc<Bell>>);

impl Waiters {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the bells that must ring after a change of that job. The last change takes them all off: no other will
    /// follow.
    pub(super) fn changed(&mut self, key: JobKey, is_last: bool, rung: &mut Vec<Arc<Bell>>) {
        // Most shards have no waiters at all.
        if self.0.is_empty() {
            return;
        }
        let first = rung.len();
        let bells = self.bells(key);
        rung.extend(
            bells
                .filter(|bell| is_last || bell.until == Until::Any)
                .cloned(),
        );
        for bell in &rung[first..] {
            bell.note(key);
            if is_last {
                self.remove(key, bell);
            }
        }
    }

    fn bells(&self, key: JobKey) -> impl Iterator<Item = &Arc<Bell>> {
        self.0
            .range((key, 0)..=(key, usize::MAX))
            .map(|(_, bell)| bell)
    }

    pub(super) fn of(&self, key: JobKey) -> Vec<Watcher> {
        self.bells(key).map(|bell| bell.watcher.clone()).collect()
    }

    /// All bells, each told of the jobs that it hangs at.
    pub(super) fn all(&self) -> Vec<Arc<Bell>> {
        let told = |((key, _), bell): (&(JobKey, usize), &Arc<Bell>)| {
            bell.note(*key);
            bell.clone()
        };
        self.0.iter().map(told).collect()
    }

    fn add(&mut self, key: JobKey, bell: &Arc<Bell>) {
        self.0.insert((key, place(bell)), bell.clone());
    }

    fn remove(&mut self, key: JobKey, bell: &Arc<Bell>) {
        self.0.remove(&(key, place(bell)));
    }
}

/// Where a bell hangs among those of its job: no two that exist have the same address.
fn place(bell: &Arc<Bell>) -> usize {
    Arc::as_ptr(bell).addr()
}

/// A client that waits for one job or for several. Dropping it takes it off the board.
///
/// The order is what makes it safe: [`register`](Self::register), then [`Board::look`], and only if there is no news
/// sleep until it is [`rung`](Self::rung), then look again.
#[derive(Debug)]
pub struct Waiter {
    board: Arc<Board>,
    bell: Arc<Bell>,
    hangs: Hangs,
}

/// Where a bell hangs. Most wait for a single job and need no list.
#[derive(Debug)]
enum Hangs {
    Nowhere,
    At(JobKey),
    AtAll(Vec<JobKey>),
}

impl Waiter {
    pub(super) fn new(board: Arc<Board>, until: Until, watcher: Watcher) -> Self {
        Self {
            board,
            bell: Arc::new(Bell {
                ring: Notify::new(),
                news: (watcher.channel == Channel::Set).then(Box::default),
                until,
                watcher,
            }),
            hangs: Hangs::Nowhere,
        }
    }

    /// Begins to wait for that job. Does nothing if there is no such job or it has ended: look after this, and only
    /// then sleep.
    pub fn register(&mut self, key: JobKey) {
        let mut shard = self.board.shards.write(&key);
        if !shard.is_running(key) {
            return;
        }
        #[cfg(feature = "sabotage")]
        if crate::sabotage::registers_late() {
            drop(shard);
            self.register_late(key);
            return;
        }
        shard.waiters.add(key, &self.bell);
        drop(shard);
        match &mut self.hangs {
            Hangs::Nowhere => self.hangs = Hangs::At(key),
            Hangs::At(first) => self.hangs = Hangs::AtAll(vec![*first, key]),
            Hangs::AtAll(keys) => keys.push(key),
        }
    }

    /// Begins to wait a little after the look that follows: what a simulation must find.
    #[cfg(feature = "sabotage")]
    fn register_late(&mut self, key: JobKey) {
        self.hangs = Hangs::At(key);
        let (board, bell) = (self.board.clone(), self.bell.clone());
        tokio::spawn(async move {
            tokio::time::sleep(crate::sabotage::LATE).await;
            let mut shard = board.shards.write(&key);
            if shard.is_running(key) {
                shard.waiters.add(key, &bell);
            }
        });
    }

    /// The same for many jobs.
    pub fn register_all(&mut self, keys: impl ExactSizeIterator<Item = JobKey>) {
        self.hangs = Hangs::AtAll(Vec::with_capacity(keys.len()));
        keys.for_each(|key| self.register(key));
    }

    /// Sleeps until one of the jobs has changed since this was last awaited, or since it was registered.
    ///
    /// # Cancel safety
    ///
    /// A ring that wasn't awaited is kept for the next time.
    pub async fn rung(&self) {
        self.bell.ring.notified().await;
    }

    /// The jobs of a set that have changed since this was last asked.
    #[must_use]
    pub fn news(&self) -> Vec<JobKey> {
        let news = self.bell.news.as_ref();
        news.map_or_else(Vec::new, |news| std::mem::take(&mut *news.lock()))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let keys: &[JobKey] = match &self.hangs {
            Hangs::Nowhere => &[],
            Hangs::At(key) => std::slice::from_ref(key),
            Hangs::AtAll(keys) => keys,
        };
        for key in keys {
            let mut shard = self.board.shards.write(key);
            shard.waiters.remove(*key, &self.bell);
        }
    }
}

/// Wakes the waiters, each to look for itself.
pub(super) fn ring(bells: Vec<Arc<Bell>>) {
    for bell in bells {
        bell.ring.notify_one();
    }
}
