//! A journal that fails at its n-th call, for every n: what was acknowledged is there, or the server said so and
//! stopped.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_engine::{Cancel, Create, JobKey, Owner, Policy, Report, Work};
use abide_server::board::Look;
use abide_server::clock::Clock;
use abide_server::driver::{Driver, DriverError, Failure};
use abide_server::journal::{
    Checkpoints, EachEntry, EachPart, Journal, JournalError, MemoryJournal, PartChange,
};
use abide_wire::{NewJob, Progress, Simulate, Worker};

use crate::common::START;

/// Commands in a history.
const COMMANDS: usize = 200;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// It may succeed later, and nothing was written.
    Full,
    /// It won't, and nothing was written.
    Broken,
    /// It says so, and everything was written.
    Lies,
}

impl Kind {
    fn error(self) -> JournalError {
        let path = "nth".into();
        match self {
            Self::Full => JournalError::Full { path },
            Self::Broken | Self::Lies => JournalError::Io {
                path,
                source: "the disk failed".into(),
            },
        }
    }
}

/// Counts the calls of a journal and lets one of them fail.
#[derive(Clone, Debug)]
struct Nth {
    inner: MemoryJournal,
    calls: Arc<AtomicU64>,
    fails_at: u64,
    kind: Kind,
}

impl Nth {
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut MemoryJournal) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let is_now = self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.fails_at;
        if !is_now {
            return call(&mut self.inner);
        }
        if self.kind == Kind::Lies {
            call(&mut self.inner)?;
        }
        Err(self.kind.error())
    }
}

impl Journal for Nth {
    fn is_blocking(&self) -> bool {
        false
    }

    fn life(&self) -> u64 {
        self.inner.life()
    }

    fn last_seq(&self) -> u64 {
        self.inner.last_seq()
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        self.call(|inner| inner.append(entries))
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        self.call(|inner| inner.load(each))
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        self.call(|inner| inner.replay(after, each))
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(self.clone())
    }

    fn close(mut self: Box<Self>) -> Result<(), JournalError> {
        self.call(|_| Ok(()))
    }
}

impl Checkpoints for Nth {
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        self.call(|inner| Checkpoints::write(inner, seq, changes))
    }
}

/// Jobs with the least revision that each must have.
type Told = Vec<(JobKey, u64)>;

/// What came of a history.
struct Played {
    /// What was acknowledged.
    told: Told,
    /// Whether a command was refused for want of the disk.
    was_refused: bool,
    /// How the loop ended.
    ended: Result<(), DriverError>,
    /// The disk as a kill would leave it, before the loop closes it with a checkpoint of its own state.
    killed: MemoryJournal,
}

/// Plays the history on that journal.
async fn play(journal: Nth) -> Played {
    let disk = journal.inner.clone();
    let kill = move || disk.crashed_after(disk.last_seq()).unwrap_or_default();
    let clock = Clock::running(START, NonZeroU32::MIN);
    let opened = Driver::open(Box::new(journal), clock, Policy::default(), 7);
    let (driver, commands, _board) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return Played {
                told: Told::new(),
                was_refused: false,
                ended: Err(error),
                killed: kill(),
            };
        }
    };
    let running = tokio::spawn(driver.run());
    let (mut told, mut was_refused) = (Told::new(), false);
    let owner = Owner::ANYONE;
    for n in 0..COMMANDS {
        let before = told.get(n / 2).copied();
        let answer = match (n % 4, before) {
            (2, Some((job, _))) => {
                let report = Report {
                    owner,
                    job,
                    if_match: None,
                    lease: None,
                    work: Work::Progress(Progress {
                        percent: 1.0,
                        stage: None,
                    }),
                };
                commands.ask(report).await.map(|claimed| claimed.job)
            }
            (3, Some((job, _))) => commands.ask(Cancel { owner, job }).await,
            _ => {
                let external = (n % 2 == 0).then_some(Worker::External);
                let new = NewJob {
                    worker: external,
                    simulate: external
                        .is_none()
                        .then(|| Simulate::fixed(Duration::from_secs(2))),
                    ..NewJob::default()
                };
                let create = Create {
                    owner,
                    new,
                    idempotency_key: Some(n.to_string()),
                    rendering: None,
                    traceparent: None,
                };
                commands.ask(create).await.map(|created| created.job)
            }
        };
        match answer {
            Ok(job) => told.push((job.key, job.revision)),
            Err(Failure::Storage) => {
                was_refused = true;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(Failure::ShuttingDown) => break,
            Err(Failure::Refused(_)) => {}
            Err(failure) => panic!("{failure:?}"),
        }
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let killed = kill();
    drop(commands);
    Played {
        told,
        was_refused,
        ended: running.await.expect("it doesn't panic"),
        killed,
    }
}

#[tokio::test(start_paused = true)]
async fn whichever_call_of_the_journal_fails_nothing_that_was_acknowledged_is_lost() {
    let journal = |fails_at, kind| Nth {
        inner: MemoryJournal::new(),
        calls: Arc::default(),
        fails_at,
        kind,
    };
    let whole = journal(0, Kind::Full);
    let played = play(whole.clone()).await;
    assert!(!played.was_refused && played.ended.is_ok());
    let told = played.told;
    assert!(told.len() > COMMANDS / 2, "{}", told.len());
    let calls = whole.calls.load(Ordering::Relaxed);
    assert!(calls > COMMANDS as u64 / 2, "{calls}");

    let failures = Mutex::new([0; 2]);
    for kind in [Kind::Full, Kind::Broken, Kind::Lies] {
        for n in 1..=calls {
            let journal = journal(n, kind);
            let disk = journal.inner.clone();
            let played = play(journal.clone()).await;
            let is_over = played.ended.is_err();
            let met = journal.calls.load(Ordering::Relaxed) >= n;
            // It is passed over in silence where it only costs time: a checkpoint that is written later.
            let count = &mut failures.lock().unwrap()[usize::from(is_over)];
            *count += u32::from(met && (played.was_refused || is_over));

            for disk in [disk, played.killed] {
                let clock = Clock::manual(START + Duration::from_secs(86_400 / 2));
                let again = Driver::open(Box::new(disk), clock, Policy::default(), 7);
                let (_, _, board) =
                    again.unwrap_or_else(|error| panic!("{kind:?} at {n}: {error}"));
                for (key, revision) in &played.told {
                    match board.look(*key) {
                        Look::Found(job) => assert!(job.revision >= *revision, "{kind:?} at {n}"),
                        look => panic!("{kind:?} at {n}: {key} is {look:?}"),
                    }
                }
            }
        }
    }
    let [refused, over] = failures.into_inner().unwrap();
    assert!(
        refused > calls as u32 / 2 && over > calls as u32,
        "{refused} {over} of {calls}"
    );
}
