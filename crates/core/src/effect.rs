//! What a core tells its host.

use std::sync::Arc;

use abide::webhooks::{Delivery, DeliveryPage, Endpoint, EndpointPage, ReplayStarted};
use abide::{
    Change, Error, Finished, Job, JobHandle, JobId, Lease, List, LoopWork, Report, StreamToken,
};
use bytes::Bytes;
use http::Request;

/// An operation: a call or a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub u64);

/// A request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// A call of the caller's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookId(pub u64);

/// What the host is to do, or is told.
#[derive(Debug)]
pub enum Effect {
    /// Send this, and report what came of it. It neither follows redirects nor limits time: the core does the latter.
    Send {
        /// Its name.
        exchange: ExchangeId,
        /// With an absolute URL.
        request: Request<Bytes>,
    },
    /// Nothing waits for that answer any more: give the exchange up. Nothing needs to be reported of it.
    Abort {
        /// Its name.
        exchange: ExchangeId,
    },
    /// Call the caller's function, and report what it has shown.
    Look {
        /// The operation whose function it is.
        op: Op,
        /// The call's name.
        look: LookId,
    },
    /// Nothing waits for that call any more: give it up. Nothing needs to be reported of it.
    LookAbort {
        /// Its name.
        look: LookId,
    },
    /// Read this on another thread, because it may wait for a disk, put in what was read, and turn. No operation waits
    /// for that for long.
    Work(LoopWork),
    /// An operation that goes on has something to tell.
    News {
        /// The operation.
        op: Op,
        /// What it tells.
        news: News,
    },
    /// An operation is over.
    Ended {
        /// The operation.
        op: Op,
        /// What came of it.
        end: Result<Ended, Box<Error>>,
    },
}

/// What an operation tells while it goes on.
#[derive(Debug)]
pub enum News {
    /// The state of the job that is waited for or watched.
    Job(Box<Job>),
    /// A job of a set has ended, or its wait came to nothing.
    Member(JobId, Result<Box<Finished>, Box<Error>>),
    /// A change in the feed, and the place to go on after it.
    Change(Change, Option<String>),
}

/// What came of an operation.
#[derive(Debug)]
pub enum Ended {
    /// The create: the job.
    Created(JobHandle),
    /// A call about a job: the job as it stands.
    Job(Box<Job>),
    /// A wait: the job that has ended.
    Finished(Box<Finished>),
    /// A look found what was waited for. The value stays with the host.
    Looked(Report),
    /// The claim: the lease, or none if no job came in time.
    Claimed(Option<Arc<Lease>>),
    /// A token for event streams.
    StreamToken(StreamToken),
    /// A page of a list, none after the last, and what the next one is asked of.
    Page(Box<List>, Option<Vec<Job>>),
    /// A webhook endpoint.
    Endpoint(Box<Endpoint>),
    /// Webhook endpoints.
    Endpoints(Box<EndpointPage>),
    /// What became of a delivery.
    Delivery(Box<Delivery>),
    /// What became of deliveries.
    Deliveries(Box<DeliveryPage>),
    /// Deliveries are being sent again.
    Replayed(ReplayStarted),
    /// Everything was told as news, or nothing is to be told.
    Nothing,
}

/// How an exchange broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No connection could be made: the request surely never reached the server.
    Connect,
    /// The connection broke, or what came over it wasn't HTTP.
    Lost,
    /// The request can't be sent, now or ever.
    Final,
}
