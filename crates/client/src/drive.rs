//! The one loop of every wait.
//!
//! The plan of a strategy says what to do next; the loop does it, through a [`Target`], under the deadline and the retry
//! policy, notes what came of it in [`Seen`], and asks the plan again. [`Driver::step`] returns whenever there is news,
//! before anything sleeps again, so that a wait, a stream of updates and a set are the same loop with other ears.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use abide_wire::{Revision, Until};

use crate::clock::after;
use crate::error::{Error, Kind};
use crate::exchange::{Failure, FailureKind};
use crate::inbox::Subscription;
use crate::origin::Origin;
use crate::report::{Channel, Report};
use crate::retry::RetryPolicy;
use crate::schedule::{self, Ended, LEAST_PAUSE, Remaining};
use crate::sse::{Events, Item};
use crate::strategy::{Happened, Move, Plan, Seen};
use crate::telemetry::{self, UnderWay};
use crate::transport::BoxFuture;

/// How far the last look may outrun the deadline: its answer may already be on the way.
const GRACE: Duration = Duration::from_millis(50);
/// The last look is sent so many slow round trips before the deadline: one for a connection, one for the look.
const LOOK_ROUND_TRIPS: u32 = 2;
/// How long before it where no round trip was measured, and the bounds.
const LOOK_MARGIN: Duration = Duration::from_secs(1);
const LOOK_MARGIN_MIN: Duration = Duration::from_millis(10);
const LOOK_MARGIN_MAX: Duration = Duration::from_secs(2);
/// A wait that was given up sooner than this before its deadline hasn't used the time that it was given.
const PROMPT: Duration = Duration::from_millis(50);
/// A stream over which nothing came for so long is dead: more than two heartbeats of our server.
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(40);

/// What is waited for: a job on our server, on another's, or whatever a closure looks at.
pub(crate) trait Target: Send {
    /// What the caller gets to see.
    type View;

    /// Looks once.
    fn ask(&mut self, terms: Exchange) -> BoxFuture<'_, Result<Answer<Self::View>, Failure>>;

    /// Looks, to be answered at the first news.
    fn hold(
        &mut self,
        hold: Hold,
        terms: Exchange,
    ) -> BoxFuture<'_, Result<Answer<Self::View>, Failure>>;

    /// Opens the stream of what happens after that revision.
    fn listen(
        &mut self,
        after: Option<Revision>,
        terms: Exchange,
    ) -> BoxFuture<'_, Result<Heard, Failure>>;

    /// Reads what a stream told; none where it isn't about the job.
    fn read(&mut self, event: &str, data: &str) -> Result<Option<Answer<Self::View>>, Failure>;

    /// Reads what an inbox was told.
    fn pushed(&mut self, job: &abide_wire::Job) -> Option<Answer<Self::View>>;

    /// Tells an error what it is about.
    fn complete(&self, error: Error, last: Option<&Self::View>) -> Error;

    /// What was spent so far.
    fn cost(&self) -> Cost;
}

/// On what terms an exchange is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// The most that it may take, beside the time that it is held.
    pub(crate) limit: Duration,
    /// How many turns it gets in proportion to others where the request budget is short; none for a last look, which
    /// isn't kept waiting.
    pub(crate) weight: Option<f64>,
}

/// What a held request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// How long the server shall hold it at most.
    pub(crate) up_to: Duration,
    pub(crate) until: Until,
    /// What is known already.
    pub(crate) after: Option<Revision>,
}

/// What came of opening a stream.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It is open.
    Open(Events),
    /// There will be no more events.
    Over,
    /// There is no such stream.
    Absent,
    /// There are so many streams already that this wait does better without.
    Crowded,
}

/// What a wait has spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) requests: u32,
    pub(crate) share: f64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// What a look has shown.
#[derive(Clone, Debug)]
pub(crate) struct Answer<V> {
    /// The state; none where the answer said "nothing new".
    pub(crate) view: Option<V>,
    pub(crate) done: bool,
    pub(crate) revision: Option<Revision>,
    /// The share of the work that is done.
    pub(crate) progress: Option<f64>,
    pub(crate) remaining: Option<Remaining>,
    /// How long the server wants to be left alone.
    pub(crate) hint: Option<Duration>,
    /// Whether the server says that it held the request.
    pub(crate) granted: bool,
    /// By which way it came.
    pub(crate) channel: Channel,
    /// How old the end was when the answer was received.
    pub(crate) age: Option<Duration>,
    /// How long the job took by the server's clock.
    pub(crate) duration: Option<Duration>,
    /// How long the job has been accepted, by the server's clock.
    pub(crate) accepted_for: Option<Duration>,
}

/// One step of a wait.
#[derive(Debug)]
pub(crate) enum Step<V> {
    /// A change that isn't the end.
    News(V),
    /// The end.
    Ended(V),
}

/// How a wait is made.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) plan: Box<dyn Plan>,
    pub(crate) strategy: &'static str,
    pub(crate) inbox: Option<Subscription>,
    pub(crate) retry: RetryPolicy,
    pub(crate) attempt_timeout: Duration,
    pub(crate) deadline: Option<Instant>,
    /// When the job was accepted and what revision it had, where this process knows.
    pub(crate) accepted: Option<Instant>,
    pub(crate) revision: Option<Revision>,
    /// What is wrong with the wait itself.
    pub(crate) wrong: Option<Error>,
}

pub(crate) struct Driver<'a, V> {
    target: Box<dyn Target<View = V> + 'a>,
    origin: Arc<Origin>,
    terms: Terms,
    begun: Instant,
    deadline: Option<Instant>,
    accepted: Instant,
    seen: Seen,
    last: Option<V>,
    /// When the server last answered anything, and whether that was no news.
    answered: Option<Instant>,
    stale: bool,
    failing_since: Option<Instant>,
    /// What failed since the last answer, for a last look that has no time left to find out.
    failing: Option<Box<Failure>>,
    failures: u32,
    /// The last instant, since acceptance, at which the job was surely running.
    not_yet: Duration,
    stream: Option<Box<Listening>>,
    channel: Option<Channel>,
    detection: Option<Duration>,
    /// Whether a cautious last look found the job running, so that a closer one can do no harm.
    looked: bool,
    /// What the wait came to, where there was still news to tell before it.
    parting: Option<Error>,
    finished: bool,
    /// Whether it was told what became of the wait.
    over: bool,
    _under_way: UnderWay,
}

struct Listening {
    events: Events,
    /// When something last came over it, or it was opened.
    alive: Instant,
    /// Whether anything ever did.
    spoke: bool,
}

impl<'a, V: Clone + Send> Driver<'a, V> {
    pub(crate) fn new(
        target: impl Target<View = V> + 'a,
        origin: Arc<Origin>,
        terms: Terms,
    ) -> Self {
        let begun = origin.clock.now();
        let accepted = terms.accepted.unwrap_or(begun);
        let mut seen = Seen::began(schedule::Seen::at(Duration::ZERO));
        seen.revision = terms.revision;
        Self {
            deadline: terms.deadline,
            target: Box::new(target),
            origin,
            terms,
            begun,
            accepted,
            seen,
            last: None,
            answered: None,
            stale: false,
            failing_since: None,
            failing: None,
            failures: 0,
            not_yet: Duration::ZERO,
            stream: None,
            channel: None,
            detection: None,
            looked: false,
            parting: None,
            finished: false,
            over: false,
            _under_way: UnderWay::begin(),
        }
    }

    /// Goes on until there is news. Not to be called again after an end or an error.
    pub(crate) async fn step(&mut self) -> Result<Step<V>, Error> {
        let result = self.go_on().await;
        if !matches!(result, Ok(Step::News(_))) {
            self.over = true;
            telemetry::over(telemetry::end_of(&result), &self.report());
        }
        result
    }

    async fn go_on(&mut self) -> Result<Step<V>, Error> {
        if let Some(error) = self.terms.wrong.take() {
            return Err(self.give_up(error));
        }
        if let Some(error) = self.parting.take() {
            return Err(error);
        }
        loop {
            let now = self.now();
            if self.look_at().is_some_and(|at| now >= at) {
                match Box::pin(self.last_look()).await? {
                    Some(step) => return Ok(step),
                    None => continue,
                }
            }
            self.refresh(now);
            let wanted = self.terms.plan.next(&self.seen);
            // What is rare is on the heap: a wait that is held doesn't carry the room for it.
            let step = match wanted {
                Move::Ask => self.ask().await?,
                Move::Hold { up_to, until } => self.hold(up_to, until).await?,
                Move::Pause { until } => {
                    self.pause(until).await;
                    None
                }
                Move::Listen { check } => Box::pin(self.listen(check)).await?,
                Move::Inbox { until } => self.await_push(until).await,
                // Nothing is claimed of a job that nobody has looked at.
                Move::Stop if self.answered.is_none() => self.ask().await?,
                Move::Stop => {
                    return Err(self.still_running("the schedule's attempts were used up", false));
                }
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn refresh(&mut self, now: Instant) {
        self.seen.age_known = self.terms.accepted.is_some();
        self.seen.time.elapsed = now.saturating_duration_since(self.accepted);
        if let Some(rtt) = self.origin.memory.rtt() {
            self.seen.time.rtt = rtt;
        }
        self.seen.deadline = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(self.accepted));
        self.seen.abilities = self.origin.memory.abilities(now);
    }

    /// When the last look before the deadline is due.
    fn look_at(&self) -> Option<Instant> {
        let deadline = self.deadline?;
        let whole = deadline.saturating_duration_since(self.begun);
        let memory = &self.origin.memory;
        let margin = if self.looked {
            memory.likely_rtt()
        } else {
            memory.slow_rtt().map(|rtt| rtt * LOOK_ROUND_TRIPS)
        };
        let margin = margin
            .unwrap_or(LOOK_MARGIN)
            .clamp(LOOK_MARGIN_MIN, LOOK_MARGIN_MAX)
            .min(whole / 4);
        Some(deadline.checked_sub(margin).unwrap_or(deadline))
    }

    /// That instant, or the last look if it comes first.
    fn bounded(&self, instant: Instant) -> Instant {
        self.look_at().map_or(instant, |at| at.min(instant))
    }

    async fn pause(&mut self, until: Duration) {
        let mut at = after(self.accepted, until);
        // A plan that asks for pauses in the past must not become a busy loop.
        if self.seen.happened == Happened::Paused {
            at = at.max(after(self.now(), LEAST_PAUSE));
        }
        sleep_until(self.bounded(at)).await;
        self.seen.happened = Happened::Paused;
    }

    /// Leaves the server alone for a moment after it had nothing new to say.
    async fn turn_around(&mut self) {
        if let (true, Some(answered)) = (self.stale, self.answered) {
            sleep_until(self.bounded(after(answered, LEAST_PAUSE))).await;
        }
    }

    fn exchange(&self) -> Exchange {
        // Without an opinion of the schedule's: of jobs that have run for long few end in the next second.
        let hazard = self
            .terms
            .plan
            .hazard(&self.seen)
            .unwrap_or_else(|| 1.0 / (1.0 + self.seen.time.elapsed.as_secs_f64()));
        Exchange {
            limit: self.terms.attempt_timeout,
            weight: Some(hazard.max(0.0).sqrt()),
        }
    }

    async fn ask(&mut self) -> Result<Option<Step<V>>, Error> {
        self.turn_around().await;
        let sent = self.now();
        let cut = self
            .look_at()
            .zip(self.deadline)
            .map(|(look_at, deadline)| {
                // A look that is merely slow is the last look itself; one that is stuck gives way to another.
                let patient = self.answered.is_none()
                    || look_at.saturating_duration_since(sent) < self.seen.time.rtt * 4;
                if patient {
                    after(deadline, GRACE)
                } else {
                    look_at
                }
            });
        let terms = self.exchange();
        let asked = before(cut, self.target.ask(terms));
        let asked = match &self.terms.inbox {
            None => Ok(asked.await),
            // On the heap, for the few waits that have an inbox.
            Some(inbox) => Box::pin(inbox.unless_ended(asked)).await,
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(job) => return Ok(self.told(&job)),
        };
        match asked {
            Some(Ok(answer)) => {
                let now = self.now();
                let middle = sent + now.saturating_duration_since(sent) / 2;
                self.seen.happened = Happened::Answered;
                self.seen.time.polls += u32::from(!answer.done);
                let step = self.absorb(answer, middle);
                if step.is_some() && self.stream.as_ref().is_some_and(|stream| !stream.spoke) {
                    // The look knew what the stream should have told.
                    self.origin.memory.note_stream(false, now);
                    self.stream = None;
                    self.seen.happened = Happened::Muted;
                }
                Ok(step)
            }
            Some(Err(failure)) => Box::pin(self.fail(failure, sent)).await,
            None => Ok(None),
        }
    }

    async fn hold(&mut self, up_to: Duration, until: Until) -> Result<Option<Step<V>>, Error> {
        self.turn_around().await;
        let sent = self.now();
        let look_at = self.look_at();
        let up_to = look_at.map_or(up_to, |look_at| {
            // The server shall let go just before we would: a connection that is let go can be used again.
            let left = look_at.saturating_duration_since(sent);
            up_to.min(left.saturating_sub(self.seen.time.rtt.min(left / 4)))
        });
        let hold = Hold {
            up_to,
            until,
            after: self.seen.revision,
        };
        let terms = self.exchange();
        match before(look_at, self.target.hold(hold, terms)).await {
            Some(Ok(answer)) => {
                let now = self.now();
                let took = now.saturating_duration_since(sent);
                let sampled = now
                    .checked_sub(self.seen.time.rtt / 2)
                    .unwrap_or(now)
                    .max(sent);
                let news =
                    answer.done || answer.view.is_some() && answer.revision > self.seen.revision;
                let kept = took >= up_to / 2;
                // News at once says nothing about whether the server would have held.
                if answer.channel == Channel::LongPoll && (kept || answer.granted || !news) {
                    self.origin.memory.note_hold(kept || answer.granted, now);
                }
                self.seen.happened = Happened::Released { held: kept || news };
                // To who asks by held requests the hint doesn't apply.
                let hint = answer.hint.filter(|_| !kept);
                Ok(self.absorb(Answer { hint, ..answer }, sampled))
            }
            Some(Err(failure)) => {
                let now = self.now();
                self.origin
                    .memory
                    .note_cut(now.saturating_duration_since(sent), now);
                Box::pin(self.fail(failure, sent)).await
            }
            None => Ok(None),
        }
    }

    async fn listen(&mut self, check: Option<Duration>) -> Result<Option<Step<V>>, Error> {
        if self.stream.is_none() {
            self.turn_around().await;
            let sent = self.now();
            let terms = self.exchange();
            let look_at = self.look_at();
            match before(look_at, self.target.listen(self.seen.revision, terms)).await {
                Some(Ok(Heard::Open(events))) => {
                    self.stream = Some(Box::new(Listening {
                        events,
                        alive: self.now(),
                        spoke: false,
                    }));
                }
                Some(Ok(Heard::Over)) => {
                    self.seen.happened = Happened::Closed;
                    return Ok(None);
                }
                Some(Ok(heard @ (Heard::Absent | Heard::Crowded))) => {
                    if matches!(heard, Heard::Absent) {
                        self.origin.memory.note_stream(false, self.now());
                    }
                    self.seen.happened = Happened::NoStream;
                    return Ok(None);
                }
                Some(Err(failure)) => return Box::pin(self.fail(failure, sent)).await,
                None => return Ok(None),
            }
        }
        loop {
            let look_at = self.look_at();
            let check = check.map(|check| after(self.accepted, check));
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            let dead = after(stream.alive, STREAM_IDLE);
            let check = check.filter(|_| !stream.spoke);
            let until = [look_at, check]
                .into_iter()
                .flatten()
                .fold(dead, Instant::min);
            let item = timeout_at(until, stream.events.next()).await;
            let now = self.origin.clock.now();
            let item = match item {
                Ok(item) => item,
                Err(_) if look_at.is_some_and(|at| now >= at) => return Ok(None),
                Err(_) if now >= dead => {
                    self.stream = None;
                    self.origin.memory.note_stream(false, now);
                    self.seen.happened = Happened::Muted;
                    return Ok(None);
                }
                Err(_) => {
                    self.seen.happened = Happened::Quiet;
                    return Ok(None);
                }
            };
            if let Ok(Some(_)) = item {
                if !stream.spoke {
                    self.origin.memory.note_stream(true, now);
                }
                stream.alive = now;
                stream.spoke = true;
            }
            match item {
                Ok(Some(Item::Alive)) => {}
                Ok(Some(Item::Event { event, data, .. })) => {
                    match self.target.read(&event, &data) {
                        Ok(Some(answer)) => {
                            self.seen.happened = Happened::News;
                            let sampled = now.checked_sub(self.seen.time.rtt / 2).unwrap_or(now);
                            let step = self.absorb(answer, sampled);
                            if step.is_some() {
                                return Ok(step);
                            }
                        }
                        Ok(None) => {}
                        Err(failure) => {
                            self.stream = None;
                            return Box::pin(self.fail(failure, now)).await;
                        }
                    }
                }
                Ok(None) => {
                    let pause = stream.events.retry();
                    self.stream = None;
                    sleep_until(self.bounded(after(now, pause.mul_f64(self.origin.luck.share()))))
                        .await;
                    self.seen.happened = Happened::Closed;
                    return Ok(None);
                }
                Err(failure) => {
                    self.stream = None;
                    return Box::pin(self.fail(failure, now)).await;
                }
            }
        }
    }

    async fn await_push(&mut self, until: Duration) -> Option<Step<V>> {
        let at = self.bounded(after(self.accepted, until));
        let Some(inbox) = &mut self.terms.inbox else {
            self.pause(until).await;
            return None;
        };
        let Ok(job) = timeout_at(at, inbox.news()).await else {
            self.seen.happened = Happened::Paused;
            return None;
        };
        self.told(&job)
    }

    /// Takes in what the inbox was told.
    fn told(&mut self, job: &abide_wire::Job) -> Option<Step<V>> {
        self.seen.happened = Happened::Pushed;
        let answer = self.target.pushed(job)?;
        let now = self.now();
        self.absorb(answer, now)
    }

    /// Takes in an answer that shows the state of the instant `sampled`.
    fn absorb(&mut self, answer: Answer<V>, sampled: Instant) -> Option<Step<V>> {
        let now = self.now();
        self.origin.retry_budget.deposit();
        self.answered = Some(now);
        self.failing_since = None;
        self.failing = None;
        self.seen.failures = 0;
        if let (None, Some(age)) = (self.terms.accepted, answer.accepted_for) {
            self.accepted = now
                .checked_sub(age)
                .unwrap_or(self.accepted)
                .min(self.begun);
            self.terms.accepted = Some(self.accepted);
        }
        let sampled = sampled.saturating_duration_since(self.accepted);
        if answer.done {
            let view = answer.view?;
            self.channel = Some(answer.channel);
            self.detection = answer.age;
            let ended = Ended::between(self.not_yet, sampled).duration(answer.duration);
            self.finish(ended);
            self.last = Some(view.clone());
            return Some(Step::Ended(view));
        }
        self.not_yet = self.not_yet.max(sampled);
        let elapsed = now.saturating_duration_since(self.accepted);
        let floor = answer
            .hint
            .map(|hint| self.terms.retry.floor(hint, self.origin.luck.share()));
        self.seen.time.not_before = floor.map(|floor| elapsed.saturating_add(floor));
        self.seen.time.remaining = answer.remaining;
        self.seen.time.progress = answer.progress;
        let news = answer.view.is_some() && answer.revision > self.seen.revision;
        self.stale = !news;
        if !news {
            return None;
        }
        self.seen.revision = answer.revision;
        self.channel = Some(answer.channel);
        self.last.clone_from(&answer.view);
        answer.view.map(Step::News)
    }

    /// Meets a failure: gives up, or pauses as the retry policy wants.
    async fn fail(&mut self, failure: Failure, sent: Instant) -> Result<Option<Step<V>>, Error> {
        if !failure.is_transient() {
            return Err(self.give_up(failure.into_error()));
        }
        let now = self.now();
        self.failures += 1;
        self.seen.failures += 1;
        self.stale = false;
        let since = *self.failing_since.get_or_insert(now);
        // A request that was sent while there was patience may take its time to fail: it says nothing of now.
        let failing_for = sent.saturating_duration_since(since);
        let patience = self.terms.retry.patience_max();
        if patience.is_zero() || failing_for >= patience {
            return Err(self.give_up(failure.into_error()));
        }
        let hint = failure.hint;
        let mut pause = self
            .terms
            .retry
            .pause(self.seen.failures, hint, self.origin.luck.share());
        if !self.origin.retry_budget.withdraw() {
            pause = pause.max(self.terms.retry.pause_max());
        }
        if let (Some(hint), Some(deadline)) = (hint, self.deadline)
            && after(now, self.terms.retry.floor(hint, 0.0)) >= deadline
        {
            // The server will not answer before the deadline, and has said so: waiting for it would be pointless.
            return Err(self.give_up(failure.into_error()));
        }
        if hint.is_some() {
            // A pause that the server asked for is no sign of its death.
            self.failing_since = Some(after(since, pause));
        }
        telemetry::paused(&failure, self.seen.failures, pause);
        if failure.kind != FailureKind::TimedOut || self.failing.is_none() {
            self.failing = Some(Box::new(failure));
        }
        let pause = sleep_until(self.bounded(after(now, pause)));
        match &self.terms.inbox {
            None => pause.await,
            Some(inbox) => {
                if let Err(job) = inbox.unless_ended(pause).await {
                    return Ok(self.told(&job));
                }
            }
        }
        self.seen.happened = Happened::Failed;
        Ok(None)
    }

    /// The look at the deadline. An end that it shows is a result. Where it is answered so soon that there is time for
    /// another one, nothing is returned, and the wait goes on until that.
    async fn last_look(&mut self) -> Result<Option<Step<V>>, Error> {
        let deadline = self.deadline.unwrap_or_else(|| self.now());
        let cut = after(deadline, GRACE);
        loop {
            let sent = self.now();
            let limit = cut.saturating_duration_since(sent);
            let terms = Exchange {
                limit,
                weight: None,
            };
            let asked = before(Some(cut), self.target.ask(terms));
            let asked = match &self.terms.inbox {
                None => asked.await,
                Some(inbox) => match inbox.unless_ended(asked).await {
                    Ok(asked) => asked,
                    Err(job) => return Ok(self.told(&job)),
                },
            };
            let failure = match asked {
                _ if limit.is_zero() => Failure::timed_out(limit),
                Some(Ok(answer)) => {
                    let now = self.now();
                    let middle = sent + now.saturating_duration_since(sent) / 2;
                    self.seen.happened = Happened::Answered;
                    self.seen.time.polls += u32::from(!answer.done);
                    let step = self.absorb(answer, middle);
                    if let Some(Step::Ended(_)) = step {
                        return Ok(step);
                    }
                    let may_look_again = !self.looked;
                    self.looked = true;
                    let left = self.look_at().unwrap_or(deadline);
                    if may_look_again && left > after(now, LEAST_PAUSE) {
                        return Ok(step);
                    }
                    let error = self.still_running("still running at the deadline", true);
                    if step.is_some() {
                        self.parting = Some(error);
                        return Ok(step);
                    }
                    return Err(error);
                }
                Some(Err(failure)) => failure,
                None => Failure::timed_out(limit),
            };
            self.failures += 1;
            if !failure.is_transient() {
                return Err(self.give_up(failure.into_error()));
            }
            let left = deadline.saturating_duration_since(self.now());
            if left < PROMPT || failure.kind == FailureKind::TimedOut {
                let look_at = self.look_at().unwrap_or(deadline);
                if self.looked || after(self.accepted, self.not_yet) >= look_at {
                    // A look that came late was the last one.
                    return Err(self.still_running("still running at the deadline", true));
                }
                // That there was no time left for an answer says less than the answers before it.
                let failure = match self.failing.take() {
                    Some(before) if failure.kind == FailureKind::TimedOut => *before,
                    _ => failure,
                };
                return Err(self.give_up(failure.into_error().timed_out(true)));
            }
            sleep_until(after(self.now(), left / 2)).await;
        }
    }

    fn still_running(&mut self, what: &str, timed_out: bool) -> Error {
        let what = format!(
            "{what}, after {:.1?}",
            self.now().saturating_duration_since(self.begun)
        );
        self.give_up(Error::new(Kind::StillRunning, what).timed_out(timed_out))
    }

    fn give_up(&mut self, error: Error) -> Error {
        let ended = Ended::given_up(self.not_yet);
        self.finish(ended);
        let error = error.report(self.report());
        self.target.complete(error, self.last.as_ref())
    }
}

impl<V> Driver<'_, V> {
    /// What it has cost so far.
    pub(crate) fn report(&self) -> Report {
        let cost = self.target.cost();
        Report {
            requests: cost.requests,
            requests_share: cost.share,
            failures: self.failures,
            bytes_sent: cost.sent,
            bytes_received: cost.received,
            channel: self.channel,
            strategy: self.terms.strategy,
            elapsed: self.now().saturating_duration_since(self.begun),
            detection: self.detection,
            rtt: self.origin.memory.rtt(),
        }
    }

    fn now(&self) -> Instant {
        self.origin.clock.now()
    }

    fn finish(&mut self, ended: Ended) {
        if !self.finished {
            self.finished = true;
            // Whichever of push and look was first, the push has come if it is there.
            let inbox = self.terms.inbox.as_ref();
            let pushed = inbox.map(Subscription::has_ended);
            let ended = ended.polls(self.seen.time.polls).pushed(pushed);
            self.terms.plan.finish(&ended);
        }
    }
}

/// Waits for the future until that instant, if there is one.
async fn before<T>(instant: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match instant {
        Some(instant) => timeout_at(instant, future).await.ok(),
        None => Some(future.await),
    }
}

impl<V> Drop for Driver<'_, V> {
    /// A wait that was dropped is an observation too: the job takes longer than this.
    fn drop(&mut self) {
        let ended = Ended::given_up(self.not_yet);
        self.finish(ended);
        if !self.over {
            telemetry::over("dropped", &self.report());
        }
    }
}
