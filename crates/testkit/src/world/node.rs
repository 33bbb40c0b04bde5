//! The server: started, stopped and crashed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::config::{Config, Layers};
use abide_server::courier::Carrier;
use abide_server::http::{AppState, Gate};
use abide_server::net::connection;
use abide_server::{Fresh, Server, ServerError};
use abide_wire::Timestamp;
use abide_wire::webhook::Secret;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::disk::Disk;
use super::history::now;
use super::net::{Arrival, Net};
use super::plan::Sabotage;
use super::receivers::Receivers;

/// The owners' keys: of the first two clients, and of the last one.
pub(super) const KEYS: [&str; 2] = [
    "a-secret-of-alice-that-is-long",
    "b-secret-of-bob-that-is-longer",
];
/// The owners.
pub(super) const OWNERS: [&str; 2] = ["alice", "bob"];
/// The most bytes of records, which some worlds reach.
pub(super) const STORED_BYTES_MAX: usize = 250_000;
/// The most bytes under way.
pub(super) const INFLIGHT_BYTES_MAX: usize = 4_000_000;
/// Where the clocks of the world begin.
const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The clock of the server's machine, which may be set. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    began: Instant,
    set_by_ms: Arc<AtomicI64>,
}

/// A server that runs.
pub(super) struct Node {
    pub(super) state: AppState,
    lives: Arc<AtomicBool>,
    stop: CancellationToken,
    parts: Vec<AbortHandle>,
    pub(super) running: JoinHandle<Result<(), ServerError>>,
}

impl Wall {
    pub(super) fn new() -> Self {
        Self {
            began: now(),
            set_by_ms: Arc::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let ran = now().duration_since(self.began);
        let shown = BEGIN + ran;
        Timestamp::from_millis(shown.as_millis() + self.set_by_ms.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, by_ms: i64) {
        self.set_by_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

fn config(sabotage: Sabotage) -> Config {
    let stored = match sabotage {
        Sabotage::Unbounded => STORED_BYTES_MAX * 1_000,
        _ => STORED_BYTES_MAX,
    };
    let flags = [
        ("ephemeral", "true"),
        ("seed", "7"),
        ("rate-limit", "off"),
        ("hold-max", "20s"),
        ("drain", "2s"),
        ("requests-kept", "0"),
        ("dialects", "heygen"),
        ("webhook-retry", "0,1s,2s,3s,5s,8s,13s,21s,34s,55s"),
        ("stored-bytes-max", &stored.to_string()),
        ("stored-bytes-per-owner", &stored.to_string()),
        ("inflight-bytes-max", &INFLIGHT_BYTES_MAX.to_string()),
        ("inflight-bytes-per-owner", &INFLIGHT_BYTES_MAX.to_string()),
    ];
    let layers = flags
        .iter()
        .fold(Layers::default(), |layers, (name, value)| {
            layers.flag(*name, *value)
        });
    let keys = OWNERS.iter().zip(KEYS);
    let layers = keys.fold(layers, |layers, (owner, secret)| {
        layers.flag("api-key", format!("{owner}:user:{secret}"))
    });
    layers.resolve().expect("the flags above are right").config
}

impl Node {
    /// Starts a server on that disk and network.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub(super) async fn start(
        disk: &Disk,
        net: &Net,
        wall: &Wall,
        receivers: &Receivers,
        sabotage: Sabotage,
    ) -> Result<Self, ServerError> {
        let lives = Arc::new(AtomicBool::new(true));
        let system = wall.clone();
        let clock = Clock::of_system(move || system.now(), std::num::NonZeroU32::MIN);
        let carrier: Arc<dyn Carrier> = Arc::new(receivers.courier(&lives));
        let fresh = Fresh {
            seed: 7,
            secret: Secret::generate([7; 32]),
        };
        let journal = Box::new(disk.open());
        let assembly =
            Server::assemble(config(sabotage), clock, journal, |_| Some(carrier), fresh).await?;
        disk.started();
        let stop = CancellationToken::new();
        let state = assembly.state.clone();
        let serving = serve(net.listen(), state.clone(), stop.clone());
        let parts = assembly.abort_handles().collect();
        let running = tokio::spawn(assembly.run(serving, stop.clone()));
        Ok(Self {
            state,
            lives,
            stop,
            parts,
            running,
        })
    }

    /// Ends it where it stands.
    pub(super) fn kill(self) {
        self.lives.store(false, Ordering::Relaxed);
        self.running.abort();
        self.parts.iter().for_each(AbortHandle::abort);
    }

    /// Stops it in order.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub(super) async fn stop(self) -> Result<(), ServerError> {
        let Self {
            state,
            lives,
            stop,
            running,
            ..
        } = self;
        stop.cancel();
        drop(state);
        let ended = running.await?;
        lives.store(false, Ordering::Relaxed);
        ended
    }
}

/// Serves what arrives, until `stop` is canceled and what is open has ended or its time has.
async fn serve(
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    state: AppState,
    stop: CancellationToken,
) {
    let drain: Duration = state.config.drain.get();
    let mut connections = JoinSet::new();
    loop {
        let (end, peer): (_, SocketAddr) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(arrival) = arrivals.recv() => arrival,
            Some(_) = connections.join_next() => continue,
        };
        let gate = Gate::new(state.clone(), Some(peer.ip()));
        connections.spawn(connection(end, gate, stop.clone()));
    }
    drop(arrivals);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, ended).await.is_err() {
        connections.shutdown().await;
    }
}
