//! Server-sent events: the decoder and the open stream.
//!
//! The decoder is our own because the waits need what others hide: comments and other bytes that are no event, which
//! are the heartbeats that a watchdog lives on, and a bound on how much one event may make us remember.

use std::collections::VecDeque;
use std::time::Duration;

use abide_wire::headers;
use http::{HeaderValue, StatusCode, header};

use crate::exchange::{Call, Failure, JOB_BYTES_MAX, open};
use crate::hub::Alone;
use crate::origin::Origin;
use crate::rt::{self, in_time};
use crate::telemetry;
use crate::transport::Body;

/// The longest event that is read, in bytes; the same as for one job.
const EVENT_BYTES_MAX: usize = JOB_BYTES_MAX;
/// How long to wait before reconnecting where the server says nothing, and the bounds of what it may say.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What came over a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An event.
    Event {
        /// Its type, `message` where none is named.
        event: String,
        /// Its data, lines joined.
        data: String,
        /// The latest id that was told with it or before.
        id: Option<String>,
    },
    /// Something that is no event, such as a comment: a sign of life.
    Alive,
}

/// More was sent for one event than one event may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes")]
struct TooLong;

/// Decodes a stream, however it is cut into parts.
#[derive(Debug, Default)]
struct Decoder {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed right after it belongs to it.
    after_return: bool,
    /// Whether the first line has begun; before it there may be a byte order mark.
    begun: bool,
    event: String,
    data: String,
    id: Option<String>,
    retry: Option<Duration>,
    ready: VecDeque<Item>,
}

impl Decoder {
    /// Takes in the next part.
    fn push(&mut self, part: &[u8]) -> Result<(), TooLong> {
        let mut rest = part;
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            let line = std::mem::take(&mut self.line);
            self.line(&line);
            let returned = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if returned {
                if rest.is_empty() {
                    self.after_return = true;
                }
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.extend(rest)
    }

    /// The next of what was decoded.
    fn next(&mut self) -> Option<Item> {
        self.ready.pop_front()
    }

    /// How long the server wants us to stay away after a stream has ended.
    fn retry(&self) -> Duration {
        self.retry.unwrap_or(RETRY).clamp(RETRY_MIN, RETRY_MAX)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) {
        let line = if self.begun {
            line
        } else {
            self.begun = true;
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                if let Ok(millis) = value.parse() {
                    self.retry = Some(Duration::from_millis(millis));
                }
            }
            "id" if !value.contains('\0') => {
                self.id = Some(value.to_owned()).filter(|id| !id.is_empty());
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        let event = if event.is_empty() {
            "message".to_owned()
        } else {
            event
        };
        let id = self.id.clone();
        self.ready.push_back(Item::Event { event, data, id });
    }
}

/// What came of opening a stream.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open.
    Open(Events),
    /// There will be no more events.
    Over,
    /// There is no such stream, or what answers is none.
    Absent,
    /// Enough streams are open already; this wait does better without.
    Crowded,
}

/// Opens a stream within `limit`, resumed after that id.
pub(crate) async fn open_events(
    origin: &Origin,
    call: Call,
    after: Option<HeaderValue>,
    limit: Duration,
    alone: Option<Alone>,
) -> Result<Opened, Failure> {
    let accept = HeaderValue::from_static("text/event-stream");
    let mut call = call.header(header::ACCEPT.as_str(), accept);
    if let Some(after) = after {
        call = call.header(headers::LAST_EVENT_ID, after);
    }
    let sent = origin.clock.now();
    let answer = in_time(&origin.clock, rt::after(sent, limit), open(origin, &call)).await;
    let answer = answer.unwrap_or_else(|| Err(Failure::timed_out(limit)));
    let took = origin.clock.now().saturating_duration_since(sent);
    telemetry::exchanged(
        call.purpose,
        took,
        answer.as_ref().err().map(Failure::kind_word),
    );
    let answer = answer?;
    if answer.status() == StatusCode::NO_CONTENT {
        return Ok(Opened::Over);
    }
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().starts_with("text/event-stream") {
        return Ok(Opened::Absent);
    }
    Ok(Opened::Open(Events {
        body: answer.into_body(),
        decoder: Decoder::default(),
        _alone: alone,
    }))
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Events {
    body: Body,
    decoder: Decoder,
    /// Leave to have it, given back with it.
    _alone: Option<Alone>,
}

impl Events {
    /// The next item; none when the server has closed the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, Failure> {
        if let Some(item) = self.decoder.next() {
            return Ok(Some(item));
        }
        let Some(part) = self.body.chunk().await else {
            return Ok(None);
        };
        self.decoder
            .push(&part?)
            .map_err(|error| Failure::garbled(error.to_string()))?;
        Ok(Some(self.decoder.next().unwrap_or(Item::Alive)))
    }

    /// How long the server wants us to stay away after the stream has ended.
    pub(crate) fn retry(&self) -> Duration {
        self.decoder.retry()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Item> {
        let mut decoder = Decoder::default();
        let mut items = Vec::new();
        for part in parts {
            decoder.push(part).unwrap();
            items.extend(std::iter::from_fn(|| decoder.next()));
        }
        items
    }

    fn event(event: &str, data: &str) -> Item {
        Item::Event {
            event: event.to_owned(),
            data: data.to_owned(),
            id: None,
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_read_as_it_says() {
        for (stream, expected) in [
            (
                "data: YHOO\ndata: +2\ndata: 10\n\n",
                vec![event("message", "YHOO\n+2\n10")],
            ),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![
                    Item::Event {
                        event: "message".to_owned(),
                        data: "first event".to_owned(),
                        id: Some("1".to_owned()),
                    },
                    event("message", "second event"),
                    event("message", " third event"),
                ],
            ),
            (
                "data\n\ndata\ndata\n\ndata:",
                vec![event("message", ""), event("message", "\n")],
            ),
            (
                "data:test\n\ndata: test\n\n",
                vec![event("message", "test"), event("message", "test")],
            ),
            ("\u{feff}event: a\rdata: 1\r\n\r\n", vec![event("a", "1")]),
            ("event: lost\n\ndata: x\n\n", vec![event("message", "x")]),
            ("data: unfinished", vec![]),
            (
                "unknown: field\nevent: b\ndata: {\"a\":1}\n\n",
                vec![event("b", "{\"a\":1}")],
            ),
        ] {
            assert_eq!(decode([stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn a_wish_to_stay_away_has_a_floor_and_a_ceiling() {
        for (text, expected) in [
            ("", RETRY),
            ("retry: 5000\n", Duration::from_secs(5)),
            ("retry: 0\n", RETRY_MIN),
            ("retry: 86400000\n", RETRY_MAX),
            ("retry: 99999999999999999999999\n", RETRY),
            ("retry: -3\n", RETRY),
            ("retry: soon\n", RETRY),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(text.as_bytes()).unwrap();
            assert_eq!(decoder.retry(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut decoder = Decoder::default();
        let part = [b'x'; 64 * 1024];
        let refused = (0..1_000).any(|_| decoder.push(&part).is_err());
        assert!(refused);
        let mut decoder = Decoder::default();
        let refused = (0..1_000).any(|_| {
            decoder.push(b"data: ").is_err()
                || decoder.push(&part).is_err()
                || decoder.push(b"\n").is_err()
        });
        assert!(refused);
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_makes_no_difference(
            lines in proptest::collection::vec("(data|event|id|retry|)(: ?[a-z0-9é\u{1f600}]{0,5})?(\r\n|\n|\r)", 0..40),
            cuts in proptest::collection::vec(0_usize..400, 0..40),
        ) {
            let whole = lines.concat();
            let whole = whole.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]);
            prop_assert_eq!(decode(parts), decode([whole]));
        }

        #[test]
        fn garbage_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let _ = decode([bytes.as_slice()]);
        }
    }
}
