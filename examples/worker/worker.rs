//! Works on jobs of the kind `dub` until Ctrl-C: `abide serve`, then `cargo run -p abide --example worker`, and
//! `abide create --external --kind dub --input '{"talk": 7}' --wait` in another terminal.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use abide::{Client, Code, Error, Job, Lease, Problem, Progress};
use serde_json::{Value, json};

const STEPS: u32 = 4;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::new("http://127.0.0.1:8080")?;
    let working = async {
        loop {
            work(&client, Duration::from_secs(1)).await?;
        }
    };
    tokio::select! {
        ended = working => ended,
        // The claim is dropped, and so is a lease: its job is pending again, or failed, when the lease runs out.
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Claims one job and works on it.
pub(crate) async fn work(client: &Client, step: Duration) -> Result<(), Error> {
    let Some(lease) = client.claim().kind("dub").await? else {
        return Ok(());
    };
    println!("claimed {}", lease.id());
    // The lease renews itself. What it can't do is stop the work: `while_held` drops it if the job is canceled or lost.
    let ended = match lease.while_held(dub(&lease, step)).await.flatten() {
        Ok(Ok(video)) => lease.complete(&video).await,
        Ok(Err(problem)) => lease.fail(&problem).await,
        Err(over) => Err(over),
    };
    match ended {
        Ok(job) => println!("{} {}", job.id, job.status),
        Err(over) if over.is_canceled() || over.is_failed() || over.is_lease_lost() => {
            println!("{over}");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The work: a problem fails the job, an error ends the worker.
async fn dub(lease: &Lease, step: Duration) -> Result<Result<Value, Problem>, Error> {
    let Some(talk) = talk_of(lease.job()) else {
        let code = Code::new("no_talk");
        return Ok(Err(Problem::new(422, code, "The input names no talk")));
    };
    for done in 0..STEPS {
        let progress = Progress {
            percent: 100.0 * f64::from(done) / f64::from(STEPS),
            stage: Some(format!("step {done}")),
        };
        lease.progress(&progress).await?;
        tokio::time::sleep(step).await;
    }
    Ok(Ok(
        json!({"video_url": format!("https://example.com/{talk}.mp4")}),
    ))
}

fn talk_of(job: &Job) -> Option<u64> {
    let input: Value = job.input.as_ref()?.parse().ok()?;
    input["talk"].as_u64()
}
