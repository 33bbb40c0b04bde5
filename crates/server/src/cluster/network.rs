//! Links between nodes.
//!
//! A link is a pair of channels. What brings frames from one end to the other is a [`Network`]: sockets between
//! machines, or what a test has instead. A link that loses, doubles or reorders frames is as good as one that broke:
//! every batch says which one it follows, and every command is answered or given up.

use std::fmt::Debug;
use std::io;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::frame::{Down, Up};
use crate::journal::Leading;

/// A follower's end of a link. Dropping it breaks the link.
#[derive(Debug)]
pub struct Upstream {
    /// To the leader.
    pub up: mpsc::Sender<Up>,
    /// From the leader; ends when the link is broken.
    pub down: mpsc::Receiver<Down>,
}

/// The leader's end of a link. Dropping it breaks the link.
#[derive(Debug)]
pub struct Inbound {
    /// To the follower. A link that has no room for a frame is broken, and the follower reads the log.
    pub down: mpsc::Sender<Down>,
    /// From the follower; ends when the link is broken.
    pub up: mpsc::Receiver<Up>,
}

/// What makes links.
pub trait Network: Debug + Send + Sync {
    /// A link to the node that leads.
    ///
    /// # Errors
    ///
    /// It can't be reached, or isn't of this cluster.
    fn dial(&self, leader: &Leading) -> BoxFuture<'static, io::Result<Upstream>>;
}

/// Frames that a link holds at most on the way down.
pub(super) const DOWN_MAX: usize = 16_384;
/// The same on the way up; more than a follower has commands under way.
pub(super) const UP_MAX: usize = 16_384;

/// The two ends of a link in one process.
#[must_use]
pub fn pair() -> (Upstream, Inbound) {
    let (up, up_end) = mpsc::channel(UP_MAX);
    let (down, down_end) = mpsc::channel(DOWN_MAX);
    let upstream = Upstream { up, down: down_end };
    (upstream, Inbound { down, up: up_end })
}
