//! One connection, from its first byte to its end.
//!
//! Most requests are plain: HTTP/1.1, whole within a few packets, with a small body or none. They are read and answered here. A
//! connection has no buffer while nothing comes: bytes are read onto the stack, and only those of a request that isn't whole are
//! kept. So a connection whose request is held costs its socket, its task and the hold, where the HTTP library would keep a
//! buffer and the state of its parser.
//!
//! What isn't plain (another version, a chunked or large body, an expectation, anything malformed) is handed to the HTTP library
//! with the bytes read so far, and that connection stays there. So whatever is difficult or to be refused has one implementation,
//! and what is read here means the same to everybody.
//!
//! A plain request is first offered to [`Answers::quick`], which appends the answer to bytes that go out with one write, at once or
//! when it is there, and else goes the [ordinary](Answers::ordinary) way, with the request and the answer as values. The two give the
//! same answers.

mod adapt;
mod bare;
mod head;
mod library;
mod reply;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_util::sync::CancellationToken;

pub use head::Head;

use head::{BODY_BYTES_MAX, Found, HEAD_BYTES_MAX, find, room};
use library::Rewound;

/// How long a connection may take to its first whole head.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long it may take to any later one; so this is also how long an idle connection stays open.
pub(crate) const NEXT_REQUEST: Duration = Duration::from_secs(60);
/// How long the rest of a small body is waited for here before the HTTP library does.
const BODY_WAIT: Duration = Duration::from_secs(1);
/// How much is read at once, in bytes.
const READ_BYTES: usize = 8 * 1024;
/// Answers are sent when there are so many bytes of them, also where more requests are there already.
const SEND_BYTES: usize = 64 * 1024;
/// How much is read ahead of requests that wait for the one before them, in bytes.
const AHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX;

/// The answer, when it is there.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What answers the requests of one connection.
pub trait Answers: Clone + Send + Sync + 'static {
    /// Answers a request as bytes, if it is of a sort that can be: appends the answer to `out`, or begins what it takes to have
    /// it. `is_last` says that the connection ends with it.
    fn quick(&self, head: &Head<'_>, body: &[u8], is_last: bool, out: &mut Vec<u8>) -> Quick;

    /// Answers any request.
    fn ordinary(&self, request: Request<Body>) -> Answering;

    /// The machine's time since some moment.
    fn elapsed(&self) -> Duration;
}

/// What became of a request that was to be answered at once.
pub enum Quick {
    /// Its answer has been appended.
    Answered,
    /// Its answer comes later.
    Later(Awaited),
    /// It isn't one of those, and nothing has happened.
    Ordinary,
}

/// An answer that comes later.
pub type Awaited = Pin<Box<dyn Future<Output = Later> + Send>>;

/// An answer that came later.
#[derive(Debug)]
pub enum Later {
    /// As the bytes that go out.
    Bytes(Vec<u8>),
    /// As a value.
    Response(Response),
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
    let deadline = Deadline::new(&answers, FIRST_REQUEST);
    let mut front = Front {
        io,
        answers,
        kept: Vec::new(),
        is_news: false,
        unsent: Vec::new(),
        later: None,
    };
    async move {
        // An error is between the client and its network; it is no fault of ours.
        let Ok(Some(rest)) = front.run(&deadline, &stop).await else {
            return;
        };
        let io = Rewound::new(rest.into(), front.io);
        let first = deadline.left(&front.answers);
        // In a box, because most connections never come here and needn't have room for it.
        Box::pin(library::serve(io, front.answers, stop, first)).await;
    }
}

/// Serves one connection by the HTTP library alone, as [`connection`] does from the first request on that isn't plain. For
/// comparing the two.
///
/// # Cancel safety
///
/// Dropping it cuts the connection.
pub async fn connection_by_library<I, A>(io: I, answers: A, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let io = Rewound::new(bytes::Bytes::new(), io);
    library::serve(io, answers, stop, FIRST_REQUEST).await;
}

/// A connection on this side of the HTTP library.
struct Front<I, A> {
    io: I,
    answers: A,
    /// Bytes of a request that isn't whole, or of requests that wait for the one before them.
    kept: Vec<u8>,
    /// Whether there may be a request in what is kept.
    is_news: bool,
    /// What the system hasn't taken yet.
    unsent: Vec<u8>,
    /// The answer that comes later, and whether it is the last.
    later: Option<(Awaited, bool)>,
}

/// What is to be done after reading.
enum Step {
    /// Read more.
    Read,
    /// Send what hasn't been sent.
    Send,
    /// Wait for the rest of a body.
    Body,
    /// Send this answer.
    Reply(Response, bool),
    /// Wait for this one.
    Ordinary(Answering, bool),
    /// Let the HTTP library go on.
    Library,
    /// End the connection, in order.
    End,
    /// End it as it is.
    Leave,
}

/// When the next request must be there whole, in milliseconds of the machine's time.
#[derive(Debug)]
struct Deadline(AtomicU64);

impl Deadline {
    fn new(answers: &impl Answers, within: Duration) -> Self {
        let deadline = Self(AtomicU64::new(0));
        deadline.set(answers, within);
        deadline
    }

    fn set(&self, answers: &impl Answers, within: Duration) {
        let at = (answers.elapsed() + within).as_millis();
        self.0
            .store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long it is until then.
    fn left(&self, answers: &impl Answers) -> Duration {
        let at = Duration::from_millis(self.0.load(Ordering::Relaxed));
        at.saturating_sub(answers.elapsed())
    }

    /// Waits until then. It may be set anew meanwhile, which costs nothing until the former time is over.
    async fn wait(&self, answers: &impl Answers) {
        loop {
            let left = self.left(answers);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl<I, A> Front<I, A>
where
    I: AsyncRead + AsyncWrite + Unpin,
    A: Answers,
{
    /// Serves until the end, or until something comes that is the HTTP library's, and gives the bytes that it has to begin with.
    async fn run(
        &mut self,
        deadline: &Deadline,
        stop: &CancellationToken,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut awaits_body = false;
        loop {
            let step = {
                let answers = self.answers.clone();
                let mut late = pin!(async {
                    if awaits_body {
                        tokio::time::sleep(BODY_WAIT).await;
                    } else {
                        deadline.wait(&answers).await;
                    }
                });
                let mut stopped = pin!(stop.cancelled());
                poll_fn(|cx| {
                    // What has come is read before it counts as late: on a busy server it may be the server that is.
                    let step = self.poll_step(cx, deadline, stop);
                    // An answer that is awaited is neither late nor stopped; it comes by itself.
                    if step.is_ready() || self.later.is_some() {
                        return step;
                    }
                    if late.as_mut().poll(cx).is_ready() {
                        let step = if awaits_body {
                            Step::Library
                        } else {
                            Step::Leave
                        };
                        return Poll::Ready(Ok(step));
                    }
                    if !awaits_body && stopped.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(Step::Leave));
                    }
                    Poll::Pending
                })
                .await?
            };
            awaits_body = matches!(step, Step::Body);
            if !self.unsent.is_empty() {
                let unsent = std::mem::take(&mut self.unsent);
                self.send(unsent).await?;
            }
            let (response, is_last) = match step {
                Step::Read | Step::Send | Step::Body => continue,
                Step::Library => return Ok(Some(std::mem::take(&mut self.kept))),
                Step::Leave => return Ok(None),
                Step::End => (None, true),
                Step::Reply(response, is_last) => (Some(response), is_last),
                Step::Ordinary(answering, is_last) => {
                    (Some(self.while_open(answering).await?), is_last)
                }
            };
            let is_last = is_last || stop.is_cancelled();
            if let Some(response) = response {
                // In a box, so that a connection which is held needn't have room for it.
                Box::pin(self.reply(response, is_last)).await?;
            }
            if is_last {
                self.io.shutdown().await?;
                return Ok(None);
            }
            deadline.set(&self.answers, NEXT_REQUEST);
        }
    }

    /// Reads and answers, as long as answers are there at once and the system takes them.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &Deadline,
        stop: &CancellationToken,
    ) -> Poll<io::Result<Step>> {
        loop {
            if let Some((later, is_last)) = &mut self.later {
                let is_last = *is_last;
                let Poll::Ready(answer) = later.as_mut().poll(cx) else {
                    return self.poll_gone(cx).map(Err);
                };
                self.later = None;
                deadline.set(&self.answers, NEXT_REQUEST);
                match answer {
                    Later::Response(response) => {
                        return Poll::Ready(Ok(Step::Reply(response, is_last)));
                    }
                    Later::Bytes(bytes) => self.write(cx, &bytes)?,
                }
                if is_last || stop.is_cancelled() {
                    return Poll::Ready(Ok(Step::End));
                }
                if !self.unsent.is_empty() {
                    return Poll::Ready(Ok(Step::Send));
                }
            }
            let mut buffer = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            if !self.is_news {
                ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(Step::End));
                }
            }
            self.is_news = false;
            let step = with_out(|out| {
                let step = if self.kept.is_empty() {
                    let (used, step) = self.take(buffer.filled(), out);
                    self.kept.extend_from_slice(&buffer.filled()[used..]);
                    step
                } else {
                    let mut kept = std::mem::take(&mut self.kept);
                    kept.extend_from_slice(buffer.filled());
                    let (used, step) = self.take(&kept, out);
                    if used < kept.len() {
                        kept.drain(..used);
                        self.kept = kept;
                    }
                    step
                };
                if !out.is_empty() {
                    deadline.set(&self.answers, NEXT_REQUEST);
                    self.write(cx, out)?;
                }
                Ok::<_, io::Error>(step)
            })?;
            match step {
                Step::Read if self.unsent.is_empty() => {}
                step => return Poll::Ready(Ok(step)),
            }
        }
    }

    /// Answers the requests at the front of those bytes, and says how many bytes they have.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let mut room = room();
            let (head, length, body, is_last) = match find(rest, &mut room) {
                Found::Part => return (used, Step::Read),
                Found::Other => return (used, Step::Library),
                Found::Plain {
                    head,
                    length,
                    body,
                    is_last,
                } => (head, length, body, is_last),
            };
            if body > BODY_BYTES_MAX {
                return (used, Step::Library);
            }
            let Some(content) = rest.get(length..length + body) else {
                return (used, Step::Body);
            };
            let step = match self.answers.quick(&head, content, is_last, out) {
                Quick::Answered if is_last => Step::End,
                Quick::Answered => Step::Read,
                Quick::Later(later) => {
                    self.later = Some((later, is_last));
                    Step::Read
                }
                Quick::Ordinary => match head.request(length, content) {
                    Some(request) => Step::Ordinary(self.answers.ordinary(request), is_last),
                    None => return (used, Step::Library),
                },
            };
            used += length + body;
            self.is_news = used < bytes.len();
            match step {
                Step::Read if out.len() >= SEND_BYTES => return (used, Step::Send),
                Step::Read if self.later.is_none() => {}
                step => return (used, step),
            }
        }
        (used, Step::Read)
    }

    /// Waits for that, as long as the other end is there.
    ///
    /// # Errors
    ///
    /// It has gone.
    async fn while_open<T>(&mut self, awaited: impl Future<Output = T>) -> io::Result<T> {
        let mut awaited = pin!(awaited);
        poll_fn(|cx| {
            if let Poll::Ready(value) = awaited.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            self.poll_gone(cx).map(Err)
        })
        .await
    }

    /// Whether the other end has gone. What it sends meanwhile is kept, and when there is much of that it is no longer looked for its end.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.kept.len() < AHEAD_BYTES_MAX {
            let mut buffer = [const { MaybeUninit::uninit() }; 1024];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
                Err(error) => return Poll::Ready(error),
                Ok(()) if buffer.filled().is_empty() => {
                    return Poll::Ready(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(()) => {
                    self.kept.extend_from_slice(buffer.filled());
                    self.is_news = true;
                }
            }
        }
        Poll::Pending
    }

    /// Sends as much of that as the system takes at once, and keeps the rest.
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let sent = match Pin::new(&mut self.io).poll_write(cx, bytes) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends all of that.
    async fn send(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.io.write_all(&bytes).await?;
        self.io.flush().await
    }
}

/// Lends bytes to put answers into. They keep their room from one time to the next, one for all connections of a thread.
fn with_out<T>(then: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    OUT.with_borrow_mut(|out| {
        out.clear();
        out.shrink_to(2 * SEND_BYTES);
        then(out)
    })
}

impl std::fmt::Debug for Quick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Answered => "Answered",
            Self::Later(_) => "Later",
            Self::Ordinary => "Ordinary",
        })
    }
}

#[cfg(test)]
mod tests;
