//! Names of headers that are ours or that the protocol leans on, in lower case as HTTP/2 sends them.

/// Names one logical create, so that a retry of it makes no second job.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Says that an answer is that of an earlier request with the same idempotency key.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// What the client would like: `wait=25`, `respond-async` (RFC 7240).
pub const PREFER: &str = "prefer";
/// What the server granted of it.
pub const PREFERENCE_APPLIED: &str = "preference-applied";
/// Where the operation can be watched, an absolute or relative URL.
pub const OPERATION_LOCATION: &str = "operation-location";
/// Names the lease that a worker holds on the job on which it reports.
pub const LEASE_TOKEN: &str = "lease-token";
/// The trace that a request or a delivery belongs to (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
/// What the simulator did to this answer.
pub const SIM_DECISION: &str = "sim-decision";
/// The age of the news: `since-end;dur=<ms>`.
pub const SERVER_TIMING: &str = "server-timing";
/// The request's name in the server's log.
pub const REQUEST_ID: &str = "x-request-id";
/// The cursor from which a stream resumes.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// Tells intermediaries to pass a body on as it comes (RFC 10036).
pub const INCREMENTAL: &str = "incremental";
/// The limit in force (IETF draft).
pub const RATELIMIT: &str = "ratelimit";
/// The policy behind it (IETF draft).
pub const RATELIMIT_POLICY: &str = "ratelimit-policy";
/// The same on every attempt to deliver an event (Standard Webhooks).
pub const WEBHOOK_ID: &str = "webhook-id";
/// Seconds since the epoch at which this attempt was signed (Standard Webhooks).
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The signatures of this attempt, separated by spaces (Standard Webhooks).
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// The content type of [`crate::Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";
/// The secret that the server made for the webhook of the job just created, shown in that answer alone.
pub const WEBHOOK_SECRET: &str = "webhook-secret";
