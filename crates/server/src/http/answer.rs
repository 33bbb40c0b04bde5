//! An answer, and when it comes.
//!
//! A request and an answer have one kind of [`Body`]: nothing, bytes, or a stream. What is known at once is an
//! [`Outcome::Now`] and costs no boxed future. What may wait long is an [`Outcome::Held`], so that the connection can
//! give its buffers back meanwhile.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// An answer: status, headers, body.
///
/// An answer to `HEAD` has an empty body, and its `content-length` says how long the body would have been.
pub type Answer = http::Response<Body>;

/// Few answers have more headers.
const HEADERS: usize = 16;

thread_local! {
    /// The room of headers that were done with last: making it anew for each answer takes longer than filling it.
    static ROOM: RefCell<HeaderMap> = RefCell::new(HeaderMap::new());
}

/// No headers, with room for those of an answer.
pub(super) fn room() -> HeaderMap {
    let mut room = ROOM.take();
    room.reserve(HEADERS);
    room
}

/// Gives the room of headers that are done with back, for those of another answer.
pub(crate) fn give_back(mut headers: HeaderMap) {
    if (HEADERS..=2 * HEADERS).contains(&headers.capacity()) {
        headers.clear();
        ROOM.set(headers);
    }
}

/// An answer of that status without a body.
pub(crate) fn empty(status: http::StatusCode) -> Answer {
    let mut answer = Answer::new(Body::Empty);
    *answer.status_mut() = status;
    *answer.headers_mut() = room();
    answer
}

/// An answer of plain text.
pub(crate) fn text(text: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(text.into().into());
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    answer
}

/// An answer that comes later.
pub type Later<T = Answer> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Pieces of a body as they come.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

/// The body of a request or of an answer.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// The whole of it.
    Bytes(Bytes),
    /// It comes piece by piece. Its length is unknown unless a `content-length` says it.
    Stream(Pieces),
}

/// A body ended before its end: its connection is to be broken off, so that the other side can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body broke off")]
pub struct Broken;

/// A body couldn't be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// It has more bytes than the limit allows.
    #[error("the body is too large")]
    TooLarge,
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// When a request is answered.
pub enum Outcome {
    /// The answer is known.
    Now(Answer),
    /// The answer waits for the loop or for the rest of the request. Once that is there it may turn out to be held.
    Soon(Later<Self>),
    /// The answer may wait long, for news of a job.
    Held(Later),
}

impl Outcome {
    /// The answer, whenever it comes.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels only the waiting.
    pub async fn answer(self) -> Answer {
        let mut outcome = self;
        loop {
            outcome = match outcome {
                Self::Now(answer) => return answer,
                Self::Soon(later) => later.await,
                Self::Held(held) => return held.await,
            };
        }
    }
}

impl Body {
    /// A body that comes piece by piece.
    pub fn stream(pieces: impl Stream<Item = Result<Bytes, Broken>> + Send + 'static) -> Self {
        Self::Stream(Box::pin(pieces))
    }

    /// The body piece by piece, however it comes.
    #[must_use]
    pub fn into_pieces(self) -> Pieces {
        match self {
            Self::Empty => stream::empty().boxed(),
            Self::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Self::Stream(pieces) => pieces,
        }
    }

    /// The length in bytes, if it is known.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::Stream(_) => None,
        }
    }

    /// The whole body, of at most `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// It is larger, or breaks off.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses what has come.
    pub async fn collect(self, bytes_max: usize) -> Result<Bytes, CollectError> {
        let bytes = match self {
            Self::Empty => Bytes::new(),
            Self::Bytes(bytes) => bytes,
            Self::Stream(mut pieces) => {
                // Most bodies are one piece, which isn't copied.
                let mut whole = pieces.next().await.transpose()?.unwrap_or_default();
                while whole.len() <= bytes_max
                    && let Some(piece) = pieces.next().await
                {
                    let mut longer = Vec::from(whole);
                    longer.extend_from_slice(&piece?);
                    whole = longer.into();
                }
                whole
            }
        };
        if bytes.len() > bytes_max {
            return Err(CollectError::TooLarge);
        }
        Ok(bytes)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Self::Stream(pieces) = &mut *self {
            let piece = ready!(pieces.as_mut().poll_next(cx));
            return Poll::Ready(piece.map(|piece| piece.map(Frame::data)));
        }
        match std::mem::take(&mut *self) {
            Self::Bytes(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length as u64)
        })
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Now(answer)
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Soon(_) => "Soon",
            Self::Held(_) => "Held",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &'static [&'static str]) -> Body {
        let pieces = pieces.iter().map(|piece| match *piece {
            "" => Err(Broken),
            piece => Ok(Bytes::from_static(piece.as_bytes())),
        });
        Body::stream(futures_util::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_collected_within_its_limit() {
        let table = [
            (Body::Empty, Ok("")),
            (Body::from("1234"), Ok("1234")),
            (Body::from("12345"), Err(CollectError::TooLarge)),
            (pieces(&["12", "34"]), Ok("1234")),
            (pieces(&["12", "345"]), Err(CollectError::TooLarge)),
            (pieces(&["12345", ""]), Err(CollectError::TooLarge)),
            (pieces(&["12", ""]), Err(CollectError::Broken(Broken))),
        ];
        for (body, expected) in table {
            let name = format!("{body:?}");
            let collected = body.collect(4).await;
            assert_eq!(collected, expected.map(Bytes::from), "{name}");
        }
    }
}
