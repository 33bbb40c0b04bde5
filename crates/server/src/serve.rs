//! From a listening socket to requests: the accept loop and the care of connections.
//!
//! A connection speaks HTTP/1.1 or cleartext HTTP/2, whichever its first bytes say. It is given up when its first request, or the
//! head of a later one, doesn't come in time, and when its other end has vanished without a word. There are never more
//! than so many; others wait in the system's queue.
//!
//! Stopping is in three steps: nothing new is accepted and idle connections close; requests in flight go on, and what is held ends by
//! itself because it watches the same token; after the drain time whatever is left is cut.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a connection may take to its first whole head.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long it may take to any later one; so this is also how long an idle connection stays open.
const NEXT_REQUEST: Duration = Duration::from_secs(60);
/// The largest head of a request, and how much is read from a connection at once, in bytes. It is what an idle connection
/// costs, which is why it is small.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The most requests at the same time on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 2_000;
/// What is buffered for a slow reader of an HTTP/2 stream, in bytes.
const H2_SEND_BUFFER: usize = 64 * 1024;
/// After so long without a sign from the other end it is asked for one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// How long the answer to that may take, and how long bytes that were sent may stay unacknowledged.
const SIGN_OF_LIFE_WAIT: Duration = Duration::from_secs(30);
/// How long to wait where the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(100);

/// How the accept loop behaves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The most open connections.
    pub connections_max: usize,
    /// How long connections may take to end after the stop.
    pub drain: Duration,
}

/// Why nobody can listen there.
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

/// Listens on that address.
///
/// # Errors
///
/// The address is in use, isn't ours, or isn't allowed.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Refused { address, source },
        })
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// Breaks the connection off.
    pub reset: Reset,
}

/// Breaks a connection off without a word, as a crash or a middlebox would: what is to be written next is not written, and the
/// other end gets a reset. For the simulator.
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
pub async fn serve<M, S>(
    listener: TcpListener,
    make: M,
    options: ServeOptions,
    stop: CancellationToken,
) -> usize
where
    M: Fn(Peer) -> S,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(options.connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer, permit) = accepted;
        let reset = Reset::default();
        let service = make(Peer {
            address: peer,
            reset: reset.clone(),
        });
        let (stop, cut) = (stop.clone(), cut.clone());
        connections.spawn(async move {
            watch_for_life(&stream);
            let stream = Resettable { stream, reset };
            tokio::select! {
                () = connection(stream, service, stop) => {}
                () = cut.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(options.drain, connections.wait())
        .await
        .is_ok()
    {
        return 0;
    }
    let left = connections.len();
    tracing::warn!(
        connections = left,
        "cut connections that didn't end within the drain time"
    );
    cut.cancel();
    connections.wait().await;
    left
}

/// A connection that can be broken off from within.
#[derive(Debug)]
struct Resettable {
    stream: TcpStream,
    reset: Reset,
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
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    let permit = room
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

/// Serves one connection until its end, or, once `stop` is canceled, until the end of what is in flight.
///
/// # Cancel safety
///
/// Dropping it cuts the connection.
pub async fn connection<I, S>(io: I, service: S, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let begun = Arc::new(Begun::default());
    let service = Watched {
        service,
        begun: begun.clone(),
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));

    // The HTTP library waits for the first bytes without a limit, so that wait is bounded here.
    let late = tokio::select! {
        // What ends a connection is between the client and its network; it is no fault of ours.
        _ = connection.as_mut() => return,
        () = begun.wait() => false,
        () = tokio::time::sleep(FIRST_REQUEST) => true,
        () = stop.cancelled() => false,
    };
    if late {
        return;
    }
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SIGN_OF_LIFE_WAIT)
        .auto_date_header(false);
    builder
}

/// Whether a connection has brought its first request.
#[derive(Debug, Default)]
struct Begun {
    begun: AtomicBool,
    rung: Notify,
}

impl Begun {
    fn note(&self) {
        if !self.begun.load(Ordering::Relaxed) {
            self.begun.store(true, Ordering::Relaxed);
            // Kept by the bell where nobody listens yet.
            self.rung.notify_one();
        }
    }

    async fn wait(&self) {
        self.rung.notified().await;
    }
}

/// The service, watched for its first request.
#[derive(Debug)]
struct Watched<S> {
    service: S,
    begun: Arc<Begun>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.begun.note();
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    /// A connection to a server that answers `GET /slow` after 100 s and everything else at once.
    fn connect(stop: &CancellationToken) -> (DuplexStream, JoinHandle<()>) {
        let (near, far) = duplex(64 * 1024);
        let service = service_fn(async |request: Request<Incoming>| {
            if request.uri().path() == "/slow" {
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
            Ok::<_, Infallible>(Response::new(Body::from("fine")))
        });
        (near, tokio::spawn(connection(far, service, stop.clone())))
    }

    #[expect(clippy::disallowed_methods, reason = "measures paused time")]
    fn now() -> Instant {
        Instant::now()
    }

    async fn read(near: &mut DuplexStream) -> String {
        let mut text = Vec::new();
        let mut bytes = [0; 1024];
        while !text.ends_with(b"fine") {
            match near.read(&mut bytes).await.unwrap() {
                0 => break,
                n => text.extend_from_slice(&bytes[..n]),
            }
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_whole_is_cut() {
        let head = "GET / HTTP/1.1\r\nhost: x\r\nslow";
        for (said, limit) in [
            ("", FIRST_REQUEST),
            ("P", FIRST_REQUEST),
            ("PRI * HTT", FIRST_REQUEST),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FIRST_REQUEST),
            ("GET / HTTP", FIRST_REQUEST),
            (head, FIRST_REQUEST),
        ] {
            let (mut near, task) = connect(&CancellationToken::new());
            let begun = now();
            near.write_all(said.as_bytes()).await.unwrap();
            task.await.unwrap();
            assert_eq!(begun.elapsed().as_secs(), limit.as_secs(), "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_has_its_time_too_and_an_answer_has_none() {
        let (mut near, task) = connect(&CancellationToken::new());
        let begun = now();
        near.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(read(&mut near).await.starts_with("HTTP/1.1 200"));
        assert_eq!(begun.elapsed().as_secs(), 100);
        near.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 100 + NEXT_REQUEST.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_idle_connections_and_lets_requests_finish() {
        let stop = CancellationToken::new();
        let (mut idle, idle_task) = connect(&stop);
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        read(&mut idle).await;
        let (mut busy, busy_task) = connect(&stop);
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let (_silent, silent_task) = connect(&stop);
        tokio::time::sleep(Duration::from_secs(1)).await;

        let stopped = now();
        stop.cancel();
        idle_task.await.unwrap();
        silent_task.await.unwrap();
        assert_eq!(stopped.elapsed(), Duration::ZERO);
        let answer = read(&mut busy).await;
        assert!(answer.contains("connection: close"), "{answer}");
        busy_task.await.unwrap();
        assert_eq!(stopped.elapsed().as_secs(), 99);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_too_large_is_refused() {
        let (mut near, task) = connect(&CancellationToken::new());
        let head = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nbig: {}\r\n\r\n",
            "x".repeat(2 * HEAD_BYTES_MAX)
        );
        near.write_all(head.as_bytes()).await.unwrap();
        let answer = read(&mut near).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        task.await.unwrap();
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_as_that() {
        let first = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).await.unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_accept_loop_answers_drains_and_ends() {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let options = ServeOptions {
            connections_max: 2,
            drain: Duration::from_millis(50),
        };
        let never = Arc::new(Notify::new());
        let make = {
            let never = never.clone();
            move |peer: Peer| {
                let never = never.clone();
                service_fn(move |request: Request<Incoming>| {
                    let never = never.clone();
                    async move {
                        if request.uri().path() == "/never" {
                            never.notify_one();
                            std::future::pending::<()>().await;
                        }
                        let body = Body::from(format!("{} fine", peer.address.ip()));
                        Ok::<_, Infallible>(Response::new(body))
                    }
                })
            }
        };
        let server = tokio::spawn(serve(listener, make, options, stop.clone()));
        let mut streams = Vec::new();
        for path in ["/", "/never"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
                .await
                .unwrap();
            streams.push(stream);
        }
        let mut bytes = vec![0; 1024];
        let n = streams[0].read(&mut bytes).await.unwrap();
        assert!(String::from_utf8_lossy(&bytes[..n]).ends_with("127.0.0.1 fine"));
        never.notified().await;
        stop.cancel();
        assert_eq!(server.await.unwrap(), 1);
    }
}
