//! A follower's link to the leader.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::frame::Down;
use super::network::{Network, Upstream};
use crate::journal::Leading;

/// The link, and how to get one.
pub(super) struct Links {
    network: Arc<dyn Network>,
    pub(super) upstream: Option<Upstream>,
    dialing: Option<BoxFuture<'static, io::Result<Upstream>>>,
    /// To whom.
    leader: Option<Leading>,
}

/// What comes of a link, or of the try to get one.
pub(super) enum News {
    /// A frame; none if the link is broken.
    Down(Option<Down>),
    /// A link stands, or the leader can't be reached.
    Linked(io::Result<Upstream>),
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links")
            .field("upstream", &self.upstream)
            .field("leader", &self.leader)
            .finish_non_exhaustive()
    }
}

impl Links {
    pub(super) fn new(network: Arc<dyn Network>) -> Self {
        Self {
            network,
            upstream: None,
            dialing: None,
            leader: None,
        }
    }

    /// Links to that leader, unless it is the same as before. Returns whether a link was let go for it.
    pub(super) fn follow(&mut self, leading: &Leading) -> bool {
        let is_same = self.leader.as_ref().is_some_and(|known| {
            (known.term, &known.node, known.run, &known.address)
                == (leading.term, &leading.node, leading.run, &leading.address)
        });
        if is_same || leading.node.is_none() {
            return false;
        }
        let had_one = self.upstream.is_some();
        self.drop_all();
        self.leader = Some(leading.clone());
        self.may_dial();
        had_one
    }

    /// Dials, unless there is a link or a dial under way.
    pub(super) fn may_dial(&mut self) {
        if self.upstream.is_some() || self.dialing.is_some() {
            return;
        }
        let leader = self.leader.as_ref();
        if let Some(leader) = leader.filter(|leader| !leader.address.is_empty()) {
            self.dialing = Some(self.network.dial(leader));
        }
    }

    /// Lets the link go.
    pub(super) fn drop_all(&mut self) {
        (self.upstream, self.dialing, self.leader) = (None, None, None);
    }

    /// What comes by the link, that it is broken, or that it stands.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub(super) async fn next(&mut self) -> News {
        if let Some(upstream) = &mut self.upstream {
            let down = tokio::select! {
                down = upstream.down.recv() => down,
                // Half a link is none.
                () = upstream.up.closed() => None,
            };
            if down.is_none() {
                self.upstream = None;
            }
            return News::Down(down);
        }
        match &mut self.dialing {
            Some(dialing) => {
                let dialed = dialing.await;
                self.dialing = None;
                News::Linked(dialed)
            }
            None => std::future::pending().await,
        }
    }
}
