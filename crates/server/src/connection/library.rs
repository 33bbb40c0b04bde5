//! A connection as the HTTP library serves it: any version, any sort of body, and whatever is to be refused.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::bare::Bare;
use super::head::{FIELDS_MAX, HEAD_BYTES_MAX};
use super::{Answers, NEXT_REQUEST};
use crate::serve::{SIGN_OF_LIFE, SIGN_OF_LIFE_WAIT};

/// The most requests at the same time on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 2_000;
/// What is buffered for a slow reader of an HTTP/2 stream, in bytes.
const H2_SEND_BUFFER: usize = 64 * 1024;

/// Serves a connection, of which some bytes have been read, until its end, or, once `stop` is canceled, until the end of what is in
/// flight. The next request must have come whole after `first`.
///
/// # Cancel safety
///
/// Dropping it cuts the connection.
pub(super) async fn serve<I, A>(
    io: Rewound<I>,
    answers: A,
    stop: CancellationToken,
    first: Duration,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let begun = Arc::new(Begun::default());
    let service = Watched {
        answers,
        begun: begun.clone(),
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Bare::new(io)), service));

    // The HTTP library waits for the first bytes without a limit, so that wait is bounded here.
    let late = tokio::select! {
        // What has come is read before it counts as late.
        biased;
        // What ends a connection is between the client and its network; it is no fault of ours.
        _ = connection.as_mut() => return,
        () = begun.wait() => false,
        () = tokio::time::sleep(first) => true,
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
        .max_headers(FIELDS_MAX)
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

/// Whether a connection has brought a request to the library.
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

/// What answers, watched for its first request.
#[derive(Debug)]
struct Watched<A> {
    answers: A,
    begun: Arc<Begun>,
}

impl<A: Answers> Service<Request<Incoming>> for Watched<A> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Sure;

    fn call(&self, request: Request<Incoming>) -> Sure {
        self.begun.note();
        Sure(self.answers.ordinary(request.map(Body::new)))
    }
}

/// An answer that always comes.
struct Sure(super::Answering);

impl Future for Sure {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

/// A connection of which some bytes have been read already, and come again.
#[derive(Debug)]
pub(super) struct Rewound<I> {
    bytes: Bytes,
    io: I,
}

impl<I> Rewound<I> {
    pub(super) const fn new(bytes: Bytes, io: I) -> Self {
        Self { bytes, io }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let length = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..length]);
        self.bytes.advance(length);
        if self.bytes.is_empty() {
            // Their memory is given back at once.
            self.bytes = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
