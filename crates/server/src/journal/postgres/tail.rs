//! The log as it grows.

use super::admin::note_loss;
use super::link::{ANSWER_MUCH, Link, Session};
use super::rows::{Stored, columns};
use crate::journal::{Batch, JournalError, Position, Tail};

/// Batches that one read gives at most.
const READ_MAX: i64 = 256;
const NEXT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM batch WHERE n > $1 ORDER BY n LIMIT $2"
);

/// Reads along.
#[derive(Debug)]
pub(super) struct PostgresTail {
    link: Link,
    life: u64,
}

impl PostgresTail {
    pub(super) fn new(link: Link, life: u64) -> Self {
        Self { link, life }
    }
}

impl Tail for PostgresTail {
    fn read(&mut self, after: Position) -> Result<Vec<Batch>, JournalError> {
        let number = after.batch.cast_signed();
        let read = self.link.call(ANSWER_MUCH, async |session: &mut Session| {
            let statement = session.prepared(NEXT).await?;
            let rows = session
                .client
                .query(&statement, &[&number, &READ_MAX])
                .await?;
            let rows: Vec<_> = rows.iter().map(Stored::of).collect::<Result<_, _>>()?;
            if !rows.is_empty() {
                session.confirm().await?;
                return Ok((rows, None));
            }
            if number == 0 {
                return Ok((rows, None));
            }
            let there = session
                .client
                .query_opt("SELECT nonce FROM batch WHERE n = $1", &[&number])
                .await?;
            let there: Option<i64> = there.map(|row| row.try_get(0)).transpose()?;
            Ok((rows, Some(there)))
        });
        let database = self.link.database.clone();
        let (rows, there) = read.map_err(|trouble| database.away(trouble))?;
        // The end of the log must be where the reader is: the last batch always stays.
        let is_gone = there.is_some_and(|nonce| nonce != Some(after.nonce.cast_signed()));
        let is_other = (rows.first()).is_some_and(|row| {
            row.number == number + 1 && row.before.cast_unsigned() != after.nonce
        });
        if is_gone || is_other {
            let detail = format!("batch {number} is gone or another one");
            note_loss(&mut self.link, self.life, &detail);
            return Err(database.lost(detail));
        }
        if let Some(row) = rows.first().filter(|row| row.number > number + 1) {
            let through = row.first.cast_unsigned() - 1;
            return Err(database.missing(after.seq + 1, through));
        }
        rows.iter().map(|row| row.read(&database)).collect()
    }
}
