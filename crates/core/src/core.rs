//! The client as something that is turned.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use abide::{
    Claim, Client, ClientBuilder, Create, Error, Feed, JobHandle, JobId, JobSet, Json, Lease, List,
    Look, Loop, Problem, Progress, Wait, Watch,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::effect::{Broken, Effect, Ended, ExchangeId, LookId, News, Op};
use crate::exchange::{Host, Ports};
use crate::look::{LookError, PollTerms, look};

/// The client, for a host that brings time and I/O. See the crate for how it is driven.
pub struct Core {
    turns: Loop,
    client: Client,
    ports: Ports,
    /// The future of each operation.
    tasks: HashMap<Op, u64>,
}

impl Core {
    /// A core with a client of those settings, whose transport is the host. `wall` is the time of day at the host's
    /// zero, since 1970.
    ///
    /// # Errors
    ///
    /// As for [`ClientBuilder::build`].
    pub fn new(builder: ClientBuilder, wall: Duration) -> Result<Self, Error> {
        let ports = Ports::default();
        let turns = Loop::new(wall);
        let builder = builder.transport(Host(ports.clone()));
        let client = turns.within(Duration::ZERO, || builder.build())?;
        Ok(Self {
            turns,
            client,
            ports,
            tasks: HashMap::new(),
        })
    }

    /// The client, to make what the operations below are told of: handles, waits, sets, lists. It sends nothing by
    /// itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Creates a job. Ends as [`Ended::Created`].
    pub fn create(&mut self, create: Create) -> Op {
        self.run(async move { create.await.map(Ended::Created) })
    }

    /// Asks how a job stands. Ends as [`Ended::Job`].
    pub fn status(&mut self, job: JobHandle) -> Op {
        self.run(async move { job.status().await.map(|job| Ended::Job(Box::new(job))) })
    }

    /// Cancels a job. Ends as [`Ended::Job`].
    pub fn cancel(&mut self, job: JobHandle) -> Op {
        self.run(async move { job.cancel().await.map(|job| Ended::Job(Box::new(job))) })
    }

    /// Deletes the record of a job. Ends as [`Ended::Nothing`].
    pub fn delete(&mut self, job: JobHandle) -> Op {
        self.run(async move { job.delete().await.map(|()| Ended::Nothing) })
    }

    /// Asks for the next page of a list. Ends as [`Ended::Page`].
    pub fn page(&mut self, mut list: List) -> Op {
        self.run(async move {
            let jobs = list.next_page().await?;
            Ok(Ended::Page(Box::new(list), jobs))
        })
    }

    /// Waits for the end of a job, and tells its changes if `updates` is set. Ends as [`Ended::Finished`].
    pub fn wait(&mut self, mut wait: Wait, updates: bool) -> Op {
        let op = self.op();
        if updates {
            let ports = self.ports.clone();
            wait = wait.on_update(move |job| {
                let news = News::Job(Box::new(job.clone()));
                ports.effect(Effect::News { op, news });
            });
        }
        self.start(op, async move {
            wait.await.map(|done| Ended::Finished(Box::new(done)))
        })
    }

    /// Tells every state of a job up to the last. Ends as [`Ended::Nothing`].
    pub fn watch(&mut self, mut watch: Watch) -> Op {
        let (op, ports) = (self.op(), self.ports.clone());
        self.start(op, async move {
            while let Some(job) = watch.next().await {
                let news = News::Job(Box::new(job?));
                ports.effect(Effect::News { op, news });
            }
            Ok(Ended::Nothing)
        })
    }

    /// Waits for many jobs, and tells of each as it ends. Ends as [`Ended::Nothing`].
    pub fn set(&mut self, mut set: JobSet) -> Op {
        let (op, ports) = (self.op(), self.ports.clone());
        self.start(op, async move {
            while let Some((id, outcome)) = set.join_next().await {
                let outcome = outcome.map(Box::new).map_err(Box::new);
                let news = News::Member(id, outcome);
                ports.effect(Effect::News { op, news });
            }
            Ok(Ended::Nothing)
        })
    }

    /// Tells the changes of all of the caller's jobs. Ends as [`Ended::Nothing`] where the server ends the stream for
    /// good.
    pub fn feed(&mut self, mut feed: Feed) -> Op {
        let (op, ports) = (self.op(), self.ports.clone());
        self.start(op, async move {
            while let Some(change) = feed.next().await {
                let place = feed.place().map(|place| place.to_string());
                let news = News::Change(change?, place);
                ports.effect(Effect::News { op, news });
            }
            Ok(Ended::Nothing)
        })
    }

    /// Claims a job to work on. Ends as [`Ended::Claimed`]. The lease renews itself as the core is turned, for as long
    /// as a clone of its [`Arc`] is there; turn the core after the last one is dropped.
    pub fn claim(&mut self, claim: Claim) -> Op {
        self.run(async move { Ok(Ended::Claimed(claim.await?.map(Arc::new))) })
    }

    /// Renews a lease that was claimed [by hand](Claim::by_hand). Ends as [`Ended::Job`].
    pub fn renew(&mut self, lease: Arc<Lease>) -> Op {
        self.run(async move { Ok(Ended::Job(Box::new(lease.renew().await?))) })
    }

    /// Tells how far a worker has come. Ends as [`Ended::Job`].
    pub fn progress(&mut self, lease: Arc<Lease>, progress: Progress) -> Op {
        self.run(async move { Ok(Ended::Job(Box::new(lease.progress(&progress).await?))) })
    }

    /// Ends a worker's job with a result. Ends as [`Ended::Job`].
    pub fn complete(&mut self, lease: Arc<Lease>, result: Json) -> Op {
        self.run(async move { Ok(Ended::Job(Box::new(lease.complete(&result).await?))) })
    }

    /// Ends a worker's job as failed. Ends as [`Ended::Job`].
    pub fn fail(&mut self, lease: Arc<Lease>, problem: Problem) -> Op {
        self.run(async move { Ok(Ended::Job(Box::new(lease.fail(&problem).await?))) })
    }

    /// Gives a worker's job back. Ends as [`Ended::Nothing`].
    pub fn release(&mut self, lease: Arc<Lease>) -> Op {
        self.run(async move { lease.release().await.map(|()| Ended::Nothing) })
    }

    /// Waits until there is nothing more to do for the worker, and ends as the error that says why.
    pub fn over(&mut self, lease: Arc<Lease>) -> Op {
        self.run(async move { Err(lease.over().await) })
    }

    /// Makes a token for event streams. Ends as [`Ended::StreamToken`].
    pub fn stream_token(&mut self, job: Option<JobId>, ttl: Duration) -> Op {
        let client = self.client.clone();
        self.run(async move {
            let token = client.stream_token(job.as_ref(), ttl).await?;
            Ok(Ended::StreamToken(token))
        })
    }

    /// Calls the caller's function by [`Effect::Look`] until it finds something done. Ends as [`Ended::Looked`].
    pub fn poll_until(&mut self, terms: PollTerms) -> Op {
        let (op, ports) = (self.op(), self.ports.clone());
        let wait = self.client.poll_until(move || look(ports.clone(), op));
        let wait = terms
            .apply(wait)
            .final_if(|error: &LookError| error.is_final)
            .retry_after(|error| error.retry_after);
        self.start(op, async move {
            let ((), report) = wait.with_report().await?;
            Ok(Ended::Looked(report))
        })
    }

    /// Runs anything else of the client's.
    pub fn run(&mut self, work: impl Future<Output = Result<Ended, Error>> + Send + 'static) -> Op {
        let op = self.op();
        self.start(op, work)
    }

    /// Gives an operation up, as if its future had been dropped: nothing goes on. Turn to learn what is to be aborted.
    pub fn give_up(&mut self, op: Op, now: Duration) {
        if let Some(task) = self.tasks.remove(&op) {
            self.turns.remove(task, now);
        }
    }

    /// Goes on until nothing is left to do at that instant, and tells what came of it. Call it after anything was
    /// reported or started, and when [`deadline`](Self::deadline) has come.
    pub fn turn(&mut self, now: Duration) -> Vec<Effect> {
        self.turns.turn(now);
        let mut effects = std::mem::take(&mut self.ports.lock().effects);
        effects.extend(self.turns.works().into_iter().map(Effect::Work));
        for effect in &effects {
            if let Effect::Ended { op, .. } = effect {
                self.tasks.remove(op);
            }
        }
        effects
    }

    /// When to turn next if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.turns.deadline()
    }

    /// Whether nothing is under way: no operation, no exchange, no timer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.ports.lock();
        self.turns.is_empty()
            && self.turns.timers() == 0
            && state.exchanges.is_empty()
            && state.looks.is_empty()
    }

    /// The head of an answer has come.
    pub fn head(&mut self, exchange: ExchangeId, status: StatusCode, headers: HeaderMap) {
        self.ports.head(exchange, status, headers);
    }

    /// A part of an answer's body has come.
    pub fn chunk(&mut self, exchange: ExchangeId, bytes: Bytes) {
        self.ports.chunk(exchange, bytes);
    }

    /// An answer is whole.
    pub fn end(&mut self, exchange: ExchangeId) {
        self.ports.end(exchange);
    }

    /// There was no answer, or only a part of one.
    pub fn broken(&mut self, exchange: ExchangeId, how: Broken, why: impl Into<String>) {
        self.ports.broken(exchange, how, why.into());
    }

    /// What a call of the caller's function has shown.
    pub fn looked(&mut self, look: LookId, shown: Look<()>) {
        let tell = self.ports.lock().looks.remove(&look);
        // A call that was given up is told of no more.
        let _ = tell.map(|tell| tell.send(Ok(shown)));
    }

    /// A call of the caller's function has shown nothing.
    pub fn look_failed(&mut self, look: LookId, error: LookError) {
        let tell = self.ports.lock().looks.remove(&look);
        let _ = tell.map(|tell| tell.send(Err(error)));
    }

    fn op(&self) -> Op {
        Op(self.ports.lock().name())
    }

    fn start(
        &mut self,
        op: Op,
        work: impl Future<Output = Result<Ended, Error>> + Send + 'static,
    ) -> Op {
        let ports = self.ports.clone();
        let task = self.turns.add(async move {
            let end = work.await.map_err(Box::new);
            ports.effect(Effect::Ended { op, end });
        });
        self.tasks.insert(op, task);
        op
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("client", &self.client)
            .field("operations", &self.tasks.len())
            .field("deadline", &self.deadline())
            .finish()
    }
}
