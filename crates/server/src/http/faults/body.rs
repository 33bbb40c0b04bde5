//! Bodies that are spoiled on their way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// The largest body that is cut in half, in bytes; a larger one is left whole.
const TRUNCATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What begins an event's data in a stream.
const DATA: &[u8] = b"data: ";

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the simulator ends this body early")]
struct Spoiled;

/// A body that breaks at once.
pub(super) fn broken() -> Body {
    Body::new(Piece {
        left: None,
        is_flushed: true,
        length: None,
    })
}

/// The same answer with the first half of its body, and whether there was anything to cut.
pub(super) async fn truncate(response: Response) -> (Response, bool) {
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, TRUNCATED_BYTES_MAX).await else {
        return (Response::from_parts(parts, broken()), true);
    };
    if bytes.len() < 2 {
        return (Response::from_parts(parts, Body::from(bytes)), false);
    }
    let body = Body::new(Piece {
        left: Some(bytes.slice(..bytes.len() / 2)),
        is_flushed: false,
        // The head promises the whole.
        length: Some(bytes.len() as u64),
    });
    (Response::from_parts(parts, body), true)
}

/// The same body, of which nothing comes before `hold` is over.
pub(super) fn stall(
    body: Body,
    hold: impl Future<Output = ()> + Send + 'static,
    stop: CancellationToken,
) -> Body {
    Body::new(Stalled {
        hold: Some(Box::pin(async move {
            tokio::select! {
                () = hold => {}
                () = stop.cancelled() => {}
            }
        })),
        body,
    })
}

/// The same stream, whole for so many events; in the next one it is cut, or before it falls silent.
pub(super) fn spoil_stream(
    body: Body,
    events: usize,
    is_cut: bool,
    stop: CancellationToken,
) -> Body {
    Body::new(SpoiledStream {
        body,
        events,
        is_cut,
        stop,
        then: Then::Pass,
    })
}

/// A part of a body, and then an end that is none.
#[derive(Debug)]
struct Piece {
    left: Option<Bytes>,
    /// Whether what came before has had time to be sent: an error is faster than what is still in a buffer.
    is_flushed: bool,
    /// What the head promises.
    length: Option<u64>,
}

impl http_body::Body for Piece {
    type Data = Bytes;
    type Error = Spoiled;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Spoiled>>> {
        if let Some(bytes) = self.left.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.is_flushed {
            self.is_flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Spoiled)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that comes late.
struct Stalled {
    /// Gone when it is over.
    hold: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    body: Body,
}

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(hold) = &mut self.hold {
            if hold.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.hold = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.hold.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream of events that goes wrong.
struct SpoiledStream {
    body: Body,
    /// How many events are still to pass whole.
    events: usize,
    is_cut: bool,
    stop: CancellationToken,
    then: Then,
}

enum Then {
    /// It is as it should be.
    Pass,
    /// What was sent is to leave the buffers before the end.
    Flush,
    /// It breaks.
    Break,
    /// Nothing comes any more, until the server ends.
    Silence(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl SpoiledStream {
    /// What of these bytes is still sent, where the stream goes wrong within them.
    fn split(&mut self, bytes: &Bytes) -> Option<Bytes> {
        let mut line = 0;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if part.starts_with(DATA) {
                if self.events == 0 {
                    let end = if self.is_cut {
                        line + part.len() / 2
                    } else {
                        start_of_event(bytes, line)
                    };
                    return Some(bytes.slice(..end));
                }
                self.events -= 1;
            }
            line += part.len();
        }
        None
    }
}

/// Where the event with that line begins: after the last empty line before it.
fn start_of_event(bytes: &[u8], line: usize) -> usize {
    let before = bytes[..line].windows(2).rposition(|two| two == b"\n\n");
    before.map_or(0, |at| at + 2)
}

impl http_body::Body for SpoiledStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            match &mut self.then {
                Then::Pass => {}
                Then::Flush => {
                    self.then = Then::Break;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Then::Break => return Poll::Ready(Some(Err(axum::Error::new(Spoiled)))),
                Then::Silence(end) => return end.as_mut().poll(cx).map(|()| None),
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            let Some(rest) = frame.data_ref().and_then(|bytes| self.split(bytes)) else {
                return Poll::Ready(Some(Ok(frame)));
            };
            self.then = if self.is_cut {
                Then::Flush
            } else {
                let stop = self.stop.clone();
                Then::Silence(Box::pin(async move { stop.cancelled().await }))
            };
            if !rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(rest))));
            }
        }
    }
}
