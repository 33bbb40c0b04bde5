//! Carries a log between a directory and a PostgreSQL database, and reads one whole.
//!
//! Ids, numbers of entries, secrets, idempotency keys, deliveries and the places of feeds stay what they are: the state
//! is written as a checkpoint for the last entry, under the life that the log has.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use abide_engine::{Engine, Policy};

use crate::config::Config;
use crate::database::of_config;
use crate::driver::load;
use crate::journal::{Admin, Journal, JournalError, PostgresJournal, SqliteJournal};
use crate::server::{ServerError, VIEWS};

/// A state that was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The last entry that it has.
    pub seq: u64,
    /// How many parts it has.
    pub parts: usize,
    /// SHA-256 of all parts, in hexadecimal digits: equal states have equal ones, wherever they are stored.
    pub digest: String,
}

/// Why nothing was carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The directory isn't there.
    #[error("{} has no jobs; name the directory that a server had with --data", .0.display())]
    NoDirectory(PathBuf),
    /// The cluster has jobs of its own.
    #[error("{place} has entries already; import into a fresh cluster, made with another --schema")]
    NotEmpty {
        /// The database and schema.
        place: String,
    },
    /// What was written isn't what was read.
    #[error(
        "the copy differs: it has the digest {found}, and the original {wanted}; the original is as it was"
    )]
    Differs {
        /// Of what was read.
        wanted: String,
        /// Of what was written.
        found: String,
    },
    /// A journal can't be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The database can't be used.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Reads the whole log of the cluster that is configured, and checks every checksum on the way. Blocks.
///
/// # Errors
///
/// Those of reading, of which the first ends it.
pub fn read_cluster(config: &Config) -> Result<State, TransferError> {
    let mut journal = PostgresJournal::open(of_config(config)?, 0)?;
    Ok(state_of(&mut journal)?.1)
}

/// Brings the log of a directory into the cluster that is configured, which must be new. No server may be using the
/// directory; it stays as it is. Blocks.
///
/// # Errors
///
/// A [`TransferError`]. What was written until then isn't used: the cluster is still empty.
pub fn import(config: &Config, directory: &Path) -> Result<State, TransferError> {
    if !directory.join("journal.db").exists() {
        return Err(TransferError::NoDirectory(directory.to_owned()));
    }
    let mut source = SqliteJournal::open(directory, VIEWS, 0)?;
    let (engine, state) = state_of(&mut source)?;
    let database = of_config(config)?;
    let mut admin = Admin::new(database.clone());
    let standing = admin.standing()?;
    if (standing.batch, standing.seq) != (0, 0) {
        return Err(TransferError::NotEmpty {
            place: database.place().to_owned(),
        });
    }
    admin.rename(source.life())?;
    let mut target = PostgresJournal::open(database, 0)?;
    write(&mut target, &engine, state.seq)?;
    is_same(&state, state_of(&mut target)?.1)
}

/// Takes the log of the cluster that is configured to a new directory, as of its last entry. Blocks.
///
/// # Errors
///
/// A [`TransferError`].
pub fn export(config: &Config, directory: &Path) -> Result<State, TransferError> {
    if fs::read_dir(directory).is_ok_and(|mut found| found.next().is_some()) {
        let path = directory.to_owned();
        return Err(JournalError::NotEmpty { path }.into());
    }
    let mut source = PostgresJournal::open(of_config(config)?, 0)?;
    let (engine, state) = state_of(&mut source)?;
    {
        let mut target = SqliteJournal::open(directory, VIEWS, source.life())?;
        target.begin_after(state.seq)?;
        write(&mut target, &engine, state.seq)?;
    }
    // Opened again, as a server would.
    let mut target = SqliteJournal::open(directory, VIEWS, 0)?;
    is_same(&state, state_of(&mut target)?.1)
}

fn write(journal: &mut dyn Journal, engine: &Engine, seq: u64) -> Result<(), JournalError> {
    let parts = engine.all_parts();
    let mut changes = parts
        .iter()
        .map(|(key, part)| (key.to_string(), Some(part.encode())));
    journal.checkpoints().write(seq, &mut changes)
}

fn state_of(journal: &mut dyn Journal) -> Result<(Engine, State), JournalError> {
    let engine = load(journal, Policy::default())?.engine;
    let parts = engine.all_parts();
    let mut digest = Sha256::new();
    for (key, part) in &parts {
        let (key, body) = (key.to_string(), part.encode());
        for bytes in [key.as_bytes(), &body] {
            digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(bytes);
        }
    }
    let digest = digest.finalize();
    let state = State {
        seq: journal.last_seq(),
        parts: parts.len(),
        digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Ok((engine, state))
}

fn is_same(wanted: &State, found: State) -> Result<State, TransferError> {
    if *wanted == found {
        return Ok(found);
    }
    Err(TransferError::Differs {
        wanted: wanted.digest.clone(),
        found: found.digest,
    })
}
