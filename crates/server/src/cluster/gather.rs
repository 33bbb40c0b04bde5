//! What every node knows apart, gathered for one answer.
//!
//! A node asks the leader, which asks the nodes that are linked to it and answers for itself too. No wait is long: a
//! node that doesn't answer in time is named, and what it knows is missing. What is asked and answered means something
//! to [`http`](crate::http) alone.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a node waits for what the leader has gathered.
pub(super) const GATHERED_WAIT: Duration = Duration::from_millis(500);
/// How long the leader waits for the others meanwhile.
pub(super) const TOLD_WAIT: Duration = Duration::from_millis(300);

/// What a node answered to a question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Its name.
    pub node: String,
    /// The answer.
    pub answer: Value,
}

/// What the other nodes answered to a question.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Each node's answer.
    pub told: Vec<Told>,
    /// The nodes that live and didn't answer, by name.
    pub missing: Vec<String>,
}

/// Questions under way, by number.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    waiting: HashMap<u64, mpsc::UnboundedSender<Vec<Told>>>,
}

impl Questions {
    /// Has a question sent under a number of its own, and gives what is answered within that time: all of it as soon as
    /// as many nodes have answered as `send` says.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the answers.
    pub(super) async fn ask(&self, wait: Duration, send: impl FnOnce(u64) -> usize) -> Vec<Told> {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let id = {
            let mut open = self.0.lock();
            open.next += 1;
            let id = open.next;
            open.waiting.retain(|_, answers| !answers.is_closed());
            open.waiting.insert(id, answers);
            id
        };
        let wanted = send(id);
        // By name, because a link may bring a frame twice.
        let mut told = BTreeMap::new();
        let _late = timeout(wait, async {
            while told.len() < wanted {
                let some = answered.recv().await.unwrap_or_default();
                told.extend(some.into_iter().map(|one| (one.node.clone(), one)));
            }
        })
        .await;
        told.into_values().collect()
    }

    /// Takes answers to a question, which may be over.
    pub(super) fn told(&self, id: u64, told: Vec<Told>) {
        if let Some(answers) = self.0.lock().waiting.get(&id) {
            let _gone = answers.send(told);
        }
    }
}
