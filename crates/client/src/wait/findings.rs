//! What the answers of a wait have shown so far.

use std::time::Duration;

use crate::answer::Answer;
use crate::report::Channel;
use crate::rt::Instant;
use crate::schedule;
use crate::strategy::Observed;

/// One step of a wait.
#[derive(Debug)]
pub(super) enum Step<V> {
    /// A change that isn't the end.
    News(V),
    /// The end.
    Ended(V),
}

/// What is known of that which is waited for.
#[derive(Debug)]
pub(super) struct Findings<V> {
    /// What the plan is told.
    pub(super) seen: Observed,
    pub(super) last: Option<V>,
    pub(super) accepted: Instant,
    /// When the server last answered anything, and whether that was no news.
    pub(super) answered: Option<Instant>,
    pub(super) stale: bool,
    /// The last instant, since acceptance, at which the job was surely running.
    pub(super) not_yet: Duration,
    pub(super) channel: Option<Channel>,
    pub(super) detection: Option<Duration>,
}

impl<V: Clone> Findings<V> {
    /// `supposed` is what counts as the acceptance of a job of which this process doesn't know it.
    pub(super) fn new(accepted: Option<Instant>, supposed: Instant) -> Self {
        let mut seen = Observed::began(schedule::Seen::at(Duration::ZERO));
        seen.age_known = accepted.is_some();
        Self {
            seen,
            last: None,
            accepted: accepted.unwrap_or(supposed),
            answered: None,
            stale: false,
            not_yet: Duration::ZERO,
            channel: None,
            detection: None,
        }
    }

    /// Whether an answer tells something new.
    pub(super) fn is_news(&self, answer: &Answer<V>) -> bool {
        answer.view.is_some() && answer.revision > self.seen.revision
    }

    /// Takes in, at `now`, an answer that shows the state of the instant `sampled`. `floor` is how long the server
    /// wants to be left alone.
    pub(super) fn absorb(
        &mut self,
        answer: Answer<V>,
        sampled: Duration,
        now: Instant,
        floor: Option<Duration>,
    ) -> Option<Step<V>> {
        if answer.done {
            let view = answer.view?;
            self.channel = Some(answer.channel);
            // An end is never older than the last "not yet", whatever the clocks say.
            let since = now.saturating_duration_since(self.accepted + self.not_yet);
            let bound = (!self.not_yet.is_zero()).then_some(since);
            self.detection = answer
                .age
                .map(|age| bound.map_or(age, |bound| age.min(bound)));
            self.last = Some(view.clone());
            return Some(Step::Ended(view));
        }
        self.not_yet = self.not_yet.max(sampled);
        let elapsed = now.saturating_duration_since(self.accepted);
        self.seen.time.not_before = floor.map(|floor| elapsed.saturating_add(floor));
        self.seen.time.remaining = answer.remaining;
        self.seen.time.progress = answer.progress;
        self.stale = !self.is_news(&answer);
        if self.stale {
            return None;
        }
        self.seen.revision = answer.revision;
        self.channel = Some(answer.channel);
        self.last.clone_from(&answer.view);
        answer.view.map(Step::News)
    }

    /// Learns from an answer when the job was accepted, unless that is known.
    pub(super) fn date(&mut self, accepted_for: Option<Duration>, now: Instant, begun: Instant) {
        if let (false, Some(age)) = (self.seen.age_known, accepted_for) {
            let accepted = now.checked_sub(age).unwrap_or(self.accepted);
            self.accepted = accepted.min(begun);
            self.seen.age_known = true;
        }
    }
}
