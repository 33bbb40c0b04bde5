//! The listener: its settings, its sockets, its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::sync::{Semaphore, watch};

use abide_wire::{WebhookTarget, webhook::TOLERANCE};

use super::intake::{Intake, SeenIds, Taker};
use crate::inbox::Inbox;
use crate::rng;
use crate::rt::net::{
    Io, JoinHandle, JoinSet, TcpListener, TcpStream, Timer, ToSocketAddrs, sleep, spawn,
};
use crate::telemetry;
use crate::webhook::{Delivery, Secret, Verifier};

/// The most connections at a time. Others wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// The most connections of one address, so that a stranger's leave room for the server's.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 192;
/// How long the head of a request may take; so this is also how long an idle connection stays open.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// How much is read from a connection at once, and the largest head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait where the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(100);

/// An HTTP listener for webhooks: it verifies, drops duplicates, and delivers what is left to an [`Inbox`].
///
/// It answers `204` to what it has taken, duplicates too, and refuses the rest: `401` what isn't signed by the secret
/// or is too old, `413` what is too large, `415` what isn't JSON, `405` what isn't a `POST`. Bind it to an address that
/// the server can reach; the path doesn't matter.
///
/// Dropping it closes the listener and every connection; [`close`](Self::close) answers first what has come.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use abide::strategy::Webhook;
/// use abide::{Client, NewJob, Receiver};
///
/// let client = Client::new("http://127.0.0.1:8080")?;
/// let receiver = Receiver::bind("127.0.0.1:0").await?;
/// let job = client.create(NewJob::default().webhook(receiver.target())).await?;
/// let done = job.wait().strategy(Webhook::new(receiver.inbox())).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    secret: Secret,
    inbox: Inbox,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How a [`Receiver`] behaves.
#[derive(Clone)]
pub struct ReceiverBuilder {
    secrets: Vec<Secret>,
    inbox: Inbox,
    tolerance: Duration,
    taker: Option<Taker>,
}

/// Why a receiver can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// It can't listen there.
    #[error("can't listen for webhooks: {0}")]
    Listen(#[source] io::Error),
    /// The system has no randomness to make a secret of; give it one.
    #[error("can't make a secret: {0}")]
    Secret(#[source] io::Error),
}

impl Receiver {
    /// Listens at that address, with a fresh secret and a fresh inbox.
    ///
    /// # Errors
    ///
    /// The address can't be listened at, or the system has no randomness.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn bind(address: impl ToSocketAddrs) -> Result<Self, ReceiverError> {
        Self::builder().bind(address).await
    }

    /// A receiver with other settings.
    #[must_use]
    pub fn builder() -> ReceiverBuilder {
        ReceiverBuilder {
            secrets: Vec::new(),
            inbox: Inbox::new(),
            tolerance: TOLERANCE,
            taker: None,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, where the server runs on a machine for which this address means this one.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The secret to sign with.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// What a new job needs to tell this receiver of its end.
    #[must_use]
    pub fn target(&self) -> WebhookTarget {
        WebhookTarget {
            url: self.url(),
            events: None,
            secret: Some(self.secret.expose().into()),
        }
    }

    /// Where the jobs go that it was told of.
    #[must_use]
    pub const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Takes no more deliveries, answers those that have come, and returns when all connections are closed. A sender
    /// whose delivery was taken then knows so, and doesn't bring it again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes everything at once.
    pub async fn close(mut self) {
        // It fails only where the task has ended, and then there is nothing to wait for.
        let _over = self.closing.send(true);
        let _over = (&mut self.task).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReceiverBuilder {
    /// Believes deliveries that are signed with this secret; may be given several times. The first is
    /// [`Receiver::secret`].
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Delivers to that inbox.
    #[must_use]
    pub fn inbox(mut self, inbox: &Inbox) -> Self {
        self.inbox = inbox.clone();
        self
    }

    /// How far a delivery's timestamp may lie from now, either way; five minutes by default.
    #[must_use]
    pub const fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Asks `take` of every verified delivery that isn't a duplicate, whatever it tells of. Where that says `false` the
    /// delivery is answered `503`, so that the sender tries again, and counts as not seen.
    ///
    /// The sender gives up after some seconds: answer before, and work afterwards.
    #[must_use]
    pub fn on_delivery<F>(mut self, take: impl Fn(Delivery) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        self.taker = Some(Arc::new(move |delivery| Box::pin(take(delivery))));
        self
    }

    /// Listens at that address.
    ///
    /// # Errors
    ///
    /// The address can't be listened at, or the system has no randomness.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn bind(mut self, address: impl ToSocketAddrs) -> Result<Receiver, ReceiverError> {
        if self.secrets.is_empty() {
            let bytes = rng::secret_bytes().map_err(ReceiverError::Secret)?;
            self.secrets.push(Secret::generate(bytes));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(ReceiverError::Listen)?;
        let address = listener.local_addr().map_err(ReceiverError::Listen)?;
        let secret = self.secrets[0].clone();
        let inbox = self.inbox.clone();
        let (closing, is_closing) = watch::channel(false);
        let intake = Arc::new(Intake {
            verifier: Verifier::new(self.secrets).tolerance(self.tolerance),
            seen: Mutex::new(SeenIds::within(self.tolerance)),
            inbox: self.inbox,
            taker: self.taker,
        });
        Ok(Receiver {
            address,
            secret,
            inbox,
            closing,
            task: spawn(accept(listener, intake, is_closing)),
        })
    }
}

impl fmt::Debug for ReceiverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverBuilder")
            .field("secrets", &self.secrets)
            .field("tolerance", &self.tolerance)
            .finish_non_exhaustive()
    }
}

/// How many connections each address has.
#[derive(Clone, Debug, Default)]
struct Shares(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address; dropping it makes room for another.
#[derive(Debug)]
struct Share {
    shares: Shares,
    address: IpAddr,
}

impl Shares {
    /// `None` if that address has as many as it may have.
    fn take(&self, address: IpAddr) -> Option<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = shares.entry(address).or_default();
        if *own >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *own += 1;
        let shares = self.clone();
        Some(Share { shares, address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = shares.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                shares.remove(&self.address);
            }
        }
    }
}

/// Accepts until it is closed, and then waits for its connections; or until it is dropped, and its connections with it.
async fn accept(listener: TcpListener, intake: Arc<Intake>, mut is_closing: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let shares = Shares::default();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed(&mut is_closing) => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Some(share) = shares.take(peer.ip()) else {
                    continue;
                };
                let intake = intake.clone();
                let is_closing = is_closing.clone();
                connections.spawn(async move {
                    serve(socket, intake, is_closing).await;
                    drop((permit, share));
                });
            }
            Err(error) => {
                telemetry::not_accepted(&error);
                sleep(NO_ROOM_WAIT).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns when the receiver is being closed.
async fn closed(is_closing: &mut watch::Receiver<bool>) {
    if is_closing.wait_for(|is_closing| *is_closing).await.is_err() {
        // It was dropped, and this task will be before it is asked again.
        std::future::pending::<()>().await;
    }
}

async fn serve(socket: TcpStream, intake: Arc<Intake>, mut is_closing: watch::Receiver<bool>) {
    // It only costs time where it can't be set.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let intake = intake.clone();
        async move { Ok::<_, Infallible>(intake.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(Timer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(Io::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = closed(&mut is_closing) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        telemetry::broken_off(&error);
    }
}
