//! An open stream and its watchdog.

use std::time::Duration;

use crate::exchange::Failure;
use crate::memory::Memory;
use crate::rt::{Clock, Instant, after, overslept, timeout_at};
use crate::sse::{Events, Item};

/// A stream over which nothing came for this long is dead: more than two heartbeats of our server.
pub(super) const STREAM_IDLE: Duration = Duration::from_secs(40);

/// An open stream.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) events: Events,
    /// When something last came over it, or it was opened.
    alive: Instant,
    /// Whether anything ever did.
    pub(super) spoke: bool,
}

/// What came of listening.
pub(super) enum Heard {
    Item(Item),
    /// The server has closed it.
    Closed,
    Failed(Failure),
    /// Not one byte has come since it was opened, and it is time to check.
    Quiet,
    /// It was silent beyond its limit and counts as dead.
    Dead,
    /// The time is over.
    TimeUp,
}

impl Listening {
    pub(super) fn new(events: Events, now: Instant) -> Box<Self> {
        Box::new(Self {
            events,
            alive: now,
            spoke: false,
        })
    }

    /// The next that comes, until `end`, or until `check` if nothing ever came.
    pub(super) async fn next(
        &mut self,
        clock: &Clock,
        memory: &Memory,
        end: Option<Instant>,
        check: Option<Instant>,
    ) -> Heard {
        let dead = after(self.alive, STREAM_IDLE);
        let check = check.filter(|_| !self.spoke);
        let until = [end, check].into_iter().flatten().fold(dead, Instant::min);
        let item = timeout_at(until, self.events.next()).await;
        let now = clock.now();
        match item {
            Ok(Ok(Some(item))) => {
                if !self.spoke {
                    memory.note_stream(true, now);
                }
                self.alive = now;
                self.spoke = true;
                Heard::Item(item)
            }
            Ok(Ok(None)) => Heard::Closed,
            Ok(Err(failure)) => Heard::Failed(failure),
            Err(_) if end.is_some_and(|at| now >= at) => Heard::TimeUp,
            // A process that was asleep can't tell that the stream was silent: it is opened anew.
            Err(_) if overslept(dead, now) => Heard::Closed,
            Err(_) if now >= dead => Heard::Dead,
            Err(_) => Heard::Quiet,
        }
    }
}
