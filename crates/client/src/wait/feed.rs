//! The changes of all jobs.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt, stream};
use http::HeaderValue;

use abide_wire::{Event, EventKind, Job};

use super::listening::STREAM_IDLE;
use crate::answer::check;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, Failure};
use crate::resume::ResumeToken;
use crate::rt::{after, sleep_until, timeout};
use crate::sse::{Events, Item, Opened, open_events};
use crate::telemetry::{self, Purpose};
use crate::trouble::Trouble;

/// What a [`Feed`] tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A job changed.
    Event(Box<Event>),
    /// Changes are missing before the next one: the server has forgotten them, or was another one. List the jobs to
    /// know how they stand.
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
/// [Unreachable](Error::is_unreachable) when there was no answer for as long as the client's retry policy is patient,
/// and [refused](Error::is_refused). After an error the stream is over.
///
/// # Cancel safety
///
/// [`Feed::next`] may be dropped at any time without losing a change. Dropping the stream closes its connection.
#[must_use = "a stream does nothing until it is polled"]
pub struct Feed {
    client: Client,
    place: Option<FeedPlace>,
    running: Option<Running>,
}

/// A place in a server's feed, to go on from. It is a text for keeping, and means something to that server alone.
///
/// ```
/// let place: abide::FeedPlace = "7f3-12".parse()?;
/// assert_eq!(place.to_string(), "7f3-12");
/// # Ok::<(), abide::NoPlace>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedPlace(HeaderValue);

/// The text can't be a [`FeedPlace`]: it is empty or holds something else than visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place in a feed is visible ASCII")]
pub struct NoPlace;

impl FromStr for FeedPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let value = HeaderValue::from_str(text).map_err(|_| NoPlace)?;
        is_visible.then_some(Self(value)).ok_or(NoPlace)
    }
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

type Running = Pin<Box<dyn Stream<Item = Result<(Change, Option<FeedPlace>), Error>> + Send>>;

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
            place: None,
            running: None,
        }
    }
}

impl Feed {
    /// Begins after that [place](Self::place) instead of with what happens next.
    pub fn after(self, place: FeedPlace) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The place in the feed of the latest change that was told, for going on in another process; none before the
    /// first.
    #[must_use]
    pub const fn place(&self) -> Option<&FeedPlace> {
        self.place.as_ref()
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
                place: this.place.clone(),
                events: None,
                was_open: false,
                trouble: Trouble::default(),
            };
            run(following)
        });
        Poll::Ready(ready!(running.as_mut().poll_next(cx)).map(|next| {
            let (change, place) = next?;
            this.place = place;
            Ok(change)
        }))
    }
}

fn run(following: Following) -> Running {
    let changes = stream::unfold(Some(following), |following| async {
        let mut following = following?;
        match following.next().await {
            Ok(Some(change)) => {
                let place = following.place.clone();
                Some((Ok((change, place)), Some(following)))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    Box::pin(changes.fuse())
}

/// A feed under way.
struct Following {
    client: Client,
    /// The place of the latest change; without one the feed begins with what happens next.
    place: Option<FeedPlace>,
    events: Option<Events>,
    was_open: bool,
    trouble: Trouble,
}

impl Following {
    async fn next(&mut self) -> Result<Option<Change>, Error> {
        loop {
            let Some(events) = &mut self.events else {
                match self.open().await {
                    Ok(Some(events)) => {
                        self.events = Some(events);
                        if std::mem::replace(&mut self.was_open, true) && self.place.is_none() {
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
        let place = self.place.as_ref().map(|FeedPlace(place)| place.clone());
        origin.budget.take(&origin.clock, &mut 0.0, 1.0).await;
        match open_events(origin, call, place, origin.attempt_timeout, None).await? {
            Opened::Open(events) => Ok(Some(events)),
            Opened::Over => Ok(None),
            Opened::Absent | Opened::Crowded => {
                Err(Failure::garbled("the answer is no stream of events"))
            }
        }
    }

    fn read(&mut self, item: Item) -> Result<Option<Change>, Failure> {
        let Item::Event { event, data, id } = item else {
            return Ok(None);
        };
        let change = if event == "reset" {
            Change::Gap
        } else if event.starts_with("job.") {
            let job = serde_json::from_str::<Job>(&data).ok();
            match job.and_then(|job| check(job, None).ok()) {
                Some(job) => Change::Event(Box::new(Event {
                    kind: EventKind::from(event),
                    timestamp: job.updated_at,
                    data: job,
                })),
                // One that can't be read would be sent again and again: the feed goes on behind it.
                None => Change::Gap,
            }
        } else {
            // A kind of event that this version has no name for.
            return Ok(None);
        };
        if let Some(place) = id.and_then(|id| id.parse().ok()) {
            self.place = Some(place);
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
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
