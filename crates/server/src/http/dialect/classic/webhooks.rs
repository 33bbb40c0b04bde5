//! What the classic systems' webhooks say: a word for an end, and nothing that they don't know.

use abide_wire::{Event, EventKind};
use serde_json::json;

use crate::telling::{Telling, Told};

/// `{"result": "completed" | "error", "timestamp": <milliseconds>}`.
pub(super) const RESULT: &str = "classic/result";
/// `{"status": "completed" | "error"}`, and nothing that isn't a string.
pub(super) const STATUS: &str = "classic/status";

/// Says a native event in that form; `None` if the form is none of these, or the event is no end.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    let event: Event = serde_json::from_str(telling.event).ok()?;
    let word = match event.kind {
        EventKind::Completed => "completed",
        EventKind::Failed | EventKind::Canceled => "error",
        _ => return None,
    };
    let body = match telling.form {
        RESULT => json!({"result": word, "timestamp": event.timestamp.as_millis()}),
        STATUS => json!({"status": word}),
        _ => return None,
    };
    Some(Told {
        has_titles: false,
        body: body.to_string(),
        headers: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_word_in_either_form_and_other_events_have_none() {
        let table = [
            (
                "job.completed",
                RESULT,
                Some(r#"{"result":"completed","timestamp":5}"#),
            ),
            (
                "job.failed",
                RESULT,
                Some(r#"{"result":"error","timestamp":5}"#),
            ),
            ("job.canceled", STATUS, Some(r#"{"status":"error"}"#)),
            ("job.started", STATUS, None),
            ("job.completed", "other", None),
        ];
        for (kind, form, expected) in table {
            let at = "1970-01-01T00:00:00.005Z";
            let job = json!({
                "id": "job_1", "kind": "film", "status": "completed", "done": true, "revision": 3,
                "created_at": at, "updated_at": at, "metadata": {},
                "links": {"self": "", "events": "", "cancel": ""},
            });
            let event = json!({"type": kind, "timestamp": at, "data": job});
            let told = tell(&Telling {
                form,
                event: &event.to_string(),
                endpoint: abide_engine::EndpointKey::from_u128(1),
                id: "msg_1",
                at: abide_wire::Timestamp::from_millis(5),
                secrets: Vec::new(),
            });
            let body = told.as_ref().map(|told| told.body.as_str());
            assert_eq!(body, expected, "{kind} as {form}");
        }
    }
}
