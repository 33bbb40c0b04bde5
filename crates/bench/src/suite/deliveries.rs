//! Webhooks: how soon after its end a job is told of, what a delivery costs, and what receivers that misbehave do to
//! the others.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::child::Server;
use crate::clock::now;
use crate::contestant::{Contestant, Running, Setup, get, post};
use crate::figures::{Aim, Figure, in_turns, quantile, say};
use crate::load::{Answer, Receiver, Source, call, drive};

/// How many endpoints there are that nothing happens to.
const IDLE: usize = 900;
/// How many deliveries a second are aimed for.
const PER_SECOND: f64 = 4_000.0;
/// How many jobs a second end, where it is looked at how soon each is told of.
const ONE_BY_ONE: f64 = 100.0;
/// How many receivers are told of the same jobs as the one that is looked at.
const OTHERS: usize = 40;
/// How many jobs a second end beside them: each makes a delivery to all of them, and a core that is full would say
/// nothing of isolation.
const BESIDE_OTHERS: f64 = 25.0;
/// The longest that is waited for deliveries.
const LONGEST: Duration = Duration::from_secs(120);

/// Creates of jobs that end so soon, at an even pace.
struct Jobs {
    request: Vec<u8>,
    per_second: f64,
    begun: Instant,
    sent: usize,
    refused: Option<u16>,
}

impl Jobs {
    /// Creates at that pace for that time, and says how many.
    fn run(
        server: &Server,
        millis: u32,
        per_second: f64,
        length: Duration,
    ) -> anyhow::Result<usize> {
        let body = format!(
            r#"{{"simulate":{{"duration":{{"fixed":"{millis}ms"}},"outcome":{{"error_chance":0}},"stages":[]}}}}"#
        );
        let mut jobs = Self {
            request: post("/v1/jobs", &body),
            per_second,
            begun: now(),
            sent: 0,
            refused: None,
        };
        drive(server.address, 64, &mut jobs, length)?;
        ensure!(
            jobs.refused.is_none(),
            "a create was refused: {:?}",
            jobs.refused
        );
        Ok(jobs.sent)
    }
}

impl Source for Jobs {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        let is_due = self.begun.elapsed().as_secs_f64() * self.per_second > self.sent as f64;
        if is_due {
            self.sent += 1;
            out.extend_from_slice(&self.request);
        }
        is_due
    }

    fn answered(&mut self, _: usize, answer: &Answer<'_>, _: Duration) {
        if answer.status >= 300 {
            self.refused = Some(answer.status);
        }
    }

    fn is_paced(&self) -> bool {
        true
    }
}

/// P11.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = end_to_push(setup)?;
    figures.extend(sustained(setup)?);
    figures.extend(backlog(setup)?);
    figures.extend(beside_bad_ones(setup)?);
    Ok(figures)
}

/// One job after the other ends on a server with many endpoints that want to hear of something else.
fn end_to_push(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let length = Duration::from_secs(setup.sized(10, 2) as u64);
    let medians = in_turns(setup.rounds, &[()], |()| {
        say(&format!(
            "deliveries: from end to push beside {IDLE} idle endpoints"
        ));
        let running = Contestant::Ours.start(setup, 0, true)?;
        let receiver = Receiver::start(true)?;
        for n in 0..IDLE {
            let url = receiver.url(&format!("idle-{n}"));
            register(&running, &url, "job.canceled")?;
        }
        register(&running, &receiver.url("quick"), "job.completed")?;
        let count = Jobs::run(&running.server, 50, ONE_BY_ONE, length)?;
        // What was under way at the end of the load may not have been created.
        receiver.until(count.saturating_sub(64), LONGEST)?;
        let mut late = receiver.take_late_ms();
        Ok([0.5, 0.99].map(|share| quantile(&mut late, share)))
    })?;
    let [p50, p99] = medians[0];
    let what = |what: &str| format!("end to push beside {IDLE} idle endpoints, {what}");
    Ok(vec![
        Figure::new(what("p50"), "ms", p50).aims("P11", Aim::AtMost(10.0)),
        Figure::new(what("p99"), "ms", p99),
    ])
}

/// Jobs end at the pace that is aimed for: nothing piles up, and what a delivery costs is what the same jobs cost less
/// without.
fn sustained(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let length = Duration::from_secs(setup.sized(15, 3) as u64);
    let medians = in_turns(setup.rounds, &[()], |()| {
        let mut cost = [0.0; 2];
        let mut seen = [0.0; 4];
        for told in [false, true] {
            say(&format!("deliveries: {PER_SECOND} jobs/s, told: {told}"));
            let running = Contestant::Ours.start(setup, 0, true)?;
            let receiver = Receiver::start(true)?;
            if told {
                register(&running, &receiver.url("quick"), "job.completed")?;
            }
            let before = running.server.settle()?;
            let begun = now();
            let count = Jobs::run(&running.server, 0, PER_SECOND, length)?;
            let ended = now();
            if told {
                receiver.until(count.saturating_sub(64), LONGEST)?;
            }
            let after = running.server.settle()?;
            cost[usize::from(told)] = (after.cpu - before.cpu).as_secs_f64() * 1e6 / count as f64;
            if told {
                let last = receiver.last().unwrap_or(ended);
                let mut late = receiver.take_late_ms();
                seen = [
                    receiver.count() as f64 / (last - begun).as_secs_f64(),
                    last.saturating_duration_since(ended).as_secs_f64() * 1e3,
                    quantile(&mut late, 0.5),
                    quantile(&mut late, 0.99),
                ];
            }
        }
        let [rate, behind, p50, p99] = seen;
        Ok([rate, behind, p50, p99, cost[1] - cost[0], cost[1]])
    })?;
    let [rate, behind, p50, p99, each, whole] = medians[0];
    let what = |what: &str| format!("{PER_SECOND} jobs/s told to one receiver: {what}");
    Ok(vec![
        Figure::new(what("delivered"), "/s", rate).aims("P11", Aim::AtLeast(0.98 * PER_SECOND)),
        Figure::new(what("last one after the load's end"), "ms", behind)
            .aims("P11", Aim::AtMost(1_000.0)),
        Figure::new(what("end to push, p50"), "ms", p50),
        Figure::new(what("end to push, p99"), "ms", p99),
        Figure::new(what("each delivery"), "CPU µs", each).aims("P11", Aim::AtMost(120.0)),
        Figure::new(what("each job, delivery included"), "CPU µs", whole),
    ])
}

/// What was held while an endpoint was disabled is replayed: nothing else happens, so it shows what the courier can do.
fn backlog(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let wanted = setup.sized(40_000, 4_000);
    let medians = in_turns(setup.rounds, &[()], |()| {
        let running = Contestant::Ours.start(setup, 0, true)?;
        let receiver = Receiver::start(false)?;
        let id = register(&running, &receiver.url("quick"), "job.completed")?;
        let path = format!("/v1/webhooks/{id}");
        change(&running, &path, r#"{"enabled":false}"#)?;
        say(&format!("deliveries: {wanted} are held"));
        let pace = 4_000.0;
        let length = Duration::from_secs_f64(wanted as f64 / pace);
        let count = Jobs::run(&running.server, 0, pace, length)?;
        change(&running, &path, r#"{"enabled":true}"#)?;
        let before = running.server.settle()?;
        let begun = now();
        let (status, answer) = call(running.server.address, &post(&format!("{path}/replay"), ""))?;
        ensure!(status == 202, "a replay was answered with {status}");
        let replayed: serde_json::Value = serde_json::from_slice(&answer)?;
        let replayed = replayed["replayed"].as_u64().unwrap_or(0) as usize;
        ensure!(replayed + 64 >= count, "{replayed} of {count} were held");
        receiver.until(replayed, LONGEST)?;
        let took = receiver.last().unwrap_or(begun) - begun;
        let after = running.server.settle()?;
        let cpu = (after.cpu - before.cpu).as_secs_f64();
        Ok([
            replayed as f64 / took.as_secs_f64(),
            cpu * 1e6 / replayed as f64,
        ])
    })?;
    let [rate, each] = medians[0];
    let what = |what: &str| format!("a backlog of {wanted} to one receiver: {what}");
    Ok(vec![
        Figure::new(what("delivered"), "/s", rate).aims("P11", Aim::AtLeast(PER_SECOND)),
        Figure::new(what("each delivery"), "CPU µs", each).aims("P11", Aim::AtMost(120.0)),
    ])
}

/// Who is told of the same jobs beside the receiver that is looked at.
#[derive(Clone, Copy, Debug)]
enum Beside {
    /// As many that answer at once: as many deliveries are made and kept as beside the bad ones, so that what differs
    /// is the isolation.
    Good,
    /// A quarter each hangs, drips a byte a second, answers without end and redirects to an internal address.
    Bad,
}

impl Beside {
    fn manners(self) -> &'static [&'static str] {
        match self {
            Self::Good => &["quick"],
            Self::Bad => &["hangs", "drips", "endless", "moved"],
        }
    }
}

/// The same jobs are told to a quick receiver, beside others that are as quick and beside others that misbehave.
///
/// The good ones have two turns in each round: how far these are apart is what the machine's noise makes of the same.
fn beside_bad_ones(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let length = Duration::from_secs(setup.sized(20, 4) as u64);
    let turns = [Beside::Good, Beside::Bad, Beside::Good];
    let medians = in_turns(setup.rounds, &turns, |beside| {
        say(&format!(
            "deliveries: beside {OTHERS} others, {:?}",
            beside.manners()
        ));
        let running = Contestant::Ours.start(setup, 0, true)?;
        let (receiver, others) = (Receiver::start(true)?, Receiver::start(false)?);
        register(&running, &receiver.url("quick"), "job.completed")?;
        for manner in beside.manners().iter().cycle().take(OTHERS) {
            register(&running, &others.url(manner), "job.completed")?;
        }
        let before = running.server.settle()?;
        let count = Jobs::run(&running.server, 0, BESIDE_OTHERS, length)?;
        receiver.until(count.saturating_sub(64), LONGEST)?;
        let after = running.server.usage()?;
        let mut late = receiver.take_late_ms();
        let grown = after.memory.saturating_sub(before.memory) as f64 / 1e6;
        Ok([quantile(&mut late, 0.5), quantile(&mut late, 0.99), grown])
    })?;
    let [good, bad, again] = [medians[0], medians[1], medians[2]];
    let all = |what: &str, at: usize, unit, aim| {
        let figure = |who: &str, ours: [f64; 3], aim| {
            let what = format!("{BESIDE_OTHERS} jobs/s beside {OTHERS} {who}: {what}");
            let limit = ("beside as many good ones", good[at]);
            Figure::new(what, unit, ours[at])
                .beside(limit)
                .aims("", aim)
        };
        [
            figure("receivers that misbehave", bad, aim),
            figure("good ones once more", again, Aim::Shown),
        ]
    };
    Ok([
        all("end to push, p50", 0, "ms", Aim::Shown),
        all("end to push, p99", 1, "ms", Aim::TimesAtMost(1.5)),
        all("memory grew by", 2, "MB", Aim::Shown),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Registers an endpoint and gives its id.
fn register(running: &Running, url: &str, event: &str) -> anyhow::Result<String> {
    let body = format!(r#"{{"url":"{url}","events":["{event}"]}}"#);
    let (status, answer) = call(running.server.address, &post("/v1/webhooks", &body))?;
    ensure!(status == 201, "a registration was answered with {status}");
    let made: serde_json::Value = serde_json::from_slice(&answer)?;
    Ok(made["id"].as_str().unwrap_or_default().to_owned())
}

fn change(running: &Running, path: &str, body: &str) -> anyhow::Result<()> {
    let request = String::from_utf8(post(path, body))?.replacen("POST", "PATCH", 1);
    let (status, _) = call(running.server.address, request.as_bytes())?;
    ensure!(status == 200, "a change was answered with {status}");
    let (status, _) = call(running.server.address, &get(path))?;
    ensure!(status == 200, "a read was answered with {status}");
    Ok(())
}
