//! A request that waits outside of hyper, and its answer, written by hand.
//!
//! Only the socket, the bytes read ahead and the wait are kept meanwhile. The answer's head says what hyper's would.

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::connection::HEAD_BYTES_MAX;
use super::turn::WRITE_WAIT;
use crate::http::answer::{Answer, Body, Broken, Later, Pieces, give_back};
use crate::http::limits::COUNTED_BYTES_MIN;

/// The most bytes that are read ahead of a request that waits.
const AHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// A stream's pieces that are there at once go out together, in writes of about this many bytes.
const SEND_BYTES: usize = 64 * 1024;
/// Pieces of this many bytes and more count as in flight, and aren't copied to go out with others.
const COPIED_BYTES_MAX: usize = COUNTED_BYTES_MIN;
/// Few heads of answers are longer, in bytes.
const HEAD_BYTES: usize = 768;
/// How long the end of a connection that isn't read to its end is waited for.
const LINGER_WAIT: Duration = Duration::from_secs(2);
/// The most bytes that are read meanwhile.
const LINGER_BYTES_MAX: u64 = 1024 * 1024;
/// How often a peer that can't be heard any more is asked whether it is still there.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// When it is asked the second time: one that has gone has refused the first probe by then.
const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// What it is asked by: an answer in between, which every client of HTTP/1.1 must be able to skip.
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A socket, and the bytes that have been read of it ahead.
#[derive(Debug)]
pub(super) struct Line<I> {
    pub(super) io: I,
    pub(super) ahead: Vec<u8>,
}

/// What the head of an answer depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    is_http10: bool,
    /// The connection may bring another request.
    keeps: bool,
}

impl Asked {
    /// What is to be known of a request that may leave hyper.
    ///
    /// `None` if hyper must answer it: `HEAD` has rules of its own, and whether a connection goes on after a body
    /// with a transfer encoding only hyper knows.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let headers = request.headers();
        // One pass takes less than two look-ups, and most requests have neither.
        let (mut is_coded, mut is_named) = (false, false);
        for name in headers.keys() {
            is_coded |= name == header::TRANSFER_ENCODING;
            is_named |= name == header::CONNECTION;
        }
        let names = |option| is_named && names(headers, option);
        let is_plain = !matches!(*request.method(), Method::HEAD | Method::CONNECT) && !is_coded;
        let is_http10 = match request.version() {
            Version::HTTP_11 => false,
            Version::HTTP_10 => true,
            _ => return None,
        };
        let keeps = !names("close") && (!is_http10 || names("keep-alive"));
        is_plain.then_some(Self { is_http10, keeps })
    }
}

/// Whether `Connection` names that option.
fn names(headers: &HeaderMap, option: &str) -> bool {
    let lines = headers.get_all(header::CONNECTION);
    let mut options = lines.iter().filter_map(|line| line.to_str().ok());
    options.any(|line| {
        line.split(',')
            .any(|name| name.trim().eq_ignore_ascii_case(option))
    })
}

/// A request that has left hyper.
pub(super) struct Parked {
    pub(super) asked: Asked,
    pub(super) later: Later,
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parked")
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By its length.
    Length(u64),
    /// By a last chunk.
    Chunk,
    /// By the end of the connection.
    Connection,
}

/// An answer as it goes out.
struct Written {
    /// Its head, and its body if it is there.
    bytes: Vec<u8>,
    /// What comes later, and how its end is told.
    rest: Option<(Pieces, End)>,
    /// Another request may come.
    keeps: bool,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Line<I> {
    /// Waits for the answer and writes it. Says whether another request may come.
    ///
    /// # Errors
    ///
    /// The peer has gone or takes nothing, or the body broke off: the connection must end as it is.
    // No `async fn`, which would have room for its arguments twice.
    pub(super) fn answer<'c>(
        &'c mut self,
        parked: Parked,
        stop: &'c CancellationToken,
    ) -> impl Future<Output = io::Result<bool>> + use<'c, I> {
        let Parked { asked, mut later } = parked;
        let mut silence = Silence::default();
        async move {
            let Written { bytes, rest, keeps } = {
                let answer = poll_fn(|cx| match later.as_mut().poll(cx) {
                    Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                    Poll::Pending => silence.poll_gone(self, asked, cx).map(Err),
                });
                write_answer(answer.await?, asked, stop.is_cancelled())
            };
            // Whatever it held is free now.
            drop(later);
            match rest {
                None => self.send(bytes).await?,
                // In a box, because most requests that wait have no need of its room.
                Some((pieces, end)) => Box::pin(self.stream(bytes, pieces, end)).await?,
            }
            Ok(keeps)
        }
    }

    /// Writes the pieces of a body as they come.
    ///
    /// Ends early, but in order, if the peer has ended its side and everything there is has been written: most
    /// peers that do so are gone, and a stream may end at any time.
    fn stream(
        &mut self,
        mut bytes: Vec<u8>,
        mut pieces: Pieces,
        end: End,
    ) -> impl Future<Output = io::Result<()>> {
        let mut left = match end {
            End::Length(length) => length,
            End::Chunk | End::Connection => u64::MAX,
        };
        let mut silence = Silence::default();
        async move {
            loop {
                // What is there at once goes out in one write.
                let at_once = poll_fn(|cx| Poll::Ready(pieces.as_mut().poll_next(cx))).await;
                let next = match at_once {
                    Poll::Ready(next) => next,
                    Poll::Pending => {
                        self.send(std::mem::take(&mut bytes)).await?;
                        poll_fn(|cx| match pieces.as_mut().poll_next(cx) {
                            Poll::Ready(next) => Poll::Ready(Ok(next)),
                            Poll::Pending if silence.is_ended => Poll::Ready(Ok(None)),
                            Poll::Pending => match silence.poll_heard(self, cx) {
                                Poll::Ready(Ok(())) if silence.is_ended => Poll::Ready(Ok(None)),
                                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                                _ => Poll::Pending,
                            },
                        })
                        .await?
                    }
                };
                match next {
                    None => break,
                    // What is large isn't copied, and counts as in flight until it is sent.
                    Some(Ok(mut piece)) if piece.len() >= COPIED_BYTES_MAX => {
                        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                        left -= piece.len() as u64;
                        if end == End::Chunk {
                            let _ = write!(bytes, "{:x}\r\n", piece.len());
                        }
                        self.send(std::mem::take(&mut bytes)).await?;
                        self.send(piece).await?;
                        if end == End::Chunk {
                            bytes.extend_from_slice(b"\r\n");
                        }
                    }
                    Some(Ok(piece)) => left -= write_piece(&mut bytes, &piece, end, left),
                    Some(Err(Broken)) => {
                        self.send(bytes).await?;
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
                if bytes.len() >= SEND_BYTES {
                    self.send(std::mem::take(&mut bytes)).await?;
                }
            }
            if end == End::Chunk {
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            self.send(bytes).await?;
            match end {
                End::Length(_) if left > 0 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => Ok(()),
            }
        }
    }

    /// Writes these bytes and ends the connection, although the client may not have sent all that it wanted.
    ///
    /// What it still sends is read for a while: bytes that are there when a socket is closed turn its end into a reset,
    /// which may overtake what was said.
    pub(super) async fn refuse(mut self, bytes: Vec<u8>) {
        let lingering = async {
            self.send(bytes).await?;
            self.io.shutdown().await?;
            let mut unread = self.io.take(LINGER_BYTES_MAX);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
        };
        // It has ended either way.
        let _ = tokio::time::timeout(LINGER_WAIT, lingering).await;
    }

    /// Writes all of these bytes.
    ///
    /// # Errors
    ///
    /// The peer has gone, or has taken none of them for [`WRITE_WAIT`].
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = io::Result<()>> {
        let mut sent = 0;
        // Most peers take everything at once, and need no timer.
        let mut limit: Option<Pin<Box<Sleep>>> = None;
        poll_fn(move |cx| {
            let bytes = bytes.as_ref();
            while sent < bytes.len() {
                match Pin::new(&mut self.io).poll_write(cx, &bytes[sent..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(length)) => {
                        sent += length;
                        limit = None;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        let limit =
                            limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_WAIT)));
                        ready!(limit.as_mut().poll(cx));
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
            Pin::new(&mut self.io).poll_flush(cx)
        })
    }
}

/// What is known of a peer that waits.
#[derive(Default)]
struct Silence {
    /// It has ended its side of the connection.
    is_ended: bool,
    /// When it is asked whether it is still there.
    probe: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Reads ahead. Ready once nothing more can be heard: the peer has ended its side, or too much was read ahead.
    fn poll_heard<I: AsyncRead + Unpin>(
        &mut self,
        line: &mut Line<I>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_ended && line.ahead.len() < AHEAD_BYTES_MAX {
            let mut buffer = [const { MaybeUninit::uninit() }; 1024];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut line.io).poll_read(cx, &mut buffer))?;
            line.ahead.extend_from_slice(buffer.filled());
            self.is_ended = buffer.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer of a held request has gone.
    ///
    /// A peer that ends its side still gets its answer, because it may have ended nothing else. Whether it has gone is
    /// seen only by writing to it, and so it is for a peer that has sent too much ahead.
    fn poll_gone<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut Line<I>,
        asked: Asked,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        if let Err(error) = ready!(self.poll_heard(line, cx)) {
            return Poll::Ready(error);
        }
        if asked.is_http10 {
            return Poll::Pending;
        }
        loop {
            let pause = match &mut self.probe {
                None => PROBE_AGAIN,
                Some(probe) => {
                    ready!(probe.as_mut().poll(cx));
                    PROBE_EVERY
                }
            };
            self.probe = Some(Box::pin(tokio::time::sleep(pause)));
            match Pin::new(&mut line.io).poll_write(cx, PROBE) {
                Poll::Ready(Ok(length)) if length == PROBE.len() => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => {}
            }
        }
    }
}

/// The head of an answer, and its body if it is there.
fn write_answer(answer: Answer, asked: Asked, is_stopping: bool) -> Written {
    let (parts, body) = answer.into_parts();
    let has_no_body = matches!(
        parts.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let length = match &body {
        Body::Stream(_) => parts
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok()),
        Body::Empty => Some(0),
        Body::Bytes(bytes) => Some(bytes.len() as u64),
    };
    let end = match length {
        Some(length) => End::Length(length),
        None if asked.is_http10 => End::Connection,
        None => End::Chunk,
    };
    let keeps =
        asked.keeps && !is_stopping && end != End::Connection && !names(&parts.headers, "close");
    let copied = body.length().unwrap_or(0).min(COPIED_BYTES_MAX);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + copied);
    let version = if asked.is_http10 { "1.0" } else { "1.1" };
    let reason = parts.status.canonical_reason().unwrap_or("<none>");
    let status = parts.status.as_str();
    put(&mut bytes, ["HTTP/", version, " ", status, " ", reason]);
    for (name, value) in &parts.headers {
        let is_ours = *name == header::CONNECTION
            || *name == header::CONTENT_LENGTH
            || *name == header::TRANSFER_ENCODING;
        if !is_ours {
            put(&mut bytes, ["\r\n", name.as_str(), ": "]);
            bytes.extend_from_slice(value.as_bytes());
        }
    }
    give_back(parts.headers);
    match end {
        End::Length(length) if !has_no_body => {
            let mut digits = itoa::Buffer::new();
            put(&mut bytes, ["\r\ncontent-length: ", digits.format(length)]);
        }
        End::Chunk if !has_no_body => put(&mut bytes, ["\r\ntransfer-encoding: chunked"]),
        _ => {}
    }
    match (asked.is_http10, keeps) {
        (true, true) => put(&mut bytes, ["\r\nconnection: keep-alive"]),
        (false, false) => put(&mut bytes, ["\r\nconnection: close"]),
        _ => {}
    }
    put(&mut bytes, ["\r\n\r\n"]);
    let rest = match body {
        Body::Stream(pieces) if !has_no_body => Some((pieces, end)),
        Body::Bytes(_) if !has_no_body && length >= Some(COPIED_BYTES_MAX as u64) => {
            Some((body.into_pieces(), end))
        }
        Body::Bytes(body) if !has_no_body => {
            bytes.extend_from_slice(&body);
            None
        }
        _ => None,
    };
    Written { bytes, rest, keeps }
}

/// Appends these words: the formatting machinery takes as long as the rest of a head.
fn put<const N: usize>(bytes: &mut Vec<u8>, words: [&str; N]) {
    for word in words {
        bytes.extend_from_slice(word.as_bytes());
    }
}

/// Appends a piece of a body, at most `left` bytes of it, and says how many these are.
fn write_piece(bytes: &mut Vec<u8>, piece: &[u8], end: End, left: u64) -> u64 {
    let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    match end {
        // An empty chunk would be the last one.
        End::Chunk if length > 0 => {
            let _ = write!(bytes, "{length:x}\r\n");
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        _ => bytes.extend_from_slice(&piece[..length]),
    }
    length as u64
}
