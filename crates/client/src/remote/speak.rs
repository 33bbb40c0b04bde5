//! Requests to a foreign API and what its answers show, by its description.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;
use url::Url;

use abide_wire::{Job, JobId, Json, Links, NewJob, Outcome, Progress, Revision, Status, Timestamp};

use super::Remote;
use crate::complaint;
use crate::error::Error;
use crate::exchange::{Call, Failure, Reply};
use crate::origin::Origin;
use crate::retry::retry_after;
use crate::schedule::Remaining;
use crate::telemetry::{self, Purpose};

impl Remote {
    /// A path of the description, with the id and the kind in it.
    pub(crate) fn url(&self, origin: &Origin, template: &str, id: &JobId, kind: &str) -> Url {
        let (path, query) = template.split_once('?').unwrap_or((template, ""));
        let filled = |text: &str| text.replace("{id}", id.as_str()).replace("{kind}", kind);
        // What may have slashes is filled in before the path is taken apart, and what may not after that.
        let path = path.replace("{+id}", id.as_str()).replace("{+kind}", kind);
        let segments: Vec<String> = path
            .trim_start_matches('/')
            .split('/')
            .map(filled)
            .collect();
        let mut url = origin.url(segments.iter().map(String::as_str));
        if !query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
                pairs.append_pair(&name, &filled(&value));
            }
        }
        url
    }

    /// The call that creates a job.
    pub(crate) fn create_call(
        &self,
        origin: &Origin,
        job: &NewJob,
        key: &str,
    ) -> Result<Call, Error> {
        let Some(path) = &self.create else {
            return Err(Error::usage(format!(
                "jobs of {} are made elsewhere",
                self.name
            )));
        };
        let body = job.input.as_ref().map_or("{}", Json::get).to_owned();
        if path.contains("kind}") && job.kind.is_none() {
            return Err(Error::usage(format!(
                "a job of {} needs a kind: it stands in the path {path}",
                self.name
            )));
        }
        let kind = job.kind.as_deref().unwrap_or_default();
        let url = self.url(origin, path, &JobId::new(""), kind);
        let mut call = Call::new(Purpose::Create, Method::POST, url).json(Bytes::from(body));
        call.repeatable = false;
        if let Some(name) = &self.idempotency_header {
            let header = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(value)) = (header, HeaderValue::from_str(key)) else {
                return Err(Error::usage(format!("the header {name:?} can't be sent")));
            };
            call.headers.insert(name, value);
            call.repeatable = true;
        }
        Ok(call)
    }

    /// The id that the answer to a create tells.
    pub(crate) fn created(&self, reply: &Reply) -> Result<JobId, Failure> {
        if let Some(name) = &self.id_header {
            let address = reply.header(name).and_then(|text| text.split('?').next());
            let id = address.and_then(|address| address.trim_end_matches('/').rsplit('/').next());
            return id
                .filter(|id| !id.is_empty())
                .map(JobId::new)
                .ok_or_else(|| {
                    reply.garbled(format!("the answer has no address of a job in {name:?}"))
                });
        }
        let body = body(reply)?;
        let place = self.id.as_deref().unwrap_or("/id");
        match value(&body, place) {
            Some(Value::String(id)) if !id.is_empty() => Ok(JobId::new(id.as_str())),
            Some(Value::Number(id)) => Ok(JobId::new(id.to_string())),
            _ => Err(reply.garbled(format!("the answer has no id at {place:?}"))),
        }
    }

    /// A job of which nothing is known but its id.
    pub(crate) fn fresh(&self, id: JobId, kind: &str, now: Timestamp) -> Job {
        Job {
            id,
            kind: kind.to_owned(),
            status: Status::Pending,
            done: false,
            outcome: None,
            revision: Revision(0),
            progress: None,
            input: None,
            result: None,
            error: None,
            metadata: None,
            created_at: now,
            started_at: None,
            updated_at: now,
            finished_at: None,
            expires_at: None,
            remaining_ms: None,
            attempts: None,
            lease: None,
            links: Links::default(),
        }
    }

    /// What an answer shows of a job.
    pub(crate) fn read(
        &self,
        origin: &Origin,
        reply: &Reply,
        id: &JobId,
        kind: &str,
    ) -> Result<Job, Failure> {
        let now = origin.clock.wall();
        let body = body(reply)?;
        let word = value(&body, &self.state).as_ref().and_then(word);
        let word = word.unwrap_or_default();
        if word.is_empty() && !is_in(&self.running, "") {
            return Err(reply.garbled(format!(
                "the answer has no word for the status at {:?}",
                self.state
            )));
        }
        let at = |place: &Option<String>| {
            let value = value(&body, place.as_ref()?)?;
            (!value.is_null()).then_some(value)
        };
        let outcome = match self.outcome(origin, &word)? {
            Some(Outcome::Completed) if at(&self.failed_if).is_some() => Some(Outcome::Failed),
            outcome => outcome,
        };
        let finished_at = at(&self.finished_at).as_ref().and_then(instant);
        let finished_at = finished_at.filter(|_| outcome.is_some());
        let progress = at(&self.progress)
            .and_then(|progress| progress.as_f64())
            .map(|progress| progress / f64::from(self.progress_whole.max(1)) * 100.0)
            .filter(|percent| (0.0..=100.0).contains(percent));
        let result = match &self.result_path {
            None => body.pointer(self.result.as_deref().unwrap_or_default()),
            Some(_) => None,
        };
        let error = at(&self.error).as_ref().and_then(complaint::of_value);
        let code = at(&self.error_code).as_ref().and_then(complaint::word);
        Ok(Job {
            status: match outcome {
                Some(Outcome::Completed) => Status::Completed,
                Some(Outcome::Failed) => Status::Failed,
                Some(Outcome::Canceled) => Status::Canceled,
                None if word.is_empty() => Status::Running,
                None => Status::from(word),
            },
            done: outcome.is_some(),
            outcome,
            revision: Revision(1),
            progress: progress.map(|percent| Progress {
                percent,
                stage: None,
            }),
            result: result.filter(|_| outcome == Some(Outcome::Completed)),
            error: match (outcome, error, code) {
                (Some(Outcome::Failed), Some(error), None) => Some(error),
                (Some(Outcome::Failed), error, code) => {
                    let detail = error.and_then(|error| error.detail);
                    Some(complaint::problem(detail, code))
                }
                _ => None,
            },
            created_at: at(&self.created_at)
                .as_ref()
                .and_then(instant)
                .unwrap_or(now),
            updated_at: finished_at.unwrap_or(now),
            finished_at,
            ..self.fresh(id.clone(), kind, now)
        })
    }

    /// What a word means. One that is in none of the lists means that the job runs, as vendors add words for how far it
    /// is.
    fn outcome(&self, origin: &Origin, word: &str) -> Result<Option<Outcome>, Failure> {
        if is_in(&self.completed, word) {
            Ok(Some(Outcome::Completed))
        } else if is_in(&self.failed, word) {
            Ok(Some(Outcome::Failed))
        } else if is_in(&self.canceled, word) {
            Ok(Some(Outcome::Canceled))
        } else if self.strict && !is_in(&self.running, word) {
            Err(Failure::garbled(format!(
                "the description doesn't say what the status {word:?} of {} means",
                self.name
            )))
        } else {
            if !is_in(&self.running, word) && origin.memory.note_word(word) {
                telemetry::unknown_word(&self.name, word);
            }
            Ok(None)
        }
    }

    /// The result, in the answer that has nothing else.
    pub(crate) fn result_of(&self, reply: &Reply) -> Result<Option<Json>, Failure> {
        let place = self.result.as_deref().unwrap_or_default();
        Ok(body(reply)?.pointer(place))
    }

    /// How long the server wants to be left alone.
    pub(crate) fn hint(&self, reply: &Reply) -> Option<Duration> {
        let millis = |name: &String| reply.header(name)?.trim().parse().ok();
        self.hint_headers
            .iter()
            .find_map(millis)
            .map(Duration::from_millis)
            .or_else(|| retry_after(&reply.headers))
    }

    /// How long the job will still take, as the server says.
    pub(crate) fn remaining_of(&self, reply: &Reply) -> Option<Remaining> {
        let place = self.remaining.as_ref()?;
        let seconds = value(&body(reply).ok()?, place)?.as_f64()?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .map(Remaining::about)
    }
}

/// What the answer has at that place.
fn value(body: &Json, place: &str) -> Option<Value> {
    body.pointer(place)?.parse().ok()
}

fn body(reply: &Reply) -> Result<Json, Failure> {
    // Some answer "not yet" without a word.
    let text = match reply.body.trim_ascii() {
        b"" => b"null",
        text => text,
    };
    serde_json::from_slice(text)
        .map_err(|error| reply.garbled("the answer is not JSON").because(error))
}

/// A word, a number or a truth as a word.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Whether a list has that word, however it is written.
fn is_in(list: &[String], word: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// RFC 3339, or seconds or milliseconds since the epoch, told apart by their size.
fn instant(value: &Value) -> Option<Timestamp> {
    /// Seconds would be in the year 5138 by then.
    const MILLIS_FROM: f64 = 1e11;
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => {
            let number = number.as_f64().filter(|number| *number > 0.0)?;
            let millis = if number >= MILLIS_FROM {
                number
            } else {
                number * 1_000.0
            };
            Some(Timestamp::from_millis(millis as i64))
        }
        _ => None,
    }
}
