//! `abide trigger`

use std::process::ExitCode;
use std::time::Duration;

use abide::webhook::{self, seconds_of, sign};
use abide::{Http, Timestamp, Transport as _};
use abide_wire::{Span, headers};
use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::{Request, header};
use serde_json::{Value, json};

use crate::connect::{Common, block_on};
use crate::exit::{COMPLETED, FAILED, Failure, UNREACHABLE};
use crate::{output, secret, show, url};

/// The events of a job, each with the status, the progress and the revision that a job has then.
const EVENTS: [(&str, &str, Option<f64>, u64); 6] = [
    ("job.created", "pending", None, 1),
    ("job.started", "running", Some(0.0), 2),
    ("job.progress", "running", Some(40.0), 3),
    ("job.completed", "completed", Some(100.0), 4),
    ("job.failed", "failed", Some(40.0), 4),
    ("job.canceled", "canceled", Some(40.0), 4),
];
/// The most bytes of an answer that are shown.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide trigger job.failed --to http://127.0.0.1:3000/hook --secret whsec_...
  abide trigger job.completed --to $URL --job job_42 --kind dub

Exit codes: 0 the receiver answered 2xx, 1 it answered otherwise, 3 it can't be reached.";

/// What `abide trigger` takes.
#[derive(Debug, Args)]
pub(crate) struct TriggerArgs {
    /// The event
    #[arg(value_name = "EVENT", value_parser = clap::builder::PossibleValuesParser::new(EVENTS.map(|event| event.0)))]
    event: String,
    /// The receiver
    #[arg(long, value_name = "URL")]
    to: String,
    /// The secret to sign with, `whsec_…`
    #[arg(
        long,
        env = "ABIDE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: Option<String>,
    /// The id of the job that the event is about [default: a new one]
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// The kind of that job
    #[arg(long, value_name = "KIND", default_value = "video_translation")]
    kind: String,
    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    timeout: Span,
}

/// Sends a receiver a signed event of a job that is nowhere.
pub(crate) fn run(common: &Common, args: &TriggerArgs) -> anyhow::Result<ExitCode> {
    let to = url::read("--to", &args.to)?;
    let secret = args.secret.as_deref().map(secret::read).transpose()?;
    let now = webhook::now();
    let word = format!("{:016x}", super::serve::fresh_seed());
    let id = format!("msg_trigger{word}");
    let body = event(args, &format!("job_trigger{word}"), now).to_string();
    let mut request = Request::post(to.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(headers::WEBHOOK_ID, &id)
        .header(headers::WEBHOOK_TIMESTAMP, seconds_of(now).to_string());
    if let Some(secret) = &secret {
        let signature = sign([secret], &id, now, body.as_bytes());
        request = request.header(headers::WEBHOOK_SIGNATURE, signature);
    }
    let request = request.body(Bytes::from(body.clone()))?;
    block_on(async {
        let exchange = async {
            let answer = Http::new(args.timeout.get()).send(request).await?;
            let status = answer.status();
            let body = answer
                .into_body()
                .collect(ANSWER_BYTES_MAX)
                .await
                .unwrap_or_default();
            anyhow::Ok((status, body))
        };
        let exchanged =
            tokio::time::timeout(args.timeout.get().max(Duration::from_millis(1)), exchange);
        // It says its cause itself.
        let unreachable =
            |error: anyhow::Error| Failure::new(UNREACHABLE, format!("{to}: {error}"));
        let (status, answer) = match exchanged.await.context("no answer in time") {
            Ok(exchanged) => exchanged.map_err(unreachable)?,
            Err(error) => return Err(unreachable(error).into()),
        };
        let answer = String::from_utf8_lossy(&answer);
        if common.json {
            let sent: Value = serde_json::from_str(&body)?;
            output::json(
                &json!({"id": id, "sent": sent, "status": status.as_u16(), "answer": answer}),
            )?;
        } else {
            let answer = show::plain(&answer);
            let line = format!("{}  {id}  → {}  {answer}", args.event, status.as_u16());
            output::line(line.trim_end())?;
        }
        Ok(ExitCode::from(if status.is_success() {
            COMPLETED
        } else {
            FAILED
        }))
    })
}

/// The event as the server tells it.
fn event(args: &TriggerArgs, new_id: &str, now: Timestamp) -> Value {
    let known = EVENTS.iter().find(|event| event.0 == args.event);
    let (name, status, percent, revision) = known.expect("clap lets no other through");
    let is_done = percent.is_some_and(|_| *revision == 4);
    let id = args.job.as_deref().unwrap_or(new_id);
    let error = (*status == "failed").then(|| {
        json!({"type": "about:blank", "title": "The job failed", "status": 500, "code": "job_failed", "retryable": false})
    });
    json!({
        "type": name,
        "timestamp": now,
        "data": {
            "id": id,
            "kind": args.kind,
            "status": status,
            "done": is_done,
            "outcome": is_done.then_some(status),
            "revision": revision,
            "progress": percent.map(|percent| json!({"percent": percent, "stage": null})),
            "input": null,
            "result": (*status == "completed").then(|| json!({"triggered": true})),
            "error": error,
            "metadata": {},
            "created_at": now,
            "started_at": percent.map(|_| now),
            "updated_at": now,
            "finished_at": is_done.then_some(now),
            "expires_at": null,
            "remaining_ms": null,
            "links": {"self": format!("/v1/jobs/{id}")},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_one_that_the_library_reads() {
        for (name, status, ..) in EVENTS {
            let args = TriggerArgs {
                event: name.to_owned(),
                to: String::new(),
                secret: None,
                job: None,
                kind: "dub".to_owned(),
                timeout: "1s".parse().unwrap(),
            };
            let event = event(&args, "job_1", Timestamp::from_millis(0));
            let job: abide::Job = serde_json::from_value(event["data"].clone()).unwrap();
            assert_eq!((job.status.as_str(), job.kind.as_str()), (status, "dub"));
            assert_eq!(job.done, job.outcome.is_some(), "{name}");
            assert_eq!(job.error.is_some(), name == "job.failed");
        }
    }
}
