//! The courier: carries deliveries to their receivers.
//!
//! It writes no state. What becomes of a delivery goes back into the loop as a command and is journaled like any
//! other fact; until then the delivery counts as not sent, and after a restart it is sent again under the same id.
//!
//! What is due waits in the engine, which hands out only what may be sent at once: a bounded number of exchanges with
//! one receiver and in all, and none while a receiver's breaker is open. What was handed out begins exchange by
//! exchange, and owners take turns: an event with a thousand endpoints would otherwise have the processor to itself
//! until the last of them was called. Each is written and signed as it begins, so that large events take one thread at
//! a time and leave the others to requests. Of receivers that are not proven few are called at once, and then one a
//! millisecond: each costs a connection and mostly a failure, and hundreds at once would delay those that do answer.

pub mod answers;
pub mod connect;
pub mod send;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use abide_engine::Owner;
use abide_engine::delivery::{ReportAttempt, Send};
use abide_engine::hash::FastMap;
use abide_wire::headers;

use crate::clock::Clock;
use crate::driver::{Commands, Failure, WeakCommands};
use crate::metrics::{Exchange, Metrics};
use crate::telling::{Telling, Told, put};

use answers::Allowance;
pub use send::{Answered, Carrier, HttpCarrier, Post, SendError};

/// How long to wait before a report that the loop could not take is brought again.
const REPORT_RETRY: Duration = Duration::from_millis(100);
/// How long to wait before a delivery is tried again that the server lacked a descriptor, a port or memory for.
const OWN_RETRY: Duration = Duration::from_secs(1);
/// How many exchanges with receivers that are not [proven](abide_engine::delivery::Send::is_proven) may begin at once.
pub const UNPROVEN_AT_ONCE: u32 = 16;
/// After which time one more of them may begin.
pub const UNPROVEN_PAUSE: Duration = Duration::from_millis(1);
/// How long exchanges that are under way may still take when the server goes down, at most: they end before the journal
/// is closed, so half of the drain time is theirs.
pub const LAST_EXCHANGES_MAX: Duration = Duration::from_secs(5);

/// Carries deliveries, and brings back what became of them.
#[derive(Debug)]
pub struct Courier {
    sends: mpsc::UnboundedReceiver<Send>,
    round: Round,
    /// How long what is under way at a stop may still take.
    last_exchanges: Duration,
}

/// Says a native event in the form that an endpoint was registered with; `None` if it can't.
pub type Render = fn(&Telling<'_>) -> Option<Told>;

/// What every exchange needs.
#[derive(Clone, Debug)]
struct Round {
    carrier: Arc<dyn Carrier>,
    render: Render,
    clock: Clock,
    commands: WeakCommands,
    cut: CancellationToken,
    metrics: Arc<Metrics>,
    allowance: Arc<Allowance>,
}

impl Courier {
    /// A courier that carries what it is handed by `carrier`, said by `render` if its endpoint wants another form than
    /// the native one, and reports to that loop.
    #[must_use]
    pub fn new(
        carrier: Arc<dyn Carrier>,
        render: Render,
        clock: Clock,
        commands: &Commands,
        sends: mpsc::UnboundedReceiver<Send>,
    ) -> Self {
        Self {
            sends,
            last_exchanges: LAST_EXCHANGES_MAX,
            round: Round {
                carrier,
                render,
                clock,
                // A strong one would keep the loop from ever ending.
                commands: commands.downgrade(),
                cut: CancellationToken::new(),
                metrics: Arc::default(),
                allowance: Arc::default(),
            },
        }
    }

    /// Where exchanges are counted.
    #[must_use]
    pub fn counted(mut self, metrics: Arc<Metrics>) -> Self {
        self.round.metrics = metrics;
        self
    }

    /// Has what is under way at a stop end within half of that time, if that is less than [`LAST_EXCHANGES_MAX`].
    #[must_use]
    pub fn draining(mut self, drain: Duration) -> Self {
        self.last_exchanges = LAST_EXCHANGES_MAX.min(drain / 2);
        self
    }

    /// Runs until `stop` is canceled or the loop ends; then lets what is under way end, for [`LAST_EXCHANGES_MAX`] or
    /// [less](Self::draining), and cuts the rest. What was cut is sent again at the next start.
    ///
    /// # Cancel safety
    ///
    /// Dropping it takes nothing new; what is under way goes on.
    pub async fn run(mut self, stop: CancellationToken) {
        let exchanges = TaskTracker::new();
        let mut waiting = Waiting::default();
        while !stop.is_cancelled() {
            while let Ok(send) = self.sends.try_recv() {
                waiting.add(send);
            }
            let now = self.round.clock.elapsed();
            if let Some(send) = waiting.next(now) {
                let post = self.round.tell(&send);
                exchanges.spawn(self.round.clone().carry(send, post));
                // What has begun goes on first.
                tokio::task::yield_now().await;
                continue;
            }
            let send = tokio::select! {
                send = self.sends.recv() => send,
                () = tokio::time::sleep(waiting.pause(now)), if waiting.has_unproven() => continue,
                () = stop.cancelled() => None,
            };
            match send {
                Some(send) => waiting.add(send),
                None => break,
            }
        }
        drop(self.sends);
        exchanges.close();
        if tokio::time::timeout(self.last_exchanges, exchanges.wait())
            .await
            .is_err()
        {
            self.round.cut.cancel();
            exchanges.wait().await;
        }
    }
}

/// What was handed out and hasn't begun.
#[derive(Debug, Default)]
struct Waiting {
    proven: Turns,
    unproven: Turns,
    /// When as many of `unproven` may begin at once again as ever.
    rested_at: Duration,
}

impl Waiting {
    fn add(&mut self, send: Send) {
        match send.is_proven {
            true => self.proven.add(send),
            false => self.unproven.add(send),
        }
    }

    fn has_unproven(&self) -> bool {
        !self.unproven.turns.is_empty()
    }

    /// How long it is until one of `unproven` may begin.
    fn pause(&self, now: Duration) -> Duration {
        let begins_at = now + UNPROVEN_PAUSE * (UNPROVEN_AT_ONCE - 1);
        self.rested_at.saturating_sub(begins_at)
    }

    /// What begins now. Neither sort keeps the other waiting, because of those that are unproven few may begin.
    fn next(&mut self, now: Duration) -> Option<Send> {
        if self.pause(now).is_zero()
            && let Some(send) = self.unproven.next()
        {
            self.rested_at = self.rested_at.max(now) + UNPROVEN_PAUSE;
            return Some(send);
        }
        self.proven.next()
    }
}

/// A queue for each owner, of which each has its turn.
#[derive(Debug, Default)]
struct Turns {
    queues: FastMap<Owner, VecDeque<Send>>,
    turns: VecDeque<Owner>,
}

impl Turns {
    fn add(&mut self, send: Send) {
        let owner = send.endpoint.owner;
        let queue = self.queues.entry(owner).or_default();
        if queue.is_empty() {
            self.turns.push_back(owner);
        }
        queue.push_back(send);
    }

    fn next(&mut self) -> Option<Send> {
        let owner = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&owner)?;
        let send = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        send
    }
}

impl Round {
    async fn carry(self, send: Send, post: Result<Post, SendError>) {
        // Held while the exchange lasts, so that the loop is still there for the report.
        let Some(commands) = self.commands.upgrade() else {
            return;
        };
        let (result, took) = tokio::select! {
            done = self.exchange(&send, post) => done,
            () = self.cut.cancelled() => return,
        };
        let ended = self.clock.elapsed();
        self.count(&send, &result, took);
        log(&send, &result, took);
        let mut report = report(&send, result, took);
        // Receivers mean seconds of their own, and the schedule goes by our clock.
        let speed = self.clock.speed().unwrap_or(1);
        report.retry_after = report.retry_after.map(|wait| wait.saturating_mul(speed));
        let kept = self.allowance.take(report.answer.len(), ended);
        report.truncated |= kept < report.answer.len();
        report.answer.truncate(kept);
        loop {
            match commands.ask(report.clone()).await {
                // Asking twice does no harm: the report says which attempt it is of.
                Err(Failure::Storage | Failure::NoLeader | Failure::Overloaded) => {
                    tokio::select! {
                        () = tokio::time::sleep(REPORT_RETRY) => {}
                        () = self.cut.cancelled() => return,
                    }
                }
                _ => return,
            }
        }
    }

    /// Posts, and says how long that took. What fails here and not at the receiver is no attempt: it is tried again
    /// until it can be made.
    async fn exchange(
        &self,
        send: &Send,
        mut post: Result<Post, SendError>,
    ) -> (Result<Answered, SendError>, Duration) {
        loop {
            let begun = self.clock.elapsed();
            let under_way = UnderWay::begin(&self.metrics);
            let result = match post {
                Ok(post) => self.post(send, post).await,
                Err(error) => Err(error),
            };
            let took = self.clock.elapsed().saturating_sub(begun);
            drop(under_way);
            let Err(error @ SendError::Own(_)) = &result else {
                return (result, took);
            };
            self.metrics.exchanged(Exchange::NotSent, took);
            tracing::debug!(delivery = %send.delivery.key, %error, "a webhook could not be sent; trying again");
            tokio::time::sleep(OWN_RETRY).await;
            post = self.tell(send);
        }
    }

    fn count(&self, send: &Send, result: &Result<Answered, SendError>, took: Duration) {
        let outcome = match result {
            Ok(answered) if (200..300).contains(&answered.status) => Exchange::Delivered,
            Ok(_) => Exchange::Refused,
            Err(SendError::Refused(_)) => Exchange::Blocked,
            Err(_) => Exchange::Unanswered,
        };
        self.metrics.exchanged(outcome, took);
        let delivery = &send.delivery;
        let tells_an_end = matches!(
            delivery.event.as_ref(),
            "job.completed" | "job.failed" | "job.canceled"
        );
        if outcome == Exchange::Delivered && send.attempt == 1 && tells_an_end {
            let after = self.clock.now().since(delivery.created_at);
            self.metrics.pushed(after);
        }
    }

    async fn post(&self, send: &Send, post: Post) -> Result<Answered, SendError> {
        if post.body.is_empty() {
            // The endpoint's form has no words for this event: it counts as told.
            return Ok(Answered {
                status: 204,
                retry_after: None,
                body: Vec::new(),
                truncated: false,
            });
        }
        for _copy in 1..send.delivery.copies {
            // The simulator's doubling: the same delivery once more, whatever is answered.
            let _answer = self.carrier.post(post.clone()).await;
        }
        self.carrier.post(post).await
    }

    /// What is posted, in the form that the endpoint wants.
    fn tell(&self, send: &Send) -> Result<Post, SendError> {
        let id = send.delivery.key.to_string();
        let event = send.event().ok_or(SendError::Gone)?;
        let telling = Telling {
            form: send.endpoint.rendering.as_deref().unwrap_or_default(),
            event: &event,
            endpoint: send.endpoint.key,
            id: &id,
            // Receivers compare this with clocks of their own, so it is the system's time whatever ours shows.
            at: self.clock.system(),
            secrets: send.endpoint.secrets(send.at).collect(),
        };
        let (body, headers, has_titles) = match telling.form {
            "" => {
                let body = Bytes::from_owner(Arc::<[u8]>::from(event.clone()));
                (body, None, false)
            }
            form => {
                let told = (self.render)(&telling);
                let told = told.ok_or_else(|| SendError::Form(form.to_owned()))?;
                (told.body.into(), told.headers, told.has_titles)
            }
        };
        let mut headers = headers.unwrap_or_else(|| telling.standard_headers(&body));
        if let Some(fault) = &send.delivery.fault {
            put(&mut headers, headers::SIM_DECISION, fault);
        }
        if let Some(trace) = send.job.as_ref().and_then(|job| job.traceparent()) {
            put(&mut headers, headers::TRACEPARENT, trace);
        }
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        Ok(Post {
            url: send.endpoint.url.as_ref().to_owned(),
            headers,
            has_titles,
            body,
        })
    }
}

/// Counts an exchange as under way for as long as it lives, also where the exchange is cut.
struct UnderWay<'a>(&'a Metrics);

impl<'a> UnderWay<'a> {
    fn begin(metrics: &'a Metrics) -> Self {
        metrics.exchange_begun();
        Self(metrics)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.exchange_over();
    }
}

fn report(send: &Send, result: Result<Answered, SendError>, took: Duration) -> ReportAttempt {
    let mut report = ReportAttempt {
        delivery: send.delivery.key,
        number: send.attempt,
        at: send.at,
        took,
        status: None,
        error: None,
        answer: Vec::new(),
        truncated: false,
        retry_after: None,
    };
    match result {
        Ok(answered) => {
            report.status = Some(answered.status);
            report.answer = answered.body;
            report.truncated = answered.truncated;
            report.retry_after = answered.retry_after;
        }
        Err(error) => report.error = Some(error.to_string()),
    }
    report
}

fn log(send: &Send, result: &Result<Answered, SendError>, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (delivery, endpoint) = (&send.delivery, &send.endpoint);
    match result {
        Ok(answered) => tracing::debug!(
            delivery = %delivery.key, endpoint = %endpoint.key, attempt = send.attempt,
            status = answered.status, took_ms, "a webhook was answered"
        ),
        Err(error) => tracing::debug!(
            delivery = %delivery.key, endpoint = %endpoint.key, attempt = send.attempt,
            %error, took_ms, "a webhook was not answered"
        ),
    }
}
