//! Who lives and who leads.

use abide_wire::Timestamp;

use super::admin::note_loss;
use super::link::{ANSWER, Link, Session};
use crate::journal::{Beat, JournalError, Leading, Lease, Member};

const JOIN: &str = "\
    INSERT INTO node (name, run, beat, address, reads_from, reads_to, applied, version) \
    VALUES ($1, $2, 0, $3, $4, $5, $6, $7) \
    ON CONFLICT (name) DO UPDATE SET run = excluded.run, beat = node.beat + 1, address = excluded.address, \
    reads_from = excluded.reads_from, reads_to = excluded.reads_to, applied = excluded.applied, version = excluded.version";
const BEAT: &str = "\
    UPDATE node SET beat = beat + 1, applied = $3 WHERE name = $1 AND run = $2 \
    RETURNING (SELECT term FROM leader), (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    (SELECT life FROM cluster), (SELECT lost FROM cluster), (SELECT max(n) FROM batch), (SELECT level FROM cluster)";
const LEADING: &str = "\
    SELECT leader.term, leader.node, leader.run, coalesce(node.beat, 0), coalesce(node.address, '') \
    FROM leader LEFT JOIN node ON node.name = leader.node AND node.run = leader.run";
const TAKE: &str = "UPDATE leader SET term = $3::bigint + 1, node = $1, run = $2 \
    WHERE term = $3::bigint OR (term = $3::bigint + 1 AND node = $1 AND run = $2)";
const HAND_OVER: &str = "UPDATE leader SET term = term + 1, node = NULL WHERE term = $1";
const PEER_KEY: &str = "SELECT peer_key FROM cluster";
const MEMBERS: &str = "SELECT name, run, beat, address, reads_from, reads_to, applied, version FROM node ORDER BY name";
const FORGET: &str = "DELETE FROM node WHERE name = $1 AND run = $2 AND beat = $3";

/// The tables `node` and `leader`.
#[derive(Debug)]
pub(super) struct PostgresLease {
    link: Link,
    /// Of the log that the process has read.
    life: u64,
}

/// What a beat finds.
struct Found {
    beat: Beat,
    life: u64,
    lost: Option<String>,
    /// The number of the last batch.
    end: u64,
}

impl PostgresLease {
    pub(super) fn new(link: Link, life: u64) -> Self {
        Self { link, life }
    }

    fn call<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, JournalError> {
        let done = self.link.call(ANSWER, work);
        done.map_err(|trouble| self.link.database.away(trouble))
    }
}

impl Lease for PostgresLease {
    fn join(&mut self, member: &Member) -> Result<(), JournalError> {
        let Member {
            node,
            run,
            address,
            version,
            reads_from,
            reads_to,
            applied,
            ..
        } = member;
        let (run, applied) = (run.cast_signed(), applied.cast_signed());
        let levels = (reads_from.cast_signed(), reads_to.cast_signed());
        self.call(async |session: &mut Session| {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                [node, &run, address, &levels.0, &levels.1, &applied, version];
            session.client.execute(JOIN, &values).await
        })
        .map(|_one| ())
    }

    fn beat(&mut self, node: &str, run: u64, applied: u64) -> Result<Beat, JournalError> {
        let (run, applied) = (run.cast_signed(), applied.cast_signed());
        let found = self.call(async |session: &mut Session| {
            let beat = session.prepared(BEAT).await?;
            let row = session
                .client
                .query_opt(&beat, &[&node, &run, &applied])
                .await?;
            row.map(|row| {
                let number = |index: usize| row.try_get(index).map(i64::cast_unsigned);
                Ok(Found {
                    beat: Beat {
                        term: number(0)?,
                        database_time: Timestamp::from_millis(row.try_get(1)?),
                        level: row.try_get::<_, i32>(5)?.cast_unsigned(),
                    },
                    life: number(2)?,
                    lost: row.try_get(3)?,
                    end: row
                        .try_get::<_, Option<i64>>(4)?
                        .unwrap_or(0)
                        .cast_unsigned(),
                })
            })
            .transpose()
        })?;
        let database = self.link.database.clone();
        let found = found
            .ok_or_else(|| database.superseded(format!("another process is the node {node:?}")))?;
        if let Some(lost) = found.lost {
            return Err(database.lost(lost));
        }
        if found.life != self.life {
            let detail = "its log is another one since a loss was accepted, or jobs were imported";
            return Err(database.superseded(detail.to_owned()));
        }
        if found.end < applied.cast_unsigned() {
            let detail = format!(
                "batch {applied} was acknowledged, and the log ends with batch {}",
                found.end
            );
            note_loss(&mut self.link, self.life, &detail);
            return Err(database.lost(detail));
        }
        Ok(found.beat)
    }

    fn leading(&mut self) -> Result<Leading, JournalError> {
        self.call(async |session: &mut Session| {
            let leading = session.prepared(LEADING).await?;
            let row = session.client.query_one(&leading, &[]).await?;
            let number = |index: usize| row.try_get(index).map(i64::cast_unsigned);
            Ok(Leading {
                term: number(0)?,
                node: row.try_get(1)?,
                run: number(2)?,
                beat: number(3)?,
                address: row.try_get(4)?,
            })
        })
    }

    fn take(&mut self, node: &str, run: u64, seen: u64) -> Result<bool, JournalError> {
        let (run, seen) = (run.cast_signed(), seen.cast_signed());
        let taken = self.call(async |session: &mut Session| {
            session.client.execute(TAKE, &[&node, &run, &seen]).await
        })?;
        Ok(taken == 1)
    }

    fn hand_over(&mut self, term: u64) -> Result<bool, JournalError> {
        let term = term.cast_signed();
        let handed = self.call(async |session: &mut Session| {
            session.client.execute(HAND_OVER, &[&term]).await
        })?;
        Ok(handed == 1)
    }

    fn peer_key(&mut self) -> Result<[u8; 32], JournalError> {
        let key: Vec<u8> = self.call(async |session: &mut Session| {
            let row = session.client.query_one(PEER_KEY, &[]).await?;
            row.try_get(0)
        })?;
        let database = &self.link.database;
        key.try_into().map_err(|_| {
            database.damaged("the key of the nodes' links isn't 32 bytes long".to_owned())
        })
    }

    fn members(&mut self) -> Result<Vec<Member>, JournalError> {
        self.call(async |session: &mut Session| {
            let rows = session.client.query(MEMBERS, &[]).await?;
            rows.iter()
                .map(|row| {
                    let number = |index: usize| row.try_get(index).map(i64::cast_unsigned);
                    let level = |index: usize| row.try_get(index).map(i32::cast_unsigned);
                    Ok(Member {
                        node: row.try_get(0)?,
                        run: number(1)?,
                        beat: number(2)?,
                        address: row.try_get(3)?,
                        reads_from: level(4)?,
                        reads_to: level(5)?,
                        applied: number(6)?,
                        version: row.try_get(7)?,
                    })
                })
                .collect()
        })
    }

    fn forget(&mut self, member: &Member) -> Result<bool, JournalError> {
        let (run, beat) = (member.run.cast_signed(), member.beat.cast_signed());
        let forgotten = self.call(async |session: &mut Session| {
            session
                .client
                .execute(FORGET, &[&member.node, &run, &beat])
                .await
        })?;
        Ok(forgotten == 1)
    }
}
