//! The log: everything that anybody was told, and every fault, in one list.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use abide::{Job, Json};
use abide_wire::Timestamp;
use tokio::time::Instant;

/// What breaks when the server is stopped in order.
pub(super) const STOP: &str = "a stop";
/// The first words about a server that doesn't start.
pub(super) const NO_START: &str = "it doesn't start";
/// The most moments that are kept.
const MOMENTS_MAX: usize = 100_000;

/// The log of a world. Clones are the same one.
#[derive(Clone, Debug)]
pub struct History(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Log {
    began: Instant,
    moments: Vec<Moment>,
    sampled: (usize, usize),
    /// The jobs that anyone was told of.
    known: BTreeSet<String>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When, since the world began.
    pub at: Duration,
    /// To whom.
    pub who: String,
    /// What.
    pub event: Event,
}

/// A job as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its id.
    pub job: String,
    /// Its revision.
    pub revision: u64,
    /// Whether it has ended.
    pub done: bool,
    /// A digest of all that a revision fixes.
    pub digest: u64,
    /// How long it took, by the server's clock.
    pub took: Option<Duration>,
    /// When it was made, by the server's clock, in milliseconds.
    pub created_ms: i64,
    /// When it changed last, by the same clock.
    pub updated_ms: i64,
    /// Whether it completed.
    pub is_completed: bool,
    /// Whether nobody works on it yet.
    pub is_pending: bool,
    /// When work on it began, by the server's clock, in milliseconds.
    pub started_ms: Option<i64>,
    /// When it ended, by the same clock.
    pub finished_ms: Option<i64>,
    /// How far it is, in thousandths of a percent.
    pub milli_percent: u64,
    /// What sort of work it is.
    pub kind: String,
    /// The lease under which its result was told, as the result says.
    pub by: Option<String>,
    /// Whether it is said how long it will still take.
    pub is_estimated: bool,
    /// The bytes of its input, as it is shown.
    pub input_bytes: Option<usize>,
    /// The code of its failure.
    pub code: Option<String>,
    /// Whose it is, and by which key it was made, as its metadata says. Of one of several it is said by the language
    /// that was asked for, the only word there that is free.
    pub owner: String,
    /// The key.
    pub key: String,
}

/// By which way something was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The answer of a create.
    Create,
    /// A plain read.
    Read,
    /// A page of a list.
    List,
    /// A watch or a wait.
    Wait,
    /// A request that was held.
    Hold,
    /// The feed.
    Feed,
    /// A webhook.
    Push,
    /// The answer to a worker's report, or to a cancel.
    Change,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The job has ended.
    Finished,
    /// The deadline came first.
    StillRunning,
    /// There was no answer.
    Unreachable,
    /// The server refused, or something else.
    Other(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A create was acknowledged.
    Accepted {
        /// The step.
        step: usize,
        /// When it was asked for.
        sent: Duration,
        /// By how much the job's creation lies before what the clock of the server's machine showed when it was asked
        /// for, in milliseconds.
        ago_ms: i64,
        /// Its job.
        view: View,
        /// The bytes of its input.
        bytes: usize,
        /// Whether the answer said that the job had been made before.
        is_replayed: bool,
    },
    /// A create of several jobs was acknowledged.
    AcceptedAll {
        /// Whose they are.
        owner: &'static str,
        /// The key.
        key: u64,
        /// The jobs, in order.
        jobs: Vec<String>,
    },
    /// Something was refused or failed.
    Failed {
        /// The step.
        step: usize,
        /// Why.
        why: String,
    },
    /// A job was shown.
    Shown {
        /// How.
        way: Way,
        /// What.
        view: View,
    },
    /// A read was answered.
    Read {
        /// The job.
        job: String,
        /// When it was sent.
        sent: Duration,
        /// The revision at which the job was shown, or was said to be still.
        revision: u64,
    },
    /// The feed said that changes are missing.
    Gap,
    /// A wait or a held read is over.
    Over {
        /// The job.
        job: String,
        /// The strategy.
        how: &'static str,
        /// From which host.
        host: u64,
        /// When it began.
        began: Duration,
        /// The deadline that it was given.
        deadline: Option<Duration>,
        /// Whether it ended its side of the connection once it had asked.
        half_closed: bool,
        /// The newest revision that it wasn't to tell again; `None` for the end alone.
        after: Option<u64>,
        /// How.
        end: End,
    },
    /// A worker has claimed a job.
    Claimed {
        /// When it asked.
        sent: Duration,
        /// What names its lease.
        token: String,
        /// How long the lease is.
        lease: Duration,
        /// The job.
        view: View,
    },
    /// A worker has claimed, and was told that there is no job.
    Idle {
        /// When it asked.
        sent: Duration,
        /// How long it was to wait for one.
        wait: Duration,
        /// From which host.
        host: u64,
    },
    /// A worker's report under a lease was answered.
    Reported {
        /// The job.
        job: String,
        /// When it was sent.
        sent: Duration,
        /// What names the lease.
        token: String,
        /// The answer's status.
        status: u16,
    },
    /// A report without a lease was sent.
    Remarked {
        /// The job.
        job: String,
        /// When it was sent.
        sent: Duration,
        /// The revision at which alone it was to be heard; 0 for any.
        revision: u64,
        /// The answer's status; without one it may have been heard all the same.
        status: Option<u16>,
    },
    /// A create was sent once more and answered: the same one in another spelling, or another one under its key.
    Repeated {
        /// Its key.
        key: String,
        /// Whether it was the same.
        is_same: bool,
        /// The answer's status.
        status: u16,
    },
    /// A job was to be deleted.
    Deleted {
        /// The job.
        job: String,
        /// Whether that was acknowledged.
        is_certain: bool,
    },
    /// A client begins to follow the feed.
    Followed {
        /// From which host.
        host: u64,
        /// The last change before the place where it begins, as its owner's first follower was told; from now on if
        /// `None`.
        after: Option<(String, u64)>,
    },
    /// It follows no longer.
    Unfollowed,
    /// A webhook endpoint was registered.
    Subscribed {
        /// Where it posts.
        url: String,
        /// Whose it is.
        owner: &'static str,
        /// Whether it keeps the order.
        is_ordered: bool,
    },
    /// A webhook came.
    Delivered {
        /// Where.
        url: String,
        /// Its id.
        id: String,
        /// The job as it was told.
        view: View,
        /// Whether the signature was good.
        is_verified: bool,
        /// Whether the receiver answered that it has taken it.
        is_taken: bool,
    },
    /// Something breaks for that host, or for all.
    Broke {
        /// The host.
        host: Option<u64>,
        /// Until when at least.
        until: Duration,
        /// What.
        what: String,
    },
    /// The server is there.
    Up,
    /// The server was stopped in order.
    Stopped {
        /// How long that took.
        took: Duration,
    },
    /// The server has gone.
    Down(String),
    /// The server was asked in process for a job that a client knows of.
    Audited {
        /// The job.
        job: String,
        /// What it has.
        view: Option<View>,
    },
    /// A client was told that there is no such job.
    Missing {
        /// The job.
        job: String,
        /// The client.
        host: u64,
    },
    /// Another owner asked for a job.
    Trespassed {
        /// The answer's status.
        status: u16,
    },
    /// A client has read its jobs to the last page.
    Listed {
        /// Whose they are.
        owner: &'static str,
        /// When it asked for the first page.
        sent: Duration,
        /// The jobs, in order.
        jobs: Vec<String>,
    },
    /// A job that was deleted was asked for.
    Gone {
        /// The job.
        job: String,
        /// Whether its owner asked.
        is_owner: bool,
        /// The answer's status.
        status: u16,
    },
    /// An odd request was answered.
    Odd {
        /// Which.
        what: &'static str,
        /// The status that it is to be answered with.
        expected: u16,
        /// The answer's status.
        status: u16,
    },
    /// A client has read none of its answers for a while.
    Deaf {
        /// Since when.
        sent: Duration,
        /// From which host.
        host: u64,
        /// Whether the server has ended the connection.
        is_ended: bool,
    },
    /// A request was ended whose body came byte by byte.
    Dripped {
        /// When it was sent.
        sent: Duration,
        /// From which host.
        host: u64,
    },
    /// The bytes that the server counts.
    Sampled {
        /// Of records.
        stored: usize,
        /// Under way.
        inflight: usize,
    },
    /// Nothing is left to do.
    Rested {
        /// Deliveries that are still waited for.
        open: usize,
        /// Jobs that still run and should have ended.
        running: usize,
    },
}

/// What time it is in the world.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's time is paused here, and this is where it is read"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl History {
    pub(super) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Log {
            began: now(),
            moments: Vec::new(),
            sampled: (0, 0),
            known: BTreeSet::new(),
        })))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the world has existed.
    pub(super) fn age(&self) -> Duration {
        now().duration_since(self.log().began)
    }

    /// Notes what the server counts, if that has changed.
    pub(super) fn sample(&self, counts: (usize, usize)) {
        if std::mem::replace(&mut self.log().sampled, counts) != counts {
            let (stored, inflight) = counts;
            self.note("server", Event::Sampled { stored, inflight });
        }
    }

    pub(super) fn note(&self, who: impl Into<String>, event: Event) {
        let at = self.age();
        let mut log = self.log();
        if let Some(view) = event.told() {
            log.known.insert(view.job.clone());
        }
        if let Event::AcceptedAll { jobs, .. } = &event {
            log.known.extend(jobs.iter().cloned());
        }
        if log.moments.len() < MOMENTS_MAX {
            log.moments.push(Moment {
                at,
                who: who.into(),
                event,
            });
        }
    }

    /// The jobs that anyone was told of.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.log().known.clone()
    }

    /// Every moment, in order; those of one instant by whom they concern, because tasks of one instant have no order.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        let mut moments = self.log().moments.clone();
        moments.sort_by(|a, b| (a.at, &a.who).cmp(&(b.at, &b.who)));
        moments
    }

    /// A digest of all of it: two runs with the same one are the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for moment in self.moments() {
            moment.to_string().hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Event {
    /// The job that someone was told of, if it is of that.
    pub(super) const fn told(&self) -> Option<&View> {
        match self {
            Self::Accepted { view, .. }
            | Self::Shown { view, .. }
            | Self::Claimed { view, .. }
            | Self::Delivered { view, .. } => Some(view),
            _ => None,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs_f64();
        write!(f, "{seconds:10.4} {:<12} {:?}", self.who, self.event)
    }
}

/// The lease that the result of a job names.
fn by(job: &Job) -> Option<String> {
    let result: serde_json::Value = serde_json::from_str(job.result.as_ref()?.get()).ok()?;
    result["by"].as_str().map(str::to_owned)
}

impl View {
    pub(super) fn of(job: &Job) -> Self {
        let mut hasher = DefaultHasher::new();
        let text = |json: &Option<Json>| json.as_ref().map(|json| json.get().to_owned());
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            job.kind,
            job.status,
            job.outcome,
            job.progress,
            text(&job.result),
            job.error,
            text(&job.metadata),
            job.created_at,
            job.started_at,
            job.updated_at,
            job.finished_at,
        )
        .hash(&mut hasher);
        let note = |name: &str| -> String {
            let metadata = job.metadata.as_ref().map_or("{}", Json::get);
            let metadata = serde_json::from_str::<serde_json::Value>(metadata);
            let note = metadata
                .ok()
                .and_then(|it| it[name].as_str().map(str::to_owned));
            note.unwrap_or_default()
        };
        let language = note("language");
        let (owner, key) = match language.split_once(' ') {
            Some((owner, key)) => (owner.to_owned(), key.to_owned()),
            None => (note("owner"), note("key")),
        };
        Self {
            job: job.id.as_str().to_owned(),
            revision: job.revision.0,
            done: job.done,
            digest: hasher.finish(),
            created_ms: job.created_at.as_millis(),
            updated_ms: job.updated_at.as_millis(),
            took: job.finished_at.map(|at| at.since(job.created_at)),
            is_completed: job.outcome == Some(abide::Outcome::Completed),
            is_pending: job.status == abide::Status::Pending,
            started_ms: job.started_at.map(Timestamp::as_millis),
            finished_ms: job.finished_at.map(Timestamp::as_millis),
            milli_percent: job
                .progress
                .as_ref()
                .map_or(0, |it| (it.percent * 1_000.0) as u64),
            kind: job.kind.clone(),
            by: by(job),
            is_estimated: job.remaining_ms.is_some(),
            input_bytes: job.input.as_ref().map(|input| input.get().len()),
            code: job
                .error
                .as_ref()
                .map(|error| error.code.as_str().to_owned()),
            owner,
            key,
        }
    }
}
