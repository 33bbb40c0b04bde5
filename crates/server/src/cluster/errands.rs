//! Commands that a follower has sent on, until they are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use abide_engine::{Engine, Json, Refusal};
use tokio::sync::{mpsc, oneshot};

use super::frame::Up;
use super::status::LEADER_WAIT;
use crate::driver::{Asked, CommandText, Failure, Request, adapt};
use crate::journal::Position;
use crate::metrics::{Forwarded, Metrics};

/// The most commands that may be under way, those included whose answer can't be read yet.
const ERRANDS_MAX: usize = 8_192;

/// What waits for the leader.
#[derive(Debug)]
pub(super) struct Errands {
    next: u64,
    places: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    waiting: BTreeMap<u64, Errand>,
    /// Those whose answer is known and can't be read yet.
    answered: Vec<Known>,
}

#[derive(Debug)]
struct Errand {
    what: What,
    since: Duration,
    /// Whether it was sent over a link, which may have been another one.
    is_sent: bool,
    /// How many were ahead of it, if it was sent at once.
    ahead: Option<usize>,
}

#[derive(Debug)]
enum What {
    /// A command, also in the form in which it is sent, and whether it may be sent again.
    Command(Box<dyn Asked>, CommandText, bool),
    /// How far the log is.
    CatchUp(oneshot::Sender<Result<(), Failure>>),
}

/// An answer that can be read from a state that is at that place.
#[derive(Debug)]
struct Known {
    at: Position,
    since: Duration,
    reply: Reply,
}

#[derive(Debug)]
enum Reply {
    Command(Box<dyn Asked>, Json),
    CatchUp(oneshot::Sender<Result<(), Failure>>),
}

impl Errands {
    /// None yet. As many requests that change something may be under way as `places` says, which follows the pace at
    /// which they are answered.
    pub(super) fn new(places: Arc<AtomicUsize>, metrics: Arc<Metrics>) -> Self {
        Self {
            next: 0,
            places,
            metrics,
            waiting: BTreeMap::new(),
            answered: Vec::new(),
        }
    }

    /// Whether another may be added.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() + self.answered.len() < ERRANDS_MAX
    }

    /// Sends a request on, over that link if it stands, else over the next one.
    pub(super) fn add(&mut self, request: Request, now: Duration, link: Option<&mpsc::Sender<Up>>) {
        let (what, since) = match request {
            Request::Command(asked) => {
                let ((text, may_repeat), since) = (asked.text(), asked.since());
                (What::Command(asked, text, may_repeat), since)
            }
            Request::CatchUp(reply) => (What::CatchUp(reply), now),
            // Its route refuses this already.
            Request::Advance(_, reply) => {
                let runs = "a cluster's clock runs by itself".to_owned();
                let _gone = reply.send(Err(Refusal::Invalid(runs).into()));
                return;
            }
        };
        let mut errand = Errand {
            what,
            since,
            is_sent: false,
            ahead: None,
        };
        if let Some(link) = link {
            errand.send(self.next, link);
            errand.ahead = errand.is_sent.then_some(self.waiting.len());
        }
        self.waiting.insert(self.next, errand);
        self.next += 1;
    }

    /// A link stands: what waited is sent.
    pub(super) fn linked(&mut self, link: &mpsc::Sender<Up>) {
        for (id, errand) in &mut self.waiting {
            errand.send(*id, link);
        }
    }

    /// The link is broken. What was sent may have been carried out: only what may be done twice is sent again.
    pub(super) fn broken(&mut self) {
        let lost = self
            .waiting
            .extract_if(.., |_, errand| errand.is_sent && !errand.what.may_repeat());
        for (_, errand) in lost {
            self.metrics.forwarded(Forwarded::Unknown);
            errand.what.fail(Failure::Storage);
        }
    }

    /// The leader has answered a command.
    pub(super) fn answered(
        &mut self,
        id: u64,
        answer: Result<Json, Failure>,
        at: Position,
        now: Duration,
    ) {
        let Some(errand) = self.waiting.remove(&id) else {
            return;
        };
        let Errand { what, since, .. } = errand;
        let took = now.saturating_sub(since);
        if let (Some(ahead), Ok(_) | Err(Failure::Refused(_))) = (errand.ahead, &answer) {
            adapt(&self.places, ahead, took);
        }
        match (&what, &answer) {
            (What::Command(..), Ok(_)) => {
                self.metrics.forwarded(Forwarded::Answered);
                self.metrics.forwarded_in(took);
            }
            (_, Err(Failure::Refused(_))) => self.metrics.forwarded(Forwarded::Refused),
            (_, Err(failure)) if *failure != Failure::ShuttingDown => {
                self.metrics.forwarded(Forwarded::Unknown);
            }
            _ => {}
        }
        match (what, answer) {
            (What::Command(asked, ..), Ok(key)) => {
                self.answered.push(Known {
                    at,
                    since,
                    reply: Reply::Command(asked, key),
                });
            }
            // The leader went down, and may have carried it out.
            (what, Err(Failure::ShuttingDown)) if what.may_repeat() => {
                let errand = Errand {
                    what,
                    since,
                    is_sent: true,
                    ahead: None,
                };
                self.waiting.insert(id, errand);
            }
            (what, Err(Failure::ShuttingDown)) => what.fail(Failure::Storage),
            (what, Err(failure)) => what.fail(failure),
            (What::CatchUp(_), Ok(_)) => {}
        }
    }

    /// The leader has said how far the log is. One that isn't certain that it leads is asked again by the next link.
    pub(super) fn now(&mut self, id: u64, at: Option<Position>) {
        if let Some(at) = at
            && let Some(errand) = self.waiting.remove(&id)
            && let What::CatchUp(reply) = errand.what
        {
            self.answered.push(Known {
                at,
                since: errand.since,
                reply: Reply::CatchUp(reply),
            });
        }
    }

    /// Whether an answer is beyond that place.
    pub(super) fn wants_beyond(&self, position: Position) -> bool {
        self.answered
            .iter()
            .any(|known| known.at.batch > position.batch)
    }

    /// Replies with all that can be read from that state, which is at that place.
    pub(super) fn arrive(&mut self, engine: &Engine, position: Position) {
        if self.answered.is_empty() {
            return;
        }
        let arrived = self
            .answered
            .extract_if(.., |known| known.at.batch <= position.batch);
        for known in arrived {
            match known.reply {
                Reply::Command(mut asked, key) => {
                    asked.carried_out(engine, key);
                    asked.reply(None);
                }
                Reply::CatchUp(reply) => {
                    let _gone = reply.send(Ok(()));
                }
            }
        }
    }

    /// Refuses what has waited for too long.
    pub(super) fn expire(&mut self, now: Duration) {
        let expired = self.waiting.extract_if(.., |_, errand| {
            now.saturating_sub(errand.since) >= LEADER_WAIT
        });
        for (_, errand) in expired {
            self.metrics.forwarded(errand.give_up());
        }
        // What the leader has carried out can't be shown here: this node reaches neither it nor the log.
        let unseen = self
            .answered
            .extract_if(.., |known| now.saturating_sub(known.since) >= LEADER_WAIT);
        for known in unseen {
            match known.reply {
                Reply::Command(asked, _) => asked.reply(Some(Failure::Storage)),
                Reply::CatchUp(reply) => {
                    let _gone = reply.send(Err(Failure::NoLeader));
                }
            }
        }
    }

    /// This node leads now: what may be carried out here. What was sent and can't be repeated fails.
    pub(super) fn take_over(&mut self) -> Vec<Request> {
        self.broken();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        waiting
            .map(|errand| match errand.what {
                What::Command(asked, ..) => Request::Command(asked),
                What::CatchUp(reply) => Request::CatchUp(reply),
            })
            .collect()
    }
}

impl Errand {
    fn send(&mut self, id: u64, link: &mpsc::Sender<Up>) {
        let up = match &self.what {
            What::Command(_, text, _) => Up::Ask {
                id,
                command: text.clone(),
            },
            What::CatchUp(_) => Up::Now { id },
        };
        // A link without room is as good as none: this one waits for the next.
        self.is_sent |= link.try_send(up).is_ok();
    }

    fn give_up(self) -> Forwarded {
        let is_unknown = self.is_sent && matches!(self.what, What::Command(..));
        let (failure, outcome) = match is_unknown {
            true => (Failure::Storage, Forwarded::Unknown),
            false => (Failure::NoLeader, Forwarded::NoLeader),
        };
        self.what.fail(failure);
        outcome
    }
}

impl What {
    fn may_repeat(&self) -> bool {
        match self {
            Self::Command(_, _, may_repeat) => *may_repeat,
            Self::CatchUp(_) => true,
        }
    }

    fn fail(self, failure: Failure) {
        match self {
            Self::Command(asked, ..) => asked.reply(Some(failure)),
            Self::CatchUp(reply) => {
                let _gone = reply.send(Err(failure));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use abide_engine::{Policy, SetSeed};

    use super::*;

    #[test]
    fn answers_that_cannot_be_read_yet_take_room_until_they_can() {
        let mut errands = Errands::new(Arc::default(), Arc::default());
        let at = Position {
            batch: 1,
            ..Position::default()
        };
        for id in 0..ERRANDS_MAX as u64 {
            assert!(errands.has_room(), "{id}");
            errands.add(
                Request::of(SetSeed(id), Duration::ZERO),
                Duration::ZERO,
                None,
            );
            errands.answered(
                id,
                Ok(Json::from(serde_json::json!(null))),
                at,
                Duration::ZERO,
            );
        }
        assert!(!errands.has_room());
        errands.arrive(&Engine::new(Policy::default()), at);
        assert!(errands.has_room());
    }
}
