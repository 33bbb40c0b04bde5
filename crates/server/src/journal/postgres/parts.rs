//! Checkpoints: the state in parts, and what they stand for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, GenericClient, IsolationLevel};

use super::database::Database;
use super::link::{ANSWER_MUCH, Link, Session};
use super::rows;
use crate::journal::{Checkpoints, EachPart, JournalError, PartChange, Position, sums};

/// Parts that one statement writes at most.
const PARTS: usize = 1_000;
/// Bytes of parts after which a statement takes no further one: a job's may have half a megabyte.
const PARTS_BYTES: usize = 4 * 1024 * 1024;
/// Batches that one statement forgets.
const SWEEP: i64 = 1_000;
/// Statements of that sort after one checkpoint; what is left is for the next one.
const SWEEPS_MAX: u32 = 1_000;

/// For what takes as long as there is much of it: the limit of other statements is for those that hang. It holds to the
/// end of the transaction.
const UNHURRIED: &str = "SET LOCAL statement_timeout = '1h'";
const ALL: &str = "SELECT key, sum, sealed, body FROM part ORDER BY key";
const COUNT: &str = "SELECT count(*), coalesce(sum(sum), 0)::bigint FROM part WHERE key = ANY($1)";
const UPSERT: &str = "\
    INSERT INTO part (key, sum, sealed, body) SELECT * FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bytea[]) \
    ON CONFLICT (key) DO UPDATE SET sum = excluded.sum, sealed = excluded.sealed, body = excluded.body";
const DELETE: &str = "DELETE FROM part WHERE key = ANY($1)";
/// The last batch whose entries are all covered.
const COVERED: &str = "SELECT n FROM batch WHERE first + count - 1 <= $1 ORDER BY n DESC LIMIT 1";
const FORGET: &str = "DELETE FROM batch WHERE n IN \
    (SELECT n FROM batch WHERE n <= $1::bigint AND n < (SELECT max(n) FROM batch) - $2::bigint ORDER BY n LIMIT $3)";

/// What the row of the checkpoint says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) batch: i64,
    pub(super) seq: i64,
    pub(super) term: i64,
    pub(super) parts: i64,
    pub(super) total: i64,
    sum: i64,
}

impl Found {
    const COLUMNS: &str = "SELECT n, seq, term, parts, total, sum FROM checkpoint";

    pub(super) async fn read(client: &impl GenericClient) -> Result<Self, tokio_postgres::Error> {
        Self::query(client, Self::COLUMNS).await
    }

    async fn query(client: &impl GenericClient, sql: &str) -> Result<Self, tokio_postgres::Error> {
        let row = client.query_one(sql, &[]).await?;
        Ok(Self {
            batch: row.try_get(0)?,
            seq: row.try_get(1)?,
            term: row.try_get(2)?,
            parts: row.try_get(3)?,
            total: row.try_get(4)?,
            sum: row.try_get(5)?,
        })
    }

    /// Where a log without a batch begins.
    pub(super) fn begin(&self) -> Position {
        Position {
            batch: 0,
            nonce: 0,
            seq: self.seq.cast_unsigned(),
        }
    }

    fn checksum(self) -> i64 {
        let numbers = [self.batch, self.seq, self.term, self.parts, self.total];
        sums::of_numbers(&numbers.map(i64::cast_unsigned)).into()
    }

    async fn write(self, client: &impl GenericClient) -> Result<(), tokio_postgres::Error> {
        let Self {
            batch,
            seq,
            term,
            parts,
            total,
            ..
        } = self;
        client
            .execute(
                "UPDATE checkpoint SET n = $1, seq = $2, term = $3, parts = $4, total = $5, sum = $6",
                &[&batch, &seq, &term, &parts, &total, &self.checksum()],
            )
            .await?;
        Ok(())
    }

    /// Makes the first one, which stands for nothing.
    pub(super) async fn begin_with(
        client: &impl GenericClient,
    ) -> Result<(), tokio_postgres::Error> {
        let sum = Self::default().checksum();
        client
            .execute(
                "INSERT INTO checkpoint (n, seq, term, parts, total, sum) VALUES (0, 0, 0, 0, 0, $1)",
                &[&sum],
            )
            .await?;
        Ok(())
    }
}

/// A part as its row has it.
struct Part {
    key: String,
    sum: i64,
    sealed: bool,
    body: Vec<u8>,
}

impl Part {
    fn new(database: &Database, key: String, body: Vec<u8>) -> Self {
        let body = match &database.seal {
            Some(seal) => seal.seal(key.as_bytes(), body),
            None => body,
        };
        Self {
            sum: sums::of_part(&key, &body).into(),
            sealed: database.is_sealed(),
            key,
            body,
        }
    }

    fn read(&self, database: &Database) -> Result<Vec<u8>, JournalError> {
        let what = || format!("the part {}", self.key);
        if self.sum != i64::from(sums::of_part(&self.key, &self.body)) {
            return Err(database.damaged(format!("{} is not what was written", what())));
        }
        rows::open(database, self.sealed, self.key.as_bytes(), &self.body, what)
    }
}

/// Calls `each` with the parts of the last checkpoint, all of one moment, and returns the entry that it stands for.
pub(super) fn load(link: &mut Link, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
    let database = link.database.clone();
    let mut stopped = None;
    let loaded = link.call(Duration::MAX, async |session: &mut Session| {
        let reading = session
            .client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        reading.batch_execute(UNHURRIED).await?;
        let found = Found::read(&reading).await?;
        let (mut parts, mut total) = (0_i64, 0_i64);
        // They come as they are read, so that they never lie in memory together.
        let rows = reading.query_raw(ALL, std::iter::empty::<i64>()).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            let part = Part {
                key: row.try_get(0)?,
                sum: row.try_get(1)?,
                sealed: row.try_get(2)?,
                body: row.try_get(3)?,
            };
            parts += 1;
            total = total.wrapping_add(part.sum);
            let read = part.read(&database);
            if let Err(error) = read.and_then(|body| each(&part.key, &body)) {
                stopped = Some(error);
                return Ok((found, 0, 0));
            }
        }
        reading.commit().await?;
        Ok((found, parts, total))
    });
    let (found, parts, total) = loaded.map_err(|trouble| database.away(trouble))?;
    if let Some(error) = stopped {
        return Err(error);
    }
    if found.sum != found.checksum() {
        let detail = "what the checkpoint says of itself is not what was written".to_owned();
        return Err(database.damaged(detail));
    }
    if (parts, total) != (found.parts, found.total) {
        return Err(database.damaged(format!(
            "the checkpoint has {parts} parts, and not the {} that were written",
            found.parts
        )));
    }
    Ok(found.seq.cast_unsigned())
}

/// The door for checkpoints.
#[derive(Debug)]
pub(super) struct PostgresCheckpoints {
    link: Link,
    /// The term under which the log is written.
    term: Arc<AtomicU64>,
}

impl PostgresCheckpoints {
    pub(super) fn new(link: Link, term: Arc<AtomicU64>) -> Self {
        Self { link, term }
    }

    /// Forgets the batches up to that one, but for those that are kept.
    fn sweep(&mut self, covered: i64) -> Result<(), JournalError> {
        let database = self.link.database.clone();
        let kept = database.kept.cast_signed();
        for _ in 0..SWEEPS_MAX {
            let swept = self.link.call(ANSWER_MUCH, async |session: &mut Session| {
                let forget = session.prepared(FORGET).await?;
                session
                    .client
                    .execute(&forget, &[&covered, &kept, &SWEEP])
                    .await
            });
            if swept.map_err(|trouble| database.away(trouble))? < SWEEP.cast_unsigned() {
                break;
            }
        }
        Ok(())
    }
}

/// What came of writing a checkpoint.
enum Written {
    /// The last batch that it covers.
    Covered(i64),
    /// A leader of that term has been there.
    Overtaken(i64),
}

impl Checkpoints for PostgresCheckpoints {
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let database = self.link.database.clone();
        let term = self.term.load(Ordering::Acquire).cast_signed();
        let written = self
            .link
            .call(Duration::MAX, async |session: &mut Session| {
                write(
                    &mut session.client,
                    &database,
                    term,
                    seq.cast_signed(),
                    changes,
                )
                .await
            });
        match written.map_err(|trouble| database.away(trouble))? {
            Written::Covered(batch) => self.sweep(batch),
            Written::Overtaken(other) => {
                Err(database.superseded(format!("the leader of term {other} has written")))
            }
        }
    }
}

async fn write(
    client: &mut Client,
    database: &Database,
    term: i64,
    seq: i64,
    changes: &mut dyn Iterator<Item = PartChange>,
) -> Result<Written, tokio_postgres::Error> {
    let writing = client.transaction().await?;
    // The row is locked to the end: checkpoints are written one after the other.
    let mut found = Found::query(&writing, &format!("{} FOR UPDATE", Found::COLUMNS)).await?;
    // Read once the lock is held: a leader that has written its mark since is seen.
    let last = writing
        .query_opt("SELECT term FROM batch ORDER BY n DESC LIMIT 1", &[])
        .await?;
    let last: i64 = last.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    if found.term.max(last) > term || found.seq > seq {
        return Ok(Written::Overtaken(found.term.max(last)));
    }
    let mut changes = changes.peekable();
    if changes.next_if(|(key, _)| key.is_empty()).is_some() {
        writing.batch_execute(UNHURRIED).await?;
        writing.execute("DELETE FROM part", &[]).await?;
        (found.parts, found.total) = (0, 0);
    }
    loop {
        let mut bytes = 0;
        let chunk = std::iter::from_fn(|| {
            let (key, body) = (bytes < PARTS_BYTES).then(|| changes.next()).flatten()?;
            bytes += body.as_ref().map_or(0, Vec::len);
            Some((key, body))
        });
        let chunk: Vec<_> = chunk.take(PARTS).collect();
        if chunk.is_empty() {
            break;
        }
        let counted = {
            let keys: Vec<&str> = chunk.iter().map(|(key, _)| key.as_str()).collect();
            writing.query_one(COUNT, &[&keys]).await?
        };
        found.parts -= counted.try_get::<_, i64>(0)?;
        found.total = found.total.wrapping_sub(counted.try_get(1)?);
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for (key, body) in chunk {
            match body {
                Some(body) => there.push(Part::new(database, key, body)),
                None => gone.push(key),
            }
        }
        if !there.is_empty() {
            let keys: Vec<&str> = there.iter().map(|part| part.key.as_str()).collect();
            let sums: Vec<i64> = there.iter().map(|part| part.sum).collect();
            let sealed: Vec<bool> = there.iter().map(|part| part.sealed).collect();
            let bodies: Vec<&[u8]> = there.iter().map(|part| part.body.as_slice()).collect();
            writing
                .execute(UPSERT, &[&keys, &sums, &sealed, &bodies])
                .await?;
            found.parts += i64::try_from(there.len()).unwrap_or(i64::MAX);
            found.total = sums
                .iter()
                .fold(found.total, |total, sum| total.wrapping_add(*sum));
        }
        if !gone.is_empty() {
            writing.execute(DELETE, &[&gone]).await?;
        }
    }
    let covered = writing.query_opt(COVERED, &[&seq]).await?;
    let covered: Option<i64> = covered.map(|row| row.try_get(0)).transpose()?;
    found = Found {
        batch: covered.unwrap_or(found.batch),
        seq,
        term,
        ..found
    };
    found.write(&writing).await?;
    writing.commit().await?;
    Ok(Written::Covered(found.batch))
}
