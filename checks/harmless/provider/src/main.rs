//! rustls with ring, beside abide with ring.

use abide::{Client, RetryPolicy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), abide::Error> {
    let client = Client::builder("https://127.0.0.1:1").retry(RetryPolicy::never()).build()?;
    let error = client.job("job_1").status().await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    let installed = rustls::crypto::CryptoProvider::get_default();
    assert!(installed.is_none(), "only a program may install a provider");
    let config = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
    drop(config.with_no_client_auth());
    Ok(())
}
