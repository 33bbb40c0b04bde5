//! The last requests that clients made, for tests that look at what a client asked and was answered.

use std::collections::VecDeque;
use std::time::Duration;

use abide_wire::Timestamp;
use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;

use crate::attendance::Client;

/// The most bytes of targets that are kept; the oldest requests give way.
const TARGETS_BYTES_MAX: usize = 4 << 20;

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its number since the start of the server, from 1.
    pub n: u64,
    /// When it was answered.
    pub at: Timestamp,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: Box<str>,
    /// What it was answered.
    pub status: StatusCode,
    /// From its head to its answer, by the machine's time.
    pub took: Duration,
    /// The client.
    pub client: Client,
    /// The faults that the simulator played on the answer.
    pub fault: Option<HeaderValue>,
    /// Where what it made is.
    pub location: Option<HeaderValue>,
}

/// The last requests, at most a given number and `TARGETS_BYTES_MAX`.
#[derive(Debug)]
pub struct RequestLog {
    kept_max: usize,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    requests: VecDeque<Asked>,
    bytes: usize,
    last: u64,
}

impl Asked {
    /// Whether it is about the job that has one of these ids: a part of its target ends with one, or of the address
    /// of what it made.
    #[must_use]
    pub fn is_about(&self, ids: &[String]) -> bool {
        let is_named = |part: &str| ids.iter().any(|id| part.ends_with(id.as_str()));
        let in_target = || self.target.split(['/', '?', '&', '=']).any(is_named);
        let in_location = || {
            let location = self.location.as_ref().and_then(|value| value.to_str().ok());
            location.is_some_and(is_named)
        };
        in_target() || in_location()
    }
}

impl RequestLog {
    /// A log of the last `kept_max` requests; of none where it is 0.
    #[must_use]
    pub fn new(kept_max: usize) -> Self {
        Self {
            kept_max,
            log: Mutex::default(),
        }
    }

    /// Whether requests are kept at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.kept_max > 0
    }

    /// Adds a request, whose number is given here.
    pub fn add(&self, mut asked: Asked) {
        let mut log = self.log.lock();
        log.last += 1;
        asked.n = log.last;
        log.bytes += asked.target.len();
        log.requests.push_back(asked);
        while log.requests.len() > self.kept_max || log.bytes > TARGETS_BYTES_MAX {
            let Some(oldest) = log.requests.pop_front() else {
                break;
            };
            log.bytes -= oldest.target.len();
        }
    }

    /// The requests after that number which `is_wanted` names, the oldest first, at most `limit`.
    pub fn after(&self, n: u64, limit: usize, is_wanted: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        let log = self.log.lock();
        let first = log.requests.partition_point(|asked| asked.n <= n);
        let wanted = log.requests.range(first..).filter(|asked| is_wanted(asked));
        wanted.take(limit).cloned().collect()
    }

    /// Forgets all requests. Numbers go on.
    pub fn clear(&self) {
        let mut log = self.log.lock();
        log.requests.clear();
        log.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use abide_engine::Owner;

    use super::*;
    use crate::attendance::Agent;

    fn asked(target: &str) -> Asked {
        Asked {
            n: 0,
            at: Timestamp::from_millis(0),
            method: Method::GET,
            target: target.into(),
            status: StatusCode::OK,
            took: Duration::ZERO,
            client: Client {
                owner: Owner::ANYONE,
                agent: Agent::new("test"),
                address: None,
            },
            fault: None,
            location: None,
        }
    }

    #[test]
    fn the_oldest_requests_give_way_by_number_and_by_bytes() {
        let log = RequestLog::new(3);
        for target in ["/a", "/b", "/c", "/d"] {
            log.add(asked(target));
        }
        let targets = |n, limit| -> Vec<_> {
            let found = log.after(n, limit, |_| true);
            found
                .into_iter()
                .map(|asked| (asked.n, asked.target.to_string()))
                .collect()
        };
        assert_eq!(targets(0, 2), [(2, "/b".to_owned()), (3, "/c".to_owned())]);
        assert_eq!(targets(3, 9), [(4, "/d".to_owned())]);
        log.add(asked(&"x".repeat(TARGETS_BYTES_MAX)));
        assert_eq!(log.after(0, 9, |_| true).len(), 1);
        log.add(asked("/e"));
        assert_eq!(targets(0, 9), [(6, "/e".to_owned())]);
        log.clear();
        assert_eq!(targets(0, 9), []);
    }

    #[test]
    fn a_request_is_about_the_job_in_its_path_its_query_or_its_location() {
        for (target, location, expected) in [
            ("/v1/jobs/job_1", None, true),
            ("/v1/jobs/job_1/events?after=3", None, true),
            ("/status?job_id=job_1&mode=x", None, true),
            ("/v1/jobs", Some("/v1/jobs/job_1"), true),
            ("/v1/jobs/job_12", None, false),
            ("/v1/jobs", None, false),
        ] {
            let mut asked = asked(target);
            asked.location = location.map(HeaderValue::from_static);
            assert_eq!(asked.is_about(&["job_1".to_owned()]), expected, "{target}");
        }
    }
}
