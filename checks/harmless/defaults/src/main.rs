//! reqwest as it comes, whose rustls has aws-lc-rs, beside abide with TLS by the program's provider.

use abide::{Client, RetryPolicy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), abide::Error> {
    let theirs = reqwest::Client::new().get("https://127.0.0.1:1").send().await;
    assert!(theirs.unwrap_err().is_connect());
    // It panics if two providers are turned on, and makes the one there is the program's.
    let config = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
    drop(config.with_no_client_auth());
    let client = Client::builder("https://127.0.0.1:1").retry(RetryPolicy::never()).build()?;
    let error = client.job("job_1").status().await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    Ok(())
}
