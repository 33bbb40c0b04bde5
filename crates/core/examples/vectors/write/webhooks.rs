//! Signatures: what is believed, and what is not.

use abide::Timestamp;
use abide::webhook::{Secret, Signed, Verifier, sign};
use serde_json::{Value, json};

/// When they are checked, in seconds since 1970.
const NOW: i64 = 1_795_306_956;

/// A case's name, and the delivery's id, time, signature and body.
type Case = (&'static str, &'static str, String, String, &'static str);

fn deliveries(ours: &Secret) -> Vec<Case> {
    let by = |secrets: &[&Secret], at: i64| {
        let at = Timestamp::from_millis(at * 1_000);
        sign(secrets.iter().copied(), "msg_1", at, b"{}")
    };
    let good = |at| by(&[ours], at);
    let signed = |name, signature| (name, "msg_1", NOW.to_string(), signature, "{}");
    let sent = |name, at: i64| (name, "msg_1", at.to_string(), good(at), "{}");
    let (new, other) = (secret(9), secret(11));
    vec![
        signed("good", good(NOW)),
        signed("by an old and a new secret", by(&[&new, ours], NOW)),
        signed("with one of a later version", format!("v2,x {}", good(NOW))),
        sent("five minutes old", NOW - 300),
        sent("too old", NOW - 301),
        sent("from the future", NOW + 301),
        signed("forged", by(&[&other], NOW)),
        (
            "of another body",
            "msg_1",
            NOW.to_string(),
            good(NOW),
            "{ }",
        ),
        ("of another id", "msg_2", NOW.to_string(), good(NOW), "{}"),
        (
            "of another time",
            "msg_1",
            (NOW - 1).to_string(),
            good(NOW),
            "{}",
        ),
        signed("of an unknown version", good(NOW).replace("v1,", "v9,")),
        signed("empty", String::new()),
        (
            "at no time",
            "msg_1",
            "yesterday".to_owned(),
            good(NOW),
            "{}",
        ),
    ]
}

pub(super) fn cases() -> Vec<Value> {
    let ours = secret(7);
    let secrets = [ours.expose()];
    let verifier = Verifier::new([ours.clone()]);
    let cases = deliveries(&ours).into_iter();
    cases
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
