//! One append: the statement that is the fence, and what it may meet.

use std::time::Duration;

use super::link::{ANSWER, Link, Session, Trouble};
use super::rows::Stored;

/// How much longer an append may take for each mebibyte of it.
const ANSWER_BY_MIB: Duration = Duration::from_secs(1);
/// The whole fence: a row is written after the very row that its writer wrote or read last, or not at all.
const APPEND: &str = "\
    INSERT INTO batch (n, term, nonce, before, first, count, sealed, sum, body) \
    SELECT $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::int, $7::boolean, $8::bigint, $9::bytea \
    WHERE $1::bigint = 1 OR EXISTS (SELECT 1 FROM batch WHERE n = $1::bigint - 1 AND nonce = $4::bigint) \
    ON CONFLICT DO NOTHING";
const FIND: &str = "SELECT nonce, term, before, (SELECT max(n) FROM batch) FROM (SELECT 1) AS one \
    LEFT JOIN batch ON n = $1";

/// How appends are fenced. Anything but [`Rule::Fenced`] is wrong; tests show that the judge notices it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rule {
    #[default]
    Fenced,
    /// The batch before isn't looked at.
    #[cfg(test)]
    WithoutNonce,
    /// An append without an answer counts as failed and is made again under the next number.
    #[cfg(test)]
    FailedIsNext,
}

/// What an append met.
pub(super) enum Met {
    Written,
    /// Another batch has the number, after the same one; the term of that batch.
    Other(i64),
    /// Another batch has the number, and the one before it is another one, too.
    Fork,
    /// Neither the number nor the batch before is there; the last batch that is.
    Gone(Option<i64>),
}

/// Appends that row, over that link.
pub(super) async fn put(link: &mut Link, row: &Stored, rule: Rule) -> Result<Met, Trouble> {
    let mebibytes = u32::try_from(row.body.len() >> 20).unwrap_or(u32::MAX);
    let limit = ANSWER + ANSWER_BY_MIB * mebibytes;
    let append = async |session: &mut Session| append(session, row, rule).await;
    match link.call_here(limit, append).await {
        // A connection that broke while nothing was under way shows it only now.
        Err(Trouble::Lost(_)) if rule == Rule::Fenced => link.call_here(limit, append).await,
        met => met,
    }
}

async fn append(
    session: &mut Session,
    row: &Stored,
    rule: Rule,
) -> Result<Met, tokio_postgres::Error> {
    let sql = match rule {
        #[cfg(test)]
        Rule::WithoutNonce => {
            "INSERT INTO batch (n, term, nonce, before, first, count, sealed, sum, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
        }
        #[cfg(test)]
        Rule::FailedIsNext => {
            "INSERT INTO batch (n, term, nonce, before, first, count, sealed, sum, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
        }
        Rule::Fenced => APPEND,
    };
    let statement = session.prepared(sql).await?;
    let written = session
        .client
        .execute(
            &statement,
            &[
                &row.number,
                &row.term,
                &row.nonce,
                &row.before,
                &row.first,
                &row.count,
                &row.sealed,
                &row.sum,
                &row.body,
            ],
        )
        .await?;
    if written == 1 {
        return Ok(Met::Written);
    }
    let found = session.client.query_one(FIND, &[&row.number]).await?;
    let nonce: Option<i64> = found.try_get(0)?;
    Ok(match nonce {
        // An earlier try of this very append got through. Only a commit waits for a synchronous standby, and that try's
        // may have been cut short.
        Some(nonce) if nonce == row.nonce => {
            session.confirm().await?;
            Met::Written
        }
        Some(_) if found.try_get::<_, Option<i64>>(2)? != Some(row.before) => Met::Fork,
        Some(_) => Met::Other(found.try_get::<_, Option<i64>>(1)?.unwrap_or_default()),
        None => Met::Gone(found.try_get(3)?),
    })
}
