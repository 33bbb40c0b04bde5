//! What each node of a cluster knows of its own clients, put together.

use abide_engine::{JobKey, Owner};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Outcome;
use super::error::ApiError;
use super::state::AppState;

/// The most clients that a node tells another one of, those that were seen last: a report has up to 30 KB of each.
const CLIENTS_TOLD_MAX: usize = 64;

/// What one node asks the others. The forms are between the nodes of one cluster alone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Who read that job: a [`Timeline`](crate::attendance::Timeline).
    Looks(JobKey),
    /// Who waits for that job: [`Watcher`](crate::board::Watcher)s.
    Watchers(JobKey),
    /// How the clients of that owner waited: [`ClientReport`](crate::attendance::ClientReport)s, and how many jobs they
    /// read.
    Report(Owner),
    /// Forget the clients of that owner.
    ClearReport(Owner),
}

/// Answers other nodes from now on.
pub(crate) fn answer_others(state: &AppState) {
    let Some(cluster) = &state.cluster else {
        return;
    };
    // Not the state: it has the door to the loop, which ends once no door is left.
    let (board, attendance) = (state.board.clone(), state.attendance.clone());
    cluster.answer_by(move |question| match Question::deserialize(question) {
        Ok(Question::Looks(job)) => json!(attendance.timeline(job)),
        Ok(Question::Watchers(job)) => json!(board.watchers(job)),
        Ok(Question::Report(owner)) => {
            let (mut reports, jobs) = attendance.reports(owner);
            reports.sort_by_key(|report| std::cmp::Reverse(report.last));
            reports.truncate(CLIENTS_TOLD_MAX);
            json!((reports, jobs))
        }
        Ok(Question::ClearReport(owner)) => {
            attendance.clear_reports(owner);
            Value::Null
        }
        // A newer node asks for what this one doesn't know.
        Err(_) => Value::Null,
    });
}

/// The outcome with what the other nodes answer, and the names of those that didn't. A server alone has no others.
pub(super) fn with_others<T: DeserializeOwned + Send>(
    state: &AppState,
    question: Question,
    show: impl FnOnce(Vec<T>, Vec<String>) -> Result<Outcome, ApiError> + Send + 'static,
) -> Result<Outcome, ApiError> {
    let Some(cluster) = state.cluster.clone() else {
        return show(Vec::new(), Vec::new());
    };
    Ok(Outcome::Soon(Box::pin(async move {
        let gathered = cluster.gather(json!(question)).await;
        let (mut others, mut missing) = (Vec::new(), gathered.missing);
        for told in gathered.told {
            match T::deserialize(told.answer) {
                Ok(answer) => others.push(answer),
                Err(_) => missing.push(told.node),
            }
        }
        show(others, missing).unwrap_or_else(|error| Outcome::Now(error.into()))
    })))
}
