//! From a configuration to a server that listens, and to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use abide_engine::Command;
use abide_engine::delivery::SetMasterSecret;
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use super::assembly::{Assembly, Fresh, known_dialects};
use super::error::ServerError;
use super::reload::Reload;
use crate::clock::Clock;
use crate::cluster::Membership;
use crate::config::{ClockSort, Config, JobStart};
use crate::courier::{Carrier, HttpCarrier};
#[cfg(feature = "postgres")]
use crate::database;
use crate::driver::{Commands, Failure};
use crate::guard::Guard;
use crate::http::AppState;
use crate::http::Gate;
use crate::journal::{Journal, MemoryJournal, SqliteJournal, View};
#[cfg(feature = "tls")]
use crate::net::Tls;
use crate::net::{Peer, Room, ServeOptions, bind, serve};

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
        let assembly = Assembly::put_together(config, clock, journal, carrier, fresh, None).await?;
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
        Assembly::put_together(config, clock, journal, carrier, fresh, Some(membership)).await
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
            access: self.assembly.state.access.clone(),
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
                    tracing::error!(%failure, "the command that the server starts with was refused");
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
