//! A job as clients see it, at any revision that is remembered: as a value, and as the JSON of that value.

use std::ops::Range;

use serde::Serialize;
use serde_json::value::RawValue;

use abide_wire::{Links, Progress, Remaining, Revision, Status, Timestamp};

use super::job::{Change, Extra, Job, State};
use crate::Json;

/// What a job shows whose creator noted nothing on it.
const NOTHING_NOTED: &str = "{}";

/// A job at one revision.
struct Seen<'j> {
    job: &'j Job,
    revision: u64,
    /// The change that made the revision.
    change: Option<&'j Change>,
    state: State,
}

impl Job {
    /// The job as clients see it now.
    #[must_use]
    pub fn to_wire(&self, remaining: Option<Remaining>) -> abide_wire::Job<&RawValue> {
        self.seen_at(self.revision, self.changes.last(), remaining)
    }

    /// The job as clients saw it at that revision, if it is remembered.
    #[must_use]
    pub fn as_of(&self, revision: u64) -> Option<abide_wire::Job<&RawValue>> {
        self.change(revision)
            .map(|change| self.seen_at(revision, Some(change), None))
    }

    /// The job as clients saw it at that revision, which that change made.
    pub(crate) fn seen_at<'j>(
        &'j self,
        revision: u64,
        change: Option<&'j Change>,
        remaining: Option<Remaining>,
    ) -> abide_wire::Job<&'j RawValue> {
        Seen::new(self, revision, change).to_wire(remaining)
    }

    /// Appends the JSON of the job as clients saw it at that revision. Returns where in `out` the estimate of what
    /// remains is, or the `null` in its place; `None` if the revision isn't remembered.
    pub fn write_json(
        &self,
        revision: u64,
        remaining: Option<Remaining>,
        out: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let change = self.change(revision);
        let is_known = change.is_some() || revision == self.revision;
        is_known.then(|| Seen::new(self, revision, change).write_json(remaining, out))
    }

    /// When the work began that was under way at that revision, which is of that instant: each attempt of a job begins
    /// anew.
    fn started_at_of(&self, revision: u64, at: Timestamp) -> Option<Timestamp> {
        let count = (revision + 1).saturating_sub(self.first_revision());
        let past = self.changes.get(..usize::try_from(count).ok()?)?;
        match past.iter().rposition(|it| it.state == State::Pending) {
            Some(pending) => {
                let begun = past.get(pending + 1)?;
                (begun.state == State::Running).then_some(begun.at)
            }
            // That change isn't remembered any more, and there was none after it.
            None => self.started_at.filter(|begun| *begun <= at),
        }
    }
}

impl<'j> Seen<'j> {
    fn new(job: &'j Job, revision: u64, change: Option<&'j Change>) -> Self {
        Self {
            job,
            revision,
            change,
            state: change.map_or(job.state, |change| change.state),
        }
    }

    fn extra(&self) -> Option<&'j Extra> {
        self.job.extra.as_deref()
    }

    /// What only an ended job shows.
    fn end(&self) -> Option<&'j Extra> {
        self.extra().filter(|_| self.state.is_done())
    }

    fn started_at(&self) -> Option<Timestamp> {
        let started_at = match self.revision == self.job.revision {
            true => self.job.started_at,
            false => self.job.started_at_of(self.revision, self.updated_at()),
        };
        started_at.filter(|_| self.state != State::Pending)
    }

    fn updated_at(&self) -> Timestamp {
        self.change.map_or(self.job.created_at, |change| change.at)
    }

    fn attempts(&self) -> Option<u32> {
        let is_newest = self.revision == self.job.revision;
        Some(self.job.attempts()).filter(|n| *n > 0 && is_newest)
    }

    fn to_wire(&self, remaining: Option<Remaining>) -> abide_wire::Job<&'j RawValue> {
        let (job, done) = (self.job, self.state.is_done());
        let id = job.key.to_id();
        let links = Links::of(id.as_str());
        let input = self.extra().and_then(|extra| extra.input.as_ref());
        let result = self.end().and_then(|extra| extra.result.as_ref());
        let metadata = self.extra().and_then(|extra| extra.metadata.as_ref());
        abide_wire::Job {
            id,
            kind: job.kind.as_ref().to_owned(),
            status: self.state.into(),
            done,
            outcome: self.state.outcome(),
            revision: Revision(self.revision),
            progress: self.change.and_then(|change| {
                change.percent.map(|percent| Progress {
                    percent: f64::from(percent.get()),
                    stage: change.stage.as_deref().map(str::to_owned),
                })
            }),
            input: input.map(Json::raw),
            result: result.map(Json::raw),
            error: self.end().and_then(|extra| extra.error.as_deref().cloned()),
            metadata: metadata
                .map(Json::raw)
                .or_else(|| serde_json::from_str(NOTHING_NOTED).ok()),
            created_at: job.created_at,
            started_at: self.started_at(),
            updated_at: self.updated_at(),
            finished_at: job.finished_at.filter(|_| done),
            expires_at: job.expires_at.filter(|_| done),
            remaining_ms: remaining.filter(|_| !done),
            attempts: self.attempts(),
            lease: None,
            links,
        }
    }

    /// Appends the JSON, member by member: every create and every revision that is read needs it once, and the derived
    /// form takes ten times as long. Returns where what remains is.
    fn write_json(&self, remaining: Option<Remaining>, out: &mut Vec<u8>) -> Range<usize> {
        let (job, done) = (self.job, self.state.is_done());
        let id = job.key.to_id();
        let put = |out: &mut Vec<u8>, text: &str| out.extend_from_slice(text.as_bytes());
        let raw = |out: &mut Vec<u8>, json: Option<&Json>| put(out, json.map_or("null", Json::get));
        put(out, "{\"id\":\"");
        put(out, id.as_str());
        put(out, "\",\"kind\":");
        write(out, &*job.kind);
        put(out, ",\"status\":\"");
        put(out, Status::from(self.state).as_str());
        put(out, "\",\"done\":");
        put(out, if done { "true" } else { "false" });
        put(out, ",\"outcome\":");
        write(out, &self.state.outcome());
        put(out, ",\"revision\":");
        write(out, &self.revision);
        put(out, ",\"progress\":");
        match self
            .change
            .and_then(|change| change.percent.zip(Some(change)))
        {
            None => put(out, "null"),
            Some((percent, change)) => {
                put(out, "{\"percent\":");
                write(out, &f64::from(percent.get()));
                put(out, ",\"stage\":");
                write(out, &change.stage);
                put(out, "}");
            }
        }
        put(out, ",\"input\":");
        raw(out, self.extra().and_then(|extra| extra.input.as_ref()));
        put(out, ",\"result\":");
        raw(out, self.end().and_then(|extra| extra.result.as_ref()));
        put(out, ",\"error\":");
        write(out, &self.end().and_then(|extra| extra.error.as_deref()));
        let metadata = self.extra().and_then(|extra| extra.metadata.as_ref());
        put(out, ",\"metadata\":");
        put(out, metadata.map_or(NOTHING_NOTED, Json::get));
        put(out, ",\"created_at\":");
        let from = out.len();
        write(out, &job.created_at);
        let created_at = (job.created_at, from..out.len());
        // Most instants of a job that has just been made are the same.
        let instant = |out: &mut Vec<u8>, at: Option<Timestamp>| match at {
            Some(at) if at == created_at.0 => out.extend_from_within(created_at.1.clone()),
            at => write(out, &at),
        };
        put(out, ",\"started_at\":");
        instant(out, self.started_at());
        put(out, ",\"updated_at\":");
        instant(out, Some(self.updated_at()));
        put(out, ",\"finished_at\":");
        instant(out, job.finished_at.filter(|_| done));
        put(out, ",\"expires_at\":");
        instant(out, job.expires_at.filter(|_| done));
        put(out, ",\"remaining_ms\":");
        let from = out.len();
        write(out, &remaining.filter(|_| !done));
        let remaining = from..out.len();
        if let Some(attempts) = self.attempts() {
            put(out, ",\"attempts\":");
            write(out, &attempts);
        }
        put(out, ",\"links\":{\"self\":\"/v1/jobs/");
        put(out, id.as_str());
        for (name, rest) in Links::RESTS {
            put(out, "\",\"");
            put(out, name);
            put(out, "\":\"/v1/jobs/");
            put(out, id.as_str());
            put(out, rest);
        }
        put(out, "\"}}");
        remaining
    }
}

/// Appends the JSON of a small value.
fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("a job has no map with keys that are not text");
}
