//! From a configuration to a running server, and to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use abide_engine::SetDefaults;
use abide_engine::delivery::SetMasterSecret;
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use crate::clock::Clock;
use crate::config::{ClockSort, Config, JobStart};
use crate::courier::{Courier, HttpCarrier};
use crate::driver::{Driver, DriverError, Failure};
use crate::http::{AppState, Gate};
use crate::journal::{Journal, JournalError, MemoryJournal, SqliteJournal, View};
use crate::metrics::Metrics;
use crate::serve::{BindError, Peer, ServeOptions, bind, serve};

/// What `sqlite3` on the checkpoint shows a person.
const VIEWS: &[View] = &[View {
    name: "job",
    query: "SELECT json_extract(body, '$.key') AS id, json_extract(body, '$.kind') AS kind, \
            json_extract(body, '$.state') AS state, json_extract(body, '$.revision') AS revision, \
            json_extract(body, '$.created_at') AS created_at, \
            json_extract(body, '$.finished_at') AS finished_at \
            FROM part WHERE key >= 'job/' AND key < 'job0'",
}];
/// Where a manual clock begins: 2026-01-01T00:00:00Z.
const MANUAL_START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A server that has everything it needs and listens; [`Server::run`] serves.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    state: AppState,
    driver: JoinHandle<Result<(), DriverError>>,
    courier: JoinHandle<()>,
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
    /// The loop didn't take its settings.
    #[error("the settings were refused: {0}")]
    Settings(#[from] Failure),
    /// The system has no randomness to make secrets of.
    #[error("the system's source of randomness failed")]
    NoRandomness,
    /// A task panicked or was canceled.
    #[error("a task of the server's failed")]
    Task(#[from] JoinError),
}

impl Server {
    /// Opens the journal, catches up with what was due while nobody looked, and listens. `fresh_seed` seeds all luck where
    /// neither the configuration nor the journal has a seed.
    ///
    /// # Errors
    ///
    /// The address is taken, or the directory can't be used; nothing has been changed then.
    pub async fn start(config: Config, fresh_seed: u64) -> Result<Self, ServerError> {
        let listener = bind(config.listen.0).await?;
        let address = listener.local_addr().unwrap_or(config.listen.0);
        let clock = match config.clock {
            ClockSort::Manual => Clock::manual(MANUAL_START),
            ClockSort::Real if config.speed.get() == 1 => Clock::real(),
            ClockSort::Real => Clock::scaled(config.speed),
        };
        let (driver, commands, board) = {
            let (config, clock) = (config.clone(), clock.clone());
            tokio::task::spawn_blocking(move || {
                // Below 2^63, as the files keep it.
                let life = fresh_seed >> 1;
                let journal: Box<dyn Journal> = if config.ephemeral {
                    Box::new(MemoryJournal::forgetful(life))
                } else {
                    Box::new(SqliteJournal::open(&config.data, VIEWS, life)?)
                };
                let policy = config.policy();
                Driver::open(journal, clock, policy, config.seed, fresh_seed)
            })
            .await??
        };
        let metrics = Arc::new(Metrics::new());
        let (courier, sends) = mpsc::unbounded_channel();
        let driver = driver.counted(metrics.clone()).with_courier(courier);
        let driver = tokio::spawn(driver.run());
        commands.ask(SetMasterSecret(fresh_secret()?)).await?;
        commands.ask(SetDefaults(config.defaults())).await?;
        if config.default_job_start == JobStart::Boot {
            commands.ask(config.default_job(true)).await?;
        }
        let state = AppState::new(board, commands, clock, config, metrics);
        let carrier = Arc::new(HttpCarrier::new(state.guard.clone()));
        let courier = Courier::new(carrier, state.clock.clone(), &state.commands, sends);
        let courier = courier.counted(state.metrics.clone());
        let courier = tokio::spawn(courier.run(state.stop.clone()));
        Ok(Self {
            address,
            listener,
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

    /// What handlers may reach; for tests and for programs that embed the server.
    #[must_use]
    pub const fn state(&self) -> &AppState {
        &self.state
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
        let Self {
            listener,
            state,
            mut driver,
            courier,
            ..
        } = self;
        let held = state.clone();
        let options = ServeOptions {
            connections_max: state.config.connections_max.get(),
            drain: state.config.drain.get(),
        };
        let make = move |peer: Peer| {
            Gate::new(state.clone(), Some(peer.address.ip())).with_reset(peer.reset)
        };
        let ended = {
            let serving = serve(listener, make, options, stop.clone());
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                _ = serving.as_mut() => None,
                ended = &mut driver => Some(ended),
                // It goes with the block, because the loop below ends only when nobody can ask it any more.
                () = async move {
                    stop.cancelled().await;
                    held.end_holds();
                    std::future::pending::<()>().await;
                } => None,
            }
        };
        // The loop ends once the last handler is gone, and writes what is left.
        match ended {
            Some(ended) => ended??,
            None => driver.await??,
        }
        courier.await?;
        Ok(())
    }
}

/// A secret from the system's source of randomness, from which those of endpoints are derived. The journal keeps it; one
/// that is there already stays.
fn fresh_secret() -> Result<Secret, ServerError> {
    let mut random = [0; 32];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| ServerError::NoRandomness)?;
    Ok(Secret::generate(random))
}
