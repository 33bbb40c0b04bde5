//! Bounds that both sides rely on.

use std::time::Duration;

/// The largest body of a request, in bytes. Larger ones are answered with `413`.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The largest event that a receiver of webhooks is sent, in bytes: a job has what its create and its last report had,
/// and its words.
pub const EVENT_BYTES_MAX: usize = 2 * BODY_BYTES_MAX + 16 * 1024;
/// The most jobs in one set wait.
pub const SET_JOBS_MAX: usize = 1_000;
/// The longest hold that a client asks for before it knows the limit of its server.
pub const HOLD_MAX: Duration = Duration::from_secs(60);
/// A hold up to this length ends on time. A longer one lasts by up to [`HOLD_SPREAD`] of it longer.
pub const HOLD_EXACT_MAX: Duration = Duration::from_secs(10);
/// The share of a longer hold by which it may last longer, so that requests that began together don't end together.
pub const HOLD_SPREAD: f64 = 1.0 / 16.0;
/// The most jobs on one page of a list.
pub const PAGE_JOBS_MAX: usize = 1_000;
/// The most bytes of jobs in one answer. One job is in it however large it is; the others are in the next.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Jobs on a page by default.
pub const PAGE_JOBS_DEFAULT: usize = 100;
/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The longest `kind`, stage or status word, in characters, as descriptions count.
pub const WORD_CHARS_MAX: usize = 100;
/// The most stages of a simulated job.
pub const STAGES_MAX: usize = 50;
/// The most faults on one job or among the defaults.
pub const FAULTS_MAX: usize = 50;
/// The most samples of an empirical duration law.
pub const EMPIRICAL_SAMPLES_MAX: usize = 10_000;
/// The most parts of a mixture of duration laws.
pub const MIXTURE_PARTS_MAX: usize = 50;
/// The most kinds that one claim names.
pub const CLAIM_KINDS_MAX: usize = 50;
/// How long a worker may be silent if its claim doesn't say.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(30);
/// The shortest lease.
pub const LEASE_MIN: Duration = Duration::from_secs(1);
/// The longest lease.
pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often a job that is retried when its worker is lost may be claimed by default.
pub const ATTEMPTS_DEFAULT: u32 = 3;
/// The same, at most.
pub const ATTEMPTS_MAX: u32 = 100;
/// The longest `traceparent`, in bytes: that of W3C's version 00.
pub const TRACEPARENT_BYTES: usize = 55;
/// The most members of `metadata`.
pub const METADATA_MEMBERS_MAX: usize = 50;
/// The longest `metadata`, in bytes.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;
/// The longest URL of a webhook, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;
/// How often a silent stream sends a comment.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
