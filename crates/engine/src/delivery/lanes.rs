//! Who is called next: a window and a breaker per receiver, and fairness between them.
//!
//! Deliveries that are due queue up in the lane of their receiver. A lane has a **window**, the most exchanges under
//! way with it: it begins small, grows with every quick success, shrinks with every failure or slow answer, and is
//! one exchange after a timeout. So a receiver that hangs holds at most a few of the places that all receivers share,
//! and then one, while a quick one gets as many as it can use. Free places go round the lanes in turn.
//!
//! Two more rules keep those who answer from those who don't, however many these are. Receivers that have not
//! **proven** themselves, because their last exchange wasn't quick or there was none yet, share one half of the
//! places among them. And no lane takes more than half of what is free, so several that were quick and hang all at
//! once still leave some to others.
//!
//! After [`BREAKER_FAILURES`] failures in a row the lane's **breaker** opens: nothing is sent for a pause that
//! doubles with each further failure, then one delivery is sent to see. What waits meanwhile uses up no step of its
//! schedule.
//!
//! Nothing of this is written down: it is learned from the attempts, and learned anew after a restart.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use abide_wire::Timestamp;

use crate::DeliveryKey;

/// The exchanges that may be under way at a time with a receiver that nothing is known of.
pub const WINDOW_FIRST: u16 = 4;
/// The most exchanges under way at a time with one receiver.
pub const WINDOW_MAX: u16 = 64;
/// The failures in a row after which a breaker opens.
pub const BREAKER_FAILURES: u32 = 5;
/// The longest pause of a breaker, in terms of its first one.
const BREAKER_GROWTH_MAX: u32 = 60;
/// How quick an answer must be for the window to grow, and how slow for it to shrink.
const QUICK: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(5);
/// The most lanes without work whose window and breaker are remembered.
const IDLE_LANES_MAX: usize = 10_000;

/// Whose lane: an endpoint's number, or the digest of a URL that jobs brought along.
pub type LaneKey = u128;

/// How a receiver is being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// The most exchanges under way with it at a time.
    pub window: u16,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// The end of the time in which nothing is sent to it.
    pub open_until: Option<Timestamp>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: WINDOW_FIRST,
            failures: 0,
            open_until: None,
        }
    }
}

/// How an exchange ended, as far as the lane is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Delivered; carries the time it took.
    Taken(Duration),
    /// Failed.
    Failed {
        /// How long the exchange took.
        took: Duration,
        /// Whether no answer came at all.
        unanswered: bool,
        /// How long the receiver doesn't want to be called.
        pause: Option<Duration>,
        /// How long after this the same delivery will be tried again.
        next: Option<Duration>,
    },
    /// There was no exchange after all.
    Skipped,
}

/// All lanes.
#[derive(Clone, Debug)]
pub struct Lanes {
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that may have something to send, in turn, by their trust; each at most once in each.
    turns: [VecDeque<LaneKey>; 2],
    /// Which of them has the next place, where both want it.
    next: Trust,
    flying: HashMap<DeliveryKey, (LaneKey, Trust)>,
    /// How many of these are with receivers that had not proven themselves.
    unproven: usize,
    flying_max: usize,
    breaker_first: Duration,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    /// What is due, the oldest deadline first.
    ready: BTreeSet<(Timestamp, DeliveryKey)>,
    flying: u16,
    breaker: Breaker,
    trust: Trust,
    /// The turns in which it stands.
    in_turn: [bool; 2],
}

/// Whether a receiver can be expected to answer soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trust {
    /// Nothing is known of it, or it was slow or silent.
    #[default]
    Unproven,
    /// Its last exchange was quick.
    Proven,
}

impl Trust {
    const fn other(self) -> Self {
        match self {
            Self::Unproven => Self::Proven,
            Self::Proven => Self::Unproven,
        }
    }

    const fn after(self, landing: Landing) -> Self {
        match landing {
            Landing::Skipped => self,
            Landing::Taken(took)
            | Landing::Failed {
                took,
                unanswered: false,
                ..
            } if took.as_nanos() <= QUICK.as_nanos() => Self::Proven,
            Landing::Taken(_) | Landing::Failed { .. } => Self::Unproven,
        }
    }
}

impl Lane {
    fn may_send(&self, now: Timestamp, free: usize) -> bool {
        // One that has nothing under way may always send one.
        let share = u16::try_from(free / 2).unwrap_or(u16::MAX).max(1);
        !self.ready.is_empty()
            && self.flying < self.breaker.window.min(share)
            && self.breaker.open_until.is_none_or(|until| until <= now)
    }
}

impl Lanes {
    /// No lanes yet; at most `flying_max` exchanges under way, and breakers that open for `breaker_first` at first.
    #[must_use]
    pub fn new(flying_max: usize, breaker_first: Duration) -> Self {
        Self {
            lanes: HashMap::new(),
            turns: [VecDeque::new(), VecDeque::new()],
            next: Trust::Proven,
            flying: HashMap::new(),
            unproven: 0,
            flying_max: flying_max.max(1),
            breaker_first,
        }
    }

    /// Has other limits from now on.
    pub fn limit(&mut self, flying_max: usize, breaker_first: Duration) {
        self.flying_max = flying_max.max(1);
        self.breaker_first = breaker_first;
    }

    /// The same limits, and no lanes.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.flying_max, self.breaker_first)
    }

    /// How many exchanges are under way.
    #[must_use]
    pub fn flying(&self) -> usize {
        self.flying.len()
    }

    /// How the receiver of that lane is being called.
    #[must_use]
    pub fn breaker(&self, lane: LaneKey) -> Breaker {
        self.lanes
            .get(&lane)
            .map_or_else(Breaker::default, |lane| lane.breaker)
    }

    /// Whether the receiver of a delivery that is under way took the last one, and quickly.
    #[must_use]
    pub fn is_proven(&self, delivery: DeliveryKey) -> bool {
        let flying = self.flying.get(&delivery);
        let lane = flying.and_then(|(lane, _)| self.lanes.get(lane));
        lane.is_some_and(|lane| lane.trust == Trust::Proven && lane.breaker.failures == 0)
    }

    /// Puts a delivery that is due into its lane. One that is under way already isn't put in again.
    pub fn ready(&mut self, lane: LaneKey, due_at: Timestamp, delivery: DeliveryKey) {
        if self.flying.contains_key(&delivery) {
            return;
        }
        self.lanes
            .entry(lane)
            .or_default()
            .ready
            .insert((due_at, delivery));
        self.enqueue(lane);
    }

    /// Gives a lane its turn again, for instance because its breaker's pause is over.
    pub fn enqueue(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && !lane.in_turn[lane.trust as usize]
            && !lane.ready.is_empty()
        {
            lane.in_turn[lane.trust as usize] = true;
            self.turns[lane.trust as usize].push_back(key);
        }
    }

    /// Ends a lane's pause, because its owner asks for it.
    pub fn reopen(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.breaker.open_until = None;
        }
        self.enqueue(key);
    }

    /// The next delivery to send, which then counts as under way; `None` while nothing may be sent.
    pub fn take(&mut self, now: Timestamp) -> Option<DeliveryKey> {
        while self.flying.len() < self.flying_max {
            let (key, trust) = self.next_turn()?;
            let free = self.flying_max - self.flying.len();
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            lane.in_turn[trust as usize] = false;
            if lane.trust != trust {
                self.enqueue(key);
                continue;
            }
            if !lane.may_send(now, free) {
                // It gets its turn again when something lands in it, becomes due in it, or its breaker's pause ends.
                continue;
            }
            let (_, delivery) = lane.ready.pop_first()?;
            if self.flying.contains_key(&delivery) {
                // It waited under two deadlines, because it was asked for again meanwhile.
                self.enqueue(key);
                continue;
            }
            lane.flying += 1;
            self.flying.insert(delivery, (key, trust));
            self.unproven += usize::from(trust == Trust::Unproven);
            self.enqueue(key);
            return Some(delivery);
        }
        None
    }

    /// Whose turn it is: now one that has proven itself, now one that hasn't, the latter while their half isn't used
    /// up.
    fn next_turn(&mut self) -> Option<(LaneKey, Trust)> {
        for trust in [self.next, self.next.other()] {
            if trust == Trust::Unproven && self.unproven >= self.flying_max.div_ceil(2) {
                continue;
            }
            if let Some(key) = self.turns[trust as usize].pop_front() {
                self.next = trust.other();
                return Some((key, trust));
            }
        }
        None
    }

    /// Notes that an exchange is over. Returns its lane and, where the lane is paused, until when: give it its turn
    /// then.
    ///
    /// A delivery that isn't under way, as in a replay of the entries, changes nothing.
    pub fn landed(
        &mut self,
        delivery: DeliveryKey,
        landing: Landing,
        now: Timestamp,
    ) -> Option<(LaneKey, Option<Timestamp>)> {
        let (key, trust) = self.flying.remove(&delivery)?;
        self.unproven -= usize::from(trust == Trust::Unproven);
        let first = self.breaker_first;
        let lane = self.lanes.get_mut(&key)?;
        lane.flying = lane.flying.saturating_sub(1);
        lane.trust = lane.trust.after(landing);
        lane.breaker.land(landing, first, now);
        let open_until = lane.breaker.open_until;
        let is_idle = lane.flying == 0 && lane.ready.is_empty();
        let is_unknown = lane.breaker == Breaker::default() && lane.trust == Trust::default();
        if is_idle && (is_unknown || self.lanes.len() > IDLE_LANES_MAX) {
            self.lanes.remove(&key);
        } else {
            self.enqueue(key);
        }
        Some((key, open_until))
    }
}

impl Breaker {
    fn land(&mut self, landing: Landing, first: Duration, now: Timestamp) {
        match landing {
            Landing::Skipped => {}
            Landing::Taken(took) => {
                self.failures = 0;
                self.open_until = None;
                if took <= QUICK {
                    self.window = (self.window + 1).min(WINDOW_MAX);
                } else if took >= SLOW {
                    self.window = (self.window / 2).max(1);
                }
            }
            Landing::Failed {
                took,
                unanswered,
                pause,
                next,
            } => {
                self.failures = self.failures.saturating_add(1);
                self.window = if unanswered || took >= SLOW {
                    1
                } else {
                    (self.window / 2).max(1)
                };
                let opened = self.failures.checked_sub(BREAKER_FAILURES).map(|beyond| {
                    let growth = 1_u32.checked_shl(beyond).filter(|growth| *growth > 0);
                    let pause = first * growth.unwrap_or(u32::MAX).min(BREAKER_GROWTH_MAX);
                    // The delivery's own schedule is pause enough; the breaker is there for the others.
                    next.map_or(pause, |next| pause.min(next))
                });
                if let Some(pause) = opened.max(pause) {
                    self.open_until = self.open_until.max(Some(now + pause));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const QUICKLY: Landing = Landing::Taken(Duration::from_millis(5));
    const TIMED_OUT: Landing = Landing::Failed {
        took: Duration::from_secs(15),
        unanswered: true,
        pause: None,
        next: None,
    };
    const REFUSED: Landing = Landing::Failed {
        took: Duration::from_millis(5),
        unanswered: false,
        pause: None,
        next: None,
    };

    fn delivery(number: u128) -> DeliveryKey {
        DeliveryKey::from_u128(number)
    }

    fn lanes(flying_max: usize) -> Lanes {
        Lanes::new(flying_max, Duration::from_secs(5))
    }

    fn fill(lanes: &mut Lanes, lane: LaneKey, count: u128) {
        for n in 0..count {
            lanes.ready(lane, NOW, delivery(lane * 1_000 + n));
        }
    }

    fn drain(lanes: &mut Lanes, now: Timestamp) -> Vec<u128> {
        std::iter::from_fn(|| lanes.take(now))
            .map(DeliveryKey::as_u128)
            .collect()
    }

    #[test]
    fn places_go_round_the_lanes_in_turn() {
        let mut lanes = lanes(12);
        for lane in 1..=3 {
            fill(&mut lanes, lane, 10);
        }
        let sent = drain(&mut lanes, NOW);
        assert_eq!(sent, [1_000, 2_000, 3_000, 1_001, 2_001, 3_001]);
        assert_eq!(lanes.flying(), 6, "the half of those who are not known");
        lanes.landed(delivery(2_000), QUICKLY, NOW);
        // The second has proven itself: it takes turns with the others, up to its share, and needs none of their
        // places.
        assert_eq!(drain(&mut lanes, NOW), [2_002, 1_002]);
    }

    #[test]
    fn what_waits_under_two_deadlines_is_sent_once_and_gives_its_place_back() {
        let mut lanes = lanes(12);
        let later = NOW + Duration::from_secs(1);
        lanes.ready(1, NOW, delivery(1));
        lanes.ready(1, later, delivery(1));
        assert_eq!(drain(&mut lanes, later), [1]);
        lanes.landed(delivery(1), QUICKLY, later);
        assert!(lanes.lanes.values().all(|lane| lane.flying == 0));
    }

    #[test]
    fn however_many_hang_who_answers_has_a_place_at_once() {
        let mut lanes = lanes(100);
        fill(&mut lanes, 1, 1);
        drain(&mut lanes, NOW);
        lanes.landed(delivery(1_000), QUICKLY, NOW);
        for lane in 2..500 {
            fill(&mut lanes, lane, 10);
        }
        assert_eq!(drain(&mut lanes, NOW).len(), 50);
        fill(&mut lanes, 1, 3);
        assert_eq!(drain(&mut lanes, NOW), [1_000, 1_001, 1_002]);
    }

    #[test]
    fn those_that_were_quick_and_hang_all_at_once_leave_places_to_others() {
        let mut lanes = lanes(100);
        for lane in 1..=10 {
            for _ in 0..70 {
                fill(&mut lanes, lane, 1);
                drain(&mut lanes, NOW);
                lanes.landed(delivery(lane * 1_000), QUICKLY, NOW);
            }
            assert_eq!(lanes.breaker(lane).window, WINDOW_MAX);
        }
        for lane in 1..=10 {
            fill(&mut lanes, lane, 900);
        }
        assert!(drain(&mut lanes, NOW).len() < 95);
        fill(&mut lanes, 11, 1);
        assert_eq!(drain(&mut lanes, NOW), [11_000]);
    }

    #[test]
    fn a_receiver_that_hangs_ends_up_with_one_place_and_others_have_the_rest() {
        let mut lanes = lanes(512);
        fill(&mut lanes, 1, 50);
        let sent = drain(&mut lanes, NOW);
        assert_eq!(sent.len(), usize::from(WINDOW_FIRST));
        for number in sent {
            lanes.landed(delivery(number), TIMED_OUT, NOW);
        }
        assert_eq!(drain(&mut lanes, NOW).len(), 1);
        fill(&mut lanes, 2, 900);
        let mut sent = drain(&mut lanes, NOW);
        for _ in 0..8 {
            for number in std::mem::take(&mut sent) {
                lanes.landed(delivery(number), QUICKLY, NOW);
            }
            sent = drain(&mut lanes, NOW);
        }
        assert_eq!(sent.len(), usize::from(WINDOW_MAX));
        assert_eq!(lanes.breaker(2).window, WINDOW_MAX);
    }

    #[test]
    fn a_breaker_opens_after_failures_in_a_row_and_lets_one_through_to_see() {
        let mut lanes = lanes(100);
        fill(&mut lanes, 1, 50);
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let sent = drain(&mut lanes, now);
            let first = delivery(*sent.first().expect("one is let through"));
            let (_, open_until) = lanes.landed(first, REFUSED, now).unwrap();
            for number in &sent[1..] {
                lanes.landed(delivery(*number), Landing::Skipped, now);
            }
            if let Some(until) = open_until {
                assert!(
                    drain(&mut lanes, now).is_empty(),
                    "nothing is sent meanwhile"
                );
                pauses.push(until.since(now).as_secs());
                now = until;
                lanes.enqueue(1);
            }
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        let sent = drain(&mut lanes, now);
        assert_eq!(sent.len(), 1);
        lanes.landed(delivery(sent[0]), QUICKLY, now);
        assert_eq!(lanes.breaker(1).failures, 0);
        assert_eq!(lanes.breaker(1).open_until, None);
        assert_eq!(drain(&mut lanes, now).len(), 2, "the window grows again");
    }

    #[test]
    fn a_pause_that_the_receiver_asks_for_holds_its_whole_lane() {
        let mut lanes = lanes(100);
        fill(&mut lanes, 1, 50);
        let sent = drain(&mut lanes, NOW);
        let busy = Landing::Failed {
            took: Duration::from_millis(5),
            unanswered: false,
            pause: Some(Duration::from_secs(60)),
            next: Some(Duration::from_secs(5)),
        };
        let (_, until) = lanes.landed(delivery(sent[0]), busy, NOW).unwrap();
        assert_eq!(until, Some(NOW + Duration::from_secs(60)));
        for number in &sent[1..] {
            lanes.landed(delivery(*number), Landing::Skipped, NOW);
        }
        assert!(drain(&mut lanes, NOW + Duration::from_secs(59)).is_empty());
        lanes.enqueue(1);
        assert!(!drain(&mut lanes, NOW + Duration::from_secs(60)).is_empty());
    }

    #[test]
    fn a_receiver_is_proven_once_it_has_taken_a_delivery_and_until_one_fails() {
        let mut lanes = lanes(100);
        assert!(!lanes.is_proven(delivery(1_000)), "nothing is under way");
        let slowly = Landing::Taken(2 * QUICK);
        let table = [
            (QUICKLY, true),
            (REFUSED, false),
            (QUICKLY, true),
            (slowly, false),
            (QUICKLY, true),
            (Landing::Skipped, true),
            (TIMED_OUT, false),
        ];
        let mut expected = false;
        for (landing, then) in table {
            fill(&mut lanes, 1, 1);
            assert_eq!(drain(&mut lanes, NOW), [1_000]);
            let is_proven = lanes.is_proven(delivery(1_000));
            assert_eq!(is_proven, expected, "before {landing:?}");
            lanes.landed(delivery(1_000), landing, NOW);
            expected = then;
        }
        fill(&mut lanes, 1, 1);
        assert_eq!(drain(&mut lanes, NOW), [1_000]);
        assert!(!lanes.is_proven(delivery(1_000)));
    }

    #[test]
    fn what_is_under_way_is_not_taken_again_and_idle_lanes_are_forgotten() {
        let mut lanes = lanes(100);
        lanes.ready(1, NOW, delivery(7));
        assert_eq!(lanes.take(NOW), Some(delivery(7)));
        lanes.ready(1, NOW, delivery(7));
        assert_eq!(lanes.take(NOW), None);
        lanes.landed(delivery(7), Landing::Skipped, NOW);
        assert!(lanes.lanes.is_empty());
        assert!(lanes.landed(delivery(7), QUICKLY, NOW).is_none());
    }
}
