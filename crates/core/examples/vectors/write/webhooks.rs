//! Signatures: what is believed, and what is not.

use abide::Timestamp;
use abide::webhook::{Secret, Signed, Verifier, sign};
use serde_json::{Value, json};

/// When they are checked, in seconds since 1970.
const NOW: i64 = 1_795_306_956;

pub(super) fn cases() -> Vec<Value> {
    let (ours, new, other) = (secret(7), secret(9), secret(11));
    let good = |at: i64| sign([&ours], "msg_1", Timestamp::from_millis(at * 1_000), b"{}");
    let now = NOW.to_string();
    let both = sign(
        [&new, &ours],
        "msg_1",
        Timestamp::from_millis(NOW * 1_000),
        b"{}",
    );
    let forged = sign(
        [&other],
        "msg_1",
        Timestamp::from_millis(NOW * 1_000),
        b"{}",
    );
    let cases: Vec<(&str, &str, String, String, &str)> = vec![
        ("good", "msg_1", now.clone(), good(NOW), "{}"),
        (
            "by an old and a new secret",
            "msg_1",
            now.clone(),
            both,
            "{}",
        ),
        (
            "with one of a later version",
            "msg_1",
            now.clone(),
            format!("v2,x {}", good(NOW)),
            "{}",
        ),
        (
            "five minutes old",
            "msg_1",
            (NOW - 300).to_string(),
            good(NOW - 300),
            "{}",
        ),
        (
            "too old",
            "msg_1",
            (NOW - 301).to_string(),
            good(NOW - 301),
            "{}",
        ),
        (
            "from the future",
            "msg_1",
            (NOW + 301).to_string(),
            good(NOW + 301),
            "{}",
        ),
        ("forged", "msg_1", now.clone(), forged, "{}"),
        ("of another body", "msg_1", now.clone(), good(NOW), "{ }"),
        ("of another id", "msg_2", now.clone(), good(NOW), "{}"),
        (
            "of another time",
            "msg_1",
            (NOW - 1).to_string(),
            good(NOW),
            "{}",
        ),
        (
            "of an unknown version",
            "msg_1",
            now.clone(),
            good(NOW).replace("v1,", "v9,"),
            "{}",
        ),
        ("empty", "msg_1", now, String::new(), "{}"),
        (
            "at no time",
            "msg_1",
            "yesterday".to_owned(),
            good(NOW),
            "{}",
        ),
    ];
    let secrets = [ours.expose()];
    let verifier = Verifier::new([ours.clone()]);
    cases
        .into_iter()
        .map(|(name, id, timestamp, signature, body)| {
            let signed = Signed {
                id,
                timestamp: &timestamp,
                signature: &signature,
            };
            let at = Timestamp::from_millis(NOW * 1_000);
            let believed = verifier.verify_at(signed, body.as_bytes(), at).is_ok();
            json!({
                "name": name, "secrets": secrets, "now": NOW, "id": id, "timestamp": timestamp,
                "signature": signature, "body": body, "believed": believed,
            })
        })
        .collect()
}

fn secret(byte: u8) -> Secret {
    Secret::generate([byte; 32])
}
