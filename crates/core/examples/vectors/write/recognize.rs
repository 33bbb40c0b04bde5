//! The words by which vendors say how a job stands, for the languages whose `poll_until` understands them.

use serde_json::{Value, json};

/// The words for a job that hasn't ended, in small letters and nothing else, as they are compared.
const RUNNING: &str = "aborting accepted active booting building canceling cancellationrequested cancelling created \
    downloading dreaming dubbing finalizing generating indexing initializing inprogress inqueue new notstarted pending \
    preparing preprocessing processing provisioning queued queueing rendering running scheduled started starting \
    submitted submitting suspended throttled timingout training transcoding transcribing translating uploading \
    validating waiting working";
/// The words for a job that has ended, well or not.
const ENDED: &str = "aborted canceled cancelled complete completed contentmoderated deleted done dubbed ended error \
    errored expired fail failed failure finished incomplete moderated partialfailure ready rejected requestmoderated \
    stopped succeeded success successful terminated timedout timeout validationfailed";

pub(super) fn words() -> Value {
    let list = |words: &'static str| words.split_whitespace().collect::<Vec<_>>();
    json!({"running": list(RUNNING), "ended": list(ENDED), "cases": cases()})
}

/// Answers, and whether they show an end; null where they show nothing. Some also say what they show of the progress, a
/// share, and of what remains and what it took, in seconds; null where that is nothing.
fn cases() -> Vec<Value> {
    let cases = [
        (
            json!({"id": "video_1", "status": "queued", "progress": 0}),
            json!(false),
        ),
        (
            json!({"id": "video_1", "status": "completed", "progress": 100}),
            json!(true),
        ),
        (json!({"status": "starting", "output": null}), json!(false)),
        (json!({"status": "canceled"}), json!(true)),
        (json!({"status": "THROTTLED"}), json!(false)),
        (
            json!({"status": "SUCCEEDED", "output": ["https://example.com/a.mp4"]}),
            json!(true),
        ),
        (json!({"status": "IN_PROGRESS", "logs": []}), json!(false)),
        (json!({"data": {"status": "waiting"}}), json!(false)),
        (json!({"data": {"status": "success"}}), json!(true)),
        (json!({"state": "dreaming"}), json!(false)),
        (json!({"output": {"task_status": "SUCCEEDED"}}), json!(true)),
        (json!({"name": "operations/1", "done": false}), json!(false)),
        (json!({"name": "operations/1", "done": true}), json!(true)),
        (json!({"status": "NotStarted"}), json!(false)),
        (json!({"status": "in progress"}), json!(false)),
        (
            json!({"status": "failed", "error": "no audio"}),
            json!(true),
        ),
        (json!({}), Value::Null),
        (json!({"status": 200}), Value::Null),
    ];
    let cases = cases.into_iter();
    let ends = cases.map(|(value, done)| json!({"value": value, "done": done}));
    ends.chain(figures()).collect()
}

/// Answers with a figure, and what it means.
fn figures() -> impl Iterator<Item = Value> {
    let progress = [
        (json!(0), json!(0.0)),
        (json!(33), json!(0.33)),
        (json!(0.5), json!(0.5)),
        (json!("45%"), json!(0.45)),
        (json!(" 45 % "), json!(0.45)),
        (json!("0.5%"), json!(0.005)),
        (json!("45"), json!(0.45)),
        (json!({"percent": 20}), json!(0.2)),
        (json!({"percent": 1}), json!(0.01)),
        // All of it, or one of a hundred?
        (json!(1), Value::Null),
        (json!(170), Value::Null),
        (json!(-3), Value::Null),
        (json!("soon"), Value::Null),
        (json!("1e1"), Value::Null),
        (json!(""), Value::Null),
        (json!(true), Value::Null),
        (json!({"percent": 170}), Value::Null),
        (json!([50]), Value::Null),
        (Value::Null, Value::Null),
    ];
    let progress = progress.map(|(told, share)| {
        let value = json!({"status": "running", "progress": told});
        json!({"value": value, "done": false, "progress": share})
    });
    let remaining = [
        (json!({"eta": 12.5}), json!(12.5)),
        (json!({"eta": 0}), json!(0.0)),
        (json!({"eta": "90"}), json!(90.0)),
        (json!({"eta_seconds": 8}), json!(8.0)),
        (json!({"estimated_time": 9}), json!(9.0)),
        (json!({"remaining_seconds": 10}), json!(10.0)),
        (json!({"eta": "soon", "remaining_seconds": 10}), json!(10.0)),
        (json!({"eta": -1}), Value::Null),
        (json!({"eta": 1e6}), Value::Null),
        (json!({"eta": true}), Value::Null),
        (json!({"eta": "2027-01-01T00:00:00Z"}), Value::Null),
    ];
    let remaining = remaining.map(|(mut value, seconds)| {
        value["status"] = json!("queued");
        json!({"value": value, "done": false, "remaining": seconds})
    });
    let took = [
        (json!(1_795_305_600), json!(1_795_305_660), json!(60.0)),
        (
            json!(1_795_305_600_000_u64),
            json!(1_795_305_660_000_u64),
            json!(60.0),
        ),
        (
            json!("2026-11-22T00:00:00Z"),
            json!("2026-11-22T00:01:00.000Z"),
            json!(60.0),
        ),
        (json!(1_795_305_660), json!(1_795_305_600), Value::Null),
        (json!(5), json!(1_795_305_600), Value::Null),
        (json!("then"), json!("now"), Value::Null),
        (Value::Null, json!(1_795_305_600), Value::Null),
    ];
    let took = took.map(|(created, ended, seconds)| {
        let value = json!({"status": "done", "created_at": created, "completed_at": ended});
        json!({"value": value, "done": true, "took": seconds})
    });
    progress.into_iter().chain(remaining).chain(took)
}
