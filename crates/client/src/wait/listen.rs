//! The moves of a wait that reads a stream.

use std::time::Duration;

use super::driver::{Driver, Moved};
use super::findings::Step;
use super::listening::{Heard, Listening};
use crate::exchange::Failure;
use crate::origin::Origin;
use crate::rt::{Instant, after, before, sleep_until};
use crate::sse::{Item, Opened};
use crate::strategy::Happened;
use crate::target::Exchange;

impl<V: Clone + Send> Driver<'_, V> {
    /// Reads the stream, opening it if it isn't open, until there is something to tell the plan.
    pub(super) async fn listen(&mut self, check: Option<Duration>) -> Moved<V> {
        if self.stream.is_none() {
            self.turn_around().await;
            let sent = self.now();
            if let Err(failure) = self.open().await {
                return Box::pin(self.fail(failure, sent)).await;
            }
        }
        let check = check.map(|check| after(self.findings.accepted, check));
        loop {
            let look_at = self.look_at();
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            let Origin { clock, memory, .. } = &*self.origin;
            let heard = stream.next(clock, memory, look_at, check).await;
            let now = clock.now();
            match heard {
                Heard::Item(item) => match self.hear(item, now) {
                    Ok(Some(step)) => return Ok(Some(step)),
                    Ok(None) => {}
                    Err(failure) => return Box::pin(self.break_off(failure, now)).await,
                },
                Heard::Failed(failure) => return Box::pin(self.break_off(failure, now)).await,
                Heard::Closed => {
                    let pause = stream.events.retry().mul_f64(self.origin.rng.share());
                    self.stream = None;
                    sleep_until(self.bounded(after(now, pause))).await;
                    self.findings.seen.happened = Happened::Closed;
                    return Ok(None);
                }
                Heard::Dead => {
                    self.mute();
                    return Ok(None);
                }
                Heard::Quiet => {
                    self.findings.seen.happened = Happened::Quiet;
                    return Ok(None);
                }
                Heard::TimeUp => return Ok(None),
            }
        }
    }

    /// Opens the stream, or notes why there is none.
    async fn open(&mut self) -> Result<(), Failure> {
        let look_at = self.look_at();
        let exchange = Exchange {
            limit: self.terms.attempt_timeout,
            weight: Some(self.weight()),
            account: &mut self.account,
        };
        let revision = self.findings.seen.revision;
        let Some(opened) = before(look_at, self.target.listen(revision, exchange)).await else {
            return Ok(());
        };
        match opened? {
            Opened::Open(events) => self.stream = Some(Listening::new(events, self.now())),
            Opened::Over => self.findings.seen.happened = Happened::Closed,
            Opened::Absent => {
                self.origin.memory.note_stream(false, self.now());
                self.findings.seen.happened = Happened::NoStream;
            }
            Opened::Crowded => self.findings.seen.happened = Happened::NoStream,
        }
        Ok(())
    }

    /// Takes in what a stream told.
    fn hear(&mut self, item: Item, now: Instant) -> Result<Option<Step<V>>, Failure> {
        let Item::Event { event, data, .. } = item else {
            return Ok(None);
        };
        self.account.cost.received += data.len() as u64;
        let Some(answer) = self.target.read(&event, &data)? else {
            return Ok(None);
        };
        self.findings.seen.happened = Happened::News;
        let sampled = now.checked_sub(self.round_trip() / 2).unwrap_or(now);
        Ok(self.absorb(answer, sampled))
    }

    /// Closes a stream that doesn't tell what happens.
    pub(super) fn mute(&mut self) {
        self.stream = None;
        self.origin.memory.note_stream(false, self.now());
        self.findings.seen.happened = Happened::Muted;
    }

    /// Closes a stream that failed.
    async fn break_off(&mut self, failure: Failure, now: Instant) -> Moved<V> {
        self.stream = None;
        self.fail(failure, now).await
    }
}
