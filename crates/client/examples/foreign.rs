//! Waits on an API that isn't ours, once by its description and once by a closure: `abide serve`, whose older routes
//! play the foreign API, then `cargo run -p abide --example foreign`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use abide::schedule::Fixed;
use abide::{Client, Look, NewJob, Remote, poll_until};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    run("http://127.0.0.1:8080").await
}

pub(crate) async fn run(server: &str) -> Result<(), Failure> {
    // Where the status stands and what its words mean; `Remote::preset("heygen")` and others come with the crate.
    let remote = Remote::new("classic", "/status/{id}", "/result")
        .create("/jobs", "/job_id")
        .running(["pending"])
        .completed(["completed"])
        .failed(["error"]);
    let client = Client::builder(server).remote(remote).build()?;
    let job = client.create(NewJob::default()).await?;
    let done = job.wait().deadline(Duration::from_secs(60)).await?;
    println!("{} after {} polls", done.outcome(), done.report().requests);

    // Whatever a closure can look at. A failed look is met by backoff of its own, apart from the schedule.
    let mut looks = 0;
    let answer = poll_until(|| {
        looks += 1;
        let found = (looks == 3).then_some("a needle");
        async move {
            Ok::<_, std::io::Error>(match found {
                Some(needle) => Look::done(needle),
                None => Look::not_yet().progress(0.5),
            })
        }
    })
    .schedule(Fixed::new(Duration::from_millis(50)))
    .deadline(Duration::from_secs(60))
    .await?;
    println!("found {answer:?} at the third look");
    Ok(())
}
