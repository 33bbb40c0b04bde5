//! The benchmark: our server beside the least that a server can be, in one run.
//!
//! ```sh
//! cargo run --release -p abide-bench -- reads
//! cargo run --release -p abide-bench -- all --quick --json figures.json
//! ```
//!
//! | module | what it is about |
//! |---|---|
//! | `suite` | what is measured, a file for each question |
//! | `limit` | what is compared with, built in |
//! | `load` | the connections that ask |
//! | `contestant` | us and the limits behind the same few questions |
//! | `work` | bits of the server in this process, for counting instructions |
//! | `child`, `postgres`, `machine` | processes, cores, memory |
//! | `figures` | tables, JSON, medians of rounds in turns |

mod args;
mod child;
mod clock;
mod contestant;
mod figures;
mod limit;
mod load;
mod machine;
mod postgres;
mod suite;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::args::{Cli, Suite};
use crate::contestant::Setup;
use crate::figures::Figure;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            figures::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if let Suite::Limit(arguments) = &cli.suite {
        return limit::run(arguments);
    }
    if let Suite::Probe(arguments) = &cli.suite {
        return suite::probe::run(arguments, Duration::from_secs_f64(cli.seconds));
    }
    if let Suite::Work(arguments) = &cli.suite {
        return work::run(arguments);
    }
    anyhow::ensure!(
        machine::cores() >= 2,
        "two cores are needed: one for the server, one for the load"
    );
    let setup = Setup {
        open_files: machine::raise_open_files(),
        ours: match &cli.server {
            Some(file) => file.clone(),
            None => child::build_ours()?,
        },
        rounds: if cli.quick { 1 } else { cli.rounds },
        length: Duration::from_secs_f64(if cli.quick { 1.0 } else { cli.seconds }),
        quick: cli.quick,
        directory: cli.directory.clone(),
    };
    // It has threads only for what children say.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let _entered = runtime.enter();
    let (figures, failed) = measure(&cli.suite, &setup);
    figures::print(&figures::table(&figures));
    if let Some(file) = &cli.json {
        figures::write_json(&figures, file)?;
    }
    if let Some(file) = &cli.docs {
        figures::write_docs(&figures, file)?;
    }
    // The others are worth having, too: all of them take half an hour.
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// What was measured, and why suites failed, if any did.
fn measure(suite: &Suite, setup: &Setup) -> (Vec<Figure>, Vec<String>) {
    let of = |suite: &Suite, figures: &mut Vec<Figure>| match suite {
        Suite::Reads => suite::reads::run(setup),
        Suite::Dialects => suite::dialects::run(setup),
        Suite::Parked => suite::parked::run(setup),
        Suite::Streams => suite::parked::run_streams(setup),
        Suite::Creates => suite::creates::run(setup),
        Suite::Jobs => suite::jobs::run(setup),
        Suite::Restart => suite::restart::run(setup),
        Suite::Timers => suite::timers::run(setup),
        Suite::Deliveries => suite::deliveries::run(setup),
        Suite::Learned => suite::learned::run(setup),
        Suite::Overload => suite::overload::run(setup),
        Suite::Goodput => suite::goodput::run(setup),
        Suite::Cluster(arguments) => {
            suite::cluster::run(setup, arguments, figures).map(|()| Vec::new())
        }
        Suite::All | Suite::Limit(_) | Suite::Work(_) | Suite::Probe(_) => Ok(Vec::new()),
    };
    let all = [
        Suite::Reads,
        Suite::Dialects,
        Suite::Parked,
        Suite::Streams,
        Suite::Creates,
        Suite::Jobs,
        Suite::Restart,
        Suite::Timers,
        Suite::Deliveries,
        Suite::Learned,
        Suite::Overload,
        Suite::Goodput,
    ];
    let suites = match suite {
        Suite::All => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for suite in suites {
        match of(suite, &mut figures) {
            Ok(some) => figures.extend(some),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    (figures, failed)
}
