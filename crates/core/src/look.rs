//! Waiting by a function of the host's caller.

use std::sync::Arc;
use std::time::Duration;

use abide::schedule::{FeatureValue, Learned, Schedule};
use abide::{Look, PollUntil, RetryPolicy};
use tokio::sync::oneshot;

use crate::effect::{Effect, LookId, Op};
use crate::exchange::Ports;

/// On what terms a function is called until it finds something done.
#[derive(Clone, Debug)]
pub struct PollTerms {
    /// When to call it. Default: learned, without a name.
    pub schedule: Arc<dyn Schedule>,
    /// Bounds the wait. Default: none.
    pub deadline: Option<Duration>,
    /// How failures are retried. Default: that of the client.
    pub retry: Option<RetryPolicy>,
    /// The most that one call may take. Default: that of the client.
    pub attempt_timeout: Option<Duration>,
    /// How big the job is, for schedules that learn. Default: unknown.
    pub size: Option<f64>,
    /// What else is known of the job, by name.
    pub features: Vec<(String, FeatureValue)>,
}

impl Default for PollTerms {
    fn default() -> Self {
        Self {
            schedule: Arc::new(Learned::new("")),
            deadline: None,
            retry: None,
            attempt_timeout: None,
            size: None,
            features: Vec::new(),
        }
    }
}

/// Why a call of the caller's function has shown nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct LookError {
    /// What went wrong, for people.
    pub what: String,
    /// Whether calling again won't help.
    pub is_final: bool,
    /// How long the server asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// Calls the host, which calls its caller's function.
pub(crate) async fn look(ports: Ports, op: Op) -> Result<Look<()>, LookError> {
    let (tell, told) = oneshot::channel();
    let look = {
        let mut state = ports.lock();
        let look = LookId(state.name());
        state.looks.insert(look, tell);
        state.effects.push(Effect::Look { op, look });
        look
    };
    let _ticket = Ticket { ports, look };
    told.await.unwrap_or_else(|_| {
        Err(LookError {
            what: "the host has forgotten it".to_owned(),
            is_final: true,
            retry_after: None,
        })
    })
}

impl PollTerms {
    pub(crate) fn apply<'a, F, E>(self, mut wait: PollUntil<'a, F, E>) -> PollUntil<'a, F, E> {
        wait = wait.schedule(self.schedule);
        if let Some(deadline) = self.deadline {
            wait = wait.deadline(deadline);
        }
        if let Some(retry) = self.retry {
            wait = wait.retry(retry);
        }
        if let Some(timeout) = self.attempt_timeout {
            wait = wait.attempt_timeout(timeout);
        }
        if let Some(size) = self.size {
            wait = wait.size(size);
        }
        for (name, value) in self.features {
            wait = wait.feature(&name, value);
        }
        wait
    }
}

/// Says so if a call is given up before it was reported.
struct Ticket {
    ports: Ports,
    look: LookId,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.ports.lock();
        if state.looks.remove(&self.look).is_some() {
            let look = self.look;
            state.effects.push(Effect::LookAbort { look });
        }
    }
}
