//! A server on PostgreSQL: from its settings to the open journal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use abide_engine::entry::{LEVEL, LEVEL_READ_FROM, LEVEL_WRITTEN_FROM};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cluster::tcp::TcpNetwork;
use crate::cluster::{Membership, Settings};
use crate::config::{Config, Lead};
use crate::journal::{
    Admin, Database, DatabaseError, Journal as _, JournalError, PostgresJournal, SealKey,
};
use crate::server::{ServerError, random_bytes};

/// Why the settings of a database can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseSetupError {
    /// No database is configured.
    #[error("no database is named; give its URL with --database or ABIDE_DATABASE")]
    None,
    /// The URL or the schema's name can't be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The file of the key can't be read.
    #[error("{} can't be read: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file has no key.
    #[error("{} has no key: 32 bytes, or 64 hexadecimal digits; `openssl rand -hex 32` makes one", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The address for other nodes can't be listened at.
    #[error(
        "can't listen at {address} for other nodes: {source}; choose another address with --cluster-listen"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The cluster has forms that this program doesn't know.
    #[error(
        "the node {node} can't start: {place} has forms of level {level}, and this program reads levels {LEVEL_READ_FROM} to {LEVEL}; use a newer version of it"
    )]
    Level {
        /// The node.
        node: String,
        /// The database and schema.
        place: String,
        /// The level of the cluster.
        level: u32,
    },
    /// The cluster's older servers can't read what this program writes.
    #[error(
        "the node {node} can't start: forms of level {level} are written in {place}, and this program writes level {LEVEL_WRITTEN_FROM} or newer; stop all servers of the older version and run `abide cluster upgrade`"
    )]
    OldLevel {
        /// The node.
        node: String,
        /// The database and schema.
        place: String,
        /// The level of the cluster.
        level: u32,
    },
    /// A setting that all nodes share can't be used by this program.
    #[error(
        "the cluster's setting {name} can't be used: {detail}; change it with `abide cluster set`"
    )]
    Shared {
        /// The setting.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// The database that is configured, with the key of sealed bodies.
///
/// # Errors
///
/// A [`DatabaseSetupError`], or [`ServerError::NoRandomness`].
pub fn of_config(config: &Config) -> Result<Database, ServerError> {
    let url = config.database.as_ref().ok_or(DatabaseSetupError::None)?;
    let database = Database::new(url.reveal(), &config.schema).map_err(DatabaseSetupError::from)?;
    let Some(path) = &config.seal_key_file else {
        return Ok(database);
    };
    let file = std::fs::read(path).map_err(|source| DatabaseSetupError::KeyFile {
        path: path.clone(),
        source,
    })?;
    let key = SealKey::new(&file, random_bytes()?)
        .ok_or_else(|| DatabaseSetupError::Key { path: path.clone() })?;
    Ok(database.sealed(key))
}

/// Makes the tables of a cluster; `false` if there is one already. Blocks on the database.
///
/// # Errors
///
/// Those of [`of_config`] and of [`Admin::init`].
pub fn init(config: &Config) -> Result<bool, ServerError> {
    let mut admin = Admin::new(of_config(config)?);
    // Below 2^63, as the database keeps it.
    let life = u64::from_le_bytes(random_bytes()?) >> 1;
    Ok(admin.init(life, LEVEL, random_bytes()?)?)
}

/// Opens the journal. Settings that all nodes share are taken into the configuration. Blocks on the database.
///
/// # Errors
///
/// Those of [`of_config`] and of [`PostgresJournal::open`], and a [`DatabaseSetupError`] if the cluster has forms that
/// this program doesn't know, or servers that don't know this program's.
pub fn open_blocking(config: &mut Config) -> Result<PostgresJournal, ServerError> {
    let database = of_config(config)?;
    let run = u64::from_le_bytes(random_bytes()?);
    let journal = PostgresJournal::open(database.clone(), run)?;
    let (node, place) = (name(config), database.place().to_owned());
    match journal.level() {
        level if level > LEVEL => {
            return Err(DatabaseSetupError::Level { node, place, level }.into());
        }
        level if level < LEVEL_WRITTEN_FROM => {
            return Err(DatabaseSetupError::OldLevel { node, place, level }.into());
        }
        _ => {}
    }
    for (name, value) in Admin::new(database).settings()? {
        config
            .share(&name, &value)
            .map_err(|detail| DatabaseSetupError::Shared { name, detail })?;
    }
    Ok(journal)
}

/// As [`open_blocking`], off the tasks' threads.
pub(crate) async fn open(config: &mut Config) -> Result<PostgresJournal, ServerError> {
    let mut own = config.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let journal = open_blocking(&mut own)?;
        Ok::<_, ServerError>((journal, own))
    });
    let (journal, shared) = opened.await??;
    *config = shared;
    Ok(journal)
}

/// How the server takes part in the cluster of that journal: where it links, and under which name.
///
/// # Errors
///
/// The address for other nodes is taken, or the cluster's key can't be read.
pub(crate) async fn membership(
    config: &Config,
    mut journal: PostgresJournal,
) -> Result<(Membership, PostgresJournal), ServerError> {
    let run = journal.run();
    let read = move || {
        let shared = journal.shared().map(|shared| shared.lease());
        let key = shared.map(|mut lease| lease.peer_key()).transpose()?;
        Ok::<_, JournalError>((key.unwrap_or_default(), journal))
    };
    let (key, journal) = tokio::task::spawn_blocking(read).await??;
    let node = name(config);
    let network = TcpNetwork::new(key);
    let (address, incoming) = match &config.cluster_listen {
        None => (String::new(), mpsc::channel(1).1),
        Some(listen) => {
            let refused = |source| DatabaseSetupError::Listen {
                address: listen.clone(),
                source,
            };
            let listener = TcpListener::bind(listen).await.map_err(refused)?;
            let bound = listener.local_addr().map_err(refused)?;
            let reached = match bound.ip().is_unspecified() {
                true => format!("{node}:{}", bound.port()),
                false => bound.to_string(),
            };
            let address = config.cluster_advertise.clone().unwrap_or(reached);
            (address, network.accept(listener))
        }
    };
    let membership = Membership {
        settings: Settings {
            node,
            run,
            address,
            lease: config.lease.get(),
            may_lead: config.lead == Lead::Auto,
        },
        network: Arc::new(network),
        incoming,
    };
    Ok((membership, journal))
}

/// The node's name.
fn name(config: &Config) -> String {
    config.node.clone().unwrap_or_else(machine)
}

/// The machine's name.
fn machine() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_else(|_| "node".to_owned());
    name
}
