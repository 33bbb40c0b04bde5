//! Bodies that are spoiled on their way.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, header};
use tokio_util::sync::CancellationToken;

use crate::http::answer::{Answer, Body, Broken, Pieces};

/// The largest body that is cut in half, in bytes; a larger one is left whole.
const TRUNCATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What begins an event's data in a stream.
const DATA: &[u8] = b"data: ";

/// A body that breaks at once.
pub(super) fn broken() -> Body {
    Body::stream(stream::iter([Err(Broken)]))
}

/// The same answer with the first half of its body, and whether there was anything to cut. The whole counts as `count`
/// says for as long as the half is there.
///
/// # Errors
///
/// That of `count`.
pub(super) async fn truncate<E>(
    answer: Answer,
    count: impl FnOnce(Bytes) -> Result<Bytes, E>,
) -> Result<(Answer, bool), E> {
    let (mut head, body) = answer.into_parts();
    let Ok(bytes) = body.collect(TRUNCATED_BYTES_MAX).await else {
        return Ok((Answer::from_parts(head, broken()), true));
    };
    if bytes.len() < 2 {
        return Ok((Answer::from_parts(head, bytes.into()), false));
    }
    // The head promises the whole.
    let length = HeaderValue::from(bytes.len());
    head.headers.insert(header::CONTENT_LENGTH, length);
    let whole = count(bytes)?;
    let half = whole.slice(..whole.len() / 2);
    drop(whole);
    let body = stream::iter([Ok(half)]).chain(stream::once(end_badly()));
    Ok((Answer::from_parts(head, Body::stream(body)), true))
}

/// The same answer, of whose body nothing comes before `hold` is over.
pub(super) fn stall(
    answer: Answer,
    hold: impl Future<Output = ()> + Send + 'static,
    stop: CancellationToken,
) -> Answer {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.length() {
        let length = HeaderValue::from(length);
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length);
    }
    let stalled = async move {
        tokio::select! {
            () = hold => {}
            () = stop.cancelled() => {}
        }
        body.into_pieces()
    };
    let body = Body::stream(stream::once(stalled).flatten());
    Answer::from_parts(head, body)
}

/// The same stream, whole for that many events; in the next one it is cut, or before it falls silent.
pub(super) fn spoil_stream(
    pieces: Pieces,
    events: usize,
    is_cut: bool,
    stop: CancellationToken,
) -> Body {
    let spoiled = SpoiledStream {
        pieces,
        events,
        is_cut,
        is_over: false,
        stop,
    };
    Body::stream(stream::unfold(spoiled, SpoiledStream::next))
}

/// An end that is none. What came before gets time to be sent, for an error is faster than what is still in a buffer.
async fn end_badly() -> Result<Bytes, Broken> {
    tokio::task::yield_now().await;
    Err(Broken)
}

/// A stream of events that goes wrong.
struct SpoiledStream {
    pieces: Pieces,
    /// How many events are still to pass whole.
    events: usize,
    is_cut: bool,
    /// Whether it has gone wrong.
    is_over: bool,
    stop: CancellationToken,
}

impl SpoiledStream {
    async fn next(mut self) -> Option<(Result<Bytes, Broken>, Self)> {
        if !self.is_over {
            let bytes = match self.pieces.next().await? {
                Ok(bytes) => bytes,
                broken => return Some((broken, self)),
            };
            let Some(rest) = self.split(&bytes) else {
                return Some((Ok(bytes), self));
            };
            self.is_over = true;
            if !rest.is_empty() {
                return Some((Ok(rest), self));
            }
        }
        if self.is_cut {
            return Some((end_badly().await, self));
        }
        // Nothing comes any more, until the server ends.
        self.stop.cancelled().await;
        None
    }

    /// What of these bytes is still sent, if the stream goes wrong within them.
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

/// The start of the event with that line: after the last empty line before it.
fn start_of_event(bytes: &[u8], line: usize) -> usize {
    let before = bytes[..line].windows(2).rposition(|two| two == b"\n\n");
    before.map_or(0, |at| at + 2)
}
