//! When to send a failed request again.
//!
//! Failures are a process of their own, apart from the completion of a job: a poll that failed neither advances nor
//! resets a schedule. It is sent again after a random pause between nothing and a ceiling that doubles ("full jitter"),
//! so that clients that failed together don't come back together. Two more things keep retries from making a bad hour
//! worse: a server's `Retry-After` is a floor under the pause, and a client's retries draw on a budget that only
//! answers refill.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How failures are retried. A value: make one and give it to a [`ClientBuilder`](crate::ClientBuilder::retry) or to
/// one [`Wait`](crate::Wait::retry).
///
/// ```
/// use std::time::Duration;
/// use abide::RetryPolicy;
///
/// let policy = RetryPolicy::default().initial(Duration::from_millis(50)).attempts(3);
/// let none = RetryPolicy::never();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    initial: Duration,
    factor: f64,
    pub(crate) max: Duration,
    pub(crate) attempts: u32,
    pub(crate) patience: Duration,
    hint_max: Duration,
    pub(crate) not_found_for: Duration,
}

impl Default for RetryPolicy {
    /// Pauses of at most 200 ms, 400 ms, … 10 s; four attempts of a single call; a wait goes on for 30 s without an
    /// answer; `Retry-After` is believed up to 5 minutes; a 404 for a job that was just created is none for 10 s.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(200),
            factor: 2.0,
            max: Duration::from_secs(10),
            attempts: 4,
            patience: Duration::from_secs(30),
            hint_max: Duration::from_secs(300),
            not_found_for: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// Every failure is final.
    #[must_use]
    pub fn never() -> Self {
        Self::default().attempts(1).patience(Duration::ZERO)
    }

    /// The greatest pause after the first failure. Default: 200 ms.
    #[must_use]
    pub fn initial(mut self, pause: Duration) -> Self {
        self.initial = pause;
        self
    }

    /// What the greatest pause is multiplied by after each further failure. Default: 2. A factor below 1, or one that
    /// isn't a number, counts as 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// The greatest pause of all, a server's `Retry-After` apart. Default: 10 s.
    #[must_use]
    pub fn max(mut self, pause: Duration) -> Self {
        self.max = pause;
        self
    }

    /// How often a single call (create, status, cancel, list, delete) is sent at most, the first time included.
    /// Default: 4. Zero counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long a *wait* goes on without any answer before it ends as unreachable. Any answer starts it anew. Default:
    /// 30 s, which outlasts the restart of a server.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The longest `Retry-After` of a server that is believed. Default: 5 minutes.
    #[must_use]
    pub fn hint_max(mut self, hint: Duration) -> Self {
        self.hint_max = hint;
        self
    }

    /// How long a 404 for a job that this client has just created means "not yet": many servers answer reads from
    /// copies that lag behind. Default: 10 s. A job of which only the id is known isn't found at its first 404.
    #[must_use]
    pub fn not_found_for(mut self, age: Duration) -> Self {
        self.not_found_for = age;
        self
    }

    /// The pause before the next attempt, after that many failures in a row. `share` is the jitter's random share, from
    /// 0 up to 1.
    pub(crate) fn pause(&self, failures: u32, hint: Option<Duration>, share: f64) -> Duration {
        let steps = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let ceiling =
            (self.initial.as_secs_f64() * self.factor.powi(steps)).min(self.max.as_secs_f64());
        let pause = Duration::try_from_secs_f64(ceiling * share).unwrap_or(self.max);
        match hint {
            Some(hint) => self.floor(hint, share).max(pause),
            None => pause,
        }
    }

    /// A server's `Retry-After` as we follow it: not longer than believed, and later by a random share, so that all
    /// clients that got the same answer don't come at once.
    pub(crate) fn floor(&self, hint: Duration, share: f64) -> Duration {
        let hint = hint.min(self.hint_max);
        let late = hint.as_secs_f64() * 0.1 * share;
        hint.saturating_add(Duration::from_secs_f64(late.min(2.0)))
    }
}

/// What a client may still spend on retries. Every retry takes one; every answer gives a fifth back.
///
/// So in a long outage retries become a trickle instead of a multiple of the usual load: single calls fail at their
/// first failure, and waits, which must not fail for it, pause the greatest pause.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<f64>);

/// Where the budget starts, and the most that it can hold.
const BUDGET_MAX: f64 = 100.0;
const GIVEN_BACK: f64 = 0.2;

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(BUDGET_MAX))
    }
}

impl RetryBudget {
    /// Takes one retry out, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = *left >= 1.0;
        if granted {
            *left -= 1.0;
        }
        granted
    }

    /// Notes an answer.
    pub(crate) fn deposit(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + GIVEN_BACK).min(BUDGET_MAX);
    }
}

/// The pause after an answer that came at once and told nothing, where it was to be held; `before` is how many in a row
/// came before it. From 250 ms to 15 s.
pub(crate) fn turnaround(before: u32) -> Duration {
    let pause = Duration::from_millis(250) * (1 << before.min(6));
    pause.min(Duration::from_secs(15))
}

/// What `Retry-After` says: whole seconds, or a date, which is compared with the `Date` of the same answer so that no
/// clock of ours is involved. `Retry-After-Ms` is understood too, as several APIs send it.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(millis) = text(name).and_then(|text| text.trim().parse::<u64>().ok()) {
            return Some(Duration::from_millis(millis));
        }
    }
    let sent = text("retry-after")?.trim();
    if let Ok(seconds) = sent.parse::<f64>() {
        let sound = seconds.is_finite() && seconds >= 0.0;
        // A value beyond all measure is a value nevertheless; the policy bounds it.
        return sound.then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let until = httpdate::parse_http_date(sent).ok()?;
    let now = httpdate::parse_http_date(text("date")?.trim()).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_are_random_between_nothing_and_a_ceiling_that_doubles() {
        let policy = RetryPolicy::default();
        for (failures, ceiling_ms) in [
            (1, 200),
            (2, 400),
            (3, 800),
            (6, 6_400),
            (7, 10_000),
            (99, 10_000),
        ] {
            assert_eq!(policy.pause(failures, None, 0.0), Duration::ZERO);
            let greatest = policy.pause(failures, None, 0.999_999_999);
            assert!(
                greatest.abs_diff(Duration::from_millis(ceiling_ms)) < Duration::from_millis(1)
            );
        }
    }

    #[test]
    fn a_hint_is_a_floor_with_a_ceiling_and_jitter() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(1, Some(3 * SECOND), 0.0), 3 * SECOND);
        let jittered = policy.pause(1, Some(3 * SECOND), 0.9);
        assert!(
            jittered > 3 * SECOND && jittered < 4 * SECOND,
            "{jittered:?}"
        );
        let absurd = policy.pause(1, Some(Duration::MAX), 0.5);
        assert!(
            absurd >= 300 * SECOND && absurd <= 302 * SECOND,
            "{absurd:?}"
        );
    }

    #[test]
    fn absurd_knobs_do_no_harm() {
        for factor in [f64::NAN, f64::INFINITY, -1.0] {
            let policy = RetryPolicy::default()
                .factor(factor)
                .initial(Duration::MAX)
                .max(Duration::MAX);
            let _ = policy.pause(u32::MAX, Some(Duration::MAX), 0.999);
        }
    }

    #[test]
    fn an_outage_uses_the_budget_up_and_answers_refill_it() {
        let budget = RetryBudget::default();
        let granted = (0..1_000).filter(|_| budget.withdraw()).count();
        assert_eq!(granted, 100);
        for _ in 0..5 {
            budget.deposit();
        }
        assert!(budget.withdraw() || budget.0.lock().unwrap().abs() > 0.99);
    }

    #[test]
    fn retry_after_is_read_in_all_its_spellings() {
        let read = |pairs: &[(&'static str, &str)]| {
            let mut headers = http::HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            retry_after(&headers)
        };
        let date = ("date", "Sun, 22 Nov 2026 00:00:00 GMT");
        assert_eq!(read(&[("retry-after", "7")]), Some(7 * SECOND));
        assert_eq!(read(&[("retry-after", " 0 ")]), Some(Duration::ZERO));
        assert_eq!(read(&[("retry-after-ms", "250")]), Some(SECOND / 4));
        let endless = "99999999999999999999999";
        assert_eq!(read(&[("retry-after", endless)]), Some(Duration::MAX));
        assert_eq!(
            read(&[date, ("retry-after", "Sun, 22 Nov 2026 00:01:00 GMT")]),
            Some(60 * SECOND)
        );
        assert_eq!(
            read(&[date, ("retry-after", "Sun, 22 Nov 2026 00:00:00 GMT")]),
            Some(Duration::ZERO)
        );
        for nonsense in ["soon", "-5", "NaN", "1e999", ""] {
            assert_eq!(read(&[date, ("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(read(&[]), None);
    }
}
