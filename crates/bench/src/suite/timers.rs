//! A million deadlines over a minute: how late what is due happens, and what that costs.

use std::time::Duration;

use crate::clock::{now, wall_ms};
use crate::contestant::{Contestant, Setup, get, post};
use crate::figures::{Aim, Figure, quantile, say};
use crate::load::{Answer, Parked, Source, drive};

/// Over how long the deadlines are spread.
const SPREAD: Duration = Duration::from_secs(60);
/// How many jobs are surely made in a second, also where others use the machine.
const MADE_PER_SECOND: f64 = 3_000.0;
/// One deadline in this number is watched by a held request.
const WATCHED: usize = 1_000;

/// Creates of jobs that end at given instants.
struct Creates {
    count: usize,
    made: usize,
    first_end_ms: f64,
    spread_ms: f64,
    ids: Vec<(usize, String)>,
    asked: Vec<usize>,
    refused: Option<u16>,
}

impl Source for Creates {
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) -> bool {
        if self.made == self.count || self.refused.is_some() {
            return false;
        }
        // Neighbours in time are far apart in order of creation, so that the set of deadlines is not filled in order.
        let n = self.made * 7_919 % self.count;
        let end = self.first_end_ms + self.spread_ms * n as f64 / self.count as f64;
        let left = (end - wall_ms()).max(0.0) as u64;
        let body = format!(
            r#"{{"simulate":{{"duration":{{"fixed":"{left}ms"}},"outcome":{{"error_chance":0}},"stages":[]}}}}"#
        );
        self.asked[connection] = self.made;
        self.made += 1;
        out.extend_from_slice(&post("/v1/jobs", &body));
        true
    }

    fn answered(&mut self, connection: usize, answer: &Answer<'_>, _: Duration) {
        if answer.status >= 300 {
            self.refused = Some(answer.status);
        }
        let n = self.asked[connection];
        if n.is_multiple_of(WATCHED) {
            let text = String::from_utf8_lossy(answer.body);
            if let Some(id) = text.split('"').find(|word| word.starts_with("job_")) {
                self.ids.push((n, id.to_owned()));
            }
        }
    }
}

/// P10.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let count = setup.sized(1_000_000, 50_000);
    let spread = if setup.quick { SPREAD / 20 } else { SPREAD };
    let running = Contestant::Ours.start(setup, 0, true)?;
    // The time that the creates have before the first deadline.
    let lead = Duration::from_secs_f64(count as f64 / MADE_PER_SECOND + 3.0);
    let first_end_ms = wall_ms() + lead.as_secs_f64() * 1e3;
    let mut creates = Creates {
        count,
        made: 0,
        first_end_ms,
        spread_ms: spread.as_secs_f64() * 1e3,
        ids: Vec::new(),
        asked: vec![0; 64],
        refused: None,
    };
    say(&format!("timers: making {count} jobs"));
    drive(running.server.address, 64, &mut creates, lead)?;
    anyhow::ensure!(
        creates.refused.is_none(),
        "a create was refused: {:?}",
        creates.refused
    );
    anyhow::ensure!(
        creates.made == count,
        "making the jobs took longer than expected"
    );
    let ids = creates.ids;
    let mut parked = Parked::open_reading(running.server.address, ids.len(), |n| {
        get(&format!("/v1/jobs/{}?wait=600", ids[n].1))
    })?;
    while wall_ms() < first_end_ms - 200.0 {
        parked.turn(Duration::from_millis(20))?;
    }
    let before = running.server.usage()?;
    let begun = now();
    say("timers: the deadlines come");
    while parked.count() < ids.len() {
        parked.turn(Duration::ZERO)?;
        anyhow::ensure!(begun.elapsed() < 3 * spread, "the deadlines don't come");
    }
    let took = begun.elapsed();
    let after = running.server.settle()?;
    let mut late = parked.late_ms();
    let commit = super::parked::lone_commits(setup)?[0];
    let per_end = (after.cpu - before.cpu).as_secs_f64() * 1e6 / count as f64;
    let what = format!("{count} deadlines over {} s", spread.as_secs());
    let (p50, p99) = (quantile(&mut late, 0.5), quantile(&mut late, 0.99));
    Ok(vec![
        Figure::new(format!("{what}: late, p50"), "ms", p50),
        Figure::new(
            format!("{what}: late, p99, beyond one commit ({commit:.2} ms)"),
            "ms",
            p99 - commit,
        )
        .aims("P10", Aim::AtMost(5.0)),
        Figure::new(
            format!("{what}: late, worst"),
            "ms",
            quantile(&mut late, 1.0),
        ),
        Figure::new(
            format!("{what}: cores"),
            "cores",
            (after.cpu - before.cpu).as_secs_f64() / took.as_secs_f64(),
        )
        .aims("P10", Aim::AtMost(0.5)),
        Figure::new(format!("{what}: each"), "CPU µs", per_end),
    ])
}
