use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

fn secret() -> Secret {
    Secret::generate([5; 32])
}

async fn grades(url: &str) -> BTreeMap<&'static str, Grade> {
    let attack = Attack::new(url, secret())
        .unwrap()
        .timeout(Duration::from_secs(5))
        .patience(Duration::from_secs(2));
    let mut told = 0;
    let verdicts = attack.run(|_| true, |_| told += 1).await.unwrap();
    assert_eq!(told, verdicts.len());
    assert_eq!(verdicts.len(), Attack::checks().len());
    verdicts
        .into_iter()
        .map(|verdict| (verdict.check, verdict.grade))
        .collect()
}

fn failed(grades: &BTreeMap<&'static str, Grade>) -> Vec<&'static str> {
    let mut failed: Vec<_> = grades
        .iter()
        .filter(|(_, grade)| **grade == Grade::Fail)
        .map(|(check, _)| *check)
        .collect();
    failed.sort_unstable();
    failed
}

/// A receiver that reads a request and answers it with that status, whatever it says.
async fn indifferent(status: &'static str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                let _ = socket.read(&mut bytes).await;
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = socket.write_all(answer.as_bytes()).await;
                let _ = socket.shutdown().await;
                while matches!(socket.read(&mut bytes).await, Ok(read) if read > 0) {}
            });
        }
    });
    (url, task)
}

#[tokio::test]
async fn our_own_receiver_fails_no_check() {
    let receiver = abide::Receiver::builder()
        .secret(secret())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let grades = grades(&receiver.url()).await;
    assert_eq!(failed(&grades), [""; 0]);
    let warned: Vec<_> = grades
        .iter()
        .filter(|(_, grade)| **grade == Grade::Warn)
        .collect();
    // It gives up on a slow body after ten seconds, which is more than this test has.
    assert_eq!(warned, [(&"slow_body", &Grade::Warn)]);
}

#[tokio::test]
async fn a_receiver_that_believes_everything_is_found_out() {
    let (url, _task) = indifferent("200 OK").await;
    let grades = grades(&url).await;
    for check in [
        "unsigned",
        "forged_signature",
        "tampered_body",
        "wrong_version",
        "moved_timestamp",
        "old_timestamp",
        "future_timestamp",
        "slow_body",
    ] {
        assert_eq!(grades[check], Grade::Fail, "{check}");
    }
    assert_eq!(grades["valid"], Grade::Pass);
}

#[tokio::test]
async fn a_receiver_that_believes_nothing_and_one_that_falls_over_are_found_out() {
    let (url, _task) = indifferent("401 Unauthorized").await;
    let found = failed(&grades(&url).await);
    for check in [
        "valid",
        "rotated_key",
        "replayed_id",
        "doubled",
        "reordered",
    ] {
        assert!(found.contains(&check), "{check} in {found:?}");
    }
    let (url, _task) = indifferent("500 Internal Server Error").await;
    let found = failed(&grades(&url).await);
    for check in ["valid", "unknown_type", "not_json", "wrong_type"] {
        assert!(found.contains(&check), "{check} in {found:?}");
    }
}

#[tokio::test]
async fn who_is_not_there_can_not_be_attacked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let attack = Attack::new(&url, secret()).unwrap();
    let result = attack.run(|_| true, |_| {}).await;
    assert!(
        matches!(result, Err(AttackError::Unreachable(_))),
        "{result:?}"
    );
    assert!(matches!(
        Attack::new("ftp://receiver.example/", secret()),
        Err(AttackError::Url(_))
    ));
}
