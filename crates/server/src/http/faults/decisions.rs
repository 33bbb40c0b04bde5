//! What was done to an answer.

use abide_wire::{FaultKind, headers};
use http::HeaderValue;

use crate::http::answer::Answer;

/// The faults that an answer met, as `Sim-Decision` tells them.
#[derive(Debug, Default)]
pub(super) struct Decisions(Vec<&'static str>);

impl Decisions {
    /// Notes one.
    pub(super) fn note(&mut self, kind: FaultKind) {
        if !self.0.contains(&kind.as_str()) {
            self.0.push(kind.as_str());
        }
    }

    /// How many were noted.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts them on the answer.
    pub(super) fn tell(self, mut answer: Answer) -> Answer {
        if !self.0.is_empty()
            && let Ok(value) = HeaderValue::from_str(&self.0.join(", "))
        {
            answer.headers_mut().insert(headers::SIM_DECISION, value);
        }
        answer
    }
}
