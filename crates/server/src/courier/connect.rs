//! Sockets to receivers: only to addresses that the guard has just let through.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::clock::Clock;
use crate::guard::{DialError, Guard, Refused};

/// The most addresses of one receiver that are dialed for one attempt.
pub const DIALS_MAX: usize = 4;
/// How long one address may take to answer a dial before the next is tried.
pub const DIAL_MAX: Duration = Duration::from_secs(4);
/// The most connections that are kept open for a next delivery, over all receivers. What is opened while there are more
/// carries one delivery and is closed, so that thousands of endpoints can't use up the process's files.
pub const KEPT_MAX: usize = 512;

/// Opens connections for the HTTP client, under the guard.
///
/// The client reaches the network through this and through nothing else: no proxy, no resolver of its own, no redirect.
#[derive(Clone, Debug)]
pub struct Dialer {
    guard: Arc<Guard>,
    open: Arc<AtomicUsize>,
    clock: Clock,
}

/// Why no connection was opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The guard refused, or the name has no address.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The URL has no host. It had one when it was registered.
    #[error("the URL has no host")]
    NoHost,
    /// No address answered.
    #[error("{address} did not answer: {source}")]
    Io {
        /// The last one tried.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
}

impl ConnectError {
    /// Whether the server lacks what a connection takes. That says nothing of the receiver.
    pub(crate) fn is_own(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } | Self::Dial(DialError::Resolve { source, .. }) => source,
            Self::Dial(DialError::Refused(_)) | Self::NoHost => return false,
        };
        #[cfg(unix)]
        {
            use rustix::io::Errno;

            let ours = [
                Errno::MFILE,
                Errno::NFILE,
                Errno::NOBUFS,
                Errno::NOMEM,
                Errno::ADDRNOTAVAIL,
            ];
            Errno::from_io_error(source).is_some_and(|errno| ours.contains(&errno))
        }
        #[cfg(not(unix))]
        matches!(
            source.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        )
    }
}

impl Dialer {
    /// Dials what that guard lets through. The age of connections is measured by that clock's machine.
    #[must_use]
    pub fn new(guard: Arc<Guard>, clock: Clock) -> Self {
        Self {
            guard,
            open: Arc::default(),
            clock,
        }
    }

    async fn dial(self, uri: Uri) -> Result<TcpStream, ConnectError> {
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default);
        let addresses = self.guard.dialable(host, port).await?;
        let mut last = None;
        for address in addresses.into_iter().take(DIALS_MAX) {
            let address = SocketAddr::new(address, port);
            let dialed = match tokio::time::timeout(DIAL_MAX, TcpStream::connect(address)).await {
                Ok(dialed) => dialed,
                Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
            };
            match dialed {
                Ok(socket) => {
                    let refused = |source| ConnectError::Io { address, source };
                    let here = socket.local_addr().map_err(refused)?;
                    if self.guard.is_own(here, address) {
                        return Err(DialError::from(Refused::Own(host.to_owned())).into());
                    }
                    // A delivery is one small write, and must not wait for an acknowledgment of the one before.
                    socket.set_nodelay(true).map_err(refused)?;
                    return Ok(socket);
                }
                Err(source) => last = Some(ConnectError::Io { address, source }),
            }
        }
        Err(last.unwrap_or(ConnectError::NoHost))
    }
}

impl Service<Uri> for Dialer {
    type Response = Socket;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let (open, clock) = (dialer.open.clone(), dialer.clock.clone());
            let socket = dialer.dial(uri).await?;
            Ok(Socket {
                io: TokioIo::new(socket),
                used: Used {
                    is_used: Arc::default(),
                    since: clock.elapsed(),
                },
                is_kept: open.fetch_add(1, Ordering::Relaxed) < KEPT_MAX,
                open,
            })
        })
    }
}

/// Whether a connection has carried an exchange before.
///
/// A receiver may close a kept connection at the moment it is used again. That isn't the receiver's refusal, and
/// shows only on a connection that has been used.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    is_used: Arc<AtomicBool>,
    /// When it was opened, by the machine's time.
    pub(crate) since: Duration,
}

impl Used {
    pub(crate) fn mark(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }
}

/// A connection that remembers whether it has been used.
#[derive(Debug)]
pub struct Socket {
    io: TokioIo<TcpStream>,
    used: Used,
    /// Whether it may be kept for a next delivery.
    is_kept: bool,
    /// How many there are.
    open: Arc<AtomicUsize>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        let connected = self.io.connected().extra(self.used.clone());
        if !self.is_kept {
            connected.poison();
        }
        connected
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
