//! The doors of the hub, and the task behind them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::future::Abortable;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, oneshot};

use abide_wire::{Job, JobId, Revision};

use super::flight::{Brought, Landing, fly, is_no_set};
use super::state::{Batch, Member, State, Told, Want};
use crate::answer::Answer;
use crate::budget::Cost;
use crate::exchange::Failure;
use crate::origin::Origin;
use crate::rt::{Instant, sleep_until, spawn};
use crate::transport::BoxFuture;

/// How many waits of a client may each hold a request of their own.
pub(crate) const ALONE_MAX: usize = 8;

/// What waits share.
#[derive(Debug)]
pub(crate) struct Hub {
    origin: Arc<Origin>,
    state: Mutex<State>,
    changed: Notify,
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

    /// Leave to have a stream of one's own, for the first few at a time.
    pub(crate) fn listens_alone(self: &Arc<Self>) -> Option<Alone> {
        self.alone(|state| &mut state.listening)
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
    ) -> Option<Result<Answer<Arc<Job>>, Failure>> {
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
            spawn(run(Arc::clone(self)));
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
        Want::ALL
            .into_iter()
            .filter_map(|want| state.due(want, now))
            .min()
    }

    /// Puts together the requests that may leave now.
    fn depart(
        self: &Arc<Self>,
        flights: &mut FuturesUnordered<BoxFuture<'static, Option<Landing>>>,
    ) {
        let now = self.origin.clock.now();
        for want in Want::ALL {
            let mut state = self.lock();
            if state.due(want, now).is_none_or(|at| at > now) {
                continue;
            }
            while let Some((batch, request, abort)) = state.batch(want, now) {
                drop(state);
                let flight = fly(Arc::clone(&self.origin), batch, request);
                let flight = Abortable::new(flight, abort);
                flights.push(Box::pin(async move { flight.await.ok() }));
                state = self.lock();
            }
        }
    }

    /// Hands out what a request has brought.
    fn land(&self, batch: &Batch, answer: Result<Brought, Failure>) {
        let now = self.origin.clock.now();
        let mut state = self.lock();
        state.flights.remove(&batch.flight);
        match answer {
            Ok(answer) => {
                self.origin.retry_budget.deposit();
                let took = now.saturating_duration_since(batch.sent);
                state.turn_around(batch.want, &answer, took, now);
                state.hand_out(&self.origin, batch, answer, now);
            }
            Err(failure) if is_no_set(&failure) => {
                self.origin.memory.note_no_sets(now);
                state.tell_all(batch, || Told::Alone);
            }
            Err(failure) => state.tell_all(batch, || Told::Failure(failure.clone())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
                    hub.land(&batch, answer);
                }
            }
            () = leave => hub.depart(&mut flights),
            () = hub.changed.notified() => {}
        }
    }
}

/// Marks the task as running; no waiter waits for one that was killed with its runtime.
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
