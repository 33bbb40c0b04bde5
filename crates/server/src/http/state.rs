//! What handlers may reach: the board, the door to the loop, the clock, the configuration and what is counted. Never
//! the engine, the journal or the courier.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use abide_engine::{Command, JobKey};
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use super::access::{Access, Caller};
use super::answer::{Answer, Outcome};
use super::call::RequestId;
use super::error::{ApiError, soon};
use super::kept::KeptAnswers;
use super::limits::{Holds, Rates};
use super::ordinals::Ordinals;
use crate::attendance::{Attendance, PendingCreate};
use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::Status;
use crate::config::{ByteLimits, Config, JobStart};
use crate::driver::Commands;
use crate::guard::{Allow, Guard};
use crate::metrics::Metrics;
use crate::requests::RequestLog;

/// Of the places for requests that change something, a client may have four times as many as are free.
const PLACES_SHARE: usize = 4;

/// Shared by all requests. Cloning shares it.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// What is shared.
#[derive(Debug)]
#[non_exhaustive]
pub struct Shared {
    /// What readers see.
    pub board: Arc<Board>,
    /// The door to the loop.
    pub commands: Commands,
    /// What time it is.
    pub clock: Clock,
    /// How the server is set up.
    pub config: Arc<Config>,
    /// Where webhooks may go.
    pub guard: Arc<Guard>,
    /// Canceled when the server goes down: whatever is held answers then. By [`AppState::end_holds`], which tells it
    /// to them.
    pub stop: CancellationToken,
    /// What is counted for operators.
    pub metrics: Arc<Metrics>,
    /// Who may ask.
    pub access: Arc<Access>,
    /// How many requests each client may still make.
    pub rates: Rates,
    /// Which clients read which jobs, and how they waited.
    pub attendance: Arc<Attendance>,
    /// The last requests, for tests.
    pub requests: RequestLog,
    /// What tokens for event streams are signed with. All nodes of a cluster have the same, any other server its own.
    pub(super) stream_secret: Secret,
    /// The requests that are held.
    pub waits: Arc<Holds>,
    /// The event streams that are open.
    pub streams: Arc<Holds>,
    /// The bytes of requests, answers and streams under way.
    pub inflight: Arc<Holds>,
    /// The requests under way that change something.
    pub changes: Arc<Holds>,
    /// The limits in bytes.
    pub byte_limits: ByteLimits,
    /// Answers in other systems' words.
    pub(super) kept: KeptAnswers,
    /// Which occasion of a job for faults this is.
    pub(super) ordinals: Ordinals,
    /// Whether the default job has been asked for since the start.
    default_job_asked: AtomicBool,
    /// How often something was spread; see [`AppState::spread`].
    spread: AtomicU64,
    /// How many request ids have been generated.
    request_ids: AtomicU64,
    /// When the server started, in milliseconds; so that request ids differ from those before a restart.
    started_ms: i64,
    /// The node that this server is, if it is one of several.
    pub cluster: Option<Arc<Status>>,
}

impl AppState {
    /// What handlers of a server may reach.
    #[must_use]
    pub fn new(
        board: Arc<Board>,
        commands: Commands,
        clock: Clock,
        config: Config,
        metrics: Arc<Metrics>,
        stream_secret: Secret,
        cluster: Option<Arc<Status>>,
    ) -> Self {
        let started_ms = clock.now().as_millis();
        let byte_limits = config.byte_limits();
        let changes = Holds::fair(commands.places(), PLACES_SHARE);
        Self(Arc::new(Shared {
            board,
            commands,
            guard: Arc::new(Guard::new(Allow::of(&config)).of_server(config.listen.all())),
            stop: CancellationToken::new(),
            metrics,
            access: Arc::new(Access::new(&config.api_keys)),
            rates: Rates::new(config.rate_limit),
            attendance: Arc::new(Attendance::new(clock.speed().unwrap_or(1))),
            requests: RequestLog::new(config.requests_kept),
            stream_secret,
            waits: Holds::new(config.waits_per_client.get(), config.waits_max.get()),
            streams: Holds::new(config.streams_per_client.get(), config.streams_max.get()),
            inflight: Holds::new(byte_limits.inflight_per_owner, byte_limits.inflight),
            changes,
            byte_limits,
            kept: KeptAnswers::new(),
            ordinals: Ordinals::default(),
            default_job_asked: AtomicBool::new(config.default_job_start == JobStart::Boot),
            spread: AtomicU64::new(0),
            request_ids: AtomicU64::new(0),
            started_ms,
            cluster,
            config: Arc::new(config),
            clock,
        }))
    }

    /// A number from 0 up to 1, another each time, such that any run of them lies evenly: what happens at the same
    /// moment to many is moved apart by it. It isn't random and needs no seed.
    #[must_use]
    pub fn spread(&self) -> f64 {
        // Multiples of the golden ratio leave the most even gaps.
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        let n = self.0.spread.fetch_add(1, Ordering::Relaxed) % (1 << 32);
        (n as f64 * GOLDEN).fract()
    }
}

impl AppState {
    /// Ends whatever is held or streams.
    pub fn end_holds(&self) {
        // A waiter that registers after the ring sees that it has stopped.
        self.0.stop.cancel();
        self.0.board.ring_all();
    }

    /// Runs the command, and answers with what `show` makes of its result.
    pub(super) fn ask<C: Command>(
        &self,
        command: C,
        show: impl FnOnce(&Self, C::Answer) -> Result<Answer, ApiError> + Send + 'static,
    ) -> Result<Outcome, ApiError> {
        self.ask_keeping(command, (), show)
    }

    /// The same, and keeps that until the command has been carried out, whether or not the client still waits.
    pub(super) fn ask_keeping<C: Command, K: fmt::Debug + Send + 'static>(
        &self,
        command: C,
        kept: K,
        show: impl FnOnce(&Self, C::Answer) -> Result<Answer, ApiError> + Send + 'static,
    ) -> Result<Outcome, ApiError> {
        let state = self.clone();
        soon(async move {
            let told = state.commands.ask_keeping(command, kept).await?;
            show(&state, told)
        })
    }

    /// Whether the default job has been asked for since the start, or started with the server.
    pub(super) fn default_job_asked(&self) -> bool {
        self.0.default_job_asked.load(Ordering::Acquire)
    }

    /// Forgets what was seen of clients and met by jobs, as after a start.
    pub(super) fn forget_clients(&self) {
        self.0.attendance.clear();
        self.0.ordinals.clear();
        let starts_at_boot = self.0.config.default_job_start == JobStart::Boot;
        self.0
            .default_job_asked
            .store(starts_at_boot, Ordering::Release);
    }

    pub(super) fn note_default_job_asked(&self) {
        self.0.default_job_asked.store(true, Ordering::Release);
    }

    /// When the server started.
    pub(super) fn started_at(&self) -> Timestamp {
        Timestamp::from_millis(self.0.started_ms)
    }

    /// A create by that caller that has made that job; see [`PendingCreate::new`].
    pub(super) fn pending_create(
        &self,
        caller: &Caller,
        job: JobKey,
        body: u64,
        has_key: bool,
        is_replay: bool,
    ) -> PendingCreate {
        let (attendance, clock) = (self.attendance.clone(), self.clock.clone());
        let client = caller.counted();
        PendingCreate::new(attendance, clock, client, job, body, has_key, is_replay)
    }

    /// An id for a request that came without one.
    pub(super) fn next_request_id(&self) -> RequestId {
        RequestId::Generated {
            started_ms: self.0.started_ms.unsigned_abs(),
            n: self.0.request_ids.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
