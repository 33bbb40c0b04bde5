//! The one loop of every wait.
//!
//! The plan of a strategy says what to do next; the loop does it, through a [`Target`], under the deadline and the
//! retry policy, notes what came of it in its [`Findings`], and asks the plan again. [`Driver::step`] returns whenever
//! there is news, before anything sleeps again, so that a wait, a stream of updates and a set are the same loop for
//! different callers.

use std::sync::Arc;
use std::time::Duration;

use abide_wire::{Job, Revision};

use super::begin::Plans;
use super::deadline::{Deadline, GRACE};
use super::findings::{Findings, Step};
use super::listening::Listening;
use crate::answer::Answer;
use crate::budget::Account;
use crate::error::{Error, Kind};
use crate::exchange::Failure;
use crate::inbox::Subscription;
use crate::origin::Origin;
use crate::report::Report;
use crate::retry::RetryPolicy;
use crate::rt::{Instant, after, before, overslept, sleep_until, timeout_at};
use crate::schedule::{Ended, PAUSE_MIN};
use crate::strategy::{Happened, Move, Plan};
use crate::target::{Exchange, Target};
use crate::telemetry::{self, UnderWay};
use crate::trouble::Trouble;

/// How a wait is made.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) plan: Box<dyn Plan>,
    /// How to begin again once the kind of the job is known; none where it is.
    pub(super) plans: Option<Box<Plans>>,
    pub(super) strategy: &'static str,
    pub(super) inbox: Option<Subscription>,
    pub(super) retry: RetryPolicy,
    pub(super) attempt_timeout: Duration,
    pub(super) deadline: Option<Instant>,
    /// The end of the time in which a 404 is "not yet".
    pub(super) young_until: Option<Instant>,
    /// When the job was accepted, if this process was there; when, as an earlier process noted it; and its revision.
    pub(super) accepted: Option<Instant>,
    pub(super) noted: Option<Instant>,
    pub(super) revision: Option<Revision>,
    /// What is wrong with the wait itself.
    pub(super) wrong: Option<Error>,
}

/// A wait under way.
pub(super) struct Driver<'a, V> {
    pub(super) target: Box<dyn Target<View = V> + 'a>,
    pub(super) origin: Arc<Origin>,
    pub(super) terms: Terms,
    pub(super) account: Account,
    pub(super) deadline: Deadline,
    pub(super) findings: Findings<V>,
    pub(super) trouble: Trouble,
    /// How many requests failed in all.
    pub(super) failures: u32,
    pub(super) stream: Option<Box<Listening>>,
    /// What the wait came to, if there was still news to tell before it.
    pub(super) parting: Option<Error>,
    /// Whether the plan was told the end.
    finished: bool,
    /// Whether it was told what became of the wait.
    over: bool,
    _under_way: UnderWay,
}

/// What a move has come to: news or the end, if any.
pub(super) type Moved<V> = Result<Option<Step<V>>, Error>;

impl<'a, V: Clone + Send> Driver<'a, V> {
    pub(super) fn new(
        target: impl Target<View = V> + 'a,
        origin: Arc<Origin>,
        terms: Terms,
    ) -> Self {
        let begun = origin.clock.now();
        let mut findings = Findings::new(terms.accepted, terms.noted.unwrap_or(begun));
        findings.seen.revision = terms.revision;
        Self {
            target: Box::new(target),
            origin,
            account: Account::default(),
            deadline: Deadline {
                at: terms.deadline,
                begun,
                looked: false,
            },
            terms,
            findings,
            trouble: Trouble::default(),
            failures: 0,
            stream: None,
            parting: None,
            finished: false,
            over: false,
            _under_way: UnderWay::begin(),
        }
    }

    /// Goes on until there is news. Not to be called again after an end or an error.
    pub(super) async fn step(&mut self) -> Result<Step<V>, Error> {
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
            if self.terms.plans.is_some() && self.findings.last.is_some() {
                Box::pin(self.begin_again()).await;
            }
            self.refresh(now);
            let wanted = self.terms.plan.next(&self.findings.seen);
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
                // Nothing is claimed of a job that hasn't been read.
                Move::Stop if self.findings.answered.is_none() => self.ask().await?,
                Move::Stop => {
                    return Err(self.still_running("the schedule's attempts were used up", false));
                }
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Begins the plan again, with what is known of the job's kind, after reading that.
    async fn begin_again(&mut self) {
        let (Some(plans), Some(job)) = (self.terms.plans.take(), self.job()) else {
            return;
        };
        plans.read(&job.kind).await;
        self.terms.plan = plans.begin(&job.kind, Some(&job));
        self.findings.seen.happened = Happened::Began;
    }

    /// The job as the latest answer tells it: durations are learned by its kind, and by what its metadata tell.
    fn job(&self) -> Option<Arc<Job>> {
        let last = self.findings.last.as_ref()?;
        self.target.job(last).cloned()
    }

    /// Tells the plan's picture what time it is and what is known of the server.
    fn refresh(&mut self, now: Instant) {
        let accepted = self.findings.accepted;
        let seen = &mut self.findings.seen;
        seen.time.elapsed = now.saturating_duration_since(accepted);
        if let Some(rtt) = self.origin.memory.rtt() {
            seen.time.rtt = rtt;
        }
        let deadline = self.deadline.at;
        seen.deadline = deadline.map(|deadline| deadline.saturating_duration_since(accepted));
        seen.abilities = self.origin.memory.abilities(now);
    }

    pub(super) fn look_at(&self) -> Option<Instant> {
        self.deadline.look_at(&self.origin.memory)
    }

    /// That instant, or the last look if it comes first.
    pub(super) fn bounded(&self, instant: Instant) -> Instant {
        self.look_at().map_or(instant, |at| at.min(instant))
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.findings.seen.time.rtt
    }

    async fn pause(&mut self, until: Duration) {
        let mut at = after(self.findings.accepted, until);
        // A plan that asks for pauses in the past must not become a busy loop.
        if self.findings.seen.happened == Happened::Paused {
            at = at.max(after(self.now(), PAUSE_MIN));
        }
        sleep_until(self.bounded(at)).await;
        self.findings.seen.happened = Happened::Paused;
    }

    /// Leaves the server alone for a moment after it had nothing new to say.
    pub(super) async fn turn_around(&mut self) {
        if let (true, Some(answered)) = (self.findings.stale, self.findings.answered) {
            sleep_until(self.bounded(after(answered, PAUSE_MIN))).await;
        }
    }

    /// How many turns at the request budget this wait gets in proportion to others.
    pub(super) fn weight(&self) -> f64 {
        let seen = &self.findings.seen;
        // Without an opinion of the schedule's: of jobs that have run for long few end in the next second.
        let hazard = self.terms.plan.hazard(seen);
        let hazard = hazard.unwrap_or_else(|| 1.0 / (1.0 + seen.time.elapsed.as_secs_f64()));
        hazard.max(0.0).sqrt()
    }

    /// Looks, unless the inbox tells the end first: then that is the error.
    pub(super) async fn look(
        &mut self,
        cut: Option<Instant>,
        limit: Duration,
        weight: Option<f64>,
    ) -> Result<Option<Result<Answer<V>, Failure>>, Arc<Job>> {
        let asked = before(
            cut,
            self.target.ask(Exchange {
                account: &mut self.account,
                limit,
                weight,
            }),
        );
        match &self.terms.inbox {
            None => Ok(asked.await),
            // On the heap, for the few waits that have an inbox.
            Some(inbox) => Box::pin(inbox.unless_ended(asked)).await,
        }
    }

    async fn ask(&mut self) -> Moved<V> {
        self.turn_around().await;
        let sent = self.now();
        let cut = self.look_at().zip(self.deadline.at);
        let cut = cut.map(|(look_at, deadline)| {
            // A look that is merely slow is the last look itself; one that is stuck gives way to another.
            let left = look_at.saturating_duration_since(sent);
            match self.findings.answered.is_none() || left < self.round_trip() * 4 {
                true => after(deadline, GRACE),
                false => look_at,
            }
        });
        let (limit, weight) = (self.terms.attempt_timeout, self.weight());
        match self.look(cut, limit, Some(weight)).await {
            Err(job) => Ok(self.told(&job)),
            Ok(Some(Ok(answer))) => {
                let step = self.answered(answer, sent);
                if step.is_some() && self.stream.as_ref().is_some_and(|stream| !stream.spoke) {
                    // The look knew what the stream should have told.
                    self.mute();
                }
                Ok(step)
            }
            Ok(Some(Err(failure))) => Box::pin(self.fail(failure, sent)).await,
            Ok(None) => {
                // Cut where it was the last look itself: there won't be another.
                if let (Some(cut), Some(deadline)) = (cut, self.deadline.at)
                    && cut > deadline
                    && !overslept(cut, self.now())
                {
                    self.failures += 1;
                    return Err(self.too_late(Failure::timed_out(cut - sent), deadline));
                }
                Ok(None)
            }
        }
    }

    /// Takes in the answer to a look that was sent at that instant.
    pub(super) fn answered(&mut self, answer: Answer<V>, sent: Instant) -> Option<Step<V>> {
        let middle = sent + self.now().saturating_duration_since(sent) / 2;
        self.findings.seen.happened = Happened::Answered;
        self.findings.seen.time.polls += u32::from(!answer.done);
        self.absorb(answer, middle)
    }

    async fn await_push(&mut self, until: Duration) -> Option<Step<V>> {
        let at = self.bounded(after(self.findings.accepted, until));
        let Some(inbox) = &mut self.terms.inbox else {
            self.pause(until).await;
            return None;
        };
        let Ok(job) = timeout_at(at, inbox.news()).await else {
            self.findings.seen.happened = Happened::Paused;
            return None;
        };
        self.told(&job)
    }

    /// Takes in what the inbox was told.
    pub(super) fn told(&mut self, job: &Job) -> Option<Step<V>> {
        self.findings.seen.happened = Happened::Pushed;
        let answer = self.target.pushed(job)?;
        let now = self.now();
        self.absorb(answer, now)
    }

    /// Takes in an answer that shows the state of the instant `sampled`.
    pub(super) fn absorb(&mut self, answer: Answer<V>, sampled: Instant) -> Option<Step<V>> {
        let now = self.now();
        let Origin {
            retry_budget, rng, ..
        } = &*self.origin;
        retry_budget.deposit();
        self.trouble = Trouble::default();
        let findings = &mut self.findings;
        findings.answered = Some(now);
        findings.seen.failures = 0;
        findings.date(answer.accepted_for, now, self.deadline.begun);
        let sampled = sampled.saturating_duration_since(findings.accepted);
        let hint = answer.hint.filter(|_| !answer.done);
        let floor = hint.map(|hint| self.terms.retry.floor(hint, rng.share()));
        let ended = Ended::between(findings.not_yet, sampled).duration(answer.duration);
        let step = findings.absorb(answer, sampled, now, floor);
        if matches!(step, Some(Step::Ended(_))) {
            if let (Some(plans), Some(job)) = (self.terms.plans.take(), self.job())
                && self.origin.memory.learns_late(now)
            {
                // What is learned is learned of the right kind.
                self.terms.plan = plans.begin(&job.kind, Some(&job));
            }
            self.finish(ended);
        }
        step
    }

    /// Meets a failure: gives up, or pauses as the retry policy wants.
    pub(super) async fn fail(&mut self, failure: Failure, sent: Instant) -> Moved<V> {
        let now = self.now();
        let failure = failure.unless_young(self.terms.young_until, now);
        if !failure.is_transient() {
            return Err(self.give_up(failure.into_error()));
        }
        self.failures += 1;
        self.findings.stale = false;
        let Origin {
            retry_budget, rng, ..
        } = &*self.origin;
        let policy = &self.terms.retry;
        let may_retry = || retry_budget.withdraw();
        let pause = self
            .trouble
            .meet(&failure, policy, (sent, now), rng.share(), may_retry);
        self.findings.seen.failures = self.trouble.failures;
        // A server that wants to be left alone beyond the deadline will not answer before it: waiting would be
        // pointless.
        let beyond = failure.hint.zip(self.deadline.at);
        let beyond = beyond.is_some_and(|(hint, at)| after(now, policy.floor(hint, 0.0)) >= at);
        let Some(pause) = pause.filter(|_| !beyond) else {
            return Err(self.give_up(failure.into_error()));
        };
        self.trouble.remember(failure, pause);
        let due = self.bounded(after(now, pause));
        let pause = sleep_until(due);
        match &self.terms.inbox {
            None => pause.await,
            Some(inbox) => {
                if let Err(job) = inbox.unless_ended(pause).await {
                    return Ok(self.told(&job));
                }
            }
        }
        self.trouble.paused(due, self.now());
        self.findings.seen.happened = Happened::Failed;
        Ok(None)
    }

    pub(super) fn still_running(&mut self, what: &str, timed_out: bool) -> Error {
        let elapsed = self.now().saturating_duration_since(self.deadline.begun);
        let what = format!("{what}, after {elapsed:.1?}");
        self.give_up(Error::new(Kind::StillRunning, what).timed_out(timed_out))
    }

    pub(super) fn give_up(&mut self, error: Error) -> Error {
        self.finish(Ended::given_up(self.findings.not_yet));
        let error = error.report(self.report());
        self.target.complete(error, self.findings.last.as_ref())
    }
}

impl<V> Driver<'_, V> {
    /// What it has cost so far.
    pub(super) fn report(&self) -> Report {
        let cost = self.account.cost;
        Report {
            requests: cost.requests,
            requests_share: cost.share,
            failures: self.failures,
            bytes_received: cost.received,
            channel: self.findings.channel,
            strategy: self.terms.strategy,
            elapsed: self.now().saturating_duration_since(self.deadline.begun),
            detection: self.findings.detection,
            rtt: self.origin.memory.rtt(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.origin.clock.now()
    }

    fn finish(&mut self, ended: Ended) {
        if !self.finished {
            self.finished = true;
            // Whichever of push and look was first, the push has come if it is there.
            let inbox = self.terms.inbox.as_ref();
            let pushed = inbox.map(Subscription::has_ended);
            let ended = ended.polls(self.findings.seen.time.polls).pushed(pushed);
            self.terms.plan.finish(&ended);
        }
    }
}

impl<V> Drop for Driver<'_, V> {
    /// A wait that was dropped is an observation too: the job takes longer than this.
    fn drop(&mut self) {
        self.finish(Ended::given_up(self.findings.not_yet));
        if !self.over {
            telemetry::over("dropped", &self.report());
        }
    }
}
