//! Workers that wait for a job to claim.
//!
//! A worker takes its [`Place`] first, then asks the engine for a job, and sleeps only if it has none: as with reads,
//! wake-ups are hints. A job that becomes pending wakes one worker, the one that has waited longest for its kind. A
//! worker that goes away after its ring passes the ring on, unless it has asked since and there was no job: the one
//! that it got may be another than it was rung for. So no job waits beside a worker.
//!
//! A worker that has sent its claim again has two places, and the connection of the first may be gone. When either place
//! gets a job the other is rung, and its claim is answered with the same job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use abide_engine::hash::FastMap;
use abide_engine::{Job, Owner, Token};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Board;

/// What a waiting worker takes beside its hold, in bytes, for each kind that it names.
pub const CLAIM_KIND_BYTES: usize = 256;

/// The queue of one kind; of every kind if `None`.
type QueueKey = (Owner, Option<Arc<str>>);

/// The workers that wait, in a queue for each owner and kind, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    /// How many places were ever taken.
    taken: u64,
    /// Places that wait to be rung, by kind. Few owners have workers, so a job that has none costs one search.
    by_kind: BTreeMap<QueueKey, BTreeSet<u64>>,
    places: FastMap<u64, Waiting>,
    /// Those of them whose claims have a name.
    by_name: BTreeSet<(Owner, Token, u64)>,
}

#[derive(Debug)]
struct Waiting {
    bell: Arc<Notify>,
    keys: Arc<[QueueKey]>,
    name: Option<(Owner, Token)>,
}

/// A worker's place. Dropping it gives the place up.
#[derive(Debug)]
pub struct Place {
    board: Arc<Board>,
    number: u64,
    bell: Arc<Notify>,
    keys: Arc<[QueueKey]>,
    name: Option<(Owner, Token)>,
    /// Whether a ring has been heard since there was last no job.
    owes: bool,
}

impl Claims {
    /// Wakes the worker that has waited longest for a job like this.
    pub(super) fn pending(&self, job: &Job) {
        let mut queues = self.0.lock();
        if !queues.places.is_empty() {
            queues.ring(&[(job.owner, Some(job.kind.clone()))]);
        }
    }

    /// Wakes the workers that wait under that name.
    pub(super) fn named(&self, owner: Owner, name: Token) {
        let mut queues = self.0.lock();
        let all = (owner, name, 0)..=(owner, name, u64::MAX);
        while let Some((.., number)) = queues.by_name.range(all.clone()).next().copied() {
            queues.wake(number);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().places.len()
    }
}

impl Queues {
    fn add(&mut self, number: u64, waiting: Waiting) {
        for key in waiting.keys.iter() {
            let queue = self.by_kind.entry(key.clone()).or_default();
            queue.insert(number);
        }
        if let Some((owner, name)) = waiting.name {
            self.by_name.insert((owner, name, number));
        }
        self.places.insert(number, waiting);
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.places.remove(&number)?;
        if let Some((owner, name)) = waiting.name {
            self.by_name.remove(&(owner, name, number));
        }
        for key in waiting.keys.iter() {
            if let Some(queue) = self.by_kind.get_mut(key) {
                queue.remove(&number);
                if queue.is_empty() {
                    self.by_kind.remove(key);
                }
            }
        }
        Some(waiting)
    }

    /// Rings the first worker that waits for one of these kinds, or for any of that owner.
    fn ring(&mut self, keys: &[QueueKey]) {
        let any = keys.first().map(|(owner, _)| (*owner, None));
        let queues = keys.iter().chain(&any);
        let first = |key: &QueueKey| self.by_kind.get(key)?.first().copied();
        let first = queues.filter_map(first).min();
        if let Some(number) = first {
            self.wake(number);
        }
    }

    fn wake(&mut self, number: u64) {
        if let Some(waiting) = self.remove(number) {
            waiting.bell.notify_one();
        }
    }

    /// Rings the first worker that would take what the worker of these kinds would have taken.
    fn pass_on(&mut self, keys: &[QueueKey]) {
        match keys {
            // Its job may be of any kind, and so may the next worker's.
            [(owner, None)] => {
                let all = self.by_kind.range((*owner, None)..);
                let own = all.take_while(|((of, _), _)| of == owner);
                let own: Vec<QueueKey> = own.map(|(key, _)| key.clone()).collect();
                // One for each kind: only one of them finds the job, the others take their places again.
                for key in own {
                    self.ring(&[key]);
                }
            }
            keys => {
                for key in keys {
                    self.ring(std::slice::from_ref(key));
                }
            }
        }
    }
}

impl Place {
    pub(super) fn take(
        board: &Arc<Board>,
        owner: Owner,
        kinds: &[String],
        name: Option<Token>,
    ) -> Self {
        let kinds = kinds.iter().map(|kind| (owner, Some(kind.as_str().into())));
        let mut keys: Vec<QueueKey> = kinds.collect();
        if keys.is_empty() {
            keys.push((owner, None));
        }
        let mut queues = board.claims.0.lock();
        queues.taken += 1;
        let place = Self {
            number: queues.taken,
            bell: Arc::default(),
            keys: keys.into(),
            name: name.map(|name| (owner, name)),
            owes: false,
            board: board.clone(),
        };
        queues.add(place.number, place.waiting());
        drop(queues);
        place
    }

    fn waiting(&self) -> Waiting {
        Waiting {
            bell: self.bell.clone(),
            keys: self.keys.clone(),
            name: self.name,
        }
    }

    /// Sleeps until there may be a job. Ask for one after it, and if there is none call [`Place::found_none`].
    ///
    /// # Cancel safety
    ///
    /// A ring that wasn't awaited is kept for the next time.
    pub async fn rung(&mut self) {
        self.bell.notified().await;
        self.owes = true;
        // Back in its old place, ahead of all who came later.
        let waiting = self.waiting();
        self.board.claims.0.lock().add(self.number, waiting);
    }

    /// The engine has been asked for a job since the last ring, and had none.
    pub const fn found_none(&mut self) {
        self.owes = false;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.board.claims.0.lock();
        let is_rung = queues.remove(self.number).is_none();
        // It may have been rung for a job, and once more for another before it asked for the first.
        for _ in 0..u8::from(is_rung) + u8::from(self.owes) {
            queues.pass_on(&self.keys);
        }
    }
}
