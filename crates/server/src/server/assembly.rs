//! The parts of a server, connected: the loop on its journal, the state of the handlers, the courier.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

use abide_engine::delivery::{Send, SetMasterSecret};
use abide_wire::webhook::Secret;

use super::error::ServerError;
use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::{Beginning, Membership, Node, Opened, Status};
use crate::config::{Config, Dialects};
use crate::courier::{Carrier, Courier};
use crate::driver::{Commands, Driver, DriverError};
use crate::guard::Guard;
use crate::http::{AppState, answer_others, dialects, names_of, render_webhook};
use crate::journal::{Journal, may_block};
use crate::metrics::Metrics;

/// The parts of a server, running and connected, without a socket.
#[derive(Debug)]
pub struct Assembly {
    /// What handlers may reach.
    pub state: AppState,
    driver: JoinHandle<Result<(), DriverError>>,
    courier: Option<JoinHandle<()>>,
}

/// What a server makes of chance, unless its journal has it already.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The seed of all simulated jobs, unless the configuration says another.
    pub seed: u64,
    /// The secret from which those of webhook endpoints are derived.
    pub secret: Secret,
}

impl Assembly {
    pub(super) async fn put_together(
        config: Config,
        clock: Clock,
        mut journal: Box<dyn Journal>,
        carrier: impl FnOnce(&Arc<Guard>) -> Option<Arc<dyn Carrier>>,
        fresh: Fresh,
        membership: Option<Membership>,
    ) -> Result<Self, ServerError> {
        known_dialects(&config)?;
        let is_blocking = journal.is_blocking();
        let beginning = Beginning {
            seed: config.seed.unwrap_or(fresh.seed),
            secret: SetMasterSecret(fresh.secret.clone()),
            configure: config.configure(),
        };
        let at = clock.clone();
        let open = move || {
            let lease = journal.shared().map(|shared| shared.lease());
            let key = lease.map(|mut lease| lease.peer_key()).transpose()?;
            let opened = Loop::open(journal, at, beginning, membership)?;
            Ok::<_, DriverError>((opened, key))
        };
        let ((driver, commands, board), cluster_key) = may_block(is_blocking, open).await??;
        // Every node knows the tokens of the others.
        let stream_secret = cluster_key.map_or(fresh.secret, |key| {
            let digest = Sha256::new_with_prefix("stream-tokens").chain_update(key);
            Secret::generate(digest.finalize().into())
        });
        board.find_by(names_of);
        let metrics = Arc::new(Metrics::new());
        metrics.started(clock.system());
        let mut driver = driver.counted(metrics.clone());
        let state = AppState::new(
            board,
            commands,
            clock,
            config,
            metrics,
            stream_secret,
            driver.status(),
        );
        answer_others(&state);
        let courier = carrier(&state.guard).map(|carrier| {
            let (courier, sends) = mpsc::unbounded_channel();
            driver.set_courier(courier);
            let (clock, commands) = (state.clock.clone(), &state.commands);
            let courier = Courier::new(carrier, render_webhook, clock, commands, sends);
            let courier = courier.counted(state.metrics.clone());
            let courier = courier.draining(state.config.drain.get());
            tokio::spawn(courier.run(state.stop.clone()))
        });
        let driver = driver.spawn();
        Ok(Self {
            state,
            driver,
            courier,
        })
    }

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
            // It goes with the block, because the loop below ends only when no sender of commands is left.
            let state = state;
            let ended = tokio::select! {
                _ = serving.as_mut() => None,
                ended = &mut driver => Some(ended),
                () = async {
                    stop.cancelled().await;
                    state.end_holds();
                    std::future::pending::<()>().await;
                } => None,
            };
            // Without connections serving ends as soon as that.
            state.end_holds();
            ended
        };
        // The loop ends once the last handler is gone, and writes what is left.
        match ended {
            Some(ended) => ended??,
            None => match tokio::time::timeout(drain, &mut driver).await {
                Ok(ended) => ended??,
                // A disk that hangs doesn't keep a stop from ending, and nothing is written after it.
                Err(_) => {
                    driver.abort();
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
pub(super) fn known_dialects(config: &Config) -> Result<(), ServerError> {
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
