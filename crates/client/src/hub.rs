//! Many waits, one held request.
//!
//! A few waits of a client hold a request each. Beyond [`ALONE_MAX`] of them the rest share: whoever wants to hold joins
//! here, and a task that lives exactly as long as somebody is joined sends one request for all of them, hands each job's
//! news to whoever waits for it, and sends the next one for the rest. Newcomers get a request of their own at first, and
//! requests are merged as they add up, so that there are never more than a handful.
//!
//! How often it sends is bounded: hundreds of jobs end at hundreds of instants, and answering to each one at once would
//! be hundreds of requests. With few jobs nothing is held back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use http::{Method, StatusCode};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use abide_wire::{
    Job, JobId, Revision, Span, Until, WaitItem, WaitRequest, WaitResponse, headers, limits,
};

use crate::clock::after;
use crate::drive::{Answer, Cost};
use crate::exchange::{Call, Failure, FailureKind, JOBS_BYTES_MAX, exchange};
use crate::native::check;
use crate::origin::Origin;
use crate::report::Channel;
use crate::transport::BoxFuture;

/// How many waits of a client may each hold a request of their own.
pub(crate) const ALONE_MAX: usize = 8;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// The most requests in a second, for few jobs and for many. What lies between is shared out: [`PACE`] job-requests.
const RATE_MAX: f64 = 10.0;
const RATE_MIN: f64 = 2.0;
const PACE: f64 = 500.0;
/// How many requests may follow each other without a pause.
const BURST: f64 = 3.0;
/// The most bytes of ids in one request; it leaves room below the server's limit for a body.
const IDS_BYTES_MAX: usize = limits::BODY_BYTES_MAX / 2;
/// The pauses after an answer that came at once and told nothing.
const TURNAROUND: Duration = Duration::from_millis(250);
const TURNAROUND_MAX: Duration = Duration::from_secs(15);

/// What waits share.
#[derive(Debug)]
pub(crate) struct Hub {
    origin: Arc<Origin>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many requests single waits hold, and how many of them ask.
    holding: usize,
    asking: usize,
    members: HashMap<u64, Member>,
    flights: HashMap<u64, Flight>,
    lanes: [Lane; 3],
    bucket: Bucket,
    /// Names members and flights.
    names: u64,
    /// Whether the task is running.
    running: bool,
}

/// What members want: how a job stands now, any news of it, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Now = 0,
    Any = 1,
    Done = 2,
}

impl From<Until> for Want {
    fn from(until: Until) -> Self {
        match until {
            Until::Any => Self::Any,
            Until::Done => Self::Done,
        }
    }
}

#[derive(Debug, Default)]
struct Lane {
    /// Members that are in no request.
    pending: Vec<u64>,
    /// When the next request may leave: the first of the batch has waited, the last answer was not an empty one.
    not_before: Option<Instant>,
    empty: i32,
}

#[derive(Debug)]
struct Member {
    want: Want,
    id: JobId,
    after: Option<Revision>,
    /// None once it was told, until it has left.
    tell: Option<oneshot::Sender<Told>>,
    /// The last instant at which an answer said that there was no news.
    not_yet: Option<Instant>,
    flight: Option<u64>,
    cost: Cost,
}

/// What a member is told.
#[derive(Debug)]
enum Told {
    Answer(Box<Answer<Job>>),
    Failure(Failure),
    /// The server has no set waits: hold alone.
    Alone,
}

#[derive(Debug)]
struct Flight {
    want: Want,
    members: usize,
    abort: AbortHandle,
}

/// A request for many, on its way.
struct Batch {
    flight: u64,
    want: Want,
    members: Vec<u64>,
    sent: Instant,
}

type Landing = (Batch, Result<WaitResponse, Failure>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Option<Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            tokens: BURST,
            filled: None,
        }
    }
}

impl Bucket {
    /// When there will be a token, at that rate.
    fn ready(&mut self, now: Instant, rate: f64) -> Instant {
        let since = self
            .filled
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.tokens = (self.tokens + since.as_secs_f64() * rate).min(BURST);
        self.filled = Some(now);
        if self.tokens >= 1.0 {
            return now;
        }
        // A little later than computed, so that rounding never finds a token that is almost there.
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / rate);
        after(now, wait + Duration::from_millis(1))
    }
}

/// Leave to send a request of one's own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    hub: Arc<Hub>,
    count: fn(&mut State) -> &mut usize,
}

impl Drop for Alone {
    fn drop(&mut self) {
        *(self.count)(&mut self.hub.lock()) -= 1;
    }
}

impl Hub {
    pub(crate) fn new(origin: Arc<Origin>) -> Arc<Self> {
        Arc::new(Self {
            origin,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Leave to hold a request of one's own: for the first few, and for all where the server knows no sets.
    pub(crate) fn holds_alone(self: &Arc<Self>) -> Option<Alone> {
        self.alone(|state| &mut state.holding)
    }

    /// Leave to ask by a request of one's own, for the first few at a time.
    pub(crate) fn asks_alone(self: &Arc<Self>) -> Option<Alone> {
        self.alone(|state| &mut state.asking)
    }

    fn alone(self: &Arc<Self>, count: fn(&mut State) -> &mut usize) -> Option<Alone> {
        let sets = self.origin.memory.sets(self.origin.clock.now());
        let mut state = self.lock();
        let used = count(&mut state);
        if *used >= ALONE_MAX && sets {
            return None;
        }
        *used += 1;
        Some(Alone {
            hub: Arc::clone(self),
            count,
        })
    }

    /// Waits together with others. Nothing is answered where the server knows no sets: hold alone then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the others alone; the last one to leave ends the request and the task.
    pub(crate) async fn join(
        self: &Arc<Self>,
        id: &JobId,
        want: Want,
        after: Option<Revision>,
        cost: &mut Cost,
    ) -> Option<Result<Answer<Job>, Failure>> {
        let (tell, told) = oneshot::channel();
        let name = self.enter(id, want, after, tell);
        let _ticket = Ticket {
            hub: self,
            name,
            cost,
        };
        match told.await {
            Ok(Told::Answer(answer)) => Some(Ok(*answer)),
            Ok(Told::Failure(failure)) => Some(Err(failure)),
            Ok(Told::Alone) => None,
            Err(_) => Some(Err(Failure::garbled("the shared request was abandoned"))),
        }
    }

    fn enter(
        self: &Arc<Self>,
        id: &JobId,
        want: Want,
        seen: Option<Revision>,
        tell: oneshot::Sender<Told>,
    ) -> u64 {
        let now = self.origin.clock.now();
        let mut state = self.lock();
        let name = state.name();
        state.members.insert(
            name,
            Member {
                want,
                id: id.clone(),
                after: seen,
                tell: Some(tell),
                not_yet: None,
                flight: None,
                cost: Cost::default(),
            },
        );
        state.pend(name, want, now);
        if !state.running {
            state.running = true;
            tokio::spawn(run(Arc::clone(self)));
        }
        drop(state);
        self.changed.notify_one();
        name
    }

    /// Takes a member out; its cost is what remains of it.
    fn leave(&self, name: u64) -> Option<Cost> {
        let mut state = self.lock();
        let member = state.members.remove(&name)?;
        state.lanes[member.want as usize]
            .pending
            .retain(|pending| *pending != name);
        state.disembark(member.flight);
        let over = state.members.is_empty();
        drop(state);
        if over {
            self.changed.notify_one();
        }
        Some(member.cost)
    }

    /// When the next request may leave, if anybody waits for it to.
    fn due(&self) -> Option<Instant> {
        let now = self.origin.clock.now();
        let mut state = self.lock();
        let state = &mut *state;
        let rate = (PACE / state.members.len().max(1) as f64).clamp(RATE_MIN, RATE_MAX);
        let ready = state.bucket.ready(now, rate);
        let due = |want: Want| {
            let lane = &state.lanes[want as usize];
            let at = lane.not_before.unwrap_or(now);
            // Whoever wants to know at once is at its deadline, and is not held back.
            let at = if want == Want::Now { at } else { at.max(ready) };
            (!lane.pending.is_empty()).then_some(at)
        };
        [Want::Now, Want::Any, Want::Done]
            .into_iter()
            .filter_map(due)
            .min()
    }

    /// Puts together the requests that may leave now.
    fn depart(
        self: &Arc<Self>,
        flights: &mut FuturesUnordered<BoxFuture<'static, Option<Landing>>>,
    ) {
        let now = self.origin.clock.now();
        for want in [Want::Now, Want::Any, Want::Done] {
            let mut state = self.lock();
            let lane = &state.lanes[want as usize];
            if lane.pending.is_empty() || lane.not_before.is_some_and(|at| at > now) {
                continue;
            }
            if want != Want::Now && state.bucket.tokens < 1.0 {
                continue;
            }
            while let Some((batch, request, abort)) = state.batch(want, now) {
                drop(state);
                let flight = fly(Arc::clone(self), batch, request);
                let flight = Abortable::new(flight, abort);
                flights.push(Box::pin(async move { flight.await.ok() }));
                state = self.lock();
            }
        }
    }

    /// Hands out what a request has brought.
    fn land(&self, batch: Batch, answer: Result<WaitResponse, Failure>) {
        let now = self.origin.clock.now();
        let mut state = self.lock();
        state.flights.remove(&batch.flight);
        let lane = &mut state.lanes[batch.want as usize];
        lane.empty = 0;
        match answer {
            Ok(answer) => {
                self.origin.retry_budget.deposit();
                let quick = now.saturating_duration_since(batch.sent) < Duration::from_secs(1);
                if answer.jobs.is_empty() && answer.errors.is_empty() && quick {
                    let pause = TURNAROUND.mul_f64(2_f64.powi(lane.empty.min(16)));
                    lane.empty += 1;
                    lane.not_before = Some(after(now, pause.min(TURNAROUND_MAX)));
                }
                state.hand_out(&self.origin, &batch, answer, now);
            }
            Err(failure) if is_no_set(&failure) => {
                self.origin.memory.note_no_sets(now);
                state.tell_all(&batch, |_| Told::Alone);
            }
            Err(failure) => state.tell_all(&batch, |_| Told::Failure(failure.clone())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set is refused as such, or its answer is too large: whoever is in it holds alone.
fn is_no_set(failure: &Failure) -> bool {
    let refused = matches!(
        failure.status,
        Some(
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::NOT_IMPLEMENTED
        )
    );
    refused || failure.is_too_large()
}

impl State {
    const fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// Puts a member among those that are in no request.
    fn pend(&mut self, name: u64, want: Want, now: Instant) {
        let lane = &mut self.lanes[want as usize];
        if lane.pending.is_empty() && lane.not_before.is_none_or(|at| at <= now) {
            lane.not_before = Some(after(now, GATHER));
        }
        lane.pending.push(name);
    }

    /// A member leaves its request; one without members is given up.
    fn disembark(&mut self, flight: Option<u64>) {
        let Some(name) = flight else { return };
        let Some(flight) = self.flights.get_mut(&name) else {
            return;
        };
        flight.members -= 1;
        if flight.members == 0 {
            flight.abort.abort();
            self.flights.remove(&name);
        }
    }

    /// The next request of a lane: all that are pending, and those of smaller requests on their way, which it replaces.
    fn batch(
        &mut self,
        want: Want,
        now: Instant,
    ) -> Option<(Batch, WaitRequest, futures_util::future::AbortRegistration)> {
        let mut pending = std::mem::take(&mut self.lanes[want as usize].pending);
        if pending.is_empty() {
            return None;
        }
        let mut size = pending.len();
        let mut swallowed = HashSet::new();
        let mut small: Vec<(usize, u64)> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.want == want && want != Want::Now)
            .map(|(name, flight)| (flight.members, *name))
            .collect();
        small.sort_unstable();
        for (members, name) in small {
            if members > 2 * size || size + members > limits::SET_JOBS_MAX {
                break;
            }
            size += members;
            swallowed.insert(name);
        }
        for (name, member) in &self.members {
            if member
                .flight
                .is_some_and(|flight| swallowed.contains(&flight))
            {
                pending.push(*name);
            }
        }
        for name in swallowed {
            if let Some(flight) = self.flights.remove(&name) {
                flight.abort.abort();
            }
        }
        let mut items: HashMap<JobId, Option<Revision>> = HashMap::new();
        let mut bytes = 0;
        let mut aboard = Vec::new();
        for name in pending {
            let Some(member) = self.members.get(&name) else {
                continue;
            };
            let is_new = !items.contains_key(&member.id);
            let full = items.len() >= limits::SET_JOBS_MAX || bytes >= IDS_BYTES_MAX;
            if is_new && full {
                self.lanes[want as usize].pending.push(name);
                continue;
            }
            if is_new {
                bytes += member.id.as_str().len() + 40;
            }
            // Where two wait for one job the older knowledge counts; each is told only what is news to it.
            let seen = if want == Want::Any {
                member.after
            } else {
                None
            };
            items
                .entry(member.id.clone())
                .and_modify(|known| *known = (*known).min(seen))
                .or_insert(seen);
            aboard.push(name);
        }
        let flight = self.name();
        let (abort, registration) = AbortHandle::new_pair();
        let share = 1.0 / aboard.len().max(1) as f64;
        for name in &aboard {
            if let Some(member) = self.members.get_mut(name) {
                member.flight = Some(flight);
                member.cost.requests += 1;
                member.cost.share += share;
            }
        }
        self.flights.insert(
            flight,
            Flight {
                want,
                members: aboard.len(),
                abort,
            },
        );
        if want != Want::Now {
            self.bucket.tokens -= 1.0;
        }
        let request = WaitRequest {
            jobs: items
                .into_iter()
                .map(|(id, after)| WaitItem { id, after })
                .collect(),
            wait: Span::default(),
            until: if want == Want::Done {
                Until::Done
            } else {
                Until::Any
            },
        };
        let batch = Batch {
            flight,
            want,
            members: aboard,
            sent: now,
        };
        Some((batch, request, registration))
    }

    fn hand_out(&mut self, origin: &Origin, batch: &Batch, answer: WaitResponse, now: Instant) {
        let mut waiting: HashMap<JobId, Vec<u64>> = HashMap::new();
        for name in &batch.members {
            if let Some(member) = self
                .members
                .get(name)
                .filter(|member| member.flight == Some(batch.flight))
            {
                waiting.entry(member.id.clone()).or_default().push(*name);
            }
        }
        for failed in answer.errors {
            for name in waiting.remove(&failed.id).unwrap_or_default() {
                self.tell(name, Told::Failure(Failure::refused(failed.error.clone())));
            }
        }
        for job in answer.jobs {
            let id = job.id.clone();
            for name in waiting.get(&id).cloned().unwrap_or_default() {
                let Some(member) = self.members.get(&name) else {
                    continue;
                };
                let news = match member.want {
                    Want::Now => true,
                    Want::Any => job.done || member.after.is_none_or(|seen| job.revision > seen),
                    Want::Done => job.done,
                };
                if !news {
                    continue;
                }
                let not_yet = member.not_yet;
                let told = match check(job.clone(), None) {
                    Ok(job) => {
                        let told = origin.told(job, Channel::Shared);
                        let age = age(told.age, not_yet, batch.sent, now, origin);
                        Told::Answer(Box::new(Answer {
                            granted: true,
                            age: age.filter(|_| told.done),
                            ..told
                        }))
                    }
                    Err(failure) => Told::Failure(failure),
                };
                self.tell(name, told);
            }
        }
        for name in waiting.into_values().flatten() {
            let Some(member) = self.members.get_mut(&name) else {
                continue;
            };
            if member.tell.is_none() {
                continue;
            }
            member.flight = None;
            member.not_yet = Some(now);
            let want = member.want;
            if want == Want::Now {
                self.tell(
                    name,
                    Told::Failure(Failure::garbled("the answer leaves the job out")),
                );
            } else {
                self.pend(name, want, now);
            }
        }
    }

    fn tell_all(&mut self, batch: &Batch, told: impl Fn(&Member) -> Told) {
        for name in &batch.members {
            if let Some(member) = self
                .members
                .get(name)
                .filter(|member| member.flight == Some(batch.flight))
            {
                let told = told(member);
                self.tell(*name, told);
            }
        }
    }

    /// Tells a member, whose ticket then takes it out. The cost stays to be fetched by it.
    fn tell(&mut self, name: u64, told: Told) {
        let Some(member) = self.members.get_mut(&name) else {
            return;
        };
        member.flight = None;
        if let Some(tell) = member.tell.take() {
            // Whoever left in this instant isn't there to be told.
            let _ = tell.send(told);
        }
    }
}

/// How old the news of a shared answer is. One that was held came when it happened; of one that came at once nobody
/// knows better than the clocks, but the news isn't older than the last answer that had none.
fn age(
    by_clocks: Option<Duration>,
    not_yet: Option<Instant>,
    sent: Instant,
    now: Instant,
    origin: &Origin,
) -> Option<Duration> {
    let rtt = origin.memory.rtt().unwrap_or_default();
    let took = now.saturating_duration_since(sent);
    if took > rtt * 4 + Duration::from_millis(50) {
        return Some(rtt / 2);
    }
    let at_most = not_yet.map(|at| now.saturating_duration_since(at));
    match (by_clocks, at_most) {
        (Some(age), Some(most)) => Some(age.min(most)),
        (age, _) => age,
    }
}

/// A member, as long as it is one.
struct Ticket<'a> {
    hub: &'a Arc<Hub>,
    name: u64,
    cost: &'a mut Cost,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(cost) = self.hub.leave(self.name) {
            self.cost.requests += cost.requests;
            self.cost.share += cost.share;
        }
    }
}

/// The task: it ends with the last member.
async fn run(hub: Arc<Hub>) {
    let guard = Running(Arc::clone(&hub));
    let mut flights = FuturesUnordered::new();
    loop {
        if guard.end_if_empty() {
            return;
        }
        let due = hub.due();
        let leave = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(landing) = flights.next(), if !flights.is_empty() => {
                if let Some((batch, answer)) = landing {
                    hub.land(batch, answer);
                }
            }
            () = leave => hub.depart(&mut flights),
            () = hub.changed.notified() => {}
        }
    }
}

/// Says that the task is running, and lets nobody wait for one that was killed with its runtime.
struct Running(Arc<Hub>);

impl Running {
    fn end_if_empty(&self) -> bool {
        let mut state = self.0.lock();
        let over = state.members.is_empty();
        if over {
            state.running = false;
        }
        over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !state.running || state.members.is_empty() {
            state.running = false;
            return;
        }
        state.running = false;
        state.flights.clear();
        for lane in &mut state.lanes {
            lane.pending.clear();
        }
        let names: Vec<u64> = state.members.keys().copied().collect();
        for name in names {
            state.tell(
                name,
                Told::Failure(Failure::garbled("the shared request was abandoned")),
            );
        }
    }
}

/// One request for many, to its answer.
async fn fly(hub: Arc<Hub>, batch: Batch, mut request: WaitRequest) -> Landing {
    let origin = &hub.origin;
    let hold = match batch.want {
        Want::Now => Duration::ZERO,
        Want::Any | Want::Done => origin.memory.abilities(batch.sent).hold_max,
    };
    request.wait = Span::new(hold);
    let answer = send(origin, &request, hold).await;
    let now = origin.clock.now();
    let took = now.saturating_duration_since(batch.sent);
    match &answer {
        Ok(_) if hold.is_zero() => origin.memory.note_rtt(took),
        Ok((answer, granted)) => {
            let held = *granted || took >= hold / 2;
            let news = !answer.jobs.is_empty() || !answer.errors.is_empty();
            if held || !news {
                origin.memory.note_hold(held, now);
            }
        }
        Err(failure) if failure.is_transient() && !hold.is_zero() => {
            origin.memory.note_cut(took, now)
        }
        _ => {}
    }
    (batch, answer.map(|(answer, _)| answer))
}

async fn send(
    origin: &Origin,
    request: &WaitRequest,
    hold: Duration,
) -> Result<(WaitResponse, bool), Failure> {
    let body = serde_json::to_vec(request)
        .map_err(|error| Failure::garbled("the set can't be written").because(error))?;
    let call = Call::new(Method::POST, origin.url(["v1", "jobs", "wait"]))
        .json(Bytes::from(body))
        .limit(JOBS_BYTES_MAX);
    let limit = hold.saturating_add(origin.attempt_timeout);
    let reply = exchange(origin, &call, limit).await?;
    origin.note_date(&reply);
    let granted = reply
        .header(headers::PREFERENCE_APPLIED)
        .is_some_and(|applied| applied.contains("wait"));
    let answer = serde_json::from_slice(&reply.body).map_err(|error| {
        Failure::garbled("the answer holds no jobs")
            .with_status(reply.status)
            .because(error)
    })?;
    Ok((answer, granted))
}

impl Failure {
    fn is_too_large(&self) -> bool {
        self.kind == FailureKind::TooLarge
    }
}
