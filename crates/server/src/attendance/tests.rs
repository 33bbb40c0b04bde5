//! What the tests of both halves share.

use std::time::Duration;

use abide_engine::{JobKey, Owner};
use abide_wire::Timestamp;

use super::{Agent, Client, Read};

pub(super) fn client(n: u64) -> Client {
    Client {
        owner: Owner::ANYONE,
        agent: Agent::new(&format!("client/{n}")),
        address: None,
    }
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

/// A poll of one and the same job.
pub(super) fn read(millis: i64, revision: u64) -> Read {
    Read {
        job: JobKey::from_u128(1),
        revision,
        finished_at: None,
        kind: 0,
        took: Duration::ZERO,
        asked_at: at(millis),
        at: at(millis),
        channel: None,
        known: None,
        retry_after: None,
    }
}
