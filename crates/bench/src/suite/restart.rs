//! How long a restart takes, by how much there is to read.

use crate::child::Server;
use crate::contestant::{Contestant, Setup};
use crate::figures::{Figure, say};
use crate::machine::Core;

use super::reads::some_jobs;

/// Restarts on both cores: after a crash, when what was written last has to be replayed, and after an orderly end, when
/// there is only a checkpoint.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let sizes: &[usize] = if setup.quick {
        &[1_000, 10_000]
    } else {
        &[1_000, 10_000, 100_000, 300_000]
    };
    for &count in sizes {
        say(&format!("restart with {count} jobs"));
        let directory = tempfile::tempdir_in(&setup.directory)?;
        let arguments = Contestant::arguments_at(directory.path());
        let start = |core| Server::start(&setup.ours, &arguments, core);
        let running = Contestant::Ours.attach(start(Core::Server)?);
        some_jobs(&running, count)?;
        running.server.kill()?;
        let crashed = start(Core::Both)?;
        let after_crash = crashed.ready_after.as_secs_f64() * 1e3;
        crashed.stop()?;
        let orderly = start(Core::Both)?.ready_after.as_secs_f64() * 1e3;
        let of = |what: &str| format!("restart with {count} jobs, {what}");
        figures.push(Figure::new(of("after a crash"), "ms", after_crash));
        figures.push(Figure::new(of("after an orderly end"), "ms", orderly));
    }
    Ok(figures)
}
