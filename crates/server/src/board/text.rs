//! A job's JSON, made once for each revision and shared by all reads and streams of it.

use abide_engine::Job;
use abide_wire::Remaining;
use bytes::Bytes;

/// Most jobs' JSON is shorter, in bytes.
const BYTES_USUAL: usize = 1_024;
/// Room for the estimate, in bytes.
const REMAINING_BYTES: usize = 64;
/// What stands in the place of the estimate.
const NULL: &str = "null";
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
    /// Where in it that `null` begins.
    remaining: usize,
    /// Whether it has line breaks, as its creator may have sent them.
    has_breaks: bool,
}

impl JobText {
    /// The JSON of that job at that revision; `None` if that isn't remembered.
    pub(super) fn new(job: &Job, revision: u64) -> Option<Self> {
        let mut json = Vec::with_capacity(BYTES_USUAL);
        let remaining = job.write_json(revision, None, &mut json)?.start;
        Some(Self {
            revision,
            has_breaks: memchr::memchr2(b'\n', b'\r', &json).is_some(),
            json: json.into(),
            remaining,
        })
    }

    /// Whether it is short enough to be kept.
    pub(super) fn is_short(&self) -> bool {
        self.json.len() <= KEPT_BYTES_MAX
    }

    /// The JSON with that estimate. It is another one with every millisecond, so it is put in for each read.
    pub(super) fn with(&self, remaining: Option<Remaining>) -> Bytes {
        if remaining.is_none() {
            return self.json.clone();
        }
        let mut json = Vec::with_capacity(self.json.len() + REMAINING_BYTES);
        self.write(remaining, &mut json);
        json.into()
    }

    /// Appends the same as one line: within JSON, line breaks are nothing but space.
    pub(super) fn write_line(&self, remaining: Option<Remaining>, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(remaining, out);
        if self.has_breaks {
            break_no_line(&mut out[start..]);
        }
    }

    fn write(&self, remaining: Option<Remaining>, out: &mut Vec<u8>) {
        let Some(remaining) = remaining else {
            out.extend_from_slice(&self.json);
            return;
        };
        let (before, rest) = self.json.split_at(self.remaining);
        out.extend_from_slice(before);
        serde_json::to_writer(&mut *out, &remaining).expect("it has only text keys");
        out.extend_from_slice(&rest[NULL.len()..]);
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
