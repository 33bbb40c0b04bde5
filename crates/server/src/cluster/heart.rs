//! A node's heart: it beats in the database, and watches the leader's.
//!
//! Both are about liveness alone. A beat is a number that its node raises; that it changes is all that it says. A node
//! that has seen the leader's unchanged for the length of the lease, by its own clock and counted from after it last
//! saw it change, may take the next term. The leader in turn relies on its lead, for reads that must see everything,
//! only within three quarters of the lease, counted from before its last beat. So clocks may run a third apart, and
//! what they show doesn't matter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::status::{Role, Status};
use crate::clock::Clock;
use crate::journal::{JournalError, Leading, Lease};

/// What a node's heart tells the rest of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Who leads, as it was last seen.
    pub leading: Leading,
    /// The term that the last beat found, and when that beat began, by [`Clock::elapsed`].
    pub confirmed: Option<(u64, Duration)>,
    /// The last term that this node took because no other led.
    pub won: u64,
    /// Another process has this node's name.
    pub is_superseded: bool,
}

/// What is known of the leader, and since when it hasn't changed.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    seen: Option<(Leading, Duration)>,
}

impl Watch {
    /// Notes what was read, at the instant at which the answer was there.
    pub fn saw(&mut self, leading: &Leading, at: Duration) {
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != leading) {
            self.seen = Some((leading.clone(), at));
        }
    }

    /// The term after which that process may take the lead: the leader is gone, has handed over, or was an earlier
    /// process of the same name.
    #[must_use]
    pub fn is_over(&self, node: &str, run: u64, lease: Duration, now: Duration) -> Option<u64> {
        let (seen, since) = self.seen.as_ref()?;
        let is_earlier_self = seen.node.as_deref() == Some(node) && seen.run != run;
        let is_over = seen.node.is_none() || is_earlier_self || now.saturating_sub(*since) >= lease;
        is_over.then_some(seen.term)
    }
}

/// What beats.
#[derive(Debug)]
pub(super) struct Heart {
    /// Away while a call is under way.
    pub(super) lease: Option<Box<dyn Lease>>,
    pub(super) is_blocking: bool,
    /// Whether the node may take the lead.
    pub(super) may_lead: bool,
    pub(super) clock: Clock,
    pub(super) status: Arc<Status>,
    pub(super) pulse: watch::Sender<Pulse>,
}

impl Heart {
    /// Beats until it is stopped, or until another process has its name. Gives the lease back, with which a leader hands
    /// over.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Option<Box<dyn Lease>> {
        let mut watch = Watch::default();
        let length = self.status.lease;
        let mut beat_at = Duration::ZERO;
        loop {
            if self.clock.elapsed() >= beat_at {
                beat_at = self.clock.elapsed() + length / 4;
                self.beat().await;
            }
            if self.pulse.borrow().is_superseded {
                return self.lease;
            }
            if self.status.role() == Role::Follower {
                self.look(&mut watch).await;
            } else {
                watch = Watch::default();
            }
            tokio::select! {
                () = stop.cancelled() => return self.lease,
                () = tokio::time::sleep(length / 16) => {}
            }
        }
    }

    async fn beat(&mut self) {
        let begun = self.clock.elapsed();
        let applied = self.status.applied().batch;
        let (node, run) = (self.status.node.clone(), self.status.run);
        let beaten = self
            .call(move |lease| lease.beat(&node, run, applied))
            .await;
        match beaten {
            Some(Ok(beat)) => self.pulse.send_modify(|pulse| {
                pulse.confirmed = Some((beat.term, begun));
            }),
            Some(Err(JournalError::Superseded { .. })) => {
                self.pulse.send_modify(|pulse| pulse.is_superseded = true);
            }
            Some(Err(error)) => tracing::debug!(%error, "a beat failed"),
            None => {}
        }
    }

    /// Looks who leads, and takes the lead if no node does.
    async fn look(&mut self, watch: &mut Watch) {
        let Some(Ok(leading)) = self.call(|lease| lease.leading()).await else {
            return;
        };
        let now = self.clock.elapsed();
        watch.saw(&leading, now);
        self.pulse.send_if_modified(|pulse| {
            let is_new = pulse.leading != leading;
            pulse.leading = leading;
            is_new
        });
        let (node, run) = (self.status.node.clone(), self.status.run);
        let over = watch.is_over(&node, run, self.status.lease, now);
        if let Some(seen) = over.filter(|_| self.may_lead) {
            let taken = self.call(move |lease| lease.take(&node, run, seen)).await;
            // An answer that was lost doesn't matter: the next look shows who leads.
            if let Some(Ok(true)) = taken
                && let Some(Ok(leading)) = self.call(|lease| lease.leading()).await
            {
                watch.saw(&leading, self.clock.elapsed());
                self.pulse.send_modify(|pulse| {
                    (pulse.leading, pulse.won) = (leading, seen + 1);
                });
            }
        }
    }

    async fn call<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut dyn Lease) -> T + Send + 'static,
    ) -> Option<T> {
        let mut lease = self.lease.take()?;
        let (lease, done) = if self.is_blocking {
            let call = tokio::task::spawn_blocking(move || {
                let done = call(lease.as_mut());
                (lease, done)
            });
            // Without the task's lease nothing beats, and another node leads.
            call.await.ok()?
        } else {
            let done = call(lease.as_mut());
            (lease, done)
        };
        self.lease = Some(lease);
        Some(done)
    }
}
