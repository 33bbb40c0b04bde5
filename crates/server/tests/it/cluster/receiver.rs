//! The receiver of all webhooks, without sockets: it notes what it has taken, and fails at times.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use abide_server::courier::send::Carrying;
use abide_server::courier::{Answered, Carrier, Post, SendError};
use serde_json::Value;

use super::world::Chance;

/// Takes what all nodes deliver.
#[derive(Debug)]
pub struct Receiver {
    /// In how many of 1,000 cases it answers with a fault, and in as many not at all.
    fails_per_mille: AtomicU32,
    taken: Mutex<Vec<Taken>>,
    chance: Mutex<Chance>,
}

/// A delivery that the receiver has acknowledged.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The delivery's id.
    pub id: String,
    pub body: Value,
}

impl Receiver {
    pub fn new(seed: u64) -> Self {
        Self {
            fails_per_mille: AtomicU32::new(0),
            taken: Mutex::default(),
            chance: Mutex::new(Chance::new(seed)),
        }
    }

    pub fn fail(&self, per_mille: u32) {
        self.fails_per_mille.store(per_mille, Ordering::Relaxed);
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

impl Carrier for Receiver {
    fn post(&self, post: Post) -> Carrying<'_> {
        Box::pin(async move {
            let fails = u64::from(self.fails_per_mille.load(Ordering::Relaxed));
            let (millis, fault) = {
                let mut chance = self.chance.lock().unwrap();
                (chance.below(50), chance.below(1_000))
            };
            tokio::time::sleep(Duration::from_millis(millis)).await;
            if fault < fails {
                return Err(SendError::Connect("nothing listens there".to_owned()));
            }
            let is_taken = fault >= 2 * fails;
            if is_taken {
                self.taken.lock().unwrap().push(Taken {
                    id: post.headers["webhook-id"].to_str().unwrap().to_owned(),
                    body: serde_json::from_slice(&post.body).unwrap(),
                });
            }
            Ok(Answered {
                status: if is_taken { 204 } else { 500 },
                retry_after: None,
                body: Vec::new(),
                truncated: false,
            })
        })
    }
}
