//! What a client remembers of its server.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use abide_wire::{Timestamp, limits};

use crate::rt::{Instant, Skew, after};
use crate::strategy::{Abilities, Ability};

/// How long something that was tried in vain isn't tried again.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The shortest hold that is worth asking for. If even that is cut, nothing is held.
const HOLD_MIN: Duration = Duration::from_secs(5);
/// How many held requests in a row must come back at once, or be cut, before it counts as "nothing is held".
const TRIES: u32 = 2;

/// Ends at once that are learned from although their kind is known only then, and how many a second beyond them: what a
/// kind remembers is no longer than that, and learning takes a third of a millisecond.
const LATE_BURST: f64 = 128.0;
const LATE_RATE: f64 = 50.0;

/// The most words without a meaning that are told of.
const UNKNOWN_WORDS_MAX: usize = 16;

/// Round trip, skew and abilities of one origin, shared by all waits of a client.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rtt: Option<Duration>,
    /// How much round trips differ from the smoothed one, smoothed.
    spread: Duration,
    skew: Skew,
    held: bool,
    unheld: u32,
    cuts: u32,
    hold_max: Option<Duration>,
    no_hold_until: Option<Instant>,
    streamed: bool,
    no_stream_until: Option<Instant>,
    no_sets_until: Option<Instant>,
    only_polls: bool,
    /// How many ends were learned from lately whose kind was known only then, and when the last one was.
    late: (f64, Option<Instant>),
    unknown_words: BTreeSet<String>,
}

impl Memory {
    /// What the server can do, as far as it is known now.
    pub(crate) fn abilities(&self, now: Instant) -> Abilities {
        self.with(|state| {
            if state.only_polls {
                return Abilities {
                    hold: Ability::No,
                    stream: Ability::No,
                    ..Abilities::default()
                };
            }
            Abilities {
                hold: ability(state.held, state.no_hold_until, now),
                hold_max: state.hold_max.unwrap_or(limits::HOLD_MAX),
                stream: ability(state.streamed, state.no_stream_until, now),
            }
        })
    }

    /// Whether an end is learned from whose kind is known only now. Of a crowd a part is.
    pub(crate) fn learns_late(&self, now: Instant) -> bool {
        self.with(|state| {
            let (ends, last) = &mut state.late;
            let since = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
            *ends = (*ends - since.as_secs_f64() * LATE_RATE).max(0.0);
            *last = Some(now);
            let learns = *ends < LATE_BURST;
            *ends += f64::from(learns);
            learns
        })
    }

    /// The server is a foreign one, of which only answers are known.
    pub(crate) fn only_polls(&self) {
        self.with(|state| state.only_polls = true);
    }

    /// An unknown status was seen; whether for the first time.
    pub(crate) fn note_word(&self, word: &str) -> bool {
        self.with(|state| {
            let room = state.unknown_words.len() < UNKNOWN_WORDS_MAX;
            room && state.unknown_words.insert(word.to_owned())
        })
    }

    /// The round trip, smoothed; none before one was measured.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.with(|state| state.rtt)
    }

    /// Notes how long a request took that wasn't held.
    pub(crate) fn note_rtt(&self, took: Duration) {
        self.with(|state| match state.rtt {
            None => {
                state.rtt = Some(took);
                state.spread = took / 2;
            }
            Some(rtt) => {
                let off = rtt.abs_diff(took);
                state.spread = state.spread.mul_f64(0.75) + off.mul_f64(0.25);
                state.rtt = Some(rtt.mul_f64(0.875) + took.mul_f64(0.125));
            }
        });
    }

    /// In what time nearly every answer comes, reckoned as TCP does; none before a round trip was measured.
    pub(crate) fn slow_rtt(&self) -> Option<Duration> {
        self.with(|state| Some(state.rtt? + state.spread * 4))
    }

    /// In what time an answer usually comes; none before a round trip was measured.
    pub(crate) fn likely_rtt(&self) -> Option<Duration> {
        self.with(|state| Some(state.rtt? + state.spread / 2))
    }

    /// An answer said what the server's clock shows.
    pub(crate) fn note_date(&self, sent: Timestamp, received: Timestamp, date: Timestamp) {
        self.with(|state| state.skew.observe(sent, received, date));
    }

    /// How old an instant of the server's clock is, as far as its skew is known.
    pub(crate) fn age(&self, server: Timestamp, now: Timestamp) -> Option<Duration> {
        self.with(|state| state.skew.age(server, now))
    }

    /// A request was held, or wasn't although nothing had happened.
    pub(crate) fn note_hold(&self, held: bool, now: Instant) {
        self.with(|state| {
            state.held = held;
            if held {
                state.unheld = 0;
                state.cuts = 0;
                state.no_hold_until = None;
                return;
            }
            state.unheld += 1;
            if state.unheld >= TRIES {
                state.unheld = 0;
                state.no_hold_until = Some(after(now, REMEMBERED));
            }
        });
    }

    /// A held request was cut by something on the way after it had been held that long.
    pub(crate) fn note_cut(&self, held: Duration, now: Instant) {
        // What fails at once fails for another reason than being held.
        if held < Duration::from_secs(1) {
            return;
        }
        self.with(|state| {
            state.cuts += 1;
            if state.cuts < TRIES {
                return;
            }
            state.cuts = 0;
            let bearable = held.mul_f64(0.8);
            if bearable < HOLD_MIN {
                state.no_hold_until = Some(after(now, REMEMBERED));
            } else {
                let known = state.hold_max.unwrap_or(limits::HOLD_MAX);
                state.hold_max = Some(bearable.min(known));
            }
        });
    }

    /// A stream brought something, or was caught keeping it to itself.
    pub(crate) fn note_stream(&self, works: bool, now: Instant) {
        self.with(|state| {
            state.streamed = works;
            state.no_stream_until = (!works).then(|| after(now, REMEMBERED));
        });
    }

    /// Whether many jobs may be asked for at once.
    pub(crate) fn sets(&self, now: Instant) -> bool {
        self.with(|state| state.no_sets_until.is_none_or(|until| now >= until))
    }

    /// The server has no such route.
    pub(crate) fn note_no_sets(&self, now: Instant) {
        self.with(|state| state.no_sets_until = Some(after(now, REMEMBERED)));
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn ability(seen: bool, not_until: Option<Instant>, now: Instant) -> Ability {
    match not_until {
        Some(until) if now < until => Ability::No,
        _ if seen => Ability::Yes,
        _ => Ability::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::Clock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn of_a_crowd_whose_kind_is_known_at_the_end_a_part_is_learned_from() {
        let (memory, now) = (Memory::default(), Clock::start().now());
        let learned = |now, ends: u32| (0..ends).filter(|_| memory.learns_late(now)).count();
        assert_eq!(learned(now, 1_000), 128);
        assert_eq!(learned(after(now, Duration::from_secs(1)), 1_000), 50);
        assert_eq!(learned(after(now, Duration::from_mins(1)), 60), 60);
    }

    #[test]
    fn what_was_tried_in_vain_is_tried_again_after_ten_minutes() {
        let now = Clock::start().now();
        let memory = Memory::default();
        memory.note_hold(false, now);
        assert_eq!(memory.abilities(now).hold, Ability::Unknown);
        memory.note_hold(false, now);
        assert_eq!(memory.abilities(now).hold, Ability::No);
        assert_eq!(memory.abilities(now + 601 * SECOND).hold, Ability::Unknown);
        memory.note_hold(true, now);
        assert_eq!(memory.abilities(now).hold, Ability::Yes);
    }

    #[test]
    fn a_proxy_that_cuts_held_requests_shortens_them() {
        let now = Clock::start().now();
        let memory = Memory::default();
        memory.note_cut(30 * SECOND, now);
        assert_eq!(memory.abilities(now).hold_max, limits::HOLD_MAX);
        memory.note_cut(30 * SECOND, now);
        assert_eq!(memory.abilities(now).hold_max, 24 * SECOND);
        memory.note_cut(2 * SECOND, now);
        memory.note_cut(2 * SECOND, now);
        assert_eq!(memory.abilities(now).hold, Ability::No);
    }
}
