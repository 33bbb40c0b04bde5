//! How many requests all waits may send together.
//!
//! Waits queue for their turns, and the first takes the next one. But a turn is never *owned*: a future may be alive
//! and not polled, as the losing arm of a `select!` by reference is, or the members of a `FuturesUnordered` whose loop
//! body awaits something else. So each wait in the queue looks now and then, and if the first has left its turn lying
//! for [`TURN_KEPT`] takes it. Those it passes keep their tags, and are first again as soon as they are polled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::rt::{Clock, Instant, after, sleep_until};

/// A limit on the requests that waits send, shared by all clients that are given a clone of it.
///
/// Where the waits want more than it allows, they are served in proportion to the square roots of how likely their jobs
/// end soon, which is the division that finds the most ends soonest. A wait that wants little gets what it wants. Where
/// the server answers 429 nevertheless the budget shrinks, and grows back while it doesn't.
///
/// Waits draw on it for everything they send but the last look before a deadline, which isn't kept waiting; a held
/// request for many jobs is one request. Single calls (create, status, cancel, list, delete) don't draw on it.
///
/// ```
/// let budget = abide::Budget::per_second(5.0);
/// let client = abide::Client::builder("http://127.0.0.1:8080").budget(&budget).build()?;
/// # Ok::<(), abide::Error>(())
/// ```
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    rate: f64,
    burst: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests that may leave at once; negative where last looks have overdrawn it.
    tokens: f64,
    filled: Option<Instant>,
    /// The part of the rate that the server has been seen to bear.
    bearable: f64,
    /// The tag that was served last: time as the queue counts it.
    virtual_time: f64,
    /// The waits that want a turn, in order of tags.
    queue: BTreeMap<Key, Arc<Notify>>,
    /// Those that left a turn lying and haven't been polled since.
    passed: BTreeSet<Key>,
    /// Since when the first may have taken its turn.
    lying_since: Option<Instant>,
    names: u64,
}

/// A place in the queue; the number tells equal tags apart.
type Key = (Tag, u64);

/// A position in the queue. Finite and positive, so that its bits are in the order of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tag(u64);

/// How long the first in the queue may leave its turn lying.
const TURN_KEPT: Duration = Duration::from_millis(50);
/// The pause between two looks of a wait that isn't first, per wait in the queue: together they look once in this time.
const WATCH_EACH: Duration = Duration::from_millis(1);

/// The least part of the rate that is left after any number of refusals.
const BEARABLE_MIN: f64 = 0.05;

impl Budget {
    /// That many requests a second, and as many at once as a second has, but at least one. A rate that isn't a positive
    /// number counts as one a second.
    #[must_use]
    pub fn per_second(rate: f64) -> Self {
        let rate = if rate.is_finite() && rate > 0.0 {
            rate
        } else {
            1.0
        };
        let burst = rate.max(1.0);
        Self(Arc::new(Shared {
            rate,
            burst,
            state: Mutex::new(State {
                tokens: burst,
                bearable: 1.0,
                ..State::default()
            }),
        }))
    }

    /// Waits for a turn. `tag` is the caller's place in the queue, to be kept from one turn to the next; `weight` is
    /// how many turns it gets in proportion to others.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue.
    pub(crate) async fn take(&self, clock: &Clock, tag: &mut f64, weight: f64) {
        let weight = if weight.is_finite() {
            weight.clamp(1e-6, 1e6)
        } else {
            1.0
        };
        let place = {
            let mut state = self.lock();
            *tag = tag.max(state.virtual_time) + 1.0 / weight;
            state.names += 1;
            let key = (Tag(tag.to_bits()), state.names);
            let bell = Arc::new(Notify::new());
            state.queue.insert(key, Arc::clone(&bell));
            Place {
                budget: self,
                clock,
                key,
                bell,
            }
        };
        while let Some(look_at) = self.turn(&place) {
            tokio::select! {
                () = sleep_until(look_at) => {}
                () = place.bell.notified() => {}
            }
        }
    }

    /// Takes a turn if it is the place's own, or left lying. If not, when to look again.
    fn turn(&self, place: &Place<'_>) -> Option<Instant> {
        let now = place.clock.now();
        let mut state = self.lock();
        if state.passed.remove(&place.key) {
            state.queue.insert(place.key, Arc::clone(&place.bell));
        }
        let is_first = state.first() == Some(place.key);
        let ready = self.ready(&mut state, now);
        let since = *state.lying_since.get_or_insert(ready);
        let passes_at = after(since, TURN_KEPT);
        if ready > now || !is_first && passes_at > now {
            let watch =
                WATCH_EACH.saturating_mul(u32::try_from(state.queue.len()).unwrap_or(u32::MAX));
            return Some(match is_first {
                true => ready,
                false => after(passes_at.max(ready), watch),
            });
        }
        let behind = state.queue.split_off(&place.key);
        let passed = std::mem::replace(&mut state.queue, behind);
        state.passed.extend(passed.into_keys());
        state.tokens -= 1.0;
        state.virtual_time = f64::from_bits(place.key.0.0);
        None
    }

    /// Takes a turn without waiting for it: later ones wait the longer.
    pub(crate) fn overdraw(&self) {
        let mut state = self.lock();
        state.tokens = (state.tokens - 1.0).max(-self.0.burst);
    }

    /// The server said 429.
    pub(crate) fn refused(&self) {
        let mut state = self.lock();
        state.bearable = (state.bearable * 0.7).max(BEARABLE_MIN);
    }

    /// The server gave an answer.
    pub(crate) fn answered(&self) {
        let mut state = self.lock();
        state.bearable = (state.bearable + 0.01).min(1.0);
    }

    /// When there will be a token.
    fn ready(&self, state: &mut State, now: Instant) -> Instant {
        let rate = self.0.rate * state.bearable;
        let since = state
            .filled
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        state.tokens = (state.tokens + since.as_secs_f64() * rate).min(self.0.burst);
        state.filled = Some(now);
        if state.tokens >= 1.0 {
            return now;
        }
        // A little later than computed, so that rounding never finds a token that is almost there.
        let wait = Duration::try_from_secs_f64((1.0 - state.tokens) / rate);
        let wait = wait.unwrap_or(Duration::MAX);
        after(now, wait.saturating_add(Duration::from_millis(1)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Budget {
    /// 50 requests a second.
    fn default() -> Self {
        Self::per_second(50.0)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("rate", &self.0.rate)
            .finish_non_exhaustive()
    }
}

/// What a wait has spent, and its place in the queue for more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) cost: Cost,
    tag: f64,
}

/// What a wait has spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Requests that were sent for it.
    pub(crate) requests: u32,
    /// Its part of them; a request for `n` waits counts as `1/n`.
    pub(crate) share: f64,
    /// Bytes of bodies that were received for it alone.
    pub(crate) received: u64,
}

impl Account {
    /// Counts a request of one's own, after waiting for its turn. Without a weight it isn't kept waiting.
    pub(crate) async fn spend(&mut self, budget: &Budget, clock: &Clock, weight: Option<f64>) {
        match weight {
            Some(weight) => budget.take(clock, &mut self.tag, weight).await,
            None => budget.overdraw(),
        }
        self.cost.requests += 1;
        self.cost.share += 1.0;
    }
}

/// A place in the queue. Leaving it, served or not, rings for the next.
struct Place<'a> {
    budget: &'a Budget,
    clock: &'a Clock,
    key: Key,
    bell: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut state = self.budget.lock();
        if state.first() == Some(self.key) {
            // The next one is first from now on.
            let ready = self.budget.ready(&mut state, now);
            state.lying_since = Some(ready);
        }
        state.queue.remove(&self.key);
        state.passed.remove(&self.key);
        if let Some((_, bell)) = state.queue.first_key_value() {
            bell.notify_one();
        }
    }
}

impl State {
    fn first(&self) -> Option<Key> {
        self.queue.first_key_value().map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_while_there_is_enough() {
        let clock = Clock::start();
        let budget = Budget::per_second(10.0);
        let began = clock.now();
        for _ in 0..10 {
            budget.take(&clock, &mut 0.0, 1.0).await;
        }
        assert_eq!(clock.now(), began);
        budget.take(&clock, &mut 0.0, 1.0).await;
        assert!(clock.now() >= began + Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_short_is_divided_by_weight() {
        let clock = Clock::start();
        let budget = Budget::per_second(10.0);
        // Hazards 1, 4 and 25 a second: their square roots divide 10 turns a second into 1.25, 2.5 and 6.25.
        let weights = [1.0, 2.0, 5.0];
        let turns = RefCell::new([0_u32; 3]);
        let flows = weights.iter().enumerate().map(|(n, weight)| {
            let (turns, budget, clock) = (&turns, &budget, &clock);
            async move {
                let mut tag = 0.0;
                loop {
                    budget.take(clock, &mut tag, *weight).await;
                    turns.borrow_mut()[n] += 1;
                }
            }
        });
        let hundred_seconds = tokio::time::timeout(Duration::from_secs(100), join_all(flows)).await;
        assert!(hundred_seconds.is_err());
        let turns = turns.into_inner();
        let all: u32 = turns.iter().sum();
        assert!((980..=1_015).contains(&all), "{turns:?}");
        for (turns, weight) in turns.iter().zip(weights) {
            let fair = f64::from(all) * weight / 8.0;
            assert!(
                (f64::from(*turns) - fair).abs() < 10.0,
                "{turns:?} instead of {fair}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_queue_holds_nobody_up() {
        let clock = Clock::start();
        let budget = Budget::per_second(1.0);
        budget.take(&clock, &mut 0.0, 1.0).await;
        let began = clock.now();
        let impatient = async {
            let gone = tokio::time::timeout(
                Duration::from_millis(10),
                budget.take(&clock, &mut 0.0, 9.0),
            )
            .await;
            assert!(gone.is_err());
        };
        let mut tag = 0.0;
        tokio::join!(impatient, budget.take(&clock, &mut tag, 1.0));
        assert!(clock.now() - began < Duration::from_millis(1_100));
        assert!(budget.lock().queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_nobody_polls_holds_nobody_up_and_keeps_its_place() {
        let clock = Clock::start();
        let budget = Budget::per_second(5.0);
        for _ in 0..5 {
            budget.take(&clock, &mut 0.0, 1.0).await;
        }
        let mut tags = [0.0; 30];
        let mut unpolled: Vec<_> = tags
            .iter_mut()
            .map(|tag| Box::pin(budget.take(&clock, tag, 9.0)))
            .collect();
        for turn in &mut unpolled {
            assert!(futures_util::poll!(turn.as_mut()).is_pending());
        }
        let began = clock.now();
        let mut tag = 0.0;
        for _ in 0..10 {
            budget.take(&clock, &mut tag, 1.0).await;
        }
        let took = clock.now() - began;
        // Ten turns of a fifth of a second each, and what it takes to see that the others are left lying.
        assert!(took < Duration::from_millis(2_300), "{took:?}");
        // What is polled again is before those that came later, and the rate is kept.
        let mut late = 0.0;
        let rest = join_all(unpolled);
        let later = budget.take(&clock, &mut late, 1.0);
        let began = clock.now();
        let (_, took) = tokio::join!(async { drop(rest.await) }, async {
            later.await;
            clock.now() - began
        });
        assert!(took > Duration::from_millis(5_000), "{took:?}");
        let state = budget.lock();
        assert!(state.queue.is_empty() && state.passed.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_shrink_it_and_answers_let_it_grow_back() {
        let budget = Budget::per_second(10.0);
        for _ in 0..100 {
            budget.refused();
        }
        assert!((budget.lock().bearable - BEARABLE_MIN).abs() < 1e-9);
        for _ in 0..100 {
            budget.answered();
        }
        assert!((budget.lock().bearable - 1.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn absurd_rates_do_no_harm() {
        let clock = Clock::start();
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-30, f64::MIN_POSITIVE] {
            let budget = Budget::per_second(rate);
            // The second turn may be further away than any time that can be told.
            for _ in 0..2 {
                let mut tag = 0.0;
                let turn = budget.take(&clock, &mut tag, 1.0);
                let _ = tokio::time::timeout(Duration::from_secs(10), turn).await;
            }
        }
    }
}
