//! The changes of all jobs.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;

use abide_wire::{Event, EventKind, Job};

use super::listening::STREAM_IDLE;
use super::trouble::Trouble;
use crate::answer::check;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, Failure};
use crate::resume::ResumeToken;
use crate::rt::{after, sleep_until, timeout};
use crate::sse::{Events, Item, Opened, open_events};
use crate::telemetry::{self, Purpose};

/// What a [`Feed`] tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A job changed.
    Event(Box<Event>),
    /// Changes are missing before the next one: the server has forgotten them, or was another one. List the jobs to know
    /// how they stand.
    Gap,
}

/// A stream of the changes of all of the caller's jobs, the ends among them: made by [`Client::feed`].
///
/// It begins with what happens next, or [after](Self::after) a place where an earlier one stopped. A connection that
/// breaks or falls silent is replaced, and the stream goes on where it was: each change comes once and in order, or a
/// [`Change::Gap`] says that some were missed. It has no end of its own, unless a server ends it.
///
/// # Errors
///
/// [Unreachable](Error::is_unreachable) when there was no answer for as long as the client's retry policy is patient, and
/// [refused](Error::is_refused). After an error the stream is over.
///
/// # Cancel safety
///
/// [`Feed::next`] may be dropped at any time without losing a change. Dropping the stream closes its connection.
#[must_use = "a stream does nothing until it is polled"]
pub struct Feed {
    client: Client,
    place: Arc<AtomicU64>,
    running: Option<Running>,
}

type Running = Pin<Box<dyn Stream<Item = Result<Change, Error>> + Send>>;

/// The place of a feed that has none yet: it begins with what happens next.
const NOWHERE: u64 = u64::MAX;

impl Client {
    /// Follows the changes of all of the caller's jobs, from now on. Nothing is sent before the [`Feed`] is polled.
    ///
    /// ```no_run
    /// # async fn example(client: abide::Client) -> Result<(), abide::Error> {
    /// let mut feed = client.feed();
    /// while let Some(change) = feed.next().await {
    ///     if let abide::Change::Event(event) = change? {
    ///         println!("{} {}", event.kind, event.data.id);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn feed(&self) -> Feed {
        Feed {
            client: self.clone(),
            place: Arc::new(AtomicU64::new(NOWHERE)),
            running: None,
        }
    }
}

impl Feed {
    /// Begins after that [place](Self::place) instead of with what happens next.
    pub fn after(self, place: u64) -> Self {
        self.place.store(place, Ordering::Relaxed);
        self
    }

    /// The place in the feed of the latest change that was told, for going on in another process; none before the first.
    #[must_use]
    pub fn place(&self) -> Option<u64> {
        Some(self.place.load(Ordering::Relaxed)).filter(|place| *place != NOWHERE)
    }

    /// The next change; none after an error, or where the server has ended the stream for good.
    ///
    /// # Errors
    ///
    /// See [`Feed`].
    ///
    /// # Cancel safety
    ///
    /// No change is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Result<Change, Error>> {
        StreamExt::next(self).await
    }
}

impl Stream for Feed {
    type Item = Result<Change, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let running = this.running.get_or_insert_with(|| {
            let following = Following {
                client: this.client.clone(),
                place: Arc::clone(&this.place),
                events: None,
                was_open: false,
                trouble: Trouble::default(),
            };
            run(following)
        });
        running.as_mut().poll_next(cx)
    }
}

fn run(following: Following) -> Running {
    let changes = stream::unfold(Some(following), |following| async {
        let mut following = following?;
        match following.next().await {
            Ok(Some(change)) => Some((Ok(change), Some(following))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    Box::pin(changes.fuse())
}

/// A feed under way.
struct Following {
    client: Client,
    place: Arc<AtomicU64>,
    events: Option<Events>,
    was_open: bool,
    trouble: Trouble,
}

/// The data of a `reset`.
#[derive(Deserialize)]
struct Reset {
    cursor: u64,
}

impl Following {
    async fn next(&mut self) -> Result<Option<Change>, Error> {
        loop {
            let Some(events) = &mut self.events else {
                match self.open().await {
                    Ok(Some(events)) => {
                        self.events = Some(events);
                        let lost = self.place.load(Ordering::Relaxed) == NOWHERE;
                        if std::mem::replace(&mut self.was_open, true) && lost {
                            // What happened since the last connection broke is unknown.
                            return Ok(Some(Change::Gap));
                        }
                    }
                    Ok(None) => return Ok(None),
                    Err(failure) => self.fail(failure).await?,
                }
                continue;
            };
            let item = timeout(STREAM_IDLE, events.next())
                .await
                .unwrap_or_else(|_| Err(Failure::timed_out(STREAM_IDLE)));
            match item {
                Ok(Some(item)) => {
                    self.trouble = Trouble::default();
                    match self.read(item) {
                        Ok(Some(change)) => return Ok(Some(change)),
                        Ok(None) => {}
                        Err(failure) => {
                            self.events = None;
                            self.fail(failure).await?;
                        }
                    }
                }
                Ok(None) => {
                    let origin = &self.client.core.origin;
                    let pause = events.retry().mul_f64(origin.rng.share());
                    self.events = None;
                    sleep_until(after(origin.clock.now(), pause)).await;
                }
                Err(failure) => {
                    self.events = None;
                    self.fail(failure).await?;
                }
            }
        }
    }

    /// Opens the stream; none where the server has ended it for good.
    async fn open(&mut self) -> Result<Option<Events>, Failure> {
        let origin = &self.client.core.origin;
        let call = Call::get(Purpose::Feed, origin.url(["v1", "events"]));
        let place = Some(self.place.load(Ordering::Relaxed)).filter(|place| *place != NOWHERE);
        origin.budget.take(&origin.clock, &mut 0.0, 1.0).await;
        match open_events(origin, call, place, origin.attempt_timeout, None).await? {
            Opened::Open(events) => Ok(Some(events)),
            Opened::Over => Ok(None),
            Opened::Absent | Opened::Crowded => {
                Err(Failure::garbled("the answer is no stream of events"))
            }
        }
    }

    fn read(&self, item: Item) -> Result<Option<Change>, Failure> {
        let Item::Event { event, data, id } = item else {
            return Ok(None);
        };
        let (place, change) = if event == "reset" {
            let reset: Reset = serde_json::from_str(&data)
                .map_err(|error| Failure::garbled("a reset holds no place").because(error))?;
            (Some(reset.cursor), Change::Gap)
        } else if event.starts_with("job.") {
            let job: Job = serde_json::from_str(&data)
                .map_err(|error| Failure::garbled("an event holds no job").because(error))?;
            let job = check(job, None)?;
            let event = Event {
                kind: EventKind::from(event),
                timestamp: job.updated_at,
                data: job,
            };
            (id, Change::Event(Box::new(event)))
        } else {
            // A kind of event that this version has no name for.
            return Ok(None);
        };
        if let Some(place) = place {
            self.place.store(place, Ordering::Relaxed);
        }
        Ok(Some(change))
    }

    /// Meets a failure: gives up, or pauses as the retry policy wants.
    async fn fail(&mut self, failure: Failure) -> Result<(), Error> {
        let origin = &self.client.core.origin;
        let now = origin.clock.now();
        let (policy, share) = (&origin.retry, origin.rng.share());
        let Some(pause) = self
            .trouble
            .meet(&failure, policy, (now, now), share, || true)
        else {
            let token = ResumeToken::of_nothing(origin.server());
            return Err(failure.into_error().token(token));
        };
        telemetry::paused(failure.what(), self.trouble.failures, pause);
        let due = after(now, pause);
        sleep_until(due).await;
        self.trouble.paused(due, origin.clock.now());
        Ok(())
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("server", &self.client.server())
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}
