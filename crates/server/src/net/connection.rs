//! One connection, from its first byte to its end.
//!
//! It goes through three states: idle, with nothing but the socket; talking, when it is hyper's; and parked, when a
//! request waits. Each state is in a box of its own, or small, so that a connection has no room for the states it isn't
//! in.

use std::convert::Infallible;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use abide_wire::{Code, Problem, headers};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::http2;
use super::park::{Asked, Line, Parked};
use super::turn::{Received, TICK, Tick, Told, Turn, Wire};
use crate::http::answer::{Body, Outcome};

/// The largest head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most header fields of a request: as many as hyper reads without allocating.
const FIELDS_MAX: usize = 100;
/// How long a new connection may take to its first byte.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(10);
/// How long it may bring nothing between two requests.
pub(super) const IDLE_WAIT: Duration = Duration::from_secs(60);
/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What answers the requests of one connection.
pub trait Answers: Send + Sync + 'static {
    /// Answers a request.
    ///
    /// It is called on the connection's task, and must neither block nor panic. What an [`Outcome::Held`] keeps is what
    /// a waiting connection costs: nothing of the request should be in it, since that keeps the buffer it was read
    /// into.
    fn answer(&self, request: Request<Body>) -> Outcome;

    /// The connection has fallen silent or waits: what was kept for its next request is to be forgotten.
    fn rest(&self) {}
}

/// Serves one connection until its end, or, once `stop` is canceled, until the end of what is in flight.
///
/// # Cancel safety
///
/// Dropping it cuts the connection.
pub fn connection<I, A>(
    io: I,
    answers: A,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    // No `async fn`, which would have room for its arguments twice.
    let mut line = Line {
        io,
        ahead: Vec::new(),
    };
    let mut answers = answers;
    async move {
        let is_told = |ahead: &[u8]| ahead.len() >= PREFACE.len() || !PREFACE.starts_with(ahead);
        if !Box::pin(hear(&mut line, FIRST_WAIT, &stop, is_told)).await {
            return;
        }
        if line.ahead.starts_with(PREFACE) {
            return Box::pin(http2::serve(line, answers, stop)).await;
        }
        loop {
            let why = {
                let turned = Box::pin(talk(line, answers, &stop)).await;
                (line, answers) = (turned.line, turned.answers);
                answers.rest();
                turned.why
            };
            let goes_on = match why {
                Why::Idle => true,
                Why::Ended => false,
                Why::Cut => return,
                Why::Refused(refusal) => {
                    Box::pin(line.refuse(refusal)).await;
                    return;
                }
                Why::Parked(parked) => match line.answer(parked, &stop).await {
                    Ok(keeps) => keeps,
                    // It is between the client and its network; it is no fault of ours.
                    Err(_) => return,
                },
            };
            if !goes_on
                || line.ahead.is_empty()
                    && !Box::pin(hear(&mut line, IDLE_WAIT, &stop, |_| true)).await
            {
                let _ = line.io.shutdown().await;
                return;
            }
        }
    }
}

/// Waits for bytes until they are enough. Says whether they came in time, and before the end of the connection or the
/// stop.
async fn hear<I: AsyncRead + Unpin>(
    line: &mut Line<I>,
    within: Duration,
    stop: &CancellationToken,
    is_enough: impl Fn(&[u8]) -> bool,
) -> bool {
    let mut late = pin!(tokio::time::sleep(within));
    let mut stopped = pin!(stop.cancelled());
    poll_fn(|cx| {
        loop {
            let mut buffer = [const { MaybeUninit::uninit() }; 2 * 1024];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match Pin::new(&mut line.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    line.ahead.extend_from_slice(buffer.filled());
                    if is_enough(&line.ahead) {
                        return Poll::Ready(true);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(!line.ahead.is_empty()),
                Poll::Pending => break,
            }
        }
        if late.as_mut().poll(cx).is_ready() || stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// How a connection comes back from hyper.
struct Turned<I, A> {
    line: Line<I>,
    answers: A,
    why: Why,
}

/// Why it comes back.
enum Why {
    /// Nothing has come for a while.
    Idle,
    /// It has ended, in order.
    Ended,
    /// It is to be ended as it is.
    Cut,
    /// The rest of what the client sends isn't read; what is still to be said to that.
    Refused(Vec<u8>),
    /// A request waits.
    Parked(Parked),
}

/// Lets hyper serve the connection for as long as it talks.
async fn talk<I, A>(line: Line<I>, answers: A, stop: &CancellationToken) -> Turned<I, A>
where
    I: AsyncRead + AsyncWrite + Unpin,
    A: Answers,
{
    let turn = Arc::new(Turn::default());
    let wire = Wire::new(line.ahead, line.io, turn.clone());
    let desk = Desk {
        answers,
        turn: turn.clone(),
    };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(wire), desk);
    let mut is_stopping = false;
    let mut stopped = pin!(stop.cancelled());
    let mut tick = pin!(tokio::time::sleep(TICK));
    let why = poll_fn(|cx| {
        loop {
            // What has come is read before it counts as late: on a busy server it may be the server that is.
            if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(match ended {
                    Err(error) if turn.is_refused() => Why::Refused(refusal(&error)),
                    Err(_) => Why::Cut,
                    Ok(()) if !turn.is_read() => Why::Refused(Vec::new()),
                    Ok(()) => Why::Ended,
                });
            }
            if let Some(parked) = turn.take_parked() {
                return Poll::Ready(Why::Parked(parked));
            }
            if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
                if !turn.is_busy() {
                    return Poll::Ready(Why::Cut);
                }
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
                continue;
            }
            ready!(tick.as_mut().poll(cx));
            tick.set(tokio::time::sleep(TICK));
            match turn.tick() {
                Tick::Fine => {}
                Tick::Idle => return Poll::Ready(Why::Idle),
                Tick::Late => return Poll::Ready(Why::Cut),
            }
        }
    })
    .await;
    let parts = connection.into_parts();
    let (io, ahead) = parts.io.into_inner().into_parts(&parts.read_buf);
    Turned {
        line: Line { io, ahead },
        answers: parts.service.answers,
        why,
    }
}

/// What is said to a head that hyper can't read: a problem, as for everything else that is refused.
fn refusal(error: &hyper::Error) -> Vec<u8> {
    let problem = if error.is_parse_too_large() {
        Problem::new(431, Code::TOO_LARGE, "The head of the request is too large").detail(format!(
            "a head may have {HEAD_BYTES_MAX} bytes and {FIELDS_MAX} headers"
        ))
    } else {
        Problem::new(400, Code::new("invalid_request"), "This is not HTTP")
            .detail("the head of the request can't be read")
    };
    let status = http::StatusCode::from_u16(problem.status).expect("both are statuses");
    let body = serde_json::to_string(&problem).expect("a problem has only text and numbers");
    let kind = headers::PROBLEM_JSON;
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into()
}

/// Where hyper brings the requests of a connection that talks.
struct Desk<A> {
    answers: A,
    turn: Arc<Turn>,
}

/// hyper wants it; nothing is pinned in it.
impl<A> Unpin for Desk<A> {}

impl<A: Answers> Service<Request<Incoming>> for Desk<A> {
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = Serving;

    fn call(&self, request: Request<Incoming>) -> Serving {
        let asked = Asked::of(&request);
        let turn = self.turn.clone();
        let request = request.map(|body| Received::body(body, Some(&turn)));
        turn.asked(!matches!(request.body(), Body::Empty));
        Serving {
            outcome: Some(self.answers.answer(request)),
            asked,
            turn,
        }
    }
}

/// A request on its way to its answer, or out of hyper.
struct Serving {
    /// `None` once it has left hyper, which then waits for nothing.
    outcome: Option<Outcome>,
    asked: Option<Asked>,
    turn: Arc<Turn>,
}

impl Future for Serving {
    type Output = Result<Response<Told>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some(outcome) = this.outcome.take() {
            // If the body isn't read to its end, only hyper knows where the next request begins.
            let may_leave = this.asked.filter(|_| this.turn.is_read());
            let later = match outcome {
                Outcome::Soon(mut soon) => {
                    let Poll::Ready(next) = soon.as_mut().poll(cx) else {
                        this.outcome = Some(Outcome::Soon(soon));
                        return Poll::Pending;
                    };
                    this.outcome = Some(next);
                    continue;
                }
                Outcome::Now(answer) => match (answer.body(), may_leave) {
                    (Body::Stream(_), Some(_)) => Box::pin(std::future::ready(answer)),
                    _ => {
                        this.turn.answered();
                        let turn = this.turn.clone();
                        return Poll::Ready(Ok(answer.map(|body| Told { body, turn })));
                    }
                },
                Outcome::Held(held) => held,
            };
            if let Some(asked) = may_leave {
                this.turn.park(Parked { asked, later });
            } else {
                this.outcome = Some(Outcome::Soon(Box::pin(async { Outcome::Now(later.await) })));
            }
        }
        Poll::Pending
    }
}
