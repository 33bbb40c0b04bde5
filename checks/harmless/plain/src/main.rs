//! reqwest without TLS, beside abide as it comes. With an argument: what a failed `main` shows.

use abide::{Client, RetryPolicy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), abide::Error> {
    let address = std::env::args().nth(1).unwrap_or("http://127.0.0.1:1".to_owned());
    // reqwest panics here if another crate turns its TLS on without a provider.
    let theirs = reqwest::Client::new().get(&address).send().await;
    assert!(theirs.unwrap_err().is_connect());
    let secure = reqwest::get("https://127.0.0.1:1").await;
    assert!(secure.unwrap_err().to_string().contains("error sending request"), "reqwest speaks no TLS here");
    let refused = Client::new("https://jobs.example.com").unwrap_err();
    assert!(refused.to_string().contains("tls-ring"), "{refused}");
    let client = Client::builder(&address).retry(RetryPolicy::never()).build()?;
    let job = client.job("job_1").status().await?;
    println!("{}", job.id);
    Ok(())
}
