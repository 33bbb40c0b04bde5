//! What `abide demo` takes, and what it does with it.

use std::process::ExitCode;
use std::time::Duration;

use abide_server::config::{ListenAddr, RateLimit};
use abide_server::{Config, Server};
use abide_wire::Span;
use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::contender::{LONGEST, SHORTEST};
use super::live::Live;
use super::stage::{Score, Stage, Told};
use super::table;
use crate::commands::serve::fresh_seed;
use crate::exit;
use crate::interrupt::unless_interrupted;
use crate::output;

/// How long the server may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// What `abide demo` takes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Number of jobs for each way of waiting
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    jobs: u16,
    /// Seed of the jobs' durations and outcomes [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the demonstration.
pub(crate) fn run(args: &DemoArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(demo(args, as_json))
}

async fn demo(args: &DemoArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let directory = tempfile::tempdir().context("failed to make a directory for the jobs")?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let server = Server::start(config(directory.path(), seed), seed).await?;
    let state = server.state().clone();
    let url = format!("http://{}", server.address());
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));

    output::say(&format!(
        "abide: a server at {url}, {} {} of {} to {} s for each way of waiting (--seed {seed})",
        args.jobs,
        if args.jobs == 1 { "job" } else { "jobs" },
        SHORTEST.as_secs_f64(),
        LONGEST.as_secs_f64()
    ));
    let stage = Stage {
        url,
        state,
        jobs: args.jobs,
        live: Live::new(args.jobs, as_json),
    };
    let scores = unless_interrupted(stage.play()).await?;
    drop(stage);

    stop.cancel();
    running.await??;
    let Some(scores) = scores else {
        output::say("abide: interrupted");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    table::write(&scores, as_json)?;
    if !as_json {
        output::line(
            "next: `abide serve` starts a server, `abide wait $(abide create)` waits for a job",
        )?;
    }
    Ok(ExitCode::from(verdict(&scores)))
}

/// Says which jobs did not end as they were drawn, and gives the exit code.
fn verdict(scores: &[Score]) -> u8 {
    let is_good = |told: &anyhow::Result<Told>| told.as_ref().is_ok_and(|told| told.as_drawn);
    let mut code = exit::COMPLETED;
    for score in scores {
        for wrong in score.told.iter().filter(|told| !is_good(told)) {
            let what = match wrong {
                Ok(_) => "a job did not end as it was drawn".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            output::say(&format!("abide: {}: {what}", score.contender.name));
            code = exit::FAILED;
        }
    }
    code
}

fn config(directory: &std::path::Path, seed: u64) -> Config {
    Config {
        listen: ListenAddr::from(std::net::SocketAddr::from((
            std::net::Ipv4Addr::LOCALHOST,
            0,
        ))),
        data: directory.to_owned(),
        seed: Some(seed),
        rate_limit: RateLimit(None),
        drain: Span::new(DRAIN),
        ..Config::default()
    }
}
