//! What `abide cluster` does with the tables.

use std::sync::Arc;

use super::database::Database;
use super::lease::PostgresLease;
use super::link::{ANSWER, ANSWER_MUCH, Link, Session, Trouble};
use super::log::{FORMAT, not_there};
use super::parts::Found;
use crate::journal::{JournalError, Leading, Lease as _, Member};

const TABLES: &str = include_str!("tables.sql");

/// Makes and looks at a cluster's tables. Calls block.
#[derive(Debug)]
pub struct Admin {
    link: Link,
}

/// How a cluster stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which log this is.
    pub life: u64,
    /// The newest level of stored forms that may be written.
    pub level: u32,
    /// What the database has lost and no operator has accepted yet.
    pub lost: Option<String>,
    /// Who leads.
    pub leading: Leading,
    /// The nodes.
    pub members: Vec<Member>,
    /// The number of the last batch.
    pub batch: u64,
    /// The term of the last batch.
    pub term: u64,
    /// The sequence number of the last entry.
    pub seq: u64,
    /// The number of the oldest batch that isn't forgotten.
    pub oldest_batch: u64,
    /// The last batch that the checkpoint covers.
    pub checkpoint_batch: u64,
    /// The entry that the checkpoint stands for.
    pub checkpoint_seq: u64,
    /// How many parts the checkpoint has.
    pub parts: u64,
}

/// What a database promises of what it acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// PostgreSQL's version.
    pub version: String,
    /// Whether it waits for its disk.
    pub fsync: bool,
    /// Whether torn pages are mended.
    pub full_page_writes: bool,
    /// The standbys that a commit waits for; empty if a failover may lose what was acknowledged.
    pub synchronous_standby_names: String,
}

impl Admin {
    /// On that schema. Nothing is connected yet.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            link: Link::new(Arc::new(database)),
        }
    }

    fn call<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, JournalError> {
        let done = self.link.call(ANSWER_MUCH, work);
        done.map_err(|trouble| not_there(&self.link.database, trouble))
    }

    /// Makes the tables of an empty cluster, and the schema if it isn't there, in one transaction. `false` if there is
    /// a cluster already; it stays as it is.
    ///
    /// `life` and `peer_key` are random; the life is below 2^63.
    ///
    /// # Errors
    ///
    /// [`JournalError::Away`], or [`JournalError::Refused`] if the role may not or the schema has other tables.
    pub fn init(
        &mut self,
        life: u64,
        level: u32,
        peer_key: [u8; 32],
    ) -> Result<bool, JournalError> {
        let schema = self.link.database.schema.clone();
        let (life, level) = (life.cast_signed(), level.cast_signed());
        self.call(async |session: &mut Session| {
            let making = session.client.transaction().await?;
            let there = making
                .query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&format!("{schema}.cluster")])
                .await?;
            if there.try_get(0)? {
                return Ok(false);
            }
            let make = format!("CREATE SCHEMA IF NOT EXISTS {schema}; {TABLES}");
            making.batch_execute(&make).await?;
            making
                .execute(
                    "INSERT INTO cluster (format, life, level, settings, peer_key) VALUES ($1, $2, $3, '{}', $4)",
                    &[&FORMAT, &life, &level, &peer_key.as_slice()],
                )
                .await?;
            making
                .execute("INSERT INTO leader (term, run) VALUES (0, 0)", &[])
                .await?;
            Found::begin_with(&making).await?;
            making.commit().await?;
            Ok(true)
        })
    }

    /// What the database promises.
    ///
    /// # Errors
    ///
    /// [`JournalError::Away`] or [`JournalError::Refused`].
    pub fn health(&mut self) -> Result<Health, JournalError> {
        self.call(async |session: &mut Session| {
            let row = session
                .client
                .query_one(
                    "SELECT current_setting('server_version'), current_setting('fsync') = 'on', \
                     current_setting('full_page_writes') = 'on', current_setting('synchronous_standby_names')",
                    &[],
                )
                .await?;
            Ok(Health {
                version: row.try_get(0)?,
                fsync: row.try_get(1)?,
                full_page_writes: row.try_get(2)?,
                synchronous_standby_names: row.try_get(3)?,
            })
        })
    }

    /// How the cluster stands.
    ///
    /// # Errors
    ///
    /// [`JournalError::Away`], or [`JournalError::NoCluster`].
    pub fn standing(&mut self) -> Result<Standing, JournalError> {
        let (cluster, end, found) = self.call(async |session: &mut Session| {
            let client = &session.client;
            let row = client
                .query_one("SELECT life, level, lost FROM cluster", &[])
                .await?;
            let cluster: (i64, i32, Option<String>) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let row = client
                .query_opt(
                    "SELECT n, term, first + count - 1, (SELECT min(n) FROM batch) FROM batch \
                     ORDER BY n DESC LIMIT 1",
                    &[],
                )
                .await?;
            let end: Option<[i64; 4]> = row
                .map(|row| {
                    Ok([
                        row.try_get(0)?,
                        row.try_get(1)?,
                        row.try_get(2)?,
                        row.try_get(3)?,
                    ])
                })
                .transpose()?;
            Ok((cluster, end, Found::read(client).await?))
        })?;
        let mut lease = PostgresLease::new(self.link.another(), cluster.0.cast_unsigned());
        let [batch, term, seq, oldest_batch] =
            end.unwrap_or([0, 0, found.seq, 0]).map(i64::cast_unsigned);
        Ok(Standing {
            life: cluster.0.cast_unsigned(),
            level: cluster.1.cast_unsigned(),
            lost: cluster.2,
            leading: lease.leading()?,
            members: lease.members()?,
            batch,
            term,
            seq,
            oldest_batch,
            checkpoint_batch: found.batch.cast_unsigned(),
            checkpoint_seq: found.seq.cast_unsigned(),
            parts: found.parts.cast_unsigned(),
        })
    }

    /// Lets forms of that level be written from the next leader on; a level never falls.
    ///
    /// # Errors
    ///
    /// As of [`standing`](Self::standing).
    pub fn raise_level(&mut self, level: u32) -> Result<(), JournalError> {
        let level = level.cast_signed();
        self.call(async |session: &mut Session| {
            let raise = "UPDATE cluster SET level = greatest(level, $1)";
            session.client.execute(raise, &[&level]).await
        })
        .map(|_one| ())
    }

    /// The settings that all nodes share, by name.
    ///
    /// # Errors
    ///
    /// As of [`standing`](Self::standing).
    pub fn settings(&mut self) -> Result<Vec<(String, String)>, JournalError> {
        self.call(async |session: &mut Session| {
            let rows = session
                .client
                .query(
                    "SELECT key, value FROM cluster, jsonb_each_text(settings) ORDER BY key",
                    &[],
                )
                .await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect()
        })
    }

    /// Shares that setting among all nodes, or leaves it to each node's own configuration again. Nodes read it when
    /// they start.
    ///
    /// # Errors
    ///
    /// As of [`standing`](Self::standing).
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), JournalError> {
        self.call(async |session: &mut Session| match value {
            Some(value) => {
                let set = "UPDATE cluster SET settings = settings || jsonb_build_object($1::text, $2::text)";
                session.client.execute(set, &[&name, &value]).await
            }
            None => {
                let unset = "UPDATE cluster SET settings = settings - $1::text";
                session.client.execute(unset, &[&name]).await
            }
        })
        .map(|_one| ())
    }

    /// Continues without what the database has lost: nodes start again, and the log has another life, so that no feed
    /// goes on from a place that is gone. What was lost, if anything was noticed.
    ///
    /// # Errors
    ///
    /// As of [`standing`](Self::standing).
    pub fn accept_loss(&mut self, life: u64) -> Result<Option<String>, JournalError> {
        let life = life.cast_signed();
        self.call(async |session: &mut Session| {
            let accepting = session.client.transaction().await?;
            let row = accepting
                .query_one("SELECT lost FROM cluster FOR UPDATE", &[])
                .await?;
            let lost: Option<String> = row.try_get(0)?;
            if lost.is_some() {
                accepting
                    .execute("UPDATE cluster SET lost = NULL, life = $1", &[&life])
                    .await?;
                accepting.commit().await?;
            }
            Ok(lost)
        })
    }

    /// Goes on as the log of that life; for a log that was brought from elsewhere.
    ///
    /// # Errors
    ///
    /// As of [`standing`](Self::standing).
    pub fn rename(&mut self, life: u64) -> Result<(), JournalError> {
        let life = life.cast_signed();
        self.call(async |session: &mut Session| {
            session
                .client
                .execute("UPDATE cluster SET life = $1", &[&life])
                .await
        })
        .map(|_one| ())
    }
}

/// Notes that the database has lost something of the log of that life, so that no node goes on as if nothing had
/// happened. Nothing is noted where the loss was accepted since: the log has another life then.
pub(super) fn note_loss(link: &mut Link, life: u64, detail: &str) {
    let noted = link.block_on(async |link: &mut Link| {
        note_loss_here(link, life, detail).await;
        Ok(())
    });
    if let Err(trouble) = noted {
        not_noted(link, trouble);
    }
}

/// The same on the caller's runtime.
pub(super) async fn note_loss_here(link: &mut Link, life: u64, detail: &str) {
    let life = life.cast_signed();
    let note = async |session: &mut Session| {
        let note = "UPDATE cluster SET lost = coalesce(lost, $1::text) WHERE life = $2";
        session.client.execute(note, &[&detail, &life]).await
    };
    if let Err(trouble) = link.call_here(ANSWER, note).await {
        not_noted(link, trouble);
    }
}

fn not_noted(link: &Link, trouble: Trouble) {
    let error = link.database.away(trouble);
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the loss could not be noted; check before a node starts again"
    );
}
