//! Whose turn it is on a connection that hyper serves: what hyper is doing, seen from its reads, its writes and its
//! calls.
//!
//! hyper says neither when it is idle nor when it refuses a request by itself, and taken apart it forgets what it
//! hasn't written. All three follow from the order of what passes through here: bytes come, a request is handed over,
//! its answer is handed back, and the last of it is flushed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::Stream;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::park::Parked;
use crate::http::answer::{Body, Broken};

/// Time limits are counted in ticks of this length: they are as exact as that, and cost a busy connection nothing.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How long a head may take from its first byte to its last.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what is written.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(30);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// How long ago it began.
    age: Duration,
    /// How long the peer has taken nothing, while hyper has something to write.
    stalled: Option<Duration>,
    /// Some of the request's body may not have come yet.
    is_body_open: bool,
    /// hyper has the whole answer.
    is_told: bool,
    /// hyper has written all that it had.
    is_flushed: bool,
    /// hyper refused what it couldn't read.
    is_refused: bool,
    /// The request that leaves hyper.
    parked: Option<Parked>,
}

/// What happens on the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing; the last answer has been written.
    #[default]
    Silent,
    /// A head comes.
    Heard,
    /// A request waits for its answer.
    Asked,
    /// An answer is written.
    Answered,
}

/// What a tick means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    /// It goes on.
    Fine,
    /// It is idle and needs hyper no more.
    Idle,
    /// The peer is too slow.
    Late,
}

impl Turn {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    fn begin(&self, phase: Phase) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.phase = phase;
        state.age = Duration::ZERO;
        state
    }

    /// Bytes have come.
    fn heard(&self) {
        let mut state = self.state();
        if state.phase == Phase::Silent {
            state.phase = Phase::Heard;
            state.age = Duration::ZERO;
        }
    }

    /// hyper hands a request over, maybe with a body to come.
    pub(super) fn asked(&self, is_body_open: bool) {
        let mut state = self.begin(Phase::Asked);
        state.is_body_open = is_body_open;
        state.is_told = false;
    }

    /// hyper has been handed the head of the answer.
    pub(super) fn answered(&self) {
        drop(self.begin(Phase::Answered));
    }

    /// Whether the request has been read to its end, so that what comes next is the next request.
    pub(super) fn is_read(&self) -> bool {
        !self.state().is_body_open
    }

    /// The request leaves hyper, as soon as hyper has written what it had.
    pub(super) fn park(&self, parked: Parked) {
        let mut state = self.state();
        state.is_flushed = false;
        state.parked = Some(parked);
    }

    /// The request that may leave hyper now.
    pub(super) fn take_parked(&self) -> Option<Parked> {
        let mut state = self.state();
        if state.is_flushed {
            state.parked.take()
        } else {
            None
        }
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state().phase, Phase::Asked | Phase::Answered)
    }

    /// Whether hyper refused what it couldn't read.
    pub(super) fn is_refused(&self) -> bool {
        self.state().is_refused
    }

    /// Whether hyper writes for a request. What it writes without one is a refusal.
    fn may_write(&self) -> bool {
        let mut state = self.state();
        state.is_refused |= matches!(state.phase, Phase::Silent | Phase::Heard);
        !state.is_refused
    }

    /// hyper tried to write, and the peer did or didn't take it.
    fn wrote(&self, is_taken: bool) {
        let mut state = self.state();
        state.stalled = if is_taken {
            None
        } else {
            state.stalled.or(Some(Duration::ZERO))
        };
    }

    /// hyper has written all that it had.
    fn flushed(&self) {
        let mut state = self.state();
        state.is_flushed = true;
        if state.phase == Phase::Answered && state.is_told {
            state.phase = Phase::Silent;
            state.age = Duration::ZERO;
        }
    }

    /// A tick has passed.
    pub(super) fn tick(&self) -> Tick {
        let mut state = self.state();
        state.age += TICK;
        if let Some(stalled) = &mut state.stalled {
            *stalled += TICK;
            if *stalled >= WRITE_WAIT {
                return Tick::Late;
            }
        }
        match state.phase {
            Phase::Silent => Tick::Idle,
            Phase::Heard if state.age >= HEAD_WAIT => Tick::Late,
            Phase::Heard | Phase::Asked | Phase::Answered => Tick::Fine,
        }
    }
}

/// A socket of which some bytes have been read already, and come again, watched for whose turn it is.
#[derive(Debug)]
pub(super) struct Wire<I> {
    ahead: Bytes,
    io: I,
    turn: Arc<Turn>,
}

impl<I> Wire<I> {
    pub(super) fn new(ahead: Vec<u8>, io: I, turn: Arc<Turn>) -> Self {
        Self {
            ahead: ahead.into(),
            io,
            turn,
        }
    }

    /// The socket, and the bytes that come again after these.
    pub(super) fn into_parts(self, read: &[u8]) -> (I, Vec<u8>) {
        // Copied, because the buffers they are parts of are larger.
        (self.io, [read, &self.ahead].concat())
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        } else {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
        }
        if buffer.filled().len() > before {
            self.turn.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.turn.may_write() {
            // Another refusal is written in its place.
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.turn.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.turn.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The body of a request as hyper reads it.
pub(super) struct Received {
    body: Incoming,
    /// Told of its end.
    turn: Option<Arc<Turn>>,
}

impl Received {
    /// The body of a request, whose end is told to that connection.
    pub(super) fn body(body: Incoming, turn: Option<Arc<Turn>>) -> Body {
        if body.is_end_stream() {
            Body::Empty
        } else {
            Body::stream(Self { body, turn })
        }
    }
}

impl Stream for Received {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing that is asked for.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                None => {
                    if let Some(turn) = self.turn.take() {
                        turn.state().is_body_open = false;
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// The body of an answer as hyper writes it.
pub(super) struct Told {
    pub(super) body: Body,
    /// Told when hyper has all of it.
    pub(super) turn: Arc<Turn>,
}

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.turn.state().is_told = true;
    }
}
