//! What waits weigh, in a process that does nothing else.

use std::fmt::Write as _;
use std::future::IntoFuture;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use abide::Client;
use abide_testkit::lasting;
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use crate::Failure;
use crate::peer::Peer;
use crate::table::Table;

/// Makes this program a process whose memory is measured: the server's address, and how it
/// waits.
pub(crate) const MEASURE: &str = "--measure-memory";

const SEPARATELY: &str = "separately";
const MIB: f64 = 1024.0 * 1024.0;

/// How long all of them have had by then to be sent and held.
const SETTLED: Duration = Duration::from_secs(5);

pub(crate) async fn of_waits(peer: &Peer, jobs: usize, table: &mut Table) -> Result<(), Failure> {
    table.title(&format!(
        "{jobs} waits in one process: resident memory beyond that of the same process before"
    ));
    let creator = peer.creator()?;
    let created: Vec<_> = stream::iter(0..jobs)
        .map(|_| {
            creator
                .create(lasting(Duration::from_secs(3_600)))
                .into_future()
        })
        .buffer_unordered(64)
        .collect()
        .await;
    let mut ids = String::new();
    for job in created {
        writeln!(ids, "{}", job?.id())?;
    }
    for how in [SEPARATELY, "as a set"] {
        let grown = in_a_process(&peer.url, how, &ids).await?;
        table.at_most(&format!("{how}, MiB"), grown / MIB, 50.0);
        table.note(
            &format!("{how}, KiB per wait"),
            grown / 1024.0 / jobs as f64,
        );
    }
    Ok(())
}

async fn in_a_process(url: &str, how: &str, ids: &str) -> Result<f64, Failure> {
    let mut process = Command::new(std::env::current_exe()?)
        .args([MEASURE, url, how])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = process.stdin.take().ok_or("nowhere to write to")?;
    input.write_all(ids.as_bytes())?;
    drop(input);
    let output = tokio::task::spawn_blocking(move || process.wait_with_output()).await??;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// Waits for the jobs whose ids are on standard input, and prints by how many bytes that has made this process grow.
pub(crate) async fn measure(arguments: &[String]) -> Result<ExitCode, Failure> {
    let at = arguments.iter().position(|argument| argument == MEASURE);
    let [url, how] = arguments
        .get(at.unwrap_or_default() + 1..)
        .and_then(|rest| rest.first_chunk())
        .ok_or("which server, and how?")?;
    let ids: Vec<String> = std::io::stdin().lines().collect::<Result<_, _>>()?;
    let client = Client::new(url)?;
    // Whatever is made once is made by now: connections, buffers, threads.
    let first = client.job(ids[0].as_str());
    let _ = first.wait().deadline(Duration::from_millis(200)).await;
    let before = resident()?;
    let waits = ids.iter().map(|id| client.job(id.as_str()));
    let mut separate = JoinSet::new();
    let mut set = client.set([]);
    if how == SEPARATELY {
        for job in waits {
            separate.spawn(job.wait().into_future());
        }
    } else {
        set.extend(waits);
    }
    tokio::select! {
        () = tokio::time::sleep(SETTLED) => println!("{}", resident()? - before),
        Some(ended) = separate.join_next() => drop(ended??),
        Some((_, ended)) = set.join_next() => drop(ended?),
    }
    Ok(ExitCode::SUCCESS)
}

/// The resident memory of this process, in bytes.
fn resident() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    Ok(kib.ok_or("the system tells no resident memory")? * 1024.0)
}
