//! How the clock of a cluster's node follows its database's.
//!
//! Nodes take their time from the one clock that they share, the database's, and none from its own machine, which may
//! be wrong. Each begins with it as it joins, and is told of it with every beat. From beat to beat its time runs by the
//! machine's timer. What it is off by then is made up for by running at most a tenth faster or slower, never by a jump:
//! a database whose clock steps forward by an hour, as after a failover, lets nothing fall due an hour too early. All
//! nodes do the same, so the next leader shows the same time. One thing is jumped over: the time for which the machine
//! was suspended, which its timer doesn't count.

use std::time::Duration;

use abide_wire::Timestamp;

/// What a node knows of the database's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// What it showed.
    pub(crate) database: Timestamp,
    /// How far that may be off: half of the time that the question took.
    pub(crate) margin: Duration,
    /// How long the machine had been suspended by then, since it started.
    pub(crate) suspended: Duration,
    /// How long it may be until the next one.
    pub(crate) next: Duration,
}

/// How time runs from a moment on. Moments are by [`Clock::elapsed`](crate::clock::Clock::elapsed).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    since: Duration,
    /// What is shown at that moment, in microseconds since the epoch.
    shown: i64,
    /// The microseconds that it gains within `length`, at most a tenth of it; below zero it loses them.
    gain: i64,
    length: Duration,
    /// How far the database's clock was ahead of the machine's timer, in microseconds.
    database: i64,
    suspended: Duration,
}

/// The part of a stretch of time that may be made up for within it.
const SLEW: u32 = 10;

impl Course {
    /// Begins with the database's time.
    pub(crate) fn new(now: Duration, reading: Reading) -> Self {
        Self {
            since: now,
            shown: micros_of(reading.database),
            gain: 0,
            length: Duration::ZERO,
            database: micros_of(reading.database).saturating_sub(micros(now)),
            suspended: reading.suspended,
        }
    }

    /// What is shown at that moment.
    pub(crate) fn at(&self, moment: Duration) -> Timestamp {
        Timestamp::from_millis(self.micros_at(moment).div_euclid(1_000))
    }

    /// What the database's clock shows at that moment, as far as it was told.
    pub(crate) fn database_at(&self, moment: Duration) -> Timestamp {
        let shown = self.database.saturating_add(micros(moment));
        Timestamp::from_millis(shown.div_euclid(1_000))
    }

    fn micros_at(&self, moment: Duration) -> i64 {
        let run = moment.saturating_sub(self.since);
        let part = micros(run.min(self.length));
        let gain = match micros(self.length) {
            0 => self.gain,
            // Both are below a minute.
            length => self.gain.saturating_mul(part) / length,
        };
        self.shown.saturating_add(micros(run)).saturating_add(gain)
    }

    /// Goes on from what is shown at that moment, towards what the database's clock shows. Returns by how many
    /// milliseconds that was ahead.
    pub(crate) fn steer(&mut self, now: Duration, reading: Reading) -> i64 {
        let shown = self.micros_at(now);
        let ahead = micros_of(reading.database).saturating_sub(shown);
        let asleep = micros(reading.suspended.saturating_sub(self.suspended));
        let jump = ahead.clamp(0, asleep);
        let most = micros(reading.next / SLEW);
        let left = ahead - jump;
        let gain = match left.unsigned_abs() > micros(reading.margin).unsigned_abs() {
            true => left.clamp(-most, most),
            false => 0,
        };
        *self = Self {
            shown: shown.saturating_add(jump),
            gain,
            length: reading.next,
            ..Self::new(now, reading)
        };
        ahead / 1_000
    }

    /// Shows that much more from that moment on.
    pub(crate) fn jump(&mut self, now: Duration, by: Duration) {
        self.shown = self.micros_at(now).saturating_add(micros(by));
        (self.since, self.gain) = (now, 0);
    }

    /// How long from that moment on until `due` is shown, at least: time may run slow.
    pub(crate) fn until(&self, due: Timestamp, now: Duration) -> Duration {
        let left = micros_of(due).saturating_sub(self.micros_at(now));
        let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
        match self.gain > 0 && now < self.since + self.length {
            true => left * SLEW / (SLEW + 1),
            false => left,
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn micros_of(instant: Timestamp) -> i64 {
    instant.as_millis().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000;
    const BEAT: Duration = Duration::from_millis(500);
    const HOUR: i64 = 3_600_000;

    fn reading(database: i64, suspended: u64) -> Reading {
        Reading {
            database: Timestamp::from_millis(database),
            margin: Duration::from_millis(2),
            suspended: Duration::from_millis(suspended),
            next: BEAT,
        }
    }

    /// What a course shows after each of that many beats, of a database that is ahead of the machine by that much.
    fn beats(course: &mut Course, from: u32, count: u32, ahead: i64, suspended: u64) -> Vec<i64> {
        let beat = |n: u32| {
            let now = BEAT * n;
            course.steer(
                now,
                reading(START + now.as_millis() as i64 + ahead, suspended),
            );
            course.at(now).as_millis() - now.as_millis() as i64 - START
        };
        (from..from + count).map(beat).collect()
    }

    #[test]
    fn time_neither_goes_back_nor_runs_more_than_a_tenth_fast_or_slow_whatever_the_database_shows()
    {
        let mut course = Course::new(Duration::ZERO, reading(START, 0));
        let mut seed = 7_u64;
        let mut last = START;
        for n in 0..200_000_u64 {
            let now = Duration::from_millis(n * 10);
            if n % 50 == 0 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let off = (seed >> 33) as i64 % (2 * HOUR) - HOUR;
                course.steer(now, reading(START + off, 0));
            }
            let shown = course.at(now).as_millis();
            let ran = shown - last;
            assert!(
                n == 0 || (8..=12).contains(&ran),
                "{ran} ms of 10 at {now:?}"
            );
            last = shown;
        }
        let off = last - START - 2_000_000;
        assert!(off.abs() <= 200_000, "{off}");
    }

    #[test]
    fn a_step_of_the_database_is_made_up_for_at_a_tenth_and_noise_is_not() {
        let mut course = Course::new(Duration::ZERO, reading(START, 0));
        assert_eq!(beats(&mut course, 1, 3, 1, 0), [0, 0, 0]);
        assert_eq!(beats(&mut course, 4, 4, HOUR, 0), [0, 50, 100, 150]);
        // The beats stop: nothing more is gained.
        let now = BEAT * 30;
        let shown = course.at(now).as_millis() - START - now.as_millis() as i64;
        assert_eq!(shown, 200);
        assert_eq!(beats(&mut course, 30, 6, 0, 0), [200, 150, 100, 50, 0, 0]);
        assert_eq!(course.database_at(BEAT * 40).as_millis(), START + 20_000);
    }

    #[test]
    fn the_time_of_a_suspension_is_jumped_over_and_no_more() {
        let mut course = Course::new(Duration::ZERO, reading(START, 70));
        assert_eq!(
            beats(&mut course, 1, 2, HOUR, 70 + 600_000),
            [600_000, 600_050]
        );
        // One that was raised to a later instant is no later for a suspension.
        course.jump(BEAT * 3, Duration::from_secs(7_200));
        let shown = beats(&mut course, 3, 1, HOUR, 70 + 900_000);
        assert_eq!(shown, [600_100 + 2 * HOUR]);
    }

    #[test]
    fn a_sleeper_never_wakes_late() {
        for ahead in [-HOUR, 0, HOUR] {
            let mut course = Course::new(Duration::ZERO, reading(START, 0));
            beats(&mut course, 1, 1, ahead, 0);
            for due in [1, 40, 499, 700, 90_000] {
                let due = Timestamp::from_millis(START + 500 + due);
                let mut now = BEAT;
                let mut naps = 0;
                while course.at(now) < due {
                    // As a timer of milliseconds does.
                    let nap = course.until(due, now).as_micros().div_ceil(1_000);
                    now += Duration::from_millis(u64::try_from(nap).unwrap());
                    naps += 1;
                }
                let before = course.at(now - Duration::from_millis(2));
                assert!(before < due && naps < 10, "{ahead} {due:?}: {naps} naps");
            }
        }
    }
}
