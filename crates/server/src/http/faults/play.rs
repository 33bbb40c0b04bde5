//! The faults that meet one request, played on its answer.

use std::sync::Arc;
use std::time::Duration;

use abide_engine::fault::Purpose;
use abide_engine::{Job, JobKey, Refusal};
use abide_wire::{Code, Fault, FaultKind, WaitRequest};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::decisions::Decisions;
use super::met::Met;
use super::{body, job};
use crate::attendance::PendingCreate;
use crate::board::{Channel, Look};
use crate::http::access::Caller;
use crate::http::answer::{Answer, Body};
use crate::http::call::{Call, Tags};
use crate::http::error::ApiError;
use crate::http::hold::Hold;
use crate::http::route::{Meets, Row, Subject};
use crate::http::seen::Shown;
use crate::http::state::AppState;
use crate::net::Reset;

/// The status of an answer that is never sent, as it is counted.
const NEVER_SENT: u16 = 499;

/// The faults that meet one request.
#[derive(Debug)]
pub(in crate::http) struct Play {
    state: AppState,
    caller: Caller,
    reset: Option<Reset>,
    /// Whether the request may change something.
    may_change: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    /// They meet a request for that job.
    Job(Met, JobKey),
    /// They meet a stream.
    Stream(Met),
    /// They meet a set: what is shown of each of its jobs, and the answer, by the oldest of its jobs.
    Set(Vec<(JobKey, Vec<Fault>)>, Option<Met>),
    /// It makes a job, which may bring faults along.
    Create,
}

impl Play {
    /// The faults that meet that request, if there may be any. This is asked of every request, so it is cheap.
    /// `is_hold` says whether it asks to be held.
    pub(in crate::http) fn of(
        state: &AppState,
        row: &Row,
        call: &Call,
        is_hold: bool,
        reset: Option<&Reset>,
    ) -> Option<Self> {
        // A create may bring the first fault there is. One that isn't held is looked at once it is answered.
        let may_bring = row.meets == Meets::Create && is_hold;
        if !may_bring && !state.board.plays_faults() {
            return None;
        }
        let what = match row.meets {
            Meets::Nothing => return None,
            Meets::Create => What::Create,
            Meets::Feed => What::Stream(Met::of_feed(state, call.caller.owner)),
            Meets::Set => of_set(state, call),
            Meets::Job(purpose) => {
                let subject = row.subject?(state, call)?;
                let met = Met::of_job(state, &*find(state, subject)?, purpose);
                match purpose {
                    _ if met.faults.is_empty() => return None,
                    Purpose::Stream => What::Stream(met),
                    _ => What::Job(met, subject.job),
                }
            }
        };
        Some(Self {
            state: state.clone(),
            caller: call.caller,
            reset: reset.cloned(),
            may_change: !call.method.is_safe() && row.meets != Meets::Set,
            what,
        })
    }

    /// The faults that the job brings along which a create has made, if there may be any by now.
    pub(in crate::http) fn of_created(
        state: &AppState,
        caller: Caller,
        reset: Option<Reset>,
    ) -> Option<Self> {
        let state = state.board.plays_faults().then(|| state.clone())?;
        Some(Self {
            state,
            caller,
            reset,
            may_change: true,
            what: What::Create,
        })
    }

    /// Plays them on the create's answer.
    ///
    /// # Cancel safety
    ///
    /// As for [`answer`](Self::answer).
    pub(in crate::http) async fn after(self, answer: Answer) -> Answer {
        let mut decisions = Decisions::default();
        let answer = self.after_create(answer, &mut decisions).await;
        decisions.tell(answer)
    }

    /// Has the request answered, and plays what meets it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels the waiting, as for any answer.
    pub(in crate::http) async fn answer(self, row: &'static Row, call: Call) -> Answer {
        let mut decisions = Decisions::default();
        let answer = match &self.what {
            What::Create => {
                let outcome = row.answer(&self.state, &call);
                drop(call);
                return self.after(outcome.answer().await).await;
            }
            What::Stream(met) => {
                let answer = row.answer(&self.state, &call).answer().await;
                self.spoil_stream(met, answer, &mut decisions)
            }
            What::Job(met, key) => {
                let absent = || row.absent.map_or_else(not_found, |absent| absent(&call));
                match self.instead(met, absent, &mut decisions).await {
                    Some(instead) => instead,
                    None => {
                        let answer = row.answer(&self.state, &call).answer().await;
                        let answer = self.tamper(met, *key, &call, answer, &mut decisions).await;
                        self.spoil(met, answer, &mut decisions).await
                    }
                }
            }
            What::Set(shown, met) => {
                if let Some(met) = met
                    && let Some(instead) = self.instead(met, not_found, &mut decisions).await
                {
                    return decisions.tell(instead);
                }
                let mut answer = row.answer(&self.state, &call).answer().await;
                if !shown.is_empty() {
                    answer = job::tamper_set(&self.state, shown, answer, &mut decisions).await;
                }
                match met {
                    Some(met) => self.spoil(met, answer, &mut decisions).await,
                    None => answer,
                }
            }
        };
        decisions.tell(answer)
    }

    /// Everything comes after the create has been carried out.
    async fn after_create(&self, mut answer: Answer, decisions: &mut Decisions) -> Answer {
        if !self.state.board.plays_faults() {
            return answer;
        }
        let created = answer.extensions().get::<PendingCreate>();
        let subject = created.map(|created| Subject {
            job: created.job(),
            owner: self.caller.owner,
        });
        let Some(job) = subject.and_then(|subject| find(&self.state, subject)) else {
            return answer;
        };
        let met = Met::of_job(&self.state, &job, Purpose::Create);
        if let Some(mut instead) = self.instead(&met, not_found, decisions).await {
            // The job has been made all the same, which is still to be counted.
            if let Some(pending) = answer.extensions_mut().remove::<PendingCreate>() {
                instead.extensions_mut().insert(pending);
            }
            return instead;
        }
        self.spoil(&met, answer, decisions).await
    }

    /// Waits if the answer is to be late, and gives what is to be sent instead of it.
    async fn instead(
        &self,
        met: &Met,
        absent: impl FnOnce() -> Answer,
        decisions: &mut Decisions,
    ) -> Option<Answer> {
        if let Some(fault) = met.first(FaultKind::Latency) {
            decisions.note(fault.fault);
            match self.hold(fault) {
                Ok(hold) => self.wait(hold.length()).await,
                Err(error) => return Some(error.into()),
            }
        }
        let reset = met.first(FaultKind::Reset);
        if reset.or(met.first(FaultKind::LostCreate)).is_some() {
            if let Some(reset) = &self.reset {
                reset.reset();
            }
            let mut answer = Answer::new(body::broken());
            *answer.status_mut() = StatusCode::from_u16(NEVER_SENT).unwrap_or_default();
            return Some(answer);
        }
        if let Some(fault) = met.first(FaultKind::NotFoundFirst) {
            decisions.note(fault.fault);
            return Some(absent());
        }
        let fault = met.first(FaultKind::Error)?;
        decisions.note(fault.fault);
        let status = fault.status.unwrap_or(503);
        let mut error = ApiError::of(status, Code::SIMULATED, "The simulator plays a fault")
            .detail(
                "this answer was asked for: see `simulate.faults` of the job, or `/v1/simulator`",
            );
        if let Some(text) = &fault.retry_after
            && let Ok(value) = HeaderValue::from_str(text)
        {
            error = error.header(header::RETRY_AFTER, value);
        }
        Some(error.into())
    }

    /// Shows the job as the faults have it, in the words in which it was shown.
    async fn tamper(
        &self,
        met: &Met,
        key: JobKey,
        call: &Call,
        mut answer: Answer,
        decisions: &mut Decisions,
    ) -> Answer {
        match answer.extensions_mut().remove::<Shown>() {
            Some(shown) => job::tamper_shown(&self.state, &met.faults, &shown, answer, decisions),
            None => {
                let known = Tags::if_none_match(&call.headers);
                job::tamper(&self.state, &met.faults, key, &known, answer, decisions).await
            }
        }
    }

    /// Spoils the body on its way.
    async fn spoil(&self, met: &Met, answer: Answer, decisions: &mut Decisions) -> Answer {
        let spoiled = self.spoil_counted(met, answer, decisions).await;
        spoiled.unwrap_or_else(Answer::from)
    }

    async fn spoil_counted(
        &self,
        met: &Met,
        mut answer: Answer,
        decisions: &mut Decisions,
    ) -> Result<Answer, ApiError> {
        if met.first(FaultKind::Truncate).is_some() {
            let (truncated, is_cut) = body::truncate(answer, |whole| self.count(whole)).await?;
            answer = truncated;
            if is_cut {
                decisions.note(FaultKind::Truncate);
            }
        }
        if let Some(fault) = met.first(FaultKind::Stall) {
            decisions.note(FaultKind::Stall);
            let hold = self.hold(fault)?;
            if let Body::Bytes(bytes) = answer.body_mut() {
                *bytes = self.count(std::mem::take(bytes))?;
            }
            let stop = self.state.stop.clone();
            let clock = self.state.clock.clone();
            let held = async move { clock.hold(hold.length()).await };
            answer = body::stall(answer, held, stop);
        }
        Ok(answer)
    }

    /// Counts those bytes as in flight, because the gate takes what is spoiled for a stream, and streams count what
    /// they send. The answer of a change isn't refused.
    fn count(&self, bytes: Bytes) -> Result<Bytes, ApiError> {
        let (inflight, client) = (&self.state.inflight, self.caller.client);
        match self.may_change {
            true => Ok(inflight.count_done(client, bytes)),
            false => inflight
                .count(client, bytes)
                .map_err(ApiError::too_many_bytes),
        }
    }

    fn spoil_stream(&self, met: &Met, answer: Answer, decisions: &mut Decisions) -> Answer {
        let Some(fault) = met.of_stream() else {
            return answer;
        };
        let (head, body) = answer.into_parts();
        let body = match body {
            Body::Stream(pieces) if head.status == StatusCode::OK => {
                decisions.note(fault.fault);
                let is_cut = fault.fault == FaultKind::StreamCut;
                let stop = self.state.stop.clone();
                body::spoil_stream(pieces, met.events_before(), is_cut, stop)
            }
            body => body,
        };
        Answer::from_parts(head, body)
    }

    /// What the fault keeps waiting is a held request like any other, and held no longer.
    fn hold(&self, fault: &Fault) -> Result<Hold, ApiError> {
        Hold::grant(&self.state, &self.caller, Channel::LongPoll, fault.delay())
    }

    /// Waits by the clock of connections, but not beyond the server's end.
    async fn wait(&self, length: Duration) {
        tokio::select! {
            () = self.state.clock.hold(length) => {}
            () = self.state.stop.cancelled() => {}
        }
    }
}

/// A set meets what meets any of its jobs. The faults of every job count once for the whole set, by the oldest of its
/// jobs.
fn of_set(state: &AppState, call: &Call) -> What {
    // What isn't read here is refused by the handler, which reads it in the same way.
    let items = call.json::<WaitRequest>();
    let items = items.map_or_else(|_| Vec::new(), |wanted| wanted.jobs);
    let mut keys: Vec<JobKey> = items
        .iter()
        .filter_map(|item| item.id.as_str().parse().ok())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let owner = call.caller.owner;
    let jobs = keys
        .into_iter()
        .filter_map(|job| find(state, Subject { job, owner }));
    let mut shown_of_jobs = Vec::new();
    let mut of_set: Option<Met> = None;
    for (place, job) in jobs.enumerate() {
        let mut met = Met::of_job(state, &job, Purpose::Read);
        let own = job.faults();
        let (shown, answered): (Vec<_>, Vec<_>) = met.faults.drain(..).partition(job::is_shown);
        let counted = answered
            .into_iter()
            .filter(|fault| place == 0 || own.contains(fault));
        met.faults = counted.collect();
        match &mut of_set {
            Some(of_set) => of_set.faults.append(&mut met.faults),
            None => of_set = Some(met),
        }
        if !shown.is_empty() {
            shown_of_jobs.push((job.key, shown));
        }
    }
    What::Set(shown_of_jobs, of_set)
}

/// How a job is answered that isn't there.
fn not_found() -> Answer {
    ApiError::from(Refusal::NotFound).into()
}

fn find(state: &AppState, subject: Subject) -> Option<Arc<Job>> {
    match state.board.look_as(subject.owner, subject.job) {
        Look::Found(job) => Some(job),
        Look::Gone(_) | Look::Unknown => None,
    }
}
