//! A connection of HTTP/2. It stays hyper's, because its requests wait side by side.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::accept::{SIGN_OF_LIFE, SIGN_OF_LIFE_WAIT};
use super::connection::{Answers, FIRST_WAIT, HEAD_BYTES_MAX, IDLE_WAIT};
use super::park::Line;
use super::turn::{Received, TICK, Tick, Turn, WRITE_WAIT, Wire};
use crate::http::answer::{Body, Broken};

/// The most requests at the same time on one connection.
const STREAMS_MAX: u32 = 256;
/// How many requests of a connection are read at a time; the others wait for their turn. All of them at once would keep
/// other connections waiting for as long as that takes.
const TURNS: usize = 2;
/// The most requests that the client may have reset before they were looked at.
const PENDING_RESETS_MAX: usize = 20;
/// The most requests that may be reset because of the client's errors.
const ERROR_RESETS_MAX: usize = 1_024;
/// The most bytes that are buffered for a slow reader of one answer.
const SEND_BYTES_MAX: usize = 16 * 1024;
/// An answer is handed over in pieces of at most this many bytes, so that what isn't taken isn't buffered either.
const PIECE_BYTES_MAX: usize = SEND_BYTES_MAX;

/// Serves the connection until its end, or, once `stop` is canceled, until the end of what is in flight.
///
/// # Cancel safety
///
/// Dropping it cuts the connection.
pub(super) async fn serve<I, A>(line: Line<I>, answers: A, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let streams = Arc::<Streams>::default();
    let service = {
        let streams = streams.clone();
        let answers = Arc::new(answers);
        let turns = Arc::new(Semaphore::new(TURNS));
        service_fn(move |request: Request<Incoming>| {
            let stream = Stream::open(&streams);
            let (answers, turns) = (answers.clone(), turns.clone());
            async move {
                // It is never closed.
                let turn = turns.acquire().await;
                if stream.has_company() {
                    // Those that came with it must find the turns taken, and others' tasks go first.
                    tokio::task::yield_now().await;
                }
                let request = request.map(|body| Received::body(body, None));
                let outcome = answers.answer(request);
                drop(turn);
                let answer = outcome.answer().await;
                Ok::<_, Infallible>(answer.map(|body| stream.told(body)))
            }
        })
    };
    // It is as if one request was answered all the time: nothing else than writes is looked at.
    let turn = Arc::new(Turn::default());
    turn.asked(false);
    let wire = Wire::new(line.ahead, line.io, turn.clone());
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SIGN_OF_LIFE_WAIT)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let mut is_closing = false;
    loop {
        let is_stop = tokio::select! {
            // What has come is read before it counts as late.
            biased;
            // What ends a connection is between the client and its network; it is no fault of ours.
            _ = connection.as_mut() => return,
            () = stop.cancelled(), if !is_closing => true,
            () = tokio::time::sleep(TICK) => false,
        };
        match streams.tick() {
            _ if turn.tick() == Tick::Late => return,
            Tick::Late => return,
            Tick::Idle if !is_closing => {}
            _ if is_stop => {}
            Tick::Fine | Tick::Idle => continue,
        }
        is_closing = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// The requests of a connection that aren't done.
#[derive(Debug, Default)]
struct Streams(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many requests there have been.
    count: u64,
    /// How many aren't done.
    open: usize,
    /// How long none has been open.
    idle: Duration,
    /// Those whose client doesn't take what is there for it, and for how long.
    owed: HashMap<u64, Duration>,
}

impl Streams {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// A tick has passed.
    fn tick(&self) -> Tick {
        let mut state = self.state();
        let mut is_late = false;
        for owed in state.owed.values_mut() {
            *owed += TICK;
            is_late |= *owed >= WRITE_WAIT;
        }
        state.idle += TICK;
        if state.open > 0 {
            state.idle = Duration::ZERO;
        }
        // One that has asked for something is told to go, and only then cut.
        let (close_after, cut_after) = match state.count {
            0 => (FIRST_WAIT, FIRST_WAIT),
            _ => (IDLE_WAIT, IDLE_WAIT + WRITE_WAIT),
        };
        if is_late || state.idle >= cut_after {
            Tick::Late
        } else if state.idle >= close_after {
            Tick::Idle
        } else {
            Tick::Fine
        }
    }
}

/// One request, until its answer has been handed over.
struct Stream {
    streams: Arc<Streams>,
    id: u64,
}

impl Stream {
    fn open(streams: &Arc<Streams>) -> Self {
        let mut state = streams.state();
        state.count += 1;
        state.open += 1;
        Self {
            streams: streams.clone(),
            id: state.count,
        }
    }

    /// Whether more requests of this connection are under way than have a turn.
    fn has_company(&self) -> bool {
        self.streams.state().open > TURNS
    }

    fn told(self, body: Body) -> Told {
        self.owe(true);
        Told { body, stream: self }
    }

    /// Notes whether there is something that the client may take.
    fn owe(&self, is_owed: bool) {
        let mut state = self.streams.state();
        if is_owed {
            state.owed.insert(self.id, Duration::ZERO);
        } else {
            state.owed.remove(&self.id);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.owe(false);
        self.streams.state().open -= 1;
    }
}

/// The body of an answer. hyper asks for more of it only when the client has room.
struct Told {
    body: Body,
    stream: Stream,
}

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = match &mut self.body {
            Body::Bytes(bytes) if bytes.len() > PIECE_BYTES_MAX => {
                Poll::Ready(Some(Ok(Frame::data(bytes.split_to(PIECE_BYTES_MAX)))))
            }
            body => Pin::new(body).poll_frame(cx),
        };
        self.stream.owe(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
