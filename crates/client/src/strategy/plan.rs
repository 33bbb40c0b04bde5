//! What a strategy and its plan are, what a plan is told, and what it may want done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use abide_wire::{Revision, Until};

use crate::inbox::Inbox;
use crate::schedule::{self, Ended, Schedule};

/// How to learn of a job's end, as a value that many waits share.
pub trait Strategy: fmt::Debug + Send + Sync + 'static {
    /// The name, for reports and logs.
    fn name(&self) -> &'static str;

    /// Begins a plan for one wait.
    fn begin(&self, begin: &Begin) -> Box<dyn Plan>;

    /// Where pushes arrive, for a strategy that returns [`Move::Inbox`]. None by default.
    fn inbox(&self) -> Option<&Inbox> {
        None
    }
}

impl Strategy for Arc<dyn Strategy> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        (**self).begin(begin)
    }

    fn inbox(&self) -> Option<&Inbox> {
        (**self).inbox()
    }
}

impl Strategy for Box<dyn Strategy> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        (**self).begin(begin)
    }

    fn inbox(&self) -> Option<&Inbox> {
        (**self).inbox()
    }
}

/// What is known when a wait begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Begin {
    /// The wait's schedule, for polls and for attaching late.
    pub schedule: Arc<dyn Schedule>,
    /// What the schedule is told.
    pub start: schedule::Start,
    /// Whether the caller wants every change, or only the end.
    pub updates: bool,
}

impl Begin {
    /// A wait with that schedule, for the end only.
    #[must_use]
    pub fn new(schedule: Arc<dyn Schedule>, start: schedule::Start) -> Self {
        Self {
            schedule,
            start,
            updates: false,
        }
    }

    /// Tells that every change is wanted.
    #[must_use]
    pub const fn updates(mut self, updates: bool) -> Self {
        self.updates = updates;
        self
    }

    /// What a held request waits for.
    #[must_use]
    pub const fn until(&self) -> Until {
        if self.updates {
            Until::Any
        } else {
            Until::Done
        }
    }
}

/// One wait's walk along its [`Strategy`].
pub trait Plan: fmt::Debug + Send {
    /// What to do next. Asked at the beginning and after every move, as long as the job isn't known to have ended.
    fn next(&mut self, seen: &Observed) -> Move;

    /// How the wait ended, for plans that learn. Called once; the default forgets it.
    fn finish(&mut self, ended: &Ended) {
        let _ = ended;
    }

    /// How likely the job ends in the next second, for sharing out a request budget; none without an opinion.
    fn hazard(&self, seen: &Observed) -> Option<f64> {
        let _ = seen;
        None
    }
}

/// What a plan wants done. Instants are times since the job was accepted, as in [`schedule::Seen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Move {
    /// Asks for the status, to be answered at once.
    Ask,
    /// Asks for the status, to be answered when there is news, or after that time.
    Hold {
        /// How long the server shall hold at most.
        up_to: Duration,
        /// What counts as news.
        until: Until,
    },
    /// Does nothing until that instant.
    Pause {
        /// When to go on.
        until: Duration,
    },
    /// Reads the stream of events, opening it where it isn't open.
    Listen {
        /// When to say [`Happened::Quiet`] if not one byte has come by then.
        check: Option<Duration>,
    },
    /// Waits for a push until that instant.
    Inbox {
        /// When to go on without one.
        until: Duration,
    },
    /// Gives up: the wait ends as *still running*.
    Stop,
}

/// What the last move came to. It never tells of the end of the job, for the wait is over then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// Nothing yet: the wait begins.
    Began,
    /// The server answered a request that it wasn't asked to hold.
    Answered,
    /// A held request came back, with a change that isn't the end, or with nothing.
    Released {
        /// Whether the server held it at all.
        held: bool,
    },
    /// The stream told of a change that isn't the end.
    News,
    /// The pause is over.
    Paused,
    /// The stream has been open for a while and not one byte has come.
    Quiet,
    /// The stream was silent beyond its limit, or was caught not telling what had happened; it is closed.
    Muted,
    /// The server closed the stream, or said that there will be no events.
    Closed,
    /// The server has no such stream, or enough are open already.
    NoStream,
    /// The inbox brought news that isn't the end.
    Pushed,
    /// The request had no good answer. The pause that the retry policy wants has already been made.
    Failed,
}

/// What has been seen so far.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observed {
    /// The time since acceptance, the round trip, the answered polls, the hints of the latest answer.
    pub time: schedule::Seen,
    /// What the last move came to.
    pub happened: Happened,
    /// When the caller stops caring; none where it never does.
    pub deadline: Option<Duration>,
    /// Whether it is known when the job was accepted: this process created it, or an answer has told. Until then
    /// `time.elapsed` is counted from the beginning of the wait.
    pub age_known: bool,
    /// The newest revision; none before the first answer, unless it is known from the create.
    pub revision: Option<Revision>,
    /// How many failures there were since the last answer.
    pub failures: u32,
    /// What the server has been seen to be able to do.
    pub abilities: Abilities,
}

impl Observed {
    /// The beginning of a wait.
    #[must_use]
    pub fn began(time: schedule::Seen) -> Self {
        Self {
            time,
            happened: Happened::Began,
            deadline: None,
            age_known: false,
            revision: None,
            failures: 0,
            abilities: Abilities::default(),
        }
    }

    /// The same, after something happened.
    #[must_use]
    pub const fn after(mut self, happened: Happened) -> Self {
        self.happened = happened;
        self
    }
}

/// Whether a server can do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ability {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It was seen.
    Yes,
    /// It was tried in vain not long ago.
    No,
}

/// What a server has been seen to be able to do. Remembered per origin, for all waits of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// Whether requests are held.
    pub hold: Ability,
    /// How long they may be held before something on the way cuts them.
    pub hold_max: Duration,
    /// Whether streams bring their events when they happen.
    pub stream: Ability,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            hold: Ability::Unknown,
            hold_max: abide_wire::limits::HOLD_MAX,
            stream: Ability::Unknown,
        }
    }
}
