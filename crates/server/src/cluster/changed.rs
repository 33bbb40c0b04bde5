//! The parts that have changed since the leader's last checkpoint: what a follower has to write if it comes to lead.

use std::collections::VecDeque;

use abide_engine::snapshot::PartKey;

/// The names of these parts. Without a leader's word on its checkpoints they become ever more.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// The last entry that a checkpoint covers, as the leader says.
    checkpoint: u64,
    /// What had changed up to an entry, the oldest first.
    set_aside: VecDeque<(u64, Vec<PartKey>)>,
}

impl Changed {
    /// The leader's checkpoint covers the log up to that entry: what had changed before needn't be remembered. What has
    /// changed since, up to `applied`, is set aside for the next time.
    pub(super) fn covered(
        &mut self,
        checkpoint: u64,
        applied: u64,
        take: impl FnOnce() -> Vec<PartKey>,
    ) {
        if checkpoint > self.checkpoint {
            self.checkpoint = checkpoint;
            self.set_aside.retain(|(upto, _)| *upto > checkpoint);
            self.set_aside.push_back((applied, take()));
        }
    }

    /// All that was set aside.
    pub(super) fn take(&mut self) -> impl Iterator<Item = PartKey> + use<> {
        let all = std::mem::take(&mut self.set_aside);
        all.into_iter().flat_map(|(_, keys)| keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_checkpoint_covers_is_forgotten_and_nothing_else() {
        let mut changed = Changed::default();
        changed.covered(100, 150, || vec![PartKey::Meta]);
        // Told again.
        changed.covered(100, 180, || panic!("nothing is set aside"));
        changed.covered(140, 200, || vec![PartKey::Policy]);
        changed.covered(190, 260, || vec![PartKey::Made]);
        assert_eq!(
            changed.take().collect::<Vec<_>>(),
            [PartKey::Policy, PartKey::Made]
        );
        assert_eq!(changed.take().count(), 0);
    }
}
