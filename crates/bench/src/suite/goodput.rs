//! What is acknowledged while half to four times as many creates come as the server can take: the shape, drawn.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::clock::now;
use crate::contestant::{Contestant, Running, Setup, post};
use crate::figures::{Aim, Figure, in_turns, print, say};
use crate::load::{Answer, Latencies, Source, drive};
use crate::machine::{Usage, usage};

/// How many times as many creates come as the server can take.
const LOADS: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0];
/// How many connections bring them: more than the loop's queue has places.
const CREATORS: usize = 10_000;
/// How many connections find out what the server can take.
const CREATORS_ALONE: usize = 256;
/// How long their connections may take to be accepted, before the first one.
const LEAD: Duration = Duration::from_secs(2);
/// The width of the longest bar, in characters.
const BAR: f64 = 50.0;

const BODY: &str = r#"{"worker":"external","input":{"video_url":"https://videos.example/a.mp4"}}"#;

/// Creates at an even pace, or as fast as they are answered.
struct Creates {
    request: Vec<u8>,
    per_second: f64,
    /// How long after the connections are open the first one is due, and when that is.
    lead: Duration,
    begun: Option<Instant>,
    /// The server's process, and what it had used when the first one was due.
    pid: u32,
    before: Option<Usage>,
    sent: u64,
    made: Latencies,
    refused: u64,
}

impl Source for Creates {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        let begun = *self.begun.get_or_insert_with(|| now() + self.lead);
        let elapsed = now().saturating_duration_since(begun).as_secs_f64();
        let is_due = !self.is_paced() || elapsed * self.per_second > self.sent as f64;
        if is_due {
            if self.sent == 0 {
                self.before = usage(self.pid).ok();
            }
            self.sent += 1;
            out.extend_from_slice(&self.request);
        }
        is_due
    }

    fn answered(&mut self, _: usize, answer: &Answer<'_>, took: Duration) {
        if answer.status < 300 {
            self.made.push(took);
        } else {
            self.refused += 1;
        }
    }

    fn is_paced(&self) -> bool {
        self.per_second.is_finite()
    }
}

/// What became of one load.
#[derive(Clone, Copy)]
struct Seen {
    /// Creates a second that were sent, acknowledged and refused.
    sent: f64,
    made: f64,
    refused: f64,
    /// The p99 of the acknowledged, in milliseconds.
    p99_ms: f64,
    /// Processor time of the server, in microseconds a second.
    cpu_us: f64,
}

impl Seen {
    fn of(setup: &Setup, connections: usize, per_second: f64) -> anyhow::Result<Self> {
        let Running { server, .. } = &Contestant::Ours.start(setup, 0, true)?;
        let lead = if per_second.is_finite() {
            LEAD
        } else {
            Duration::ZERO
        };
        let mut creates = Creates {
            request: post("/v1/jobs", BODY),
            per_second,
            lead,
            begun: None,
            pid: server.pid(),
            before: None,
            sent: 0,
            made: Latencies::default(),
            refused: 0,
        };
        let connections = setup.connections(connections);
        let all = lead + setup.length;
        let took = drive(server.address, connections, &mut creates, all)?.saturating_sub(lead);
        let took = took.as_secs_f64();
        let after = server.usage()?;
        let before = creates.before.context("no create was due")?;
        Ok(Self {
            sent: creates.sent as f64 / took,
            made: creates.made.len() as f64 / took,
            refused: creates.refused as f64 / took,
            p99_ms: creates.made.quantile_ms(0.99),
            cpu_us: (after.cpu - before.cpu).as_secs_f64() * 1e6 / took,
        })
    }

    const fn numbers(self) -> [f64; 5] {
        [self.sent, self.made, self.refused, self.p99_ms, self.cpu_us]
    }

    const fn of_numbers([sent, made, refused, p99_ms, cpu_us]: [f64; 5]) -> Self {
        Self {
            sent,
            made,
            refused,
            p99_ms,
            cpu_us,
        }
    }
}

/// P13.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let alone = in_turns(setup.rounds, &[()], |()| {
        Ok(Seen::of(setup, CREATORS_ALONE, f64::INFINITY)?.numbers())
    })?;
    let alone = Seen::of_numbers(alone[0]);
    say(&format!("it takes {:.0} creates/s", alone.made));
    let seen = in_turns(setup.rounds, &LOADS, |load| {
        say(&format!("goodput: {load} times as many"));
        Ok(Seen::of(setup, CREATORS, load * alone.made)?.numbers())
    })?;
    let seen: Vec<Seen> = seen.into_iter().map(Seen::of_numbers).collect();
    print(&drawn(&alone, &seen));
    Ok(figures(&alone, &seen))
}

fn figures(alone: &Seen, seen: &[Seen]) -> Vec<Figure> {
    let create_us = alone.cpu_us / alone.made;
    let most = seen.iter().map(|seen| seen.made).fold(alone.made, f64::max);
    let mut figures = vec![Figure::new(
        "goodput: the most that is acknowledged",
        "creates/s",
        most,
    )];
    for (load, seen) in LOADS.iter().zip(seen) {
        let what = |what: &str| format!("goodput at {load} × the load: {what}");
        let goal = if *load > 1.0 { "P13" } else { "" };
        let aim = |aim| if *load > 1.0 { aim } else { Aim::Shown };
        figures.push(
            Figure::new(what("acknowledged"), "creates/s", seen.made)
                .beside(("the most", most))
                .aims(goal, aim(Aim::TimesAtLeast(0.8))),
        );
        figures.push(
            Figure::new(what("acknowledged after, p99"), "ms", seen.p99_ms)
                .aims(goal, aim(Aim::AtMost(500.0))),
        );
        // What is left of the processor's time, if each acknowledged create takes as much as alone.
        if seen.refused > seen.made {
            let refusal_us = (seen.cpu_us - seen.made * create_us).max(0.0) / seen.refused;
            figures.push(
                Figure::new(what("a refusal"), "CPU µs", refusal_us)
                    .beside(("a create", create_us))
                    .aims(goal, aim(Aim::TimesAtMost(0.15))),
            );
        }
    }
    figures
}

/// A bar for each load.
fn drawn(alone: &Seen, seen: &[Seen]) -> String {
    let longest = seen.iter().map(|seen| seen.made).fold(alone.made, f64::max);
    let mut text =
        String::from("load   sent/s   acknowledged/s   refused/s   p99 of the acknowledged\n");
    for (load, seen) in LOADS.iter().zip(seen) {
        let bar = "█".repeat((seen.made / longest * BAR).round() as usize);
        // Writing to a string doesn't fail.
        let _ = writeln!(
            text,
            "{load:>3} × {:>8.0} {:>16.0} {:>11.0} {:>8.1} ms  {bar}",
            seen.sent, seen.made, seen.refused, seen.p99_ms
        );
    }
    text.push('\n');
    text
}
