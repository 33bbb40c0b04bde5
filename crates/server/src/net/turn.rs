//! Whose turn it is on a connection that hyper serves: what hyper is doing, seen from its reads, its writes and its
//! calls.
//!
//! hyper says neither when it is idle nor when it refuses a request by itself, and taken apart it forgets what it
//! hasn't written. All three follow from the order of what passes through here: bytes come, a request is handed over,
//! its answer is handed back, and the last of it is flushed.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::Stream;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::park::Parked;
use crate::http::answer::{Body, Broken};

/// Time limits are counted in ticks of this length: they are as exact as that, and cost a busy connection nothing.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How long a head may take from its first byte to its last.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what is written.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(30);

/// What isn't longer is written as one piece: a write of several takes the system longer than copying them together.
const COPIED_BYTES_MAX: usize = 2 * 1024;

/// Whose turn it is.
///
/// Only the connection's own task uses it, from several places. It is made of atomics because that task may move
/// between threads, and not of a lock because each request passes here a dozen times.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// A [`Phase`].
    phase: AtomicU8,
    /// How many ticks ago it began.
    age: AtomicU32,
    /// The ticks for which the peer has taken nothing, and 1 more; 0 while hyper has nothing to write.
    stalled: AtomicU32,
    /// Some of the request's body may not have come yet.
    is_body_open: AtomicBool,
    /// hyper has the whole answer.
    is_told: AtomicBool,
    /// hyper has written all that it had.
    is_flushed: AtomicBool,
    /// hyper refused what it couldn't read.
    is_refused: AtomicBool,
    /// Whether there is a request that leaves hyper.
    is_parking: AtomicBool,
    /// The request that leaves hyper.
    parked: Mutex<Option<Parked>>,
}

/// What happens on the connection.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing; the last answer has been written. Connections begin so.
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
    fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn begin(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.age.store(0, Relaxed);
    }

    /// Bytes have come.
    fn heard(&self) {
        if self.is_in(Phase::Silent) {
            self.begin(Phase::Heard);
        }
    }

    /// hyper hands a request over, maybe with a body to come.
    pub(super) fn asked(&self, is_body_open: bool) {
        self.begin(Phase::Asked);
        self.is_body_open.store(is_body_open, Relaxed);
        self.is_told.store(false, Relaxed);
    }

    /// hyper has been handed the head of the answer.
    pub(super) fn answered(&self) {
        self.begin(Phase::Answered);
    }

    /// Whether the request has been read to its end, so that what comes next is the next request.
    pub(super) fn is_read(&self) -> bool {
        !self.is_body_open.load(Relaxed)
    }

    /// The request leaves hyper, as soon as hyper has written what it had.
    pub(super) fn park(&self, parked: Parked) {
        *self.parked.lock() = Some(parked);
        self.is_flushed.store(false, Relaxed);
        self.is_parking.store(true, Relaxed);
    }

    /// The request that may leave hyper now.
    pub(super) fn take_parked(&self) -> Option<Parked> {
        let may_leave = self.is_parking.load(Relaxed) && self.is_flushed.load(Relaxed);
        may_leave.then(|| self.parked.lock().take()).flatten()
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.is_in(Phase::Asked) || self.is_in(Phase::Answered)
    }

    /// Whether hyper refused what it couldn't read.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Relaxed)
    }

    /// Whether hyper writes for a request. What it writes without one is a refusal.
    fn may_write(&self) -> bool {
        if !self.is_busy() {
            self.is_refused.store(true, Relaxed);
        }
        !self.is_refused()
    }

    /// hyper tried to write, and the peer did or didn't take it.
    fn wrote(&self, is_taken: bool) {
        if is_taken {
            self.stalled.store(0, Relaxed);
        } else if self.stalled.load(Relaxed) == 0 {
            self.stalled.store(1, Relaxed);
        }
    }

    /// hyper has written all that it had.
    fn flushed(&self) {
        self.is_flushed.store(true, Relaxed);
        if self.is_in(Phase::Answered) && self.is_told.load(Relaxed) {
            self.begin(Phase::Silent);
        }
    }

    /// A tick has passed.
    pub(super) fn tick(&self) -> Tick {
        let age = self.age.load(Relaxed) + 1;
        self.age.store(age, Relaxed);
        let stalled = self.stalled.load(Relaxed);
        if stalled > 0 {
            self.stalled.store(stalled + 1, Relaxed);
            if TICK * stalled >= WRITE_WAIT {
                return Tick::Late;
            }
        }
        if self.is_in(Phase::Silent) {
            Tick::Idle
        } else if self.is_in(Phase::Heard) && TICK * age >= HEAD_WAIT {
            Tick::Late
        } else {
            Tick::Fine
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
        let io = Pin::new(&mut self.io);
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = if length <= COPIED_BYTES_MAX {
            let mut room = [const { MaybeUninit::uninit() }; COPIED_BYTES_MAX];
            let mut whole = ReadBuf::uninit(&mut room);
            slices.iter().for_each(|slice| whole.put_slice(slice));
            io.poll_write(cx, whole.filled())
        } else {
            io.poll_write_vectored(cx, slices)
        };
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
    pub(super) fn body(body: Incoming, turn: Option<&Arc<Turn>>) -> Body {
        if body.is_end_stream() {
            Body::Empty
        } else {
            let turn = turn.cloned();
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
                        turn.is_body_open.store(false, Relaxed);
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
        self.turn.is_told.store(true, Relaxed);
    }
}
