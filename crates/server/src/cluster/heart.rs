//! A node's heart: it beats in the database, and watches the leader's.
//!
//! Both are about liveness alone. A beat is a number that its node raises; that it changes is all that it says. A node
//! that has seen the leader's unchanged for the length of the lease, by its own clock and counted from after it last
//! saw it change, may take the next term. The leader in turn relies on its lead, for reads that must see everything,
//! only within three quarters of the lease, counted from before its last beat. So clocks may run a third apart, and
//! what they show doesn't matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::status::{Role, Status};
use crate::clock::Clock;
use crate::journal::{Beat, JournalError, Leading, Lease, Member, may_block};

/// How long a node may be silent before a leader has it forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(86_400);
/// How often a node beats in its lease.
const BEATS: u32 = 4;
/// Leases after which a node without a new beat doesn't live, as nodes count each other once in a lease.
const SILENT_LEASES: u32 = 2;

/// Steers the clock by a beat that began then. Returns by how many milliseconds the database's was ahead.
pub(super) fn steer(clock: &Clock, beat: &Beat, begun: Duration, lease: Duration) -> i64 {
    // The database looked at its clock between the question and the answer.
    let margin = clock.elapsed().saturating_sub(begun) / 2;
    clock.steer(beat.database_time + margin, margin, lease / BEATS)
}

/// What a node's heart tells the rest of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Who leads, as it was last seen.
    pub leading: Leading,
    /// The term that the last beat found, and when that beat began, by [`Clock::elapsed`].
    pub confirmed: Option<(u64, Duration)>,
    /// How far the database's clock was ahead of what this node shows at the last beat, in milliseconds.
    pub clock_offset_ms: i64,
    /// The newest level of stored forms that may be written, as the last beat found it; 0 before it.
    pub level: u32,
    /// The last term that this node took when no other process could count on its lead any more.
    pub won: u64,
    /// A beat was refused: the node ends.
    pub is_refused: bool,
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

    /// The term after which that process may take the lead, because the leader is gone, has handed over, or was an
    /// earlier process of the same name; and whether it counts on its lead no more, which of the last isn't known.
    #[must_use]
    pub fn is_over(
        &self,
        node: &str,
        run: u64,
        lease: Duration,
        now: Duration,
    ) -> Option<(u64, bool)> {
        let (seen, since) = self.seen.as_ref()?;
        let is_earlier_self = seen.node.as_deref() == Some(node) && seen.run != run;
        let is_certain = seen.node.is_none() || now.saturating_sub(*since) >= lease;
        (is_certain || is_earlier_self).then_some((seen.term, is_certain))
    }
}

impl Watch {
    /// Whether no leader is known, or nothing has changed for that long.
    fn is_silent(&self, length: Duration, now: Duration) -> bool {
        self.seen
            .as_ref()
            .is_none_or(|(seen, since)| seen.node.is_none() || now.saturating_sub(*since) >= length)
    }
}

/// Since when each node's beat hasn't changed, as another one sees it.
#[derive(Debug, Default)]
struct Silent(BTreeMap<String, (u64, u64, Duration)>);

impl Silent {
    /// Those of them whose beat has changed within that time.
    fn living(&self, length: Duration, now: Duration) -> Vec<String> {
        let nodes = self.0.iter();
        let living = nodes.filter(|(_, (.., since))| now.saturating_sub(*since) < length);
        living.map(|(node, _)| node.clone()).collect()
    }

    /// Those of them whose beat hasn't changed for [`FORGET_AFTER`].
    fn since(&mut self, members: Vec<Member>, now: Duration) -> Vec<Member> {
        let before = std::mem::take(&mut self.0);
        let mut over = Vec::new();
        for member in members {
            let known = before.get(&member.node).copied();
            let same = known.filter(|(run, beat, _)| (*run, *beat) == (member.run, member.beat));
            let since = same.map_or(now, |(.., since)| since);
            self.0
                .insert(member.node.clone(), (member.run, member.beat, since));
            if now.saturating_sub(since) >= FORGET_AFTER {
                over.push(member);
            }
        }
        over
    }
}

/// What a heart leaves: the lease, and why its node ends, unless it was stopped.
pub(super) type Stopped = (Option<Box<dyn Lease>>, Option<JournalError>);

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
    /// Beats until it is stopped or a beat is refused. Gives the lease back, with which a leader hands over, and why
    /// the node ends.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Stopped {
        let mut watch = Watch::default();
        let mut silent = Silent::default();
        let length = self.status.lease;
        let (mut beat_at, mut count_at) = (Duration::ZERO, Duration::ZERO);
        let mut looked_at = self.clock.elapsed();
        loop {
            if self.clock.elapsed() >= beat_at {
                beat_at = self.clock.elapsed() + length / BEATS;
                if let Err(refused) = self.beat().await {
                    self.pulse.send_modify(|pulse| pulse.is_refused = true);
                    return (self.lease, Some(refused));
                }
            }
            let now = self.clock.elapsed();
            if self.status.role() == Role::Follower {
                self.look(&mut watch).await;
                // A leader beats four times in its lease.
                if watch.is_silent(length / 2, now) {
                    self.status.note_leaderless(now.saturating_sub(looked_at));
                }
            } else {
                watch = Watch::default();
            }
            if now >= count_at {
                count_at = now + length;
                self.count(&mut silent).await;
            }
            looked_at = now;
            tokio::select! {
                () = stop.cancelled() => return (self.lease, None),
                () = tokio::time::sleep(length / 16) => {}
            }
        }
    }

    /// Beats once. An error says that the node must end.
    async fn beat(&mut self) -> Result<(), JournalError> {
        let begun = self.clock.elapsed();
        let applied = self.status.applied().batch;
        let (node, run) = (self.status.node.clone(), self.status.run);
        let beaten = self
            .call(move |lease| lease.beat(&node, run, applied))
            .await;
        match beaten {
            Some(Ok(beat)) => {
                let ahead = steer(&self.clock, &beat, begun, self.status.lease);
                self.pulse.send_modify(|pulse| {
                    pulse.confirmed = Some((beat.term, begun));
                    pulse.clock_offset_ms = ahead;
                    pulse.level = beat.level;
                });
            }
            Some(Err(
                error @ (JournalError::Superseded { .. } | JournalError::LostByDatabase { .. }),
            )) => return Err(error),
            Some(Err(error)) => tracing::debug!(%error, "a beat failed"),
            None => {}
        }
        Ok(())
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
        if let Some((seen, is_certain)) = over.filter(|_| self.may_lead) {
            let taken = self.call(move |lease| lease.take(&node, run, seen)).await;
            // An answer that was lost doesn't matter: the next look shows who leads.
            if let Some(Ok(true)) = taken
                && let Some(Ok(leading)) = self.call(|lease| lease.leading()).await
            {
                watch.saw(&leading, self.clock.elapsed());
                self.pulse.send_modify(|pulse| {
                    pulse.leading = leading;
                    if is_certain {
                        pulse.won = seen + 1;
                    }
                });
            }
        }
    }

    /// Counts the nodes that live. A leader has those forgotten that have been silent for [`FORGET_AFTER`].
    async fn count(&mut self, silent: &mut Silent) {
        let Some(Ok(members)) = self.call(|lease| lease.members()).await else {
            return;
        };
        let now = self.clock.elapsed();
        let over = silent.since(members, now);
        let length = self.status.lease * SILENT_LEASES;
        self.status.set_living(silent.living(length, now));
        if self.status.role() == Role::Follower {
            return;
        }
        for member in over {
            tracing::info!(
                node = member.node,
                "a node that has been silent for a day is forgotten"
            );
            // If it fails the next count finds it again.
            let _unknown = self.call(move |lease| lease.forget(&member)).await;
        }
    }

    async fn call<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut dyn Lease) -> T + Send + 'static,
    ) -> Option<T> {
        let mut lease = self.lease.take()?;
        let called = may_block(self.is_blocking, move || {
            let done = call(lease.as_mut());
            (lease, done)
        });
        // Without the task's lease nothing beats, and another node leads.
        let (lease, done) = called.await.ok()?;
        self.lease = Some(lease);
        Some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: &str, beat: u64) -> Member {
        Member {
            node: node.to_owned(),
            run: 1,
            address: String::new(),
            version: String::new(),
            reads_from: 1,
            reads_to: 1,
            applied: 0,
            beat,
        }
    }

    #[test]
    fn a_node_is_forgotten_after_a_day_without_a_beat_and_not_before() {
        let mut silent = Silent::default();
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let mut over = |beats: [u64; 2], at| {
            let members = vec![member("a", beats[0]), member("b", beats[1])];
            let over = silent.since(members, at).into_iter();
            over.map(|member| member.node).collect::<Vec<_>>()
        };
        assert!(over([1, 1], hours(0)).is_empty());
        assert!(over([2, 1], hours(23)).is_empty());
        assert_eq!(over([2, 1], hours(24)), ["b"]);
        // It is back.
        assert!(over([2, 2], hours(25)).is_empty());
        assert_eq!(over([2, 3], hours(47)), ["a"]);
    }
}
