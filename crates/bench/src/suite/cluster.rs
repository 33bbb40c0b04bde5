//! Three nodes on one PostgreSQL, beside one node on SQLite: creates, wake-ups on another node, a follower's restart
//! and the pause after the leader's death.
//!
//! Nodes and database share the server's core, so what several processes do for one request adds up in its time.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use super::creates::{BODY, create_for};
use super::parked::{DOORS, Ends, ends};
use crate::child::Server;
use crate::clock::{now, pause};
use crate::contestant::{Contestant, KEY, Running, Setup, create_jobs, get, post};
use crate::figures::{Aim, Figure, in_turns, median, say};
use crate::load::{Answer, Source, call, drive};
use crate::machine::Core;
use crate::postgres::Postgres;

/// The lease of the nodes: their default.
const LEASE: Duration = Duration::from_secs(2);
/// How much longer than the lease writes may pause once the leader is dead.
const PAUSE_MARGIN: Duration = Duration::from_millis(500);
/// Connections that create.
const CREATORS: usize = 64;
/// Connections that create while the leader dies.
const CREATORS_AT_DEATH: usize = 8;
/// Ends a second where the time of a lone end is wanted.
const LONE_ENDS: f64 = 100.0;
/// Ends a second beside many holds.
const ENDS: f64 = 1_000.0;
/// How long is waited for a node to lead.
const LEADER_WAIT: Duration = Duration::from_secs(30);

/// The database.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArgs {
    /// The PostgreSQL to use; one is started from the system's binaries where none is named. The tables stay, in a
    /// schema of their own.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// What to measure; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What is measured of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Creates,
    Wakes,
    Restart,
    Deaths,
}

/// P15. What was measured before an error, or after one in another part, is in `figures`.
pub(crate) fn run(
    setup: &Setup,
    arguments: &ClusterArgs,
    figures: &mut Vec<Figure>,
) -> anyhow::Result<()> {
    let (_own, database) = match &arguments.database {
        Some(url) => (None, url.clone()),
        None => {
            let own = Postgres::start(&setup.directory)?;
            let url = own.url.clone();
            (Some(own), url)
        }
    };
    let wanted = match arguments.only.as_slice() {
        [] => Part::value_variants(),
        some => some,
    };
    let mut failed = Vec::new();
    for part in wanted {
        // Each has nodes of its own, so that none suffers from what another one left.
        match measure(*part, setup, &database) {
            Ok(some) => figures.extend(some),
            Err(error) => failed.push(format!("{part:?}: {error:#}")),
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

fn measure(part: Part, setup: &Setup, database: &str) -> anyhow::Result<Vec<Figure>> {
    let mut cluster = Cluster::new(setup, database, part)?;
    if part == Part::Restart {
        return restarts(setup, &mut cluster, Alone::start(setup)?);
    }
    cluster.start(3)?;
    match part {
        Part::Creates => creates(setup, &cluster, &Alone::start(setup)?.running),
        Part::Wakes => wakes(setup, &cluster, &Alone::start(setup)?.running),
        Part::Deaths | Part::Restart => deaths(setup, &mut cluster),
    }
}

/// One node on SQLite.
struct Alone {
    arguments: Vec<String>,
    running: Running,
    directory: TempDir,
}

impl Alone {
    fn start(setup: &Setup) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(&setup.directory)?;
        let arguments = Contestant::arguments_at(directory.path());
        let server = Server::start(&setup.ours, &arguments, Core::Server)?;
        Ok(Self {
            arguments,
            running: Contestant::Ours.attach(server),
            directory,
        })
    }
}

/// Nodes on a schema of their own. The first one leads at the beginning.
struct Cluster {
    setup: Setup,
    database: String,
    schema: String,
    nodes: Vec<Running>,
}

impl Cluster {
    /// Makes the tables.
    fn new(setup: &Setup, database: &str, part: Part) -> anyhow::Result<Self> {
        let part = format!("{part:?}").to_lowercase();
        let cluster = Self {
            setup: setup.clone(),
            database: database.to_owned(),
            schema: format!("bench_{}_{part}", std::process::id()),
            nodes: Vec::new(),
        };
        cluster.command(&["init"])?;
        Ok(cluster)
    }

    /// Starts that many nodes.
    fn start(&mut self, count: usize) -> anyhow::Result<()> {
        for number in 0..count {
            let node = self.node(number, Core::Server)?;
            self.nodes.push(node);
            self.leader()?;
        }
        Ok(())
    }

    /// Runs that command of `abide cluster`.
    fn command(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.setup.ours);
        let done = command
            .arg("cluster")
            .args(words)
            .args(self.place())
            .output()?;
        ensure!(
            done.status.success(),
            "abide cluster {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    /// Which database, as flags.
    fn place(&self) -> [&str; 4] {
        ["--database", &self.database, "--schema", &self.schema]
    }

    /// Starts that node.
    fn node(&self, number: usize, core: Core) -> anyhow::Result<Running> {
        let mut arguments = Contestant::our_arguments();
        let lease = format!("{}s", LEASE.as_secs());
        let name = format!("node{number}");
        // The same key as an operator's, which may read metrics.
        let key = format!("bench:admin:{KEY}");
        let own = [
            "--api-key",
            &key,
            "--node",
            &name,
            "--cluster-listen",
            "127.0.0.1:0",
            "--lease",
            &lease,
        ];
        arguments.extend(own.into_iter().chain(self.place()).map(str::to_owned));
        let server = Server::start(&self.setup.ours, &arguments, core)?;
        Ok(Contestant::Ours.attach(server))
    }

    /// The number of the node that leads.
    fn leader(&self) -> anyhow::Result<usize> {
        let begun = now();
        while begun.elapsed() < LEADER_WAIT {
            for (number, node) in self.nodes.iter().enumerate() {
                if metric(node, "abide_leader")? > 0.0 {
                    return Ok(number);
                }
            }
            pause(Duration::from_millis(20));
        }
        anyhow::bail!("no node leads");
    }

    /// The node that leads, and one that follows.
    fn both(&self) -> anyhow::Result<(&Running, &Running)> {
        let leader = self.leader()?;
        let follower = (leader + 1) % self.nodes.len();
        Ok((&self.nodes[leader], &self.nodes[follower]))
    }
}

/// What a metric without labels is at.
fn metric(node: &Running, name: &str) -> anyhow::Result<f64> {
    let (_, text) = call(node.server.address, &get("/metrics"))?;
    let text = String::from_utf8(text)?;
    let mut values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix("{}").unwrap_or(rest).strip_prefix(' ')
    });
    let value = values
        .next()
        .with_context(|| format!("there is no metric {name}"))?;
    Ok(value.parse()?)
}

fn creates(setup: &Setup, cluster: &Cluster, alone: &Running) -> anyhow::Result<Vec<Figure>> {
    let (leader, follower) = cluster.both()?;
    let doors = [
        ("one node on SQLite", alone, alone),
        ("the leader", leader, leader),
        ("a follower", follower, leader),
    ];
    let medians = in_turns(setup.rounds, &doors, |(name, door, payer)| {
        say(&format!("creates through {name}"));
        create_for(door, &payer.server, CREATORS, setup.length)
    })?;
    let sqlite = |n: usize| ("one node on SQLite", medians[0][n]);
    let through = |door: &str, what: &str| {
        format!("durable creates, {CREATORS} connections, through {door}{what}")
    };
    let mut figures = Vec::new();
    for (door, [rate, _, p99]) in [("the leader", medians[1]), ("a follower", medians[2])] {
        let beside = |unit, ours, limit| {
            Figure::new(through(door, ""), unit, ours)
                .beside(limit)
                .aims("P15", Aim::Shown)
        };
        figures.push(beside("creates/s", rate, sqlite(0)));
        figures.push(beside("p99 ms", p99, sqlite(2)));
    }
    let of_leader = ("one node on SQLite", medians[0][1]);
    figures.push(
        Figure::new(through("the leader", ": its CPU"), "CPU µs", medians[1][1])
            .beside(of_leader)
            .aims("P15", Aim::Shown),
    );
    figures.push(
        Figure::new(
            through("a follower", ": the leader's CPU"),
            "CPU µs",
            medians[2][1],
        )
        .beside(("through the leader", medians[1][1]))
        .aims("P15", Aim::AtMost(15.0)),
    );
    Ok(figures)
}

fn wakes(setup: &Setup, cluster: &Cluster, alone: &Running) -> anyhow::Result<Vec<Figure>> {
    let (leader, follower) = cluster.both()?;
    let few = setup.sized(1_000, 200);
    let many = setup.connections(setup.sized(10_000, 1_000));
    let mut figures = Vec::new();
    // Of a lone end it is told how long after its own answer the wait was answered.
    for (count, per_second, doors) in [(few, LONE_ENDS, few), (many, ENDS, DOORS)] {
        let contestants = [(alone, alone), (leader, follower)];
        let medians = in_turns(setup.rounds, &contestants, |(ended_at, held_at)| {
            say(&format!("{count} holds, {per_second} ends/s"));
            let jobs = create_jobs(&ended_at.server, count, r#"{"worker":"external"}"#)?;
            ends(&Ends {
                held_at: &held_at.server,
                ended_at: &ended_at.server,
                count,
                per_second,
                doors,
                wait: &|n| get(&format!("/v1/jobs/{}?wait=600", jobs[n])),
                end: &|n| post(&format!("/v1/jobs/{}/cancel", jobs[n]), ""),
            })
        })?;
        let ([alone_p50, alone_p99, _], [p50, p99, beyond]) = (medians[0], medians[1]);
        let what =
            format!("{count} holds on a follower, {per_second} ends/s at the leader: end to wake");
        for (name, ours, limit) in [("p50", p50, alone_p50), ("p99", p99, alone_p99)] {
            let limit = ("one node on SQLite", limit);
            figures.push(
                Figure::new(format!("{what}, {name}"), "ms", ours)
                    .beside(limit)
                    .aims("P15", Aim::Shown),
            );
        }
        if per_second == LONE_ENDS {
            figures.push(
                Figure::new(
                    format!("{what}, p50 beyond the commit: after the leader's answer to the end"),
                    "ms",
                    beyond,
                )
                .aims("P15", Aim::AtMost(1.0)),
            );
        }
    }
    Ok(figures)
}

/// How long a follower takes from its start to an answer that shows the newest of many jobs. They are made on SQLite,
/// where that is quick, and imported.
fn restarts(setup: &Setup, cluster: &mut Cluster, alone: Alone) -> anyhow::Result<Vec<Figure>> {
    let count = setup.sized(1_000_000, 100_000);
    say(&format!("making {count} jobs on SQLite"));
    let made = create_jobs(&alone.running.server, count, BODY)?;
    alone.running.server.stop()?;
    say("importing them");
    let directory = alone.directory.path().to_string_lossy();
    cluster.command(&["import", "--data", &directory])?;
    say("restarting");
    let begun = now();
    let again = Server::start(&setup.ours, &alone.arguments, Core::Both)?;
    show_newest(&again, &made)?;
    let took_alone = begun.elapsed();
    again.kill()?;
    cluster.start(2)?;
    let leader = cluster.leader()?;
    let follower = 1 - leader;
    cluster.nodes.remove(follower).server.kill()?;
    let begun = now();
    let node = cluster.node(follower, Core::Both)?;
    show_newest(&node.server, &made)?;
    let took = begun.elapsed();
    Ok(vec![Figure::new(format!(
            "restart of a killed follower with {count} jobs, on both cores, to an answer that shows the newest"
        ), "s", took.as_secs_f64()).beside(("one node on SQLite", took_alone.as_secs_f64())).aims("P15", Aim::Shown)])
}

fn show_newest(server: &Server, made: &[String]) -> anyhow::Result<()> {
    let newest = made.last().context("a job was made")?;
    let (status, _) = call(server.address, &get(&format!("/v1/jobs/{newest}")))?;
    ensure!(status == 200, "the newest job is answered with {status}");
    Ok(())
}

/// Creates on a follower, during which the leader is killed.
struct Creates {
    request: Vec<u8>,
    leader: Option<Running>,
    kill_at: Instant,
    is_dead: bool,
    /// The last acknowledgment.
    last: Instant,
    /// The longest time between two acknowledgments, of which the later came after the death.
    longest: Duration,
}

impl Source for Creates {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        if let Some(leader) = self.leader.take_if(|_| now() >= self.kill_at) {
            // If it has ended already, the acknowledgments say so.
            self.is_dead = leader.server.kill().is_ok();
        }
        out.extend_from_slice(&self.request);
        true
    }

    fn answered(&mut self, _: usize, answer: &Answer<'_>, _: Duration) {
        if answer.status < 300 {
            let before = std::mem::replace(&mut self.last, now());
            if self.is_dead {
                self.longest = self.longest.max(self.last - before);
            }
        }
    }
}

/// How long no create is acknowledged after the leader is killed.
fn deaths(setup: &Setup, cluster: &mut Cluster) -> anyhow::Result<Vec<Figure>> {
    let mut pauses = Vec::new();
    for _ in 0..setup.rounds {
        let leader = cluster.leader()?;
        say(&format!("killing the leader, node{leader}"));
        let dead = cluster.nodes.remove(leader);
        let begun = now();
        let mut creates = Creates {
            request: post("/v1/jobs", BODY),
            leader: Some(dead),
            kill_at: begun + Duration::from_secs(1),
            is_dead: false,
            last: begun,
            longest: Duration::ZERO,
        };
        let follower = cluster.nodes[0].server.address;
        drive(follower, CREATORS_AT_DEATH, &mut creates, 4 * LEASE)?;
        ensure!(
            creates.last.elapsed() < LEASE,
            "no create was acknowledged after the leader's death"
        );
        pauses.push(creates.longest.as_secs_f64());
        let node = cluster.node(leader, Core::Server)?;
        cluster.nodes.insert(leader, node);
    }
    let longest = pauses.iter().copied().fold(0.0, f64::max);
    let what = format!(
        "no create acknowledged after the leader is killed, lease {} s",
        LEASE.as_secs()
    );
    let aim = Aim::AtMost((LEASE + PAUSE_MARGIN).as_secs_f64());
    Ok(vec![
        Figure::new(
            format!("{what}, median of {}", pauses.len()),
            "s",
            median(&mut pauses),
        )
        .aims("P15", aim),
        Figure::new(format!("{what}, the longest"), "s", longest).aims("P15", Aim::Shown),
    ])
}
