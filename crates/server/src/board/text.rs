//! A job's JSON, made once for each revision and shared by all reads and streams of it.

use std::io::{self, Write};
use std::ops::Range;

use abide_engine::Job;
use abide_wire::Remaining;
use bytes::Bytes;
use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};

/// Most jobs' JSON is shorter, in bytes.
const BYTES_USUAL: usize = 1_024;
/// Room for the estimate, in bytes.
const REMAINING_BYTES: usize = 64;
/// Stands for the first byte of the estimate's `null` while the JSON is written. It is in no UTF-8, so in no JSON.
const MARK: u8 = 0xff;
/// The most revisions of a job whose JSON is kept.
const REVISIONS_MAX: usize = 8;
/// The most JSON of a job that is kept, in bytes. More is made for each read.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// The JSON of a job that was read, as it is and as it was before, dropped when the job changes.
#[derive(Debug, Default)]
pub(super) struct JobTexts {
    /// The job's revision. What it was before is shown with what it has now, so all of it is as of this one.
    revision: u64,
    texts: Vec<JobText>,
}

impl JobTexts {
    /// The JSON of that revision of that job, if it is kept.
    pub(super) fn get(&self, job: &Job, revision: u64) -> Option<&JobText> {
        let mut texts = self.texts.iter().filter(|_| self.revision == job.revision);
        texts.find(|text| text.revision == revision)
    }

    /// Keeps a text of that job, which is the newest known, if it isn't too much.
    pub(super) fn keep(&mut self, job: &Job, text: JobText) {
        if self.revision != job.revision {
            *self = Self {
                revision: job.revision,
                texts: Vec::with_capacity(1),
            };
        }
        let bytes: usize = self.texts.iter().map(|text| text.json.len()).sum();
        let has_room =
            self.texts.len() < REVISIONS_MAX && bytes + text.json.len() <= KEPT_BYTES_MAX;
        // Two may have made it at the same time.
        if has_room && self.get(job, text.revision).is_none() {
            self.texts.push(text);
        }
    }
}

/// A job's JSON at one revision, with `null` for the estimate of what remains.
#[derive(Debug)]
pub(super) struct JobText {
    revision: u64,
    json: Bytes,
    /// Where in it that `null` is.
    remaining: Range<usize>,
    /// Whether it has line breaks, as its creator may have sent them.
    has_breaks: bool,
}

impl JobText {
    /// The JSON of that job at that revision; `None` if that isn't remembered.
    ///
    /// # Errors
    ///
    /// The job has something in it that isn't JSON, which would be a fault of the server.
    pub(super) fn new(job: &Job, revision: u64) -> Result<Option<Self>, serde_json::Error> {
        let seen = match revision == job.revision {
            true => Some(job.to_wire(None)),
            false => job.as_of(revision),
        };
        let Some(seen) = seen else {
            return Ok(None);
        };
        let mut json = Vec::with_capacity(BYTES_USUAL);
        let mut serializer = Serializer::with_formatter(&mut json, Marked::default());
        seen.serialize(&mut serializer)?;
        let mark = memchr::memchr(MARK, &json);
        let start = mark.expect("a job without an estimate has `null` for it");
        json[start] = b'n';
        Ok(Some(Self {
            revision,
            has_breaks: memchr::memchr2(b'\n', b'\r', &json).is_some(),
            json: json.into(),
            remaining: start..start + 4,
        }))
    }

    /// Whether it is short enough to be kept.
    pub(super) fn is_short(&self) -> bool {
        self.json.len() <= KEPT_BYTES_MAX
    }

    /// The JSON with that estimate. It is another one with every millisecond, so it is put in for each read.
    pub(super) fn with(&self, remaining: Option<Remaining>) -> Result<Bytes, serde_json::Error> {
        if remaining.is_none() {
            return Ok(self.json.clone());
        }
        let mut json = Vec::with_capacity(self.json.len() + REMAINING_BYTES);
        self.write(remaining, &mut json)?;
        Ok(json.into())
    }

    /// Appends the same as one line: within JSON, line breaks are nothing but space.
    pub(super) fn write_line(
        &self,
        remaining: Option<Remaining>,
        out: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let start = out.len();
        self.write(remaining, out)?;
        if self.has_breaks {
            break_no_line(&mut out[start..]);
        }
        Ok(())
    }

    fn write(
        &self,
        remaining: Option<Remaining>,
        out: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let Some(remaining) = remaining else {
            out.extend_from_slice(&self.json);
            return Ok(());
        };
        out.extend_from_slice(&self.json[..self.remaining.start]);
        serde_json::to_writer(&mut *out, &remaining)?;
        out.extend_from_slice(&self.json[self.remaining.end..]);
        Ok(())
    }
}

/// Puts spaces in the place of line breaks.
fn break_no_line(json: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &json[from..]) {
        json[from + at] = b' ';
        from += at + 1;
    }
}

/// Writes compact JSON and marks the `null` of the outermost object's member `remaining_ms`, wherever that member
/// stands.
#[derive(Debug, Default)]
struct Marked {
    depth: usize,
    /// Whether a key of the outermost object is being written.
    in_key: bool,
    /// Whether the last key of the outermost object was `remaining_ms`.
    is_remaining: bool,
}

impl Formatter for Marked {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.in_key = self.depth == 1;
        if first { Ok(()) } else { out.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        if self.in_key {
            self.is_remaining = text == "remaining_ms";
        }
        out.write_all(text.as_bytes())
    }

    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let is_marked = self.depth == 1 && self.is_remaining;
        writer.write_all(if is_marked {
            &[MARK, b'u', b'l', b'l']
        } else {
            b"null"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_estimate_is_marked() {
        let mark = |value: &str| {
            let raw: &serde_json::value::RawValue = serde_json::from_str(value).unwrap();
            let inner = serde_json::json!({"remaining_ms": null, "x": ["remaining_ms", null]});
            let (mut json, remaining) = (Vec::new(), None::<u8>);
            #[derive(serde::Serialize)]
            struct Outer<'a> {
                first: Option<u8>,
                raw: &'a serde_json::value::RawValue,
                inner: &'a serde_json::Value,
                remaining_ms: Option<u8>,
                later: &'a serde_json::value::RawValue,
                last: Option<u8>,
            }
            let outer = Outer {
                first: None,
                raw,
                inner: &inner,
                remaining_ms: remaining,
                later: raw,
                last: None,
            };
            outer
                .serialize(&mut Serializer::with_formatter(
                    &mut json,
                    Marked::default(),
                ))
                .unwrap();
            let plain = serde_json::to_string(&outer).unwrap();
            let marks: Vec<_> = json
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == MARK)
                .collect();
            assert_eq!(marks.len(), 1);
            let place = marks[0].0;
            json[place] = b'n';
            assert_eq!(String::from_utf8(json).unwrap(), plain);
            plain[..place].len()
        };
        let place = mark(r#"{"remaining_ms":null}"#);
        let json = r#"{"first":null,"raw":{"remaining_ms":null},"inner":"#;
        let inner = r#"{"remaining_ms":null,"x":["remaining_ms",null]}"#;
        assert_eq!(
            place,
            json.len() + inner.len() + r#","remaining_ms":"#.len()
        );
    }
}
