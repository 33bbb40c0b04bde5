//! Webhook endpoints and deliveries, as the interface shows them.

use serde::{Deserialize, Serialize};

use crate::{Hidden, JobId, Revision, Timestamp};

/// The body of `POST /v1/webhooks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewEndpoint {
    /// Where to post, `http` or `https`; at most 2,048 bytes.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 2048, pattern = "^https?://[!-~]+$")
    )]
    pub url: String,
    /// The events to post: `job.completed` and its like, or `job.*` for all. Default: those that end a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub events: Option<Vec<String>>,
    /// The secret to sign with, `whsec_` and base64 of 24 to 64 bytes. Default: the server makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<String>, pattern = "^whsec_([A-Za-z0-9+/]{4}){8,21}$")
    )]
    pub secret: Option<Hidden>,
    /// What to note on it, at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 500))]
    pub description: Option<String>,
    /// Whether a job's next event waits until the one before has been taken or given up. Other jobs don't wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
}

/// The body of `PATCH /v1/webhooks/{id}`. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointChange {
    /// Where to post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 2048, pattern = "^https?://[!-~]+$")
    )]
    pub url: Option<String>,
    /// The events to post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub events: Option<Vec<String>>,
    /// What to note on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 500))]
    pub description: Option<String>,
    /// Whether events of a job keep their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
    /// Whether it is called. What happens while it isn't is held; replay it once it is again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The body of `POST /v1/webhooks/{id}/rotate`. No body at all is the same as `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rotation {
    /// The new secret. Default: the server makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<String>, pattern = "^whsec_([A-Za-z0-9+/]{4}){8,21}$")
    )]
    pub secret: Option<Hidden>,
}

/// A receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoint {
    /// Its name, `wh_…`.
    pub id: String,
    /// The URL that deliveries are posted to.
    pub url: String,
    /// The events that are posted.
    pub events: Vec<String>,
    /// What its owner noted on it.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether events of a job keep their order.
    #[serde(default)]
    pub ordered: bool,
    /// Whether it is called.
    pub enabled: bool,
    /// Since when and why it isn't; `null` if it is.
    #[serde(default)]
    pub disabled: Option<Disabled>,
    /// Since when every attempt has failed; `null` if the last one didn't. After five days it is disabled.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// How it is being called at the moment.
    #[serde(default)]
    pub breaker: Breaker,
    /// How many deliveries were dropped unsent because too many waited.
    #[serde(default)]
    pub dropped: u64,
    /// The secret; shown when it is made and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub secret: Option<Hidden>,
    /// When the secret before this one ceases to sign too; `null` if it doesn't sign.
    #[serde(default)]
    pub old_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}

/// Since when and why an endpoint isn't called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why: `owner` asked for it, it answered `410` (`gone`), or every attempt has failed for days (`failing`).
    pub reason: String,
}

/// How an endpoint is being called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Breaker {
    /// `closed`: as usual. `open`: not before `until`. `half_open`: one delivery is sent to see.
    pub state: String,
    /// The end of the time in which nothing is sent.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// How many attempts have failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// The most exchanges under way at a time.
    #[serde(default)]
    pub window: u16,
}

/// One event, for one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Its name, `msg_…`: the `webhook-id` of every attempt.
    pub id: String,
    /// The endpoint.
    pub endpoint_id: String,
    /// Where to.
    pub url: String,
    /// The job; `null` for a test.
    #[serde(default)]
    pub job_id: Option<JobId>,
    /// The job's revision.
    #[serde(default)]
    pub revision: Revision,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// `pending`, `queued` (behind the job's event before), `held` (its endpoint is disabled), `delivered` or `failed`.
    pub status: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// When the next attempt is planned; `null` if none is.
    #[serde(default)]
    pub next_attempt_at: Option<Timestamp>,
    /// When it was taken.
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
    /// The event as it is sent, to the byte; lists leave it out, and `null` is one that is no longer kept. An endpoint
    /// of a dialect is sent the same in that dialect's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What was tried, the newest last.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// What the simulator does to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim_decision: Option<String>,
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// Which attempt, counted from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// What the receiver answered; `null` where it didn't.
    #[serde(default)]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(default)]
    pub error: Option<String>,
    /// The beginning of the answer's body, up to 16 KiB; lists show the first 1 KiB.
    #[serde(default)]
    pub answer: Option<String>,
    /// Whether there was more of it.
    #[serde(default)]
    pub answer_truncated: bool,
    /// When the next attempt was planned; `null` if none was.
    #[serde(default)]
    pub next_attempt_at: Option<Timestamp>,
}

/// One page of endpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointPage {
    /// The endpoints, the oldest first.
    pub webhooks: Vec<Endpoint>,
    /// What to send as `page_token` for the next page; `null` on the last.
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// One page of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryPage {
    /// The deliveries, the newest first.
    pub deliveries: Vec<Delivery>,
    /// What to send as `page_token` for the next page; `null` on the last.
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// What a replay did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplayStarted {
    /// How many deliveries are due again.
    pub replayed: usize,
}
