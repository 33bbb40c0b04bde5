//! The words of a vendor: how clients send their keys, and how errors are said.

use abide_wire::{Code, Problem};
use http::{HeaderMap, StatusCode, header};

use crate::http::access::KeyForm;
use crate::http::answer::Answer;
use crate::http::door::Words;
use crate::http::limits::Verdict;
use crate::http::represent::retry_after;
use crate::http::seen::Seen;

/// How a vendor says what every route may have to say. It tells nothing of limits until they are met.
#[derive(Debug)]
pub(super) struct Vendor {
    /// How clients send their keys, the usual way first. One must be sent also if the server has none, unless the
    /// vendor's SDKs call emulators without.
    pub keys: &'static [KeyForm],
    /// Whether the vendor's SDKs call emulators without a key, and so a server that has none.
    pub allows_no_key: bool,
    /// A refusal in the vendor's envelope, the gate's own refusals too.
    pub error: fn(&Problem) -> Answer,
}

impl Vendor {
    /// A vendor whose clients send a key in one of those ways, and that says errors so.
    pub(super) const fn new(keys: &'static [KeyForm], error: fn(&Problem) -> Answer) -> Self {
        Self {
            keys,
            allows_no_key: false,
            error,
        }
    }

    /// Or with no key, as the vendor's SDKs call emulators.
    pub(super) const fn or_none(mut self) -> Self {
        self.allows_no_key = true;
        self
    }
}

impl Words for Vendor {
    fn write_limits(&self, _: &Verdict, _: &mut HeaderMap) {}

    fn limits(&self) -> &'static [(&'static str, bool, &'static str)] {
        &[]
    }

    fn of_a_job(&self) -> &'static [(&'static str, bool, &'static str)] {
        &[]
    }

    fn problem(&self, problem: &Problem) -> Answer {
        (self.error)(problem)
    }

    fn keys(&self) -> &'static [KeyForm] {
        self.keys
    }

    fn needs_key(&self) -> bool {
        !self.allows_no_key
    }
}

/// The status of a refusal at a vendor that says `wrong` of a request that is well-formed and means nothing, which is
/// a `422` here. The simulator's faults have the status that was asked for.
pub(super) fn status_of(problem: &Problem, wrong: u16) -> StatusCode {
    let status = match problem.status {
        422 if problem.code != Code::SIMULATED => wrong,
        status => status,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What is wrong, in a word or two, for vendors that say so beside the sentence.
pub(super) fn title(problem: &Problem) -> &str {
    let status = StatusCode::from_u16(problem.status).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    reason.unwrap_or(&problem.title)
}

/// What is wrong, in a sentence.
pub(super) fn message(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or(&problem.title)
}

/// Says when to read the job again, as a native read does, for a vendor whose reads say so.
pub(super) fn pace(seen: &Seen<'_>, out: &mut HeaderMap) {
    if seen.outcome.is_none() {
        let seconds = retry_after(seen.remaining(), 1);
        out.insert(header::RETRY_AFTER, seconds.into());
    }
}
