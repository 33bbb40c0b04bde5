//! What a create may say.

use crate::{DurationLaw, Fault, Hidden, Json, Problem, ProblemInput, Span, limits};
use serde::{Deserialize, Serialize};

/// The body of `POST /v1/jobs`. Every member is optional; no body at all is the same as `{}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "J: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewJob<J = Json> {
    /// What sort of work it is, `video_translation` by default; at most 100 characters, none of them NUL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")
    )]
    pub kind: Option<String>,
    /// What it is given; passed through as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub input: Option<J>,
    /// What the creator notes on it: an object of at most 50 members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<std::collections::HashMap<String, Value>>))]
    pub metadata: Option<J>,
    /// Who does the work; the simulator by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,
    /// How the simulator plays it. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<Simulate>,
    /// Where to tell of this job's events, apart from the registered endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookTarget>,
    /// After this many seconds the job fails with the code `deadline_exceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<Span>,
    /// What becomes of it when the worker that has claimed it is silent for longer than its lease; it fails by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_worker_lost: Option<OnWorkerLost>,
    /// How often workers may claim it where it is retried, 3 by default; then it fails too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub attempts_max: Option<u32>,
}

impl<J> Default for NewJob<J> {
    fn default() -> Self {
        Self {
            kind: None,
            input: None,
            metadata: None,
            worker: None,
            simulate: None,
            webhook: None,
            deadline_s: None,
            on_worker_lost: None,
            attempts_max: None,
        }
    }
}

impl NewJob {
    /// A job of that kind.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: Some(kind.into()),
            ..Self::default()
        }
    }

    /// What it is given.
    #[must_use]
    pub fn input(mut self, input: impl Into<Json>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// What to note on it.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Json>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// How the simulator plays it.
    #[must_use]
    pub fn simulate(mut self, simulate: Simulate) -> Self {
        self.simulate = Some(simulate);
        self
    }

    /// Leaves the work to an external worker, which claims the job or reports by `PATCH`.
    #[must_use]
    pub const fn external(mut self) -> Self {
        self.worker = Some(Worker::External);
        self
    }

    /// Makes it pending again when the worker that has claimed it is lost, until it has been claimed that often.
    #[must_use]
    pub const fn retried(mut self, attempts_max: u32) -> Self {
        self.on_worker_lost = Some(OnWorkerLost::Retry);
        self.attempts_max = Some(attempts_max);
        self
    }

    /// Where to tell of its events.
    #[must_use]
    pub fn webhook(mut self, target: WebhookTarget) -> Self {
        self.webhook = Some(target);
        self
    }
}

/// Who does a job's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Worker {
    /// The server's simulator.
    #[default]
    Simulator,
    /// An external worker, which claims the job or reports by `PATCH`.
    External,
}

/// What becomes of a job whose worker is silent for longer than its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OnWorkerLost {
    /// It fails with the code `worker_lost`.
    #[default]
    Fail,
    /// It is pending again, and another worker may claim it.
    Retry,
}

/// A webhook for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookTarget {
    /// Where to post, `http` or `https`.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 2048, pattern = "^https?://[!-~]+$")
    )]
    pub url: String,
    /// Which events, such as `job.completed`; those of the end by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub events: Option<Vec<String>>,
    /// The secret to sign with, `whsec_…`. Default: the server makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<String>, pattern = "^whsec_([A-Za-z0-9+/]{4}){8,21}$")
    )]
    pub secret: Option<Hidden>,
}

/// How the simulator plays a job. What is left out is taken from the server's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Simulate {
    /// How long it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationLaw>,
    /// How long it waits before it begins to run: `pending` until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<DurationLaw>,
    /// How it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomePlan>,
    /// What it goes through; at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub stages: Option<Vec<Stage>>,
    /// What goes wrong; at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub faults: Option<Vec<Fault>>,
    /// The key of the job's random draws. Jobs with the same key and the same seed run alike. By default it is the
    /// create's body and the number of creates before it that had the same body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub key: Option<String>,
}

impl Simulate {
    /// A job that ends well after exactly that long.
    pub fn fixed(length: impl Into<Span>) -> Self {
        Self {
            duration: Some(DurationLaw::Fixed(length.into())),
            outcome: Some(OutcomePlan {
                error_chance: Some(0.0),
                error: None,
            }),
            ..Self::default()
        }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// The member that is out of its bound, and the bound.
    pub fn validate(&self) -> Result<(), String> {
        for law in self.duration.iter().chain(&self.queue) {
            law.validate()?;
        }
        if let Some(outcome) = &self.outcome
            && let Some(chance) = outcome.error_chance
            && !(0.0..=1.0).contains(&chance)
        {
            return Err(format!(
                "`error_chance` must be between 0 and 1, but is {chance}"
            ));
        }
        if let Some(stages) = &self.stages {
            if stages.len() > limits::STAGES_MAX {
                return Err(format!(
                    "`stages` must have at most {} members, but has {}",
                    limits::STAGES_MAX,
                    stages.len()
                ));
            }
            for stage in stages {
                if stage.name.is_empty() || stage.name.chars().count() > limits::WORD_CHARS_MAX {
                    return Err(format!(
                        "`name` of a stage must be 1 to {} characters long",
                        limits::WORD_CHARS_MAX
                    ));
                }
                if !(stage.share.is_finite() && stage.share > 0.0 && stage.share <= 1e6) {
                    return Err(format!(
                        "`share` of a stage must be more than 0 and at most 1000000, but is {}",
                        stage.share
                    ));
                }
            }
        }
        if let Some(faults) = &self.faults {
            if faults.len() > limits::FAULTS_MAX {
                return Err(format!(
                    "`faults` must have at most {} members, but has {}",
                    limits::FAULTS_MAX,
                    faults.len()
                ));
            }
            for fault in faults {
                fault.validate()?;
            }
        }
        if let Some(key) = &self.key
            && (key.is_empty() || key.chars().count() > limits::WORD_CHARS_MAX)
        {
            return Err(format!(
                "`key` must be 1 to {} characters long",
                limits::WORD_CHARS_MAX
            ));
        }
        Ok(())
    }
}

/// How a simulated job ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutcomePlan {
    /// How likely it fails, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 1))]
    pub error_chance: Option<f64>,
    /// What its error says where it does.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "ProblemInput::read"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ProblemInput>))]
    pub error: Option<Problem>,
}

/// One stage of a simulated job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stage {
    /// Its name, as progress shows it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    /// Its share of the whole, relative to the other stages' shares.
    #[cfg_attr(
        feature = "openapi",
        schema(exclusive_minimum = 0, maximum = 1_000_000)
    )]
    pub share: f64,
}
