//! A server that is already running, for comparing with others. `crates/bench/peers.sh` uses it.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::clock::{now, pause};
use crate::figures::print;
use crate::load::{Answer, Latencies, Parked, Source, drive};
use crate::machine::{Core, Usage, pin, raise_open_files, usage};

/// Which server, and what of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProbeArgs {
    /// What is measured.
    #[arg(value_enum)]
    sort: Sort,
    /// Where it listens.
    #[arg(long)]
    address: SocketAddr,
    /// Its process.
    #[arg(long)]
    pid: u32,
    /// What is asked for.
    #[arg(long)]
    path: String,
    /// How many connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Reads over kept connections, for the time that `--seconds` says.
    Reads,
    /// Requests that are held: the memory of each.
    Parked,
}

struct Reads {
    request: Vec<u8>,
    took: Latencies,
}

impl Source for Reads {
    fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&self.request);
        true
    }

    fn answered(&mut self, _: usize, _: &Answer<'_>, took: Duration) {
        self.took.push(took);
    }
}

/// Measures it and prints one line.
pub(crate) fn run(arguments: &ProbeArgs, length: Duration) -> anyhow::Result<()> {
    raise_open_files();
    pin(Core::Load)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\r\n",
        arguments.path
    )
    .into_bytes();
    let line = match arguments.sort {
        Sort::Reads => {
            let mut reads = Reads {
                request,
                took: Latencies::default(),
            };
            let before = usage(arguments.pid)?;
            let took = drive(arguments.address, arguments.connections, &mut reads, length)?;
            let after = usage(arguments.pid)?;
            let done = reads.took.len() as f64;
            format!(
                "{:.2} CPU µs, {:.0} requests/s, p99 {:.2} ms",
                (after.cpu - before.cpu).as_secs_f64() * 1e6 / done,
                done / took.as_secs_f64(),
                reads.took.quantile_ms(0.99)
            )
        }
        Sort::Parked => {
            let count = arguments.connections;
            let before = settle(arguments.pid)?;
            let parked = Parked::open(arguments.address, count, None, |_| request.clone())?;
            let held = settle(arguments.pid)?;
            drop(parked);
            let bytes = held.memory.saturating_sub(before.memory);
            format!("{:.2} KiB for each", bytes as f64 / count as f64 / 1024.0)
        }
    };
    print(&format!("{line}\n"));
    Ok(())
}

/// Waits until it does nothing any more, for a few seconds at most.
fn settle(pid: u32) -> anyhow::Result<Usage> {
    let begun = now();
    let mut before = usage(pid)?;
    loop {
        pause(Duration::from_millis(300));
        let after = usage(pid)?;
        if after.cpu.saturating_sub(before.cpu) < Duration::from_millis(2)
            || begun.elapsed() > Duration::from_secs(10)
        {
            return Ok(after);
        }
        before = after;
    }
}
