//! Group commit and nothing else: records are gathered while the disk syncs the ones before.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{LimitArgs, Store};

/// The most records in one commit.
const BATCH: usize = 1_024;

/// The door to the one writer.
#[derive(Clone, Debug)]
pub(crate) struct Commits(mpsc::Sender<(Bytes, oneshot::Sender<()>)>);

impl Commits {
    /// Opens the store that was asked for, where one was.
    pub(super) fn open(arguments: &LimitArgs) -> anyhow::Result<Option<Self>> {
        let Some(sort) = arguments.store else {
            return Ok(None);
        };
        let directory = arguments.data.as_deref().context("a store needs --data")?;
        let mut writer = Writer::open(sort, directory)?;
        let (sender, mut receiver) = mpsc::channel::<(Bytes, oneshot::Sender<()>)>(8_192);
        tokio::task::spawn_blocking(move || {
            let mut batch = Vec::new();
            while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
                writer.commit(batch.iter().map(|(record, _)| record.as_ref()))?;
                for (_, done) in batch.drain(..) {
                    // The client may have gone.
                    let _gone = done.send(());
                }
            }
            anyhow::Ok(())
        });
        Ok(Some(Self(sender)))
    }

    /// Returns once the record is durable.
    pub(super) async fn commit(&self, record: Bytes) {
        let (done, wait) = oneshot::channel();
        if self.0.send((record, done)).await.is_ok() {
            let _ended = wait.await;
        }
    }
}

/// A store that is written by one hand, a batch at a time.
#[derive(Debug)]
pub(crate) enum Writer {
    /// SQLite.
    Sqlite {
        /// The file.
        file: Connection,
        /// The last key.
        last: i64,
    },
    /// A plain file.
    Log(File),
}

impl Writer {
    /// A new store in that directory.
    pub(crate) fn open(sort: Store, directory: &Path) -> anyhow::Result<Self> {
        Ok(match sort {
            Store::Sqlite => {
                let file = Connection::open(directory.join("limit.db"))?;
                file.pragma_update(None, "journal_mode", "wal")?;
                file.pragma_update(None, "synchronous", "full")?;
                file.execute_batch(
                    "CREATE TABLE entry (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
                )?;
                Self::Sqlite { file, last: 0 }
            }
            Store::Log => {
                let mut options = File::options();
                options.create_new(true).append(true);
                Self::Log(options.open(directory.join("limit.log"))?)
            }
        })
    }

    /// Makes a batch durable.
    pub(crate) fn commit<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Sqlite { file, last } => {
                let transaction = file.transaction()?;
                {
                    let mut insert = transaction
                        .prepare_cached("INSERT INTO entry (seq, body) VALUES (?1, ?2)")?;
                    for record in records {
                        *last += 1;
                        insert.execute(params![*last, record])?;
                    }
                }
                transaction.commit()?;
            }
            Self::Log(file) => {
                let mut bytes = Vec::new();
                for record in records {
                    bytes.extend_from_slice(&u32::try_from(record.len())?.to_le_bytes());
                    bytes.extend_from_slice(record);
                }
                file.write_all(&bytes)?;
                file.sync_data()?;
            }
        }
        Ok(())
    }
}
