//! The log: appends, loads and replays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::admin::{note_loss, note_loss_here};
use super::append::{Met, Rule, put};
use super::database::Database;
use super::lease::PostgresLease;
use super::link::{ANSWER, ANSWER_MUCH, Link, Session, Trouble};
use super::parts::{self, Found, PostgresCheckpoints};
use super::rows::{Stored, columns, packed};
use super::tail::PostgresTail;
use crate::journal::{
    Checkpoints, EachEntry, EachPart, Journal, JournalError, Lease, Position, SharedLog, Tail,
};

/// The format of the tables that this program reads and writes.
pub(super) const FORMAT: i32 = 1;
/// The most bytes of entries that are packed and sealed on the loop's runtime: some hundred microseconds' work.
const HERE_BYTES_MAX: usize = 256 * 1024;
/// Batches that a replay reads at a time.
const PAGE: i64 = 256;
/// How often a new leader tries to write its mark after the batches that the old one still writes.
const MARKS_MAX: u32 = 1_000;

const END: &str = concat!("SELECT ", columns!(), " FROM batch ORDER BY n DESC LIMIT 1");
const PAGE_AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM batch WHERE n >= $1 ORDER BY n LIMIT $2"
);
/// The batch that has the entry `$1`, or the one before it; from the end, because that is where it is.
const BATCH_OF: &str = "SELECT n FROM batch WHERE first <= $1 ORDER BY n DESC LIMIT 1";

/// The log in a schema of a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresJournal {
    database: Arc<Database>,
    link: Link,
    /// The connection of appends that are made on the loop's runtime. It stays open beside the other one, because
    /// batches of either size may come in turns.
    here: Link,
    life: u64,
    level: u32,
    position: Position,
    /// The door for checkpoints has it too.
    term: Arc<AtomicU64>,
    /// This process, as nonces begin with it and as the lease knows it.
    run: u64,
    nonces: u64,
    /// The entries that were written last, packed.
    packed: Option<Arc<[u8]>>,
    unknown: Option<Unknown>,
    pub(super) rule: Rule,
}

/// An append whose answer is missing.
#[derive(Debug)]
struct Unknown {
    entries: Vec<Vec<u8>>,
    packed: Arc<[u8]>,
    row: Stored,
}

impl PostgresJournal {
    /// Opens the log for reading along: it appends nothing until [`take_over`](Self::take_over) or
    /// [`SharedLog::mark`]. `run` is random; no other process has the same.
    ///
    /// # Errors
    ///
    /// [`JournalError::Away`] if the database can't be reached, [`JournalError::NoCluster`] if the schema has no
    /// tables, [`JournalError::Refused`] if the role may not use it, and [`JournalError::Unreadable`] if a newer
    /// version of this program made the tables.
    pub fn open(database: Database, run: u64) -> Result<Self, JournalError> {
        let database = Arc::new(database);
        let mut link = Link::new(database.clone());
        let read = link.call(ANSWER, async |session: &mut Session| {
            let cluster = session
                .client
                .query_one("SELECT format, life, level, lost FROM cluster", &[])
                .await?;
            let lost: Option<String> = cluster.try_get(3)?;
            let end = session.client.query_opt(END, &[]).await?;
            let found = Found::read(&session.client).await?;
            let cluster: (i32, i64, i32) = (
                cluster.try_get(0)?,
                cluster.try_get(1)?,
                cluster.try_get(2)?,
            );
            Ok((
                cluster,
                lost,
                end.map(|row| Stored::of(&row)).transpose()?,
                found,
            ))
        });
        let ((format, life, level), lost, end, found) =
            read.map_err(|trouble| not_there(&database, trouble))?;
        if let Some(detail) = lost {
            return Err(database.lost(detail));
        }
        if format != FORMAT {
            return Err(JournalError::Unreadable {
                what: database.place.clone(),
                detail: format!("its tables have format {format}, and this program reads {FORMAT}"),
            });
        }
        let (position, term) = match end {
            Some(row) => (row.position(), row.term.cast_unsigned()),
            // A log that was imported begins after the checkpoint.
            None => (found.begin(), 0),
        };
        Ok(Self {
            here: link.another(),
            life: life.cast_unsigned(),
            level: level.cast_unsigned(),
            database,
            link,
            position,
            term: Arc::new(AtomicU64::new(term)),
            // Room to count up, below 2^63 as the database keeps it.
            run: run >> 2,
            nonces: 0,
            packed: None,
            unknown: None,
            rule: Rule::default(),
        })
    }

    /// The newest level of stored forms that may be written.
    #[must_use]
    pub const fn level(&self) -> u32 {
        self.level
    }

    /// Which process this is, as [`Lease`] takes it.
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.run
    }

    /// Takes the next term for that node, whichever leads, and writes its mark: from here on every other writer is
    /// fenced. For a node that is alone.
    ///
    /// # Errors
    ///
    /// Those of reading and appending.
    pub fn take_over(&mut self, node: &str) -> Result<(), JournalError> {
        let mut lease = self.lease();
        let term = loop {
            let seen = lease.leading()?.term;
            if lease.take(node, self.run, seen)? {
                break seen + 1;
            }
        };
        let mut tries = 0;
        loop {
            match self.mark(term) {
                Ok(_) => return Ok(()),
                Err(JournalError::Superseded { .. } | JournalError::Unknown { .. })
                    if tries < MARKS_MAX =>
                {
                    tries += 1;
                    self.go_to_end()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Loses the answers of the next calls.
    #[cfg(test)]
    pub(super) fn losing(&mut self, answers: u32) {
        (self.link.losing, self.here.losing) = (answers, answers);
    }

    /// Stands at the end of the log as the database has it.
    fn go_to_end(&mut self) -> Result<(), JournalError> {
        let end = self.link.call(ANSWER, async |session: &mut Session| {
            let end = session.client.query_opt(END, &[]).await?;
            end.map(|row| Stored::of(&row)).transpose()
        });
        if let Some(row) = end.map_err(|trouble| self.database.away(trouble))? {
            self.stand_at(row.position());
        }
        Ok(())
    }

    /// The batch before that row is gone.
    fn lost(&self, row: &Stored, what: &str) -> JournalError {
        let detail = format!(
            "batch {} with entry {} was acknowledged, and {what}",
            row.number - 1,
            row.first - 1
        );
        self.database.lost(detail)
    }

    /// Writes a batch of that term after the position.
    fn write(&mut self, term: u64, entries: &[Vec<u8>]) -> Result<Position, JournalError> {
        let (packed, row) = self.next(term, entries);
        let rule = self.rule;
        let met = self
            .link
            .block_on(async |link: &mut Link| put(link, &row, rule).await);
        let settled = self.settle(term, entries, (packed, row), met);
        if let Err(JournalError::LostByDatabase { detail, .. }) = &settled {
            note_loss(&mut self.link, self.life, detail);
        }
        settled
    }

    /// Does the same on the runtime of the caller.
    async fn write_here(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        if entries.is_empty() {
            return Ok(self.position.seq);
        }
        let term = SharedLog::term(self);
        let (packed, row) = self.next(term, entries);
        let met = put(&mut self.here, &row, self.rule).await;
        let settled = self.settle(term, entries, (packed, row), met);
        if let Err(JournalError::LostByDatabase { detail, .. }) = &settled {
            note_loss_here(&mut self.here, self.life, detail).await;
        }
        settled.map(|position| position.seq)
    }

    /// The next batch, packed and as its row: the one whose answer is missing, if it has these entries.
    fn next(&mut self, term: u64, entries: &[Vec<u8>]) -> (Arc<[u8]>, Stored) {
        let tried = self.unknown.take();
        #[cfg(test)]
        if self.rule == Rule::FailedIsNext
            && let Some(tried) = &tried
        {
            self.position.batch = tried.row.number.cast_unsigned();
        }
        match tried {
            Some(tried)
                if tried.entries == entries
                    && tried.row.term == term.cast_signed()
                    && self.rule == Rule::Fenced =>
            {
                (tried.packed, tried.row)
            }
            _ => {
                self.nonces += 1;
                let by = (term, self.run + self.nonces);
                let packed: Arc<[u8]> = packed(entries).into();
                let row = Stored::new(&self.database, self.position, by, (entries.len(), &packed));
                (packed, row)
            }
        }
    }

    /// Notes what came of writing that batch.
    fn settle(
        &mut self,
        term: u64,
        entries: &[Vec<u8>],
        (packed, row): (Arc<[u8]>, Stored),
        met: Result<Met, Trouble>,
    ) -> Result<Position, JournalError> {
        match met {
            Ok(Met::Written) => {
                self.position = row.position();
                self.packed = Some(packed);
                self.term.store(term, Ordering::Release);
                Ok(self.position)
            }
            Ok(Met::Other(of_term)) => Err(self.database.superseded(format!(
                "batch {} was written by another one in term {of_term}",
                row.number
            ))),
            Ok(Met::Fork) => Err(self.lost(&row, "another one has its number")),
            Ok(Met::Gone(last)) => {
                if let Some(last) = last.filter(|last| *last >= row.number) {
                    // It was there, and a checkpoint has covered it since.
                    let detail = format!("the log has gone on to batch {last}");
                    return Err(self.database.superseded(detail));
                }
                let end = format!("the log ends with batch {}", last.unwrap_or_default());
                Err(self.lost(&row, &end))
            }
            Err(trouble) => {
                let is_sent = matches!(trouble, Trouble::Lost(_));
                let error = self.database.away(trouble);
                // Also where it was refused: the same row under the same number is right in any case.
                self.unknown = Some(Unknown {
                    entries: entries.to_vec(),
                    packed,
                    row,
                });
                Err(match error {
                    JournalError::Away { place, source } if is_sent => {
                        JournalError::Unknown { place, source }
                    }
                    error => error,
                })
            }
        }
    }
}

/// What an error at the first reading means.
pub(super) fn not_there(database: &Database, trouble: Trouble) -> JournalError {
    if let Trouble::Refused(error) = &trouble
        && error.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE)
    {
        let place = database.place.clone();
        return JournalError::NoCluster { place };
    }
    database.away(trouble)
}

impl Journal for PostgresJournal {
    fn is_blocking(&self) -> bool {
        true
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn last_seq(&self) -> u64 {
        self.position.seq
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        if entries.is_empty() {
            return Ok(self.position.seq);
        }
        self.write(SharedLog::term(self), entries)
            .map(|position| position.seq)
    }

    fn appends_here(&self, entries: &[Vec<u8>]) -> bool {
        entries.iter().map(Vec::len).sum::<usize>() <= HERE_BYTES_MAX
    }

    fn append_here<'a>(
        &'a mut self,
        entries: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<u64, JournalError>> {
        self.write_here(entries).boxed()
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        parts::load(&mut self.link, each)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        let seq = after.cast_signed();
        let begin = self.link.call(ANSWER_MUCH, async |session: &mut Session| {
            let row = session.client.query_opt(BATCH_OF, &[&seq]).await?;
            let from: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(1);
            Ok((from, Found::read(&session.client).await?))
        });
        let (mut from, found) = begin.map_err(|trouble| self.database.away(trouble))?;
        // The place after the batch that was read last, and the next entry that is wanted.
        let mut at: Option<Position> = None;
        let mut expected = after + 1;
        loop {
            let page = self.link.call(ANSWER_MUCH, async |session: &mut Session| {
                let statement = session.prepared(PAGE_AFTER).await?;
                let rows = session.client.query(&statement, &[&from, &PAGE]).await?;
                rows.iter().map(Stored::of).collect::<Result<Vec<_>, _>>()
            });
            let page = page.map_err(|trouble| self.database.away(trouble))?;
            for row in &page {
                let batch = row.read(&self.database)?;
                if batch.first > expected {
                    return Err(self.database.missing(expected, batch.first - 1));
                }
                if at.is_some_and(|at| !batch.follows(at)) {
                    let detail = format!("batch {} doesn't follow the one before", batch.number);
                    return Err(self.database.damaged(detail));
                }
                for (seq, entry) in (batch.first..).zip(&batch.entries) {
                    if seq >= expected {
                        each(seq, entry)?;
                        expected = seq + 1;
                    }
                }
                at = Some(batch.position());
                self.term.fetch_max(batch.term, Ordering::AcqRel);
            }
            if let Some(row) = page.last() {
                from = row.number + 1;
            }
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        let end = at.unwrap_or_else(|| found.begin());
        if expected <= end.seq {
            return Err(self.database.missing(expected, end.seq));
        }
        self.stand_at(end);
        Ok(())
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(PostgresCheckpoints::new(
            self.link.another(),
            self.term.clone(),
        ))
    }

    fn shared(&mut self) -> Option<&mut dyn SharedLog> {
        Some(self)
    }
}

impl SharedLog for PostgresJournal {
    fn position(&self) -> Position {
        self.position
    }

    fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    fn stand_at(&mut self, position: Position) {
        if self.position != position {
            (self.position, self.unknown) = (position, None);
        }
    }

    fn mark(&mut self, term: u64) -> Result<Position, JournalError> {
        self.write(term, &[])
    }

    fn packed(&self) -> Option<Arc<[u8]>> {
        self.packed.clone()
    }

    fn tail(&self) -> Box<dyn Tail> {
        Box::new(PostgresTail::new(self.link.another(), self.life))
    }

    fn lease(&self) -> Box<dyn Lease> {
        Box::new(PostgresLease::new(self.link.another(), self.life))
    }
}
