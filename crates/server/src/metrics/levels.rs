//! What metrics are told: levels, which are read when they are shown, and how exchanges ended.

use std::time::Duration;

use crate::board::WebhookCounts;

/// Levels that are read when `/metrics` is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels {
    /// Jobs whose records are kept.
    pub jobs: usize,
    /// Held requests.
    pub held: usize,
    /// Workers that wait for a job.
    pub claims: usize,
    /// Open event streams.
    pub streams: usize,
    /// Commands that wait for the loop.
    pub commands_waiting: usize,
    /// Counts of webhooks.
    pub webhooks: WebhookCounts,
    /// The bytes of records, and their limit.
    pub stored_bytes: [usize; 2],
    /// The bytes in flight, and their limit.
    pub inflight_bytes: [usize; 2],
    /// How the node of a cluster stands.
    pub cluster: Option<ClusterLevels>,
}

/// How a node of a cluster stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterLevels {
    /// Whether it leads.
    pub leads: bool,
    /// The term of the leader that it knows.
    pub term: u64,
    /// The last entry that it has applied.
    pub applied: u64,
    /// How long it may have lacked something: since it last had all that it had heard of.
    pub behind: Duration,
    /// How old its last beat in the database is.
    pub beat_age: Duration,
    /// How far the database's clock is ahead of its own, in milliseconds.
    pub clock_offset_ms: i64,
    /// How long it has known no leader since this was last asked.
    pub leaderless: Duration,
}

/// What became of a command that a node sent on to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It was carried out.
    Answered,
    /// The leader refused it.
    Refused,
    /// There was no leader, and nothing has changed.
    NoLeader,
    /// The link broke, or the leader couldn't write: it may have been carried out.
    Unknown,
}

impl Forwarded {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::NoLeader => "no_leader",
            Self::Unknown => "unknown",
        }
    }
}

/// How an exchange with a receiver of webhooks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// It was answered with a 2xx.
    Delivered,
    /// It was answered with anything else.
    Refused,
    /// There was no answer: no connection, no handshake, no HTTP, or no time left.
    Unanswered,
    /// The guard refused the address.
    Blocked,
    /// The server lacked a descriptor, a port or memory. It is tried again, and counts as no attempt of the receiver's.
    NotSent,
}

impl Exchange {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Blocked => "blocked",
            Self::NotSent => "not_sent",
        }
    }
}
