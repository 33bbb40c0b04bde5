//! Schedules by name.

use std::sync::Arc;
use std::time::Duration;

use abide::schedule::{Dial, Learned, Schedule};
use abide_simulate::known_clients;

use crate::exit::{self, Failure};
use crate::how::{FORMS, Recipe};

/// What stands for all well-known clients.
const KNOWN: &str = "known";

/// A schedule to be tried.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) schedule: Arc<dyn Schedule>,
    /// Whether it is the learned one, which pictures bring forward.
    pub(super) is_ours: bool,
}

/// Reads what was asked for, each once; the learned schedule and the well-known clients if nothing was.
pub(super) fn candidates(names: &[String], price: Duration) -> Result<Vec<Candidate>, Failure> {
    let default = ["learned".to_owned(), KNOWN.to_owned()];
    let names = if names.is_empty() { &default } else { names };
    let mut candidates: Vec<Candidate> = Vec::new();
    for name in names {
        let found = if name == KNOWN {
            known_clients()
                .iter()
                .map(|client| candidate(client.name(), *client))
                .collect()
        } else {
            vec![one(name, price)?]
        };
        for candidate in found {
            if candidates.iter().all(|other| other.name != candidate.name) {
                candidates.push(candidate);
            }
        }
    }
    Ok(candidates)
}

fn one(text: &str, price: Duration) -> Result<Candidate, Failure> {
    if let Some(client) = known_clients().iter().find(|client| client.name() == text) {
        return Ok(candidate(text, *client));
    }
    let recipe: Recipe = text.parse().map_err(|_| {
        let known: Vec<&str> = known_clients().iter().map(|client| client.name()).collect();
        let known = known.join(", ");
        Failure::new(
            exit::USAGE,
            format!("`{text}` is no schedule; there are {FORMS}, {KNOWN}, {known}"),
        )
    })?;
    Ok(match (recipe.build(), recipe) {
        (Some(schedule), _) => candidate(text, schedule),
        (None, Recipe::Learned(Some(dial))) => learned(text, dial),
        (None, _) => learned(text, Dial::Price(price)),
    })
}

fn candidate(name: &str, schedule: impl Schedule) -> Candidate {
    Candidate {
        name: name.to_owned(),
        schedule: Arc::new(schedule),
        is_ours: false,
    }
}

fn learned(name: &str, dial: Dial) -> Candidate {
    Candidate {
        is_ours: true,
        ..candidate(name, Learned::new("simulated").dial(dial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &[&str]) -> Result<Vec<String>, Failure> {
        let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
        let found = candidates(&asked, Duration::from_millis(500))?;
        Ok(found.into_iter().map(|candidate| candidate.name).collect())
    }

    #[test]
    fn schedules_are_found_by_name() {
        assert_eq!(names(&[]).unwrap().len(), 13);
        assert_eq!(names(&["learned", "learned"]).unwrap(), ["learned"]);
        for text in [
            "learned",
            "learned:eager",
            "learned:250ms",
            "fixed:2s",
            "backoff",
            "backoff:1s",
            "backoff:1s:2",
            "backoff:1s:2:60s",
            "countdown",
            "countdown:8s",
            "aws-waiter",
        ] {
            assert_eq!(names(&[text]).unwrap(), [text]);
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_what_there_is() {
        for text in [
            "",
            "lerned",
            "fixed:soon",
            "fixed:0",
            "fixed:1s:2s",
            "backoff:1s:0.5",
            "backoff:1s:NaN",
            "backoff:1:2:3:4",
            "learned:0",
            "countdown:0s",
        ] {
            let failure = names(&[text]).unwrap_err();
            assert!(
                failure.code == exit::USAGE && failure.message.contains("aws-waiter"),
                "{text}"
            );
        }
    }
}
