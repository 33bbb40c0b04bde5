//! Journals that break a rule of shared logs, to see that the judge notices.

#![expect(unreachable_pub, reason = "a module of a test has no public")]

use abide_server::journal::{
    Checkpoints, EachEntry, EachPart, Journal, JournalError, Position, SharedLog,
    SharedMemoryJournal,
};

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A writer appends wherever the log ends, as one whose numbers come from a sequence would.
    Unfenced,
    /// An append whose answer was lost is made again under the next number.
    NextNumber,
    /// A writer doesn't look whether the batch before its own is still there.
    Chainless,
    /// A waiter looks first and registers afterwards.
    #[cfg(feature = "sabotage")]
    LateRegistration,
}

impl Broken {
    /// Each rule.
    pub const ALL: &[Self] = &[
        Self::Unfenced,
        Self::NextNumber,
        Self::Chainless,
        #[cfg(feature = "sabotage")]
        Self::LateRegistration,
    ];

    /// A journal that breaks it, if it is one of the journal.
    pub fn wrap(self) -> Option<fn(SharedMemoryJournal) -> Box<dyn Journal>> {
        match self {
            Self::Unfenced => Some(|journal| Box::new(Breaking(journal, Self::Unfenced))),
            Self::NextNumber => Some(|journal| Box::new(Breaking(journal, Self::NextNumber))),
            Self::Chainless => Some(|journal| Box::new(Breaking(journal, Self::Chainless))),
            #[cfg(feature = "sabotage")]
            Self::LateRegistration => None,
        }
    }
}

#[derive(Debug)]
struct Breaking(SharedMemoryJournal, Broken);

impl Breaking {
    fn stand_at_the_end(&mut self) {
        let at = SharedLog::position(&self.0.open());
        // A place that isn't the one it stands at makes it forget what it tried.
        self.0.stand_at(Position::default());
        self.0.stand_at(at);
    }
}

impl Journal for Breaking {
    fn is_blocking(&self) -> bool {
        false
    }

    fn life(&self) -> u64 {
        self.0.life()
    }

    fn last_seq(&self) -> u64 {
        self.0.last_seq()
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        match (self.0.append(entries), self.1) {
            (Err(JournalError::Superseded { .. }), Broken::Unfenced)
            | (Err(JournalError::Unknown { .. }), Broken::NextNumber)
            | (Err(JournalError::LostByDatabase { .. }), Broken::Chainless) => {
                self.stand_at_the_end();
                self.0.append(entries)
            }
            (done, _) => done,
        }
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        self.0.load(each)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        self.0.replay(after, each)
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        self.0.checkpoints()
    }

    fn shared(&mut self) -> Option<&mut dyn SharedLog> {
        self.0.shared()
    }
}
