//! Who may make a request, and in which words it is answered.

use std::cell::RefCell;

use abide_wire::{Problem, headers};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::access::KeyForm;
use super::answer::Answer;
use super::error::problem_answer;
use super::limits::{Class, Verdict};
use super::value::value;
use crate::config::Quota;

/// Who may make a request, and whether it is counted against limits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    /// Every client, within a limit of its address: probes, and pages that show nothing of any owner's.
    Open,
    /// Keys of the role `admin`, or every client of a server without keys, as often as they like: what all owners
    /// share.
    Operator,
    /// Clients with a key, within a limit of their own that `--rate-limit` doesn't lower: what was counted of clients,
    /// so that asking for it changes nothing.
    Apart,
    /// Clients with a key, within limits.
    Native,
    /// The same, in another system's words.
    Dialect(&'static dyn Words),
}

/// How a system says what every route may have to say. The defaults are the native words.
pub(super) trait Words: std::fmt::Debug + Sync {
    /// Writes what is left of the client's limits.
    fn write_limits(&self, verdict: &Verdict, out: &mut HeaderMap) {
        let name = verdict.class.name();
        out.insert(RATELIMIT_POLICY, policy(verdict));
        out.insert(
            RATELIMIT,
            value(|text| {
                text.str("\"").str(name).str("\";r=");
                text.number(verdict.remaining);
                text.str(";t=").number(verdict.wait_s());
            }),
        );
    }

    /// The headers that [`Words::write_limits`] writes, for the description: name, whether it is a number, meaning.
    fn limits(&self) -> &'static [(&'static str, bool, &'static str)] {
        &[
            (
                "RateLimit",
                false,
                "What is left: `\"requests\";r=599;t=1`.",
            ),
            (
                "RateLimit-Policy",
                false,
                "The limit: `\"requests\";q=600;w=60`.",
            ),
        ]
    }

    /// The headers of an answer that shows a job, for the description: name, whether it is a number, meaning.
    fn of_a_job(&self) -> &'static [(&'static str, bool, &'static str)] {
        &[
            ("Cache-Control", false, "`private, no-cache`."),
            (
                "Retry-After",
                true,
                "While the job is not done: the seconds after which another look is worthwhile.",
            ),
            (
                "Preference-Applied",
                false,
                "`wait=N`: for how long the request might be held.",
            ),
        ]
    }

    /// A problem as an answer.
    fn problem(&self, problem: &Problem) -> Answer {
        problem_answer(problem)
    }

    /// How clients send their keys.
    fn keys(&self) -> &'static [KeyForm] {
        &[KeyForm::Bearer]
    }

    /// Whether a key must be sent although the server has none, so that a client that forgets it is noticed.
    fn needs_key(&self) -> bool {
        false
    }
}

const RATELIMIT: HeaderName = HeaderName::from_static(headers::RATELIMIT);
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static(headers::RATELIMIT_POLICY);

/// The limit in native words.
fn policy(verdict: &Verdict) -> HeaderValue {
    // Most requests of a server have the same one.
    thread_local! {
        static LAST: RefCell<Option<(Class, Quota, HeaderValue)>> = const { RefCell::new(None) };
    }
    let (class, quota) = (verdict.class, verdict.quota);
    LAST.with_borrow_mut(|last| match last {
        Some((known, of, policy)) if (*known, *of) == (class, quota) => policy.clone(),
        _ => {
            let policy = value(|text| {
                text.str("\"").str(class.name()).str("\";q=");
                text.number(verdict.requests());
                text.str(";w=").number(verdict.window_s());
            });
            last.insert((class, quota, policy)).2.clone()
        }
    })
}

/// The words of the native interface.
#[derive(Debug)]
struct Native;

impl Words for Native {}

impl Door {
    /// How it is answered here.
    pub(super) fn words(self) -> &'static dyn Words {
        match self {
            Self::Dialect(words) => words,
            Self::Open | Self::Operator | Self::Apart | Self::Native => &Native,
        }
    }

    /// Whether requests through it are counted against limits.
    pub(super) const fn is_limited(self) -> bool {
        matches!(self, Self::Native | Self::Dialect(_))
    }

    /// Whether it opens without a key.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use abide_engine::Owner;

    use super::*;
    use crate::config::{Quota, RateLimit};
    use crate::http::limits::{Class, Client, Rates};

    #[test]
    fn the_native_limits_are_told_as_the_draft_has_them() {
        let rates = Rates::new(RateLimit(Some(Quota {
            requests: 600.try_into().unwrap(),
            window: Duration::from_mins(1),
        })));
        let now = Duration::from_secs(1_000);
        let verdict = rates
            .take(Client::Key(Owner(1)), Class::Request, now)
            .unwrap();
        let mut out = HeaderMap::new();
        Door::Native.words().write_limits(&verdict, &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(out["ratelimit-policy"], r#""requests";q=600;w=60"#);
        assert_eq!(out["ratelimit"], r#""requests";r=599;t=1"#);
    }
}
