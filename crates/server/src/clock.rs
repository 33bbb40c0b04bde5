//! The only place that reads a clock.
//!
//! Everything the server knows of time comes from a [`Clock`]: timelines, retries of webhooks, retention, rate windows,
//! the instants on the wire. There are three sorts:
//!
//! - **real**: the system's time;
//! - **scaled**: the system's time at the start, and from then on faster by a factor (`--speed 60`);
//! - **manual**: stands still until it is advanced (`--clock manual`, `POST /v1/clock/advance`).
//!
//! A real clock of a cluster's node is [steered](Clock::steer) by its database's, and the system's says nothing any
//! more.
//!
//! None ever goes back: not where the system's does, which real time follows [forward](Clock::follow) alone, and not
//! over a restart, which begins at the latest entry of the log at least. Real and scaled time run on tokio's timer, so
//! a test that pauses tokio has them paused too.
//!
//! Two things are *not* told by these clocks. [`elapsed`](Clock::elapsed) measures how long the server itself took for
//! something. And [`hold`](Clock::hold) bounds how long a connection is kept waiting: there are people and programs
//! with timeouts of their own at its other end, and their time isn't simulated. On a manual clock a hold ends by
//! either, so that a test may advance past it and a client is released even if the clock is never advanced.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use abide_wire::Timestamp;
use futures_util::future::Either;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::course::{Course, Reading};

/// A longest sleep on tokio's timer, about a year: what is due later is slept for in pieces.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 86_400);
/// How far the system's clock must have run ahead of ours before ours follows, which it does after a suspended
/// machine wakes up.
const STEP_MIN: Duration = Duration::from_millis(250);
/// How often [`Clock::follow`] looks.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// A jump this far may be a mistake that is soon set right, and would end records before their time.
const FAR: Duration = Duration::from_secs(86_400);
/// Looks at which the system's clock must have been that far ahead before ours follows.
const FAR_LOOKS: u32 = 60;

/// What time it is, for the whole server. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sort: Sort,
    /// When the clock was made, by tokio's time: it is what runs.
    origin: Instant,
    /// What the clock showed then, in milliseconds since the epoch, and on a manual clock what it shows now. It only
    /// grows.
    shown: AtomicI64,
    /// Rung whenever `shown` has grown, so that sleepers look again.
    stepped: Notify,
    /// What the clock began with; `None` if that was an instant.
    system: Option<System>,
    /// How it runs once it is steered.
    course: OnceLock<RwLock<Course>>,
}

/// The time of the system, or what a test has in its place.
struct System(Box<dyn Fn() -> Timestamp + Send + Sync>);

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Running { speed: NonZeroU32 },
    Manual,
}

/// The clock runs by itself and can't be advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock runs by itself; start the server with --clock manual to advance it by hand")]
pub struct NotManual;

impl Clock {
    /// The system's time.
    #[must_use]
    pub fn real() -> Self {
        Self::scaled(NonZeroU32::MIN)
    }

    /// Begins with the system's time and runs `speed` times faster.
    #[must_use]
    pub fn scaled(speed: NonZeroU32) -> Self {
        Self::of_system(wall, speed)
    }

    /// The same with another system's time: a seam, so that a test can set the system's clock.
    #[must_use]
    pub fn of_system(
        system: impl Fn() -> Timestamp + Send + Sync + 'static,
        speed: NonZeroU32,
    ) -> Self {
        let start = system();
        Self::new(
            Sort::Running { speed },
            start,
            Some(System(Box::new(system))),
        )
    }

    /// Begins with that instant and runs `speed` times faster than tokio's time. For tests that print instants.
    #[must_use]
    pub fn running(start: Timestamp, speed: NonZeroU32) -> Self {
        Self::new(Sort::Running { speed }, start, None)
    }

    /// Stands still at that instant.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::new(Sort::Manual, start, None)
    }

    fn new(sort: Sort, start: Timestamp, system: Option<System>) -> Self {
        Self {
            shared: Arc::new(Shared {
                sort,
                origin: instant(),
                shown: AtomicI64::new(start.as_millis()),
                stepped: Notify::new(),
                system,
                course: OnceLock::new(),
            }),
        }
    }

    /// What time it is. Never earlier than it was before.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shown_at(self.elapsed())
    }

    /// [`elapsed`](Self::elapsed) and [`now`](Self::now), of the same moment.
    #[must_use]
    pub fn both(&self) -> (Duration, Timestamp) {
        let elapsed = self.elapsed();
        (elapsed, self.shown_at(elapsed))
    }

    fn shown_at(&self, elapsed: Duration) -> Timestamp {
        if let Some(course) = self.shared.course.get() {
            return course.read().at(elapsed);
        }
        let shown = self.shared.shown.load(Ordering::Acquire);
        let run = match self.shared.sort {
            Sort::Manual => 0,
            Sort::Running { speed } => {
                let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
                let millis = micros.saturating_mul(u64::from(speed.get())) / 1_000;
                i64::try_from(millis).unwrap_or(i64::MAX)
            }
        };
        Timestamp::from_millis(shown.saturating_add(run))
    }

    /// The system's time, whatever this clock shows, or the database's that steers it: for what programs outside
    /// compare with clocks of their own, as they do with the timestamp of a signed webhook. Such a clock may go back,
    /// and so may this.
    #[must_use]
    pub fn system(&self) -> Timestamp {
        if let Some(course) = self.shared.course.get() {
            return course.read().database_at(self.elapsed());
        }
        self.shared
            .system
            .as_ref()
            .map_or_else(wall, |System(now)| now())
    }

    /// What the header `Date` says: on a real clock the [system's](Self::system) time, which clients have too, else
    /// what the clock shows.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        match &self.shared.system {
            Some(_) if self.speed() == Some(1) => self.system(),
            _ => self.now(),
        }
    }

    /// Whether it began with the system's time and has left that behind: it is scaled, or the system's went back.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.shared.system.is_some() && self.now().since(self.system()) >= STEP_MIN
    }

    /// How long the clock has existed by the machine's own time, whatever it shows. Differences of it are latencies.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        instant().duration_since(self.shared.origin)
    }

    /// Whether it stands still until it is advanced.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.shared.sort == Sort::Manual
    }

    /// How many times faster than the machine's time it runs; `None` where it stands still.
    #[must_use]
    pub fn speed(&self) -> Option<u32> {
        match self.shared.sort {
            Sort::Running { speed } => Some(speed.get()),
            Sort::Manual => None,
        }
    }

    /// Waits until the clock shows `due` or later. An instant that has passed is no wait at all.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn sleep_until(&self, due: Timestamp) {
        loop {
            // Registered before looking, so that no step in between is missed.
            let mut stepped = std::pin::pin!(self.shared.stepped.notified());
            stepped.as_mut().enable();
            let now = self.now();
            if now >= due {
                return;
            }
            match self.shared.sort {
                Sort::Manual => stepped.await,
                Sort::Running { speed } => {
                    let rest = match self.shared.course.get() {
                        Some(course) => course.read().until(due, self.elapsed()),
                        None => self.until(due, speed),
                    };
                    let rest = rest.min(SLEEP_MAX);
                    tokio::select! {
                        () = stepped => {}
                        () = tokio::time::sleep_until(instant() + rest) => {}
                    }
                }
            }
        }
    }

    /// Bounds how long a connection is kept waiting: that long by the machine's time, whatever the clock's speed, or
    /// until a manual clock has been advanced by as much.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub fn hold(&self, length: Duration) -> impl Future<Output = ()> + Send + 'static {
        let real = tokio::time::sleep(length.min(SLEEP_MAX));
        if !self.is_manual() {
            // Nothing around it: there may be many thousands of these.
            return Either::Left(real);
        }
        let clock = self.clone();
        let due = clock.now() + length;
        Either::Right(Box::pin(async move {
            tokio::select! {
                () = real => {}
                () = clock.sleep_until(due) => {}
            }
        }))
    }

    /// Shows at least that instant from now on, whatever sort it is. Returns by how much it lay behind.
    pub fn raise_to(&self, instant: Timestamp) -> Duration {
        let behind = instant.since(self.now());
        if !behind.is_zero() {
            self.step(behind);
        }
        behind
    }

    /// Shows that much more, and wakes what has slept until then.
    fn step(&self, by: Duration) {
        if let Some(course) = self.shared.course.get() {
            let mut course = course.write();
            course.jump(self.elapsed(), by);
        } else {
            let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            self.shared.shown.fetch_add(millis, Ordering::AcqRel);
        }
        self.shared.stepped.notify_waiters();
    }

    /// Tells a real clock what the database's clock shows, to within `margin`. The first time it begins anew with that,
    /// and from then on it follows no other: it runs at most a tenth fast or slow until the next time, which may be
    /// that much later. Returns by how many milliseconds the database's clock was ahead.
    pub fn steer(&self, database: Timestamp, margin: Duration, next: Duration) -> i64 {
        let reading = Reading {
            database,
            // It is told in milliseconds.
            margin: margin + Duration::from_millis(1),
            suspended: suspended(),
            next,
        };
        let mut ahead = None;
        let course = self.shared.course.get_or_init(|| {
            ahead = Some(0);
            RwLock::new(Course::new(self.elapsed(), reading))
        });
        // The lock first: what was read of the old course was read before the moment at which the new one begins.
        let mut course = course.write();
        let ahead = ahead.unwrap_or_else(|| course.steer(self.elapsed(), reading));
        drop(course);
        self.shared.stepped.notify_waiters();
        ahead
    }

    /// Advances a manual clock and wakes what has slept until then. Returns what it shows.
    ///
    /// # Errors
    ///
    /// The clock runs by itself.
    pub fn advance(&self, by: Duration) -> Result<Timestamp, NotManual> {
        self.advance_to(self.now() + by)
    }

    /// Advances a manual clock to that instant; where it shows a later one, it stays. Returns what it shows.
    ///
    /// # Errors
    ///
    /// The clock runs by itself.
    pub fn advance_to(&self, instant: Timestamp) -> Result<Timestamp, NotManual> {
        if !self.is_manual() {
            return Err(NotManual);
        }
        self.shared
            .shown
            .fetch_max(instant.as_millis(), Ordering::AcqRel);
        self.shared.stepped.notify_waiters();
        Ok(self.now())
    }

    /// Lets a real clock follow the system's where that one jumps forward, as it does when a suspended machine wakes up
    /// or a wrong clock is set right. A jump of more than a day is followed once it has stood for a minute. Runs beside
    /// the loop; it never ends, and does nothing for the other sorts.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the following and nothing else.
    pub async fn follow(&self) {
        let is_steered = self.shared.course.get().is_some();
        if is_steered || self.speed() != Some(1) || self.shared.system.is_none() {
            return std::future::pending().await;
        }
        let mut far = 0;
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            let system = self.system();
            far = if system.since(self.now()) > FAR {
                far + 1
            } else {
                0
            };
            if far == 0 || far >= FAR_LOOKS {
                self.step_to(system);
            }
        }
    }

    fn step_to(&self, wall: Timestamp) {
        let ahead = wall.since(self.now());
        if ahead >= STEP_MIN {
            self.step(ahead);
            tracing::info!(
                step_ms = ahead.as_millis() as u64,
                "followed a jump of the system's clock"
            );
        }
    }

    /// How long by the machine's time until a running clock shows `due`.
    fn until(&self, due: Timestamp, speed: NonZeroU32) -> Duration {
        let shown = Timestamp::from_millis(self.shared.shown.load(Ordering::Acquire));
        // From the origin rather than from now: dividing what is left again and again would wake too early by a
        // rounding.
        let micros = due
            .since(shown)
            .as_micros()
            .div_ceil(u128::from(speed.get()));
        let whole = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        whole.saturating_sub(self.elapsed())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn instant() -> Instant {
    Instant::now()
}

/// How long the machine has been suspended since it started, as far as that can be told.
fn suspended() -> Duration {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        let asleep_too = read(ClockId::Boottime);
        asleep_too.saturating_sub(read(ClockId::Monotonic))
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Before 1970 a clock is unset; any instant is as wrong.
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(START.as_millis() + millis)
    }

    fn speed(factor: u32) -> NonZeroU32 {
        NonZeroU32::new(factor).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn sleepers_wake_at_the_very_millisecond() {
        for factor in [1, 7, 60, 1_000] {
            let clock = Clock::running(START, speed(factor));
            let before = clock.elapsed();
            for due in [1, 2, 3_000, 3_001, 86_400_000] {
                clock.sleep_until(at(due)).await;
                // A faster clock can't be read between two of the machine's milliseconds.
                let late = clock.now().since(at(due));
                assert!(late < ms(u64::from(factor)), "x{factor} {due}: {late:?}");
            }
            let took = clock.elapsed() - before;
            let expected = ms(86_400_000) / factor;
            assert!(took >= expected && took <= expected + ms(10), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_past_is_no_wait() {
        let clock = Clock::running(START, speed(1));
        let before = clock.elapsed();
        clock.sleep_until(START).await;
        clock.sleep_until(Timestamp::from_millis(0)).await;
        assert_eq!(clock.elapsed(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_manual_clock_stands_still_until_it_is_advanced() {
        let clock = Clock::manual(START);
        let due = at(75 * 3_600_000);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(due).await;
                clock.now()
            }
        });
        tokio::time::sleep(ms(1_000_000)).await;
        assert_eq!(clock.now(), START);
        assert!(!sleeper.is_finished());
        clock.advance(ms(75 * 3_600_000 - 1)).unwrap();
        tokio::time::sleep(ms(1)).await;
        assert!(!sleeper.is_finished());
        clock.advance(ms(1)).unwrap();
        assert_eq!(sleeper.await.unwrap(), due);
        // Never back.
        assert_eq!(clock.advance_to(START), Ok(due));
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_of_sleepers_wake_with_one_step() {
        let clock = Clock::manual(START);
        let sleepers: Vec<_> = (0..2_000)
            .map(|n| {
                let clock = clock.clone();
                tokio::spawn(async move { clock.sleep_until(at(n)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        clock.advance(ms(5_000)).unwrap();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn holds_are_by_the_machine_or_by_hand() {
        let table: [(Clock, u64); 2] = [
            (Clock::running(START, speed(60)), 25_000),
            (Clock::manual(START), 25_000),
        ];
        for (clock, expected) in table {
            let before = clock.elapsed();
            clock.hold(ms(25_000)).await;
            let took = clock.elapsed() - before;
            assert!(took >= ms(expected) && took <= ms(expected + 2), "{took:?}");
        }
        let clock = Clock::manual(START);
        let hold = tokio::spawn(clock.hold(ms(25_000)));
        tokio::task::yield_now().await;
        clock.advance(ms(25_000)).unwrap();
        let before = clock.elapsed();
        hold.await.unwrap();
        assert_eq!(clock.elapsed(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_the_system_is_followed_forward_only() {
        let system = Arc::new(AtomicI64::new(START.as_millis()));
        let read = system.clone();
        let now = move || Timestamp::from_millis(read.load(Ordering::Relaxed));
        let clock = Clock::of_system(now.clone(), NonZeroU32::MIN);
        let following = clock.clone();
        tokio::spawn(async move { following.follow().await });
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(at(3_600_000)).await }
        });
        tokio::task::yield_now().await;
        let before = clock.elapsed();
        system.fetch_add(3_600_000, Ordering::Relaxed);
        sleeper.await.unwrap();
        assert!(clock.elapsed() - before <= FOLLOW_EVERY + ms(2));

        let shown = clock.now();
        system.fetch_sub(7_200_000, Ordering::Relaxed);
        tokio::time::sleep(ms(10_000)).await;
        let passed = clock.now().since(shown);
        assert!((10_000..10_010).contains(&passed.as_millis()), "{passed:?}");
        assert!(clock.is_ahead());
        assert_eq!(clock.date(), clock.system());

        // What is far ahead for a moment alone was a mistake.
        system.store(
            (clock.now() + ms(365 * 86_400_000)).as_millis(),
            Ordering::Relaxed,
        );
        tokio::time::sleep(ms(50_000)).await;
        assert!(clock.now().since(shown) < ms(61_000));
        let wrong = system.swap(clock.now().as_millis(), Ordering::Relaxed);
        tokio::time::sleep(ms(50_000)).await;
        assert!(clock.now().since(shown) < ms(111_000));
        system.store(wrong, Ordering::Relaxed);
        tokio::time::sleep(ms(61_000)).await;
        assert!(clock.now() >= Timestamp::from_millis(wrong));

        // A simulation has its own time.
        let scaled = Clock::of_system(now, speed(60));
        for clock in [scaled, Clock::running(START, speed(1))] {
            let shown = clock.now();
            system.fetch_add(86_400_000, Ordering::Relaxed);
            let follow = tokio::time::timeout(ms(5_000), clock.follow());
            assert!(follow.await.is_err());
            assert!(clock.now().since(shown) <= ms(60 * 5_010));
            assert_eq!(clock.date(), clock.now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_steered_clock_follows_its_database_and_no_other() {
        let system = Arc::new(AtomicI64::new(START.as_millis() - 7_200_000));
        let read = system.clone();
        let now = move || Timestamp::from_millis(read.load(Ordering::Relaxed));
        let clock = Clock::of_system(now, NonZeroU32::MIN);
        let beat = ms(500);
        assert_eq!(clock.steer(START, ms(0), beat), 0);
        assert_eq!(
            (clock.now(), clock.date(), clock.system()),
            (START, START, START)
        );
        system.fetch_add(86_400_000, Ordering::Relaxed);
        let follow = tokio::time::timeout(ms(5_000), clock.follow());
        assert!(follow.await.is_err());
        assert_eq!(clock.now(), at(5_000));
        // What falls due while it runs fast falls due sooner, to the millisecond.
        assert_eq!(clock.steer(at(8_000), ms(0), beat), 3_000);
        assert_eq!(clock.system(), at(8_000));
        let before = clock.elapsed();
        clock.sleep_until(at(5_440)).await;
        assert_eq!(
            (clock.now(), clock.elapsed() - before),
            (at(5_440), ms(400))
        );
        clock.sleep_until(at(6_000)).await;
        assert_eq!(clock.elapsed() - before, ms(950));
        assert_eq!(clock.raise_to(at(9_000)), ms(3_000));
        assert_eq!(clock.now(), at(9_000));
    }

    #[test]
    fn a_clock_of_any_sort_is_raised_and_never_lowered() {
        let steered = Clock::running(START, speed(1));
        steered.steer(START, ms(1), ms(500));
        for clock in [
            Clock::manual(START),
            Clock::running(START, speed(60)),
            steered,
        ] {
            assert_eq!(clock.raise_to(START - ms(5)), Duration::ZERO);
            assert!(clock.raise_to(at(86_400_000)) > ms(86_000_000));
            assert!(clock.now() >= at(86_400_000));
        }
    }

    #[test]
    fn only_a_manual_clock_is_advanced() {
        assert_eq!(Clock::real().advance(ms(1)), Err(NotManual));
        assert_eq!(Clock::scaled(speed(60)).speed(), Some(60));
        assert!(Clock::real().now() > START - Duration::from_secs(86_400 * 366));
    }
}
