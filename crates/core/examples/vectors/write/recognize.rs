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

/// Answers, and whether they show an end; null where they show nothing.
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
    cases
        .map(|(value, done)| json!({"value": value, "done": done}))
        .collect()
}
