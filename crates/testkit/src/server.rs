//! The server of a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use abide::{Client, ClientBuilder, NewJob};
use abide_server::config::{ClockSort, ListenAddr, RateLimit};
use abide_server::http::AppState;
use abide_server::{Config, Server, ServerError};
use abide_wire::{Simulate, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::InProcess;

/// The seed of servers and clients that aren't given one, so that a test is the same every time.
const SEED: u64 = 7;

/// A server on a free port, which ends with the test.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    state: AppState,
    door: InProcess,
    /// How many clients it has made.
    clients: AtomicU64,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ServerError>>,
}

/// A job that the simulator completes after exactly that long.
#[must_use]
pub fn lasting(length: Duration) -> NewJob {
    NewJob::default().simulate(Simulate::fixed(length))
}

impl TestServer {
    /// What most tests want: everything in memory, the same seed every time, no limit of requests.
    #[must_use]
    pub fn config() -> Config {
        Config {
            ephemeral: true,
            seed: Some(SEED),
            rate_limit: RateLimit(None),
            ..Config::default()
        }
    }

    /// The same, on a clock that stands still until it is [advanced](Self::advance).
    #[must_use]
    pub fn by_hand() -> Config {
        Config {
            clock: ClockSort::Manual,
            ..Self::config()
        }
    }

    /// Starts a server with that configuration, but on a free port of this machine.
    ///
    /// # Errors
    ///
    /// Those of [`Server::start`].
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let config = Config {
            listen: ListenAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            ..config
        };
        let server = Server::start(config, SEED).await?;
        let stop = CancellationToken::new();
        Ok(Self {
            address: server.address(),
            state: server.state().clone(),
            door: InProcess::new(server.state()),
            clients: AtomicU64::new(0),
            stop: stop.clone(),
            running: tokio::spawn(server.run(stop)),
        })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that comes over a socket.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_builder()
            .build()
            .expect("the address of a running server is one")
    }

    /// The same, to be set up further. Each has a seed of its own, as two clients with one seed would give their jobs
    /// the same idempotency keys; the first is the same in every test.
    pub fn client_builder(&self) -> ClientBuilder {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        Client::builder(self.url()).seed(SEED.wrapping_add(number))
    }

    /// A client that comes without a socket, so that tokio's clock may be paused.
    #[must_use]
    pub fn in_process(&self) -> Client {
        self.client_builder()
            .transport(self.door.clone())
            .build()
            .expect("the address of a running server is one")
    }

    /// The door without a socket, for a client that is to be set up further: hand it to
    /// [`transport`](ClientBuilder::transport).
    #[must_use]
    pub fn door(&self) -> InProcess {
        self.door.clone()
    }

    /// What the server's handlers may reach.
    #[must_use]
    pub const fn state(&self) -> &AppState {
        &self.state
    }

    /// What time it is for the server.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state.clock.now()
    }

    /// Advances the server's clock, from deadline to deadline, and says what it shows then.
    ///
    /// # Panics
    ///
    /// Where the clock runs by itself: start the server with [`by_hand`](Self::by_hand).
    pub async fn advance(&self, by: Duration) -> Timestamp {
        self.state
            .commands
            .advance(by)
            .await
            .expect("a clock that is advanced by hand, and a server that runs")
    }

    /// Ends the server as SIGTERM would: what is held answers, streams end, the journal closes last.
    ///
    /// # Errors
    ///
    /// Those of [`Server::run`].
    ///
    /// # Panics
    ///
    /// Where the server has panicked.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.stop.cancel();
        // The loop ends when the last door to it is gone, and these are two.
        self.door.close();
        let Self { state, running, .. } = self;
        drop(state);
        running.await.expect("a server that doesn't panic")
    }
}
