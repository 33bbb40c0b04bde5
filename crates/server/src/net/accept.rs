//! The accept loop: listening, the limit of connections, draining.
//!
//! As many connections are open as a [`Room`] has places; others wait in the system's queue. An address that has its
//! share of them is refused more, so that others find places. A peer that has vanished without a word is found by the
//! system.
//!
//! Stopping is in three steps: nothing new is accepted and idle connections close; requests in flight go on, and what
//! is held ends by itself because it watches the same token; after the drain time whatever is left is cut.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection::{Answers, connection};
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::http::limits::{Client, Held, Holds};

/// After this long without a sign from the peer, the system probes it.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// How long the answer to that may take, and how long bytes that were sent may stay unacknowledged.
pub(crate) const SIGN_OF_LIFE_WAIT: Duration = Duration::from_secs(30);
/// How long to wait where the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(100);

/// How many times as many connections as are free an address may have: alone it has 99 % of them, and another address
/// still finds one.
const ADDRESS_SHARE: usize = 99;

/// Open files that connections leave to the journal and to webhooks.
const FILES_KEPT: u64 = 100;

/// How the accept loop behaves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where connections find their places.
    pub room: Room,
    /// How long connections may take to end after the stop.
    pub drain: Duration,
    /// The certificate, where connections begin with a handshake.
    #[cfg(feature = "tls")]
    pub tls: Option<Arc<Tls>>,
}

/// Why the server can't listen there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program listens there.
    #[error(
        "{address} is in use by another program; stop that one, or choose another --listen address (port 0 takes a free one)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system doesn't let us.
    #[error("can't listen on {address}: {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Connections that may wait to be accepted, if the system allows it: all clients of a server that was away come back
/// at once, and one that finds no room there takes seconds to try again.
const BACKLOG: u32 = 65_535;

/// Listens on that address.
///
/// # Errors
///
/// The address is in use, isn't ours, or isn't allowed.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        _ => BindError::Refused { address, source },
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Elsewhere than on Unix it would let another program listen there, too.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The places of connections, for all listeners of a server together.
#[derive(Clone, Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    shares: Arc<Holds>,
    /// Proxies, which connect for many clients.
    trusted: Arc<[IpNet]>,
}

/// A connection's place. Dropping it frees the place.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    /// `None` for a trusted proxy.
    _share: Option<Held>,
}

impl Room {
    /// Room for as many connections, or fewer if the system allows fewer open files. An address has its share of it,
    /// but a trusted proxy has as many places as there are.
    #[must_use]
    pub fn new(connections_max: usize, trusted: &[IpNet]) -> Self {
        let places = room_for(connections_max, raise_files_max());
        if places < connections_max {
            // The default is more than most systems allow, so this is no warning.
            tracing::debug!(
                connections_max = places,
                "fewer connections than configured, because of the limit of open files"
            );
        }
        Self {
            places: Arc::new(Semaphore::new(places)),
            shares: Holds::fair(Arc::new(AtomicUsize::new(places)), ADDRESS_SHARE),
            trusted: trusted.into(),
        }
    }

    /// The place for a connection from there; `None` if its address has its share.
    fn place(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let is_trusted = self
            .trusted
            .iter()
            .any(|network| network.contains(&address));
        let share = match is_trusted {
            true => None,
            false => Some(self.shares.hold(Client::of_address(Some(address))).ok()?),
        };
        Some(Place {
            _permit: permit,
            _share: share,
        })
    }
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// Breaks the connection off.
    pub reset: Reset,
}

/// Breaks a connection off without a word, as a crash or a middlebox would: what is to be written next is not written,
/// and the other end gets a reset. For the simulator.
#[derive(Clone, Debug, Default)]
pub struct Reset(Arc<AtomicBool>);

impl Reset {
    /// Breaks it off as soon as anything is to be written.
    pub fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_reset(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves requests until `stop` is canceled, then drains, and returns how many connections had to be cut. `make` is
/// called with the other end of each connection and makes what answers its requests.
///
/// # Cancel safety
///
/// Dropping it cuts every connection at once.
pub async fn serve<M, A>(
    listener: TcpListener,
    make: M,
    options: ServeOptions,
    stop: CancellationToken,
) -> usize
where
    M: Fn(Peer) -> A,
    A: Answers,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, permit) = tokio::select! {
            accepted = accept(&listener, &options.room) => accepted,
            Some(_ended) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Some(place) = options.room.place(permit, peer.ip()) else {
            // It is closed: its client may try again when others of that address have gone.
            continue;
        };
        let reset = Reset::default();
        let answers = make(Peer {
            address: peer,
            reset: reset.clone(),
        });
        watch_for_life(&stream);
        let stream = Resettable {
            stream,
            reset,
            _place: place,
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = options.tls.clone() {
            let stop = stop.clone();
            connections.spawn(async move {
                let shaken = tokio::select! {
                    shaken = tls.accept(stream) => shaken,
                    () = stop.cancelled() => None,
                };
                if let Some(stream) = shaken {
                    connection(stream, answers, stop).await;
                }
            });
            continue;
        }
        connections.spawn(connection(stream, answers, stop.clone()));
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(options.drain, ended).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    tracing::warn!(
        connections = left,
        "cut connections that didn't end within the drain time"
    );
    connections.shutdown().await;
    left
}

/// Raises the limit of open files as far as the system allows, and says what it is, if the system says.
fn raise_files_max() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where it refuses, the limit is what it was.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// How many connections there may be with at most that many open files.
fn room_for(connections_max: usize, files_max: Option<u64>) -> usize {
    let Some(files_max) = files_max else {
        return connections_max;
    };
    // A small limit is shared evenly.
    let kept = FILES_KEPT.min(files_max / 2);
    connections_max.min(usize::try_from(files_max - kept).unwrap_or(usize::MAX))
}

/// A connection that can be broken off from within.
#[derive(Debug)]
struct Resettable {
    stream: TcpStream,
    reset: Reset,
    /// What makes it one of those that may be open.
    _place: Place,
}

impl Resettable {
    /// Nothing is written any more where the connection is to be broken off.
    fn check(&self) -> io::Result<()> {
        if self.reset.is_reset() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.is_reset() {
            // The system sends a reset in place of an end. Where it can't, the other end sees an end and no answer.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Room,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = room
        .places
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            // Its client has already gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "can't accept a connection; is the limit of open files too low?");
                tokio::time::sleep(NO_ROOM_WAIT).await;
            }
        }
    }
}

/// Has the system notice an other end that vanished, also while nothing is to be sent.
fn watch_for_life(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let alive = socket2::TcpKeepalive::new()
        .with_time(SIGN_OF_LIFE)
        .with_interval(SIGN_OF_LIFE_WAIT / 3)
        .with_retries(3);
    // Where the system can't, such a connection stays until something is sent; nothing else depends on it.
    let _ = socket.set_tcp_keepalive(&alive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(SIGN_OF_LIFE_WAIT));
    let _ = stream.set_nodelay(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_to_others() {
        for (connections_max, files_max, expected) in [
            (10, None, 10),
            (10, Some(1_024), 10),
            (2_000, Some(1_024), 924),
            (2_000, Some(120), 60),
            (1, Some(2), 1),
        ] {
            assert_eq!(room_for(connections_max, files_max), expected);
        }
    }
}
