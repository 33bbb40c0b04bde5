//! From a configuration to a running server, and to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use abide_engine::Command;
use abide_engine::delivery::{Send, SetMasterSecret};
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::{Beginning, Membership, Node, Opened, Status};
use crate::config::{ClockSort, Config, Dialects, JobStart};
use crate::courier::{Carrier, Courier, HttpCarrier};
#[cfg(feature = "postgres")]
use crate::database::{self, DatabaseSetupError};
use crate::driver::{Commands, Driver, DriverError, Failure};
use crate::guard::Guard;
use crate::http::{AppState, Gate, dialects, render_webhook};
use crate::journal::{Journal, JournalError, MemoryJournal, SqliteJournal, View};
use crate::metrics::Metrics;
use crate::net::{BindError, Peer, Room, ServeOptions, bind, serve};
#[cfg(feature = "tls")]
use crate::net::{Tls, TlsError};

/// What `sqlite3` on the checkpoint shows a person.
pub(crate) const VIEWS: &[View] = &[View {
    name: "job",
    query: "SELECT json_extract(body, '$.key') AS id, json_extract(body, '$.kind') AS kind, \
            json_extract(body, '$.state') AS state, json_extract(body, '$.revision') AS revision, \
            json_extract(body, '$.created_at') AS created_at, \
            json_extract(body, '$.finished_at') AS finished_at \
            FROM part WHERE key >= 'job/' AND key < 'job0'",
}];
/// Where a manual clock begins: 2026-01-01T00:00:00Z.
const MANUAL_START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// How long to wait before what a start begins with is tried again.
const START_RETRY: Duration = Duration::from_millis(250);

/// A server that has everything it needs and listens; [`Server::run`] serves.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    /// Those of dialects, each of which has its listener's root.
    of_dialects: Vec<(Arc<str>, TcpListener)>,
    /// How many jobs the journal had.
    restored: usize,
    #[cfg(feature = "tls")]
    tls: Option<Arc<Tls>>,
    assembly: Assembly,
}

/// Takes what was changed in files, while the server runs.
#[derive(Clone, Debug)]
pub struct Reload {
    state: AppState,
    #[cfg(feature = "tls")]
    tls: Option<Arc<Tls>>,
}

/// Why nothing was reloaded. What was in use before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The first key came, or the last one went.
    #[error("whether keys are needed can't change while the server runs; start it again")]
    Openness,
    /// The certificate can't be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Reload {
    /// Takes that configuration's API keys, and reads the files of the certificate again.
    ///
    /// # Errors
    ///
    /// The certificate can't be used, or the keys would let every client in. What was in use before stays.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        if config.api_keys.is_empty() != self.state.access.is_open() {
            return Err(ReloadError::Openness);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.reload()?;
        }
        self.state.access.reload(&config.api_keys);
        Ok(())
    }
}

/// The parts of a server, running and connected, without a socket.
#[derive(Debug)]
pub struct Assembly {
    /// What handlers may reach.
    pub state: AppState,
    driver: JoinHandle<Result<(), DriverError>>,
    courier: Option<JoinHandle<()>>,
}

impl Assembly {
    /// Ends the loop at once, as the end of its process would: what isn't durable is lost. For tests.
    pub fn crash(self) {
        self.driver.abort();
        self.state.end_holds();
    }

    /// Whether the loop has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.driver.is_finished()
    }

    /// Ends the loop in good order, once nothing else has the state. For tests.
    ///
    /// # Errors
    ///
    /// The loop had to end, or failed in the end.
    pub async fn close(self) -> Result<(), ServerError> {
        drop(self.state);
        Ok(self.driver.await??)
    }
}

/// What a server makes of chance, unless its journal has it already.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The seed of all simulated jobs, unless the configuration says another.
    pub seed: u64,
    /// The secret from which those of webhook endpoints are derived.
    pub secret: Secret,
}

/// Why a server doesn't start, or ends badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It can't listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its jobs can't be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The loop failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The loop refused its settings.
    #[error("the settings were refused: {0}")]
    Settings(#[from] Failure),
    /// No vendor's interface has that name.
    #[error("no dialect is named {name:?}; there are {}", known.join(", "))]
    Dialect {
        /// What was configured.
        name: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// The settings of the database can't be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Database(#[from] DatabaseSetupError),
    /// A database was configured, and this build has no client for one.
    #[cfg(not(feature = "postgres"))]
    #[error("--database needs a build with the feature `postgres`")]
    NoPostgres,
    /// The certificate can't be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system has no randomness to make secrets of.
    #[error("the system's source of randomness failed")]
    NoRandomness,
    /// A task panicked or was canceled.
    #[error("a task of the server's failed")]
    Task(#[from] JoinError),
}

impl Server {
    /// Opens the journal, catches up with what was due while the server was down, and listens. `fresh_seed` is the seed
    /// if neither the configuration nor the journal has one.
    ///
    /// # Errors
    ///
    /// The address is taken, or the directory can't be used; nothing has been changed then.
    pub async fn start(mut config: Config, fresh_seed: u64) -> Result<Self, ServerError> {
        #[cfg(feature = "tls")]
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(Arc::new(Tls::open(cert, key)?)),
            _ => None,
        };
        known_dialects(&config)?;
        let listener = bind(config.listen.main).await?;
        let address = listener.local_addr().unwrap_or(config.listen.main);
        config.listen.main = address;
        let mut of_dialects = Vec::new();
        for (name, address) in &mut config.listen.dialects {
            let listener = bind(*address).await?;
            *address = listener.local_addr().unwrap_or(*address);
            of_dialects.push((Arc::from(name.as_str()), listener));
        }
        let clock = match config.clock {
            ClockSort::Manual => Clock::manual(MANUAL_START),
            ClockSort::Real => Clock::scaled(config.speed),
        };
        // Below 2^63, as the files keep it.
        let life = fresh_seed >> 1;
        let membership: Option<Membership>;
        let journal: Box<dyn Journal> = if config.database.is_some() {
            #[cfg(not(feature = "postgres"))]
            return Err(ServerError::NoPostgres);
            #[cfg(feature = "postgres")]
            {
                let journal = database::open(&mut config).await?;
                let (member, journal) = database::membership(&config, journal).await?;
                membership = Some(member);
                Box::new(journal)
            }
        } else if config.ephemeral {
            membership = None;
            Box::new(MemoryJournal::forgetful(life))
        } else {
            membership = None;
            let directory = config.data.clone();
            let open = move || SqliteJournal::open(&directory, VIEWS, life);
            Box::new(tokio::task::spawn_blocking(open).await??)
        };
        let fresh = Fresh {
            seed: fresh_seed,
            secret: fresh_secret()?,
        };
        let carrier = |guard: &Arc<Guard>| -> Option<Arc<dyn Carrier>> {
            Some(Arc::new(HttpCarrier::new(guard.clone())))
        };
        let assembly = match membership {
            None => Self::assemble(config, clock, journal, carrier, fresh).await?,
            Some(membership) => {
                Self::assemble_node(config, clock, journal, carrier, fresh, membership).await?
            }
        };
        let mut server = Self::new(address, listener, assembly);
        server.of_dialects = of_dialects;
        #[cfg(feature = "tls")]
        {
            server.tls = tls;
        }
        let state = server.state();
        let is_open = state.config.database.is_some() && state.config.seal_key_file.is_none();
        if is_open && state.board.webhooks().counts().endpoints > 0 {
            tracing::warn!(
                "the secrets of webhooks lie in the database, its dumps and its replicas as they are; seal them with --seal-key-file"
            );
        }
        // A node that joins others starts nothing anew for their clients.
        if state.config.default_job_start == JobStart::Boot && state.config.database.is_none() {
            let start = state.config.default_job(true);
            at_start(&state.commands, &state.clock, start).await?;
        }
        Ok(server)
    }

    /// Serves those parts at that listener, whose address is given.
    #[must_use]
    pub fn new(address: SocketAddr, listener: TcpListener, assembly: Assembly) -> Self {
        Self {
            address,
            listener,
            of_dialects: Vec::new(),
            restored: assembly.state.board.len(),
            #[cfg(feature = "tls")]
            tls: None,
            assembly,
        }
    }

    /// Connects the parts of a server and starts them: the loop on that journal and clock, and the courier, which
    /// delivers webhooks by what `carrier` makes. Without a carrier webhooks wait. The default job isn't started, so
    /// that tests begin without jobs.
    ///
    /// # Errors
    ///
    /// The journal can't be read, or is of a newer version.
    pub async fn assemble(
        config: Config,
        clock: Clock,
        journal: Box<dyn Journal>,
        carrier: impl FnOnce(&Arc<Guard>) -> Option<Arc<dyn Carrier>>,
        fresh: Fresh,
    ) -> Result<Assembly, ServerError> {
        let configure = config.configure();
        let secret = SetMasterSecret(fresh.secret.clone());
        let assembly = Self::put_together(config, clock, journal, carrier, fresh, None).await?;
        let (commands, clock) = (&assembly.state.commands, &assembly.state.clock);
        at_start(commands, clock, secret).await?;
        at_start(commands, clock, configure).await?;
        Ok(assembly)
    }

    /// The same for a node of a cluster, whose journal is [shared](Journal::shared). What a start begins with is the
    /// leader's to do.
    ///
    /// # Errors
    ///
    /// As for [`Server::assemble`].
    pub async fn assemble_node(
        config: Config,
        clock: Clock,
        journal: Box<dyn Journal>,
        carrier: impl FnOnce(&Arc<Guard>) -> Option<Arc<dyn Carrier>>,
        fresh: Fresh,
        membership: Membership,
    ) -> Result<Assembly, ServerError> {
        Self::put_together(config, clock, journal, carrier, fresh, Some(membership)).await
    }

    async fn put_together(
        config: Config,
        clock: Clock,
        journal: Box<dyn Journal>,
        carrier: impl FnOnce(&Arc<Guard>) -> Option<Arc<dyn Carrier>>,
        fresh: Fresh,
        membership: Option<Membership>,
    ) -> Result<Assembly, ServerError> {
        known_dialects(&config)?;
        let is_blocking = journal.is_blocking();
        let beginning = Beginning {
            seed: config.seed.unwrap_or(fresh.seed),
            secret: SetMasterSecret(fresh.secret.clone()),
            configure: config.configure(),
        };
        let at = clock.clone();
        let open = move || Loop::open(journal, at, beginning, membership);
        let (driver, commands, board) = if is_blocking {
            tokio::task::spawn_blocking(open).await??
        } else {
            open()?
        };
        let metrics = Arc::new(Metrics::new());
        let mut driver = driver.counted(metrics.clone());
        let state = AppState::new(
            board,
            commands,
            clock,
            config,
            metrics,
            fresh.secret,
            driver.status(),
        );
        let courier = carrier(&state.guard).map(|carrier| {
            let (courier, sends) = mpsc::unbounded_channel();
            driver.set_courier(courier);
            let (clock, commands) = (state.clock.clone(), &state.commands);
            let courier = Courier::new(carrier, render_webhook, clock, commands, sends);
            let courier = courier.counted(state.metrics.clone());
            tokio::spawn(courier.run(state.stop.clone()))
        });
        let driver = driver.spawn();
        Ok(Assembly {
            state,
            driver,
            courier,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What takes changes of files while the server runs.
    #[must_use]
    pub fn reloader(&self) -> Reload {
        Reload {
            state: self.assembly.state.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        }
    }

    /// How many jobs were found in the data directory.
    #[must_use]
    pub const fn restored(&self) -> usize {
        self.restored
    }

    /// What handlers may reach; for tests and for programs that embed the server.
    #[must_use]
    pub const fn state(&self) -> &AppState {
        &self.assembly.state
    }

    /// Serves until `stop` is canceled, then drains: what is held answers, streams end, the journal closes last.
    ///
    /// # Errors
    ///
    /// The journal failed in a way that trying again doesn't mend.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cuts every connection. What was acknowledged is safe.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServerError> {
        let state = self.assembly.state.clone();
        let options = ServeOptions {
            room: Room::new(state.config.connections(), &state.config.trusted_proxy),
            drain: state.config.drain.get(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        };
        #[cfg(feature = "tls")]
        let is_tls = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let is_tls = false;
        let gate = move |peer: Peer| {
            Gate::new(state.clone(), Some(peer.address.ip()))
                .with_tls(is_tls)
                .with_reset(peer.reset)
        };
        let of_dialects = self.of_dialects.into_iter().map(|(name, listener)| {
            let gate = gate.clone();
            let gate = move |peer: Peer| gate(peer).of_dialect(name.clone());
            serve(listener, gate, options.clone(), stop.clone())
        });
        let of_dialects = join_all(of_dialects.collect::<Vec<_>>());
        let serving = join(
            serve(self.listener, gate, options.clone(), stop.clone()),
            of_dialects,
        );
        self.assembly.run(serving, stop).await
    }
}

impl Assembly {
    /// Runs while `serving` brings requests, which it does until `stop` is canceled and what is in flight has ended;
    /// then drains. `serving` must hold the last copies of the state.
    ///
    /// # Errors
    ///
    /// The journal failed in a way that trying again doesn't mend.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops `serving`. The loop ends once nothing can reach it any more.
    pub async fn run(
        self,
        serving: impl Future,
        stop: CancellationToken,
    ) -> Result<(), ServerError> {
        let Self {
            state,
            mut driver,
            courier,
        } = self;
        let drain = state.config.drain.get();
        let ended = {
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                _ = serving.as_mut() => None,
                ended = &mut driver => Some(ended),
                // It goes with the block, because the loop below ends only when no sender of commands is left.
                () = async move {
                    stop.cancelled().await;
                    state.end_holds();
                    std::future::pending::<()>().await;
                } => None,
            }
        };
        // The loop ends once the last handler is gone, and writes what is left.
        match ended {
            Some(ended) => ended??,
            None => match tokio::time::timeout(drain, driver).await {
                Ok(ended) => ended??,
                // A disk that hangs doesn't keep a stop from ending.
                Err(_) => {
                    tracing::warn!(
                        "the journal didn't close within the drain time; what was acknowledged is safe, and the next start has more of the log to read"
                    );
                    return Ok(());
                }
            },
        }
        if let Some(courier) = courier {
            courier.await?;
        }
        Ok(())
    }

    /// What ends the parts where they stand, as a crash would.
    pub fn abort_handles(&self) -> impl Iterator<Item = AbortHandle> + use<> {
        let courier = self.courier.as_ref().map(JoinHandle::abort_handle);
        [self.driver.abort_handle()].into_iter().chain(courier)
    }
}

/// The loop of a server, which is alone or one of several.
#[derive(Debug)]
enum Loop {
    Alone(Box<Driver>),
    Node(Box<Opened>),
}

impl Loop {
    fn open(
        journal: Box<dyn Journal>,
        clock: Clock,
        beginning: Beginning,
        membership: Option<Membership>,
    ) -> Result<(Self, Commands, Arc<Board>), DriverError> {
        if let Some(membership) = membership {
            let (node, commands, board) = Node::open(journal, clock, beginning, membership)?;
            return Ok((Self::Node(Box::new(node)), commands, board));
        }
        let Beginning {
            seed, configure, ..
        } = beginning;
        let (driver, commands, board) = Driver::open(journal, clock, configure.policy, seed)?;
        Ok((Self::Alone(Box::new(driver)), commands, board))
    }

    fn counted(self, metrics: Arc<Metrics>) -> Self {
        match self {
            Self::Alone(driver) => Self::Alone(Box::new(driver.counted(metrics))),
            Self::Node(node) => Self::Node(Box::new(node.counted(metrics))),
        }
    }

    fn set_courier(&mut self, courier: mpsc::UnboundedSender<Send>) {
        match self {
            Self::Alone(driver) => driver.set_courier(courier),
            Self::Node(node) => node.set_courier(courier),
        }
    }

    fn status(&self) -> Option<Arc<Status>> {
        match self {
            Self::Alone(_) => None,
            Self::Node(node) => Some(node.status()),
        }
    }

    fn spawn(self) -> JoinHandle<Result<(), DriverError>> {
        match self {
            Self::Alone(driver) => tokio::spawn(driver.run()),
            Self::Node(node) => tokio::spawn(node.start().run()),
        }
    }
}

/// Checks that the vendors that the configuration names are known.
fn known_dialects(config: &Config) -> Result<(), ServerError> {
    let named: &[String] = match &config.dialects {
        Dialects::Named(names) => names,
        _ => &[],
    };
    let known: Vec<_> = dialects().collect();
    let listening = config.listen.dialects.iter().map(|(name, _)| name);
    match named
        .iter()
        .chain(listening)
        .find(|name| !known.contains(&name.as_str()))
    {
        Some(name) => Err(ServerError::Dialect {
            name: name.clone(),
            known,
        }),
        None => Ok(()),
    }
}

/// Runs a command that a start begins with. If the journal can't be written at the moment it is run once it can be, and
/// reads are served meanwhile.
async fn at_start<C: Command + Clone>(
    commands: &Commands,
    clock: &Clock,
    command: C,
) -> Result<(), Failure> {
    match commands.ask(command.clone()).await {
        Err(Failure::Storage | Failure::NoLeader) => {}
        answer => return answer.map(|_| ()),
    }
    let (door, clock) = (commands.downgrade(), clock.clone());
    tokio::spawn(async move {
        loop {
            clock.hold(START_RETRY).await;
            let Some(commands) = door.upgrade() else {
                return;
            };
            match commands.ask(command.clone()).await {
                Err(Failure::Storage | Failure::NoLeader) => {}
                Ok(_) => return,
                Err(failure) => {
                    tracing::error!(%failure, "what the server starts with was refused");
                    return;
                }
            }
        }
    });
    Ok(())
}

/// A secret from the system's source of randomness, from which those of endpoints are derived. The journal keeps it;
/// one that is there already stays.
fn fresh_secret() -> Result<Secret, ServerError> {
    random_bytes().map(Secret::generate)
}

/// Bytes of the system's source of randomness.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut random = [0; N];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| ServerError::NoRandomness)?;
    Ok(random)
}
