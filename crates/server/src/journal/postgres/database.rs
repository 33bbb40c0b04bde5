//! Where the database is, and what its errors mean.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::link::Trouble;
use super::seal::SealKey;
use super::tls::{self, Wanted};
use crate::journal::JournalError;

/// How long a connection may take to be made, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(2);
/// How long sent bytes may stay unacknowledged before a connection counts as lost, unless the URL says otherwise.
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);
/// Seconds of silence after which a connection is probed.
const PROBE: Duration = Duration::from_secs(10);
/// The longest name that PostgreSQL takes.
const SCHEMA_BYTES_MAX: usize = 63;
/// Batches that are kept although a checkpoint covers them, so that a follower which is a little behind finds them.
const KEPT: u64 = 10_000;

/// A schema of a PostgreSQL database.
#[derive(Clone)]
pub struct Database {
    pub(super) config: tokio_postgres::Config,
    pub(super) schema: String,
    pub(super) tls: MakeRustlsConnect,
    pub(super) seal: Option<Arc<SealKey>>,
    /// Batches that are kept although a checkpoint covers them.
    pub(super) kept: u64,
    /// What errors call it; without the password.
    pub(super) place: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.place).finish()
    }
}

/// Why that is no database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The URL can't be read.
    #[error(
        "the URL of the database can't be read: {0}; it looks like postgres://USER:PASSWORD@HOST/NAME"
    )]
    Url(String),
    /// The schema's name isn't plain.
    #[error(
        "{0:?} is no name for a schema; it has 1 to 63 lower-case letters, digits and underscores"
    )]
    Schema(String),
    /// The system has no certificates to trust.
    #[error(
        "the system's certificates can't be used: {0}; add sslmode=disable to the URL to do without TLS"
    )]
    Tls(String),
    /// The file of `sslrootcert` can't be used.
    #[error(
        "the file {} of sslrootcert can't be used: {detail}; it has certificates of authorities as PEM",
        path.display()
    )]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl Database {
    /// The schema of the database at that URL. Several hosts are tried in order until one takes writes.
    ///
    /// `sslmode` in the URL is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, and `sslrootcert` a file
    /// of certificates to trust in place of the system's. Without them TLS is used if the server offers it; not for
    /// hosts that are sockets or loopback. A certificate is always verified; `verify-ca` leaves the host's name out. Of
    /// the URL, `options` are kept; the search path, the isolation and `synchronous_commit = on` are added.
    ///
    /// # Errors
    ///
    /// A [`DatabaseError`]: the URL or the name can't be read, or TLS can't be used.
    pub fn new(url: &str, schema: &str) -> Result<Self, DatabaseError> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || schema.len() > SCHEMA_BYTES_MAX || !schema.chars().all(is_plain) {
            return Err(DatabaseError::Schema(schema.to_owned()));
        }
        let (url, wanted) = Wanted::of(url)?;
        let mut config: tokio_postgres::Config = url.parse().map_err(|error| {
            // Its own text tells which part; the URL itself has the password.
            DatabaseError::Url(with_causes(&error))
        })?;
        if config.get_hosts().is_empty() {
            return Err(DatabaseError::Url("it names no host".to_owned()));
        }
        if config.get_user().is_none() {
            return Err(DatabaseError::Url("it names no user".to_owned()));
        }
        let is_near = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost"
                    || name
                        .parse()
                        .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        });
        let is_left_out = is_near && wanted == Wanted::default();
        config.ssl_mode(match is_left_out {
            true => SslMode::Disable,
            false => wanted.mode.unwrap_or(SslMode::Prefer),
        });
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT));
        let unacknowledged = config.get_tcp_user_timeout().copied();
        config.tcp_user_timeout(unacknowledged.unwrap_or(UNACKNOWLEDGED));
        config.keepalives_idle(PROBE);
        config.keepalives_interval(PROBE / 2);
        config.keepalives_retries(2);
        if config.get_application_name().is_none() {
            config.application_name("abide");
        }
        // A statement ends there too if this side has gone. The limit doesn't hold for a commit, which must not be cut
        // short while it waits for a standby.
        let options = format!(
            "{} -c search_path={schema} -c synchronous_commit=on -c default_transaction_isolation=read\\ committed \
             -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
            config.get_options().unwrap_or_default()
        );
        config.options(options.trim());
        let hosts: Vec<_> = places(&config).collect();
        let name = config
            .get_dbname()
            .or(config.get_user())
            .unwrap_or("postgres");
        let place = format!("the schema {schema} of {name} on {}", hosts.join(", "));
        Ok(Self {
            schema: schema.to_owned(),
            tls: tls::connector(config.get_ssl_mode(), &wanted)?,
            config,
            seal: None,
            kept: KEPT,
            place,
        })
    }

    /// The same with bodies sealed under that key. What was written without it is still read.
    #[must_use]
    pub fn sealed(mut self, key: SealKey) -> Self {
        self.seal = Some(Arc::new(key));
        self
    }

    /// Whether bodies are sealed.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// What people call it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What a call's failure means if nothing was to be written, or if trying again is harmless.
    pub(super) fn away(&self, trouble: Trouble) -> JournalError {
        let place = self.place.clone();
        match trouble {
            Trouble::Connect(source) | Trouble::Lost(source) => {
                JournalError::Away { place, source }
            }
            Trouble::Refused(error) => {
                let is_passing = error.code().is_some_and(passes);
                let source = told(&error).into();
                if is_passing {
                    JournalError::Away { place, source }
                } else {
                    JournalError::Refused { place, source }
                }
            }
        }
    }

    pub(super) fn damaged(&self, detail: String) -> JournalError {
        JournalError::Damaged {
            place: self.place.clone(),
            detail,
        }
    }

    pub(super) fn superseded(&self, detail: String) -> JournalError {
        JournalError::Superseded {
            place: self.place.clone(),
            detail,
        }
    }

    pub(super) fn lost(&self, detail: String) -> JournalError {
        JournalError::LostByDatabase {
            place: self.place.clone(),
            detail,
        }
    }

    pub(super) fn missing(&self, from: u64, through: u64) -> JournalError {
        JournalError::Missing {
            place: self.place.clone(),
            from,
            through,
        }
    }
}

/// Whether an error of the database's passes by itself: it is short of something, is going down or coming up, takes no
/// writes at the moment, or found two transactions in each other's way.
fn passes(code: &SqlState) -> bool {
    let is_of = |classes: &[&str]| classes.contains(&&code.code()[..2]);
    is_of(&["08", "40", "53", "55", "57", "58"]) || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// The error's text with its causes': tokio-postgres tells "db error" alone.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The error's text, and what to do about it.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    let text = with_causes(error);
    match advice(error, &text) {
        "" => text,
        advice => format!("{text}; {advice}"),
    }
}

fn advice(error: &tokio_postgres::Error, text: &str) -> &'static str {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => "mend the password in the URL",
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "create the role there, or let it in by pg_hba.conf"
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            "create the database, or mend its name in the URL"
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            "let the role own the schema: CREATE SCHEMA … AUTHORIZATION …"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "raise max_connections there: each server opens four"
        }
        Some(_) => "",
        None if text.contains("password missing") => "add the password to the URL",
        None if text.contains("does not support TLS") => {
            "turn ssl on there, or add sslmode=disable to the URL"
        }
        None if text.contains("does not allow writes") => {
            "name the primary too, after a comma in the URL"
        }
        None => tls::advice(error).unwrap_or("start it, or mend its address in the URL"),
    }
}

/// The hosts, each with its port unless that is PostgreSQL's.
fn places(config: &tokio_postgres::Config) -> impl Iterator<Item = String> {
    let ports = config.get_ports();
    config.get_hosts().iter().enumerate().map(|(n, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        };
        // One port is that of all hosts.
        match ports.get(n).or(ports.first()) {
            None | Some(5432) => name,
            Some(port) => format!("{name}:{port}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let database =
            Database::new("postgres://ann:hush@a.example,b.example:5433/jobs", "abide").unwrap();
        assert_eq!(
            database.place(),
            "the schema abide of jobs on a.example, b.example:5433"
        );
        assert!(!format!("{database:?}").contains("hush"));
    }

    #[test]
    fn what_cannot_be_a_database_is_refused_with_what_would_be_right() {
        for (url, schema, said) in [
            (
                "postgres://ann:hush@x:port/jobs",
                "abide",
                "postgres://USER:PASSWORD@HOST/NAME",
            ),
            ("dbname=jobs", "abide", "names no host"),
            ("postgres://x/jobs", "abide", "names no user"),
            (
                "postgres://ann@x/jobs?sslmode=full",
                "abide",
                "verify-ca, verify-full",
            ),
            (
                "postgres://ann@x/jobs?sslmode=verify-ca",
                "abide",
                "needs sslrootcert",
            ),
            (
                "postgres://ann@x/jobs?sslrootcert=/no%20such/file",
                "abide",
                "the file /no such/file of sslrootcert",
            ),
            ("postgres://ann@x/jobs", "a-b", "no name for a schema"),
            ("postgres://ann@x/jobs", "", "no name for a schema"),
            (
                "postgres://ann@x/jobs",
                "a; DROP TABLE batch",
                "no name for a schema",
            ),
        ] {
            let error = Database::new(url, schema).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn tls_is_left_out_near_by_and_nowhere_else() {
        for (url, mode) in [
            ("postgres://ann@localhost/jobs", SslMode::Disable),
            ("postgres://ann@127.0.0.1/jobs", SslMode::Disable),
            ("postgres://ann@localhost,db.example/jobs", SslMode::Prefer),
            ("postgres://ann@db.example/jobs", SslMode::Prefer),
            (
                "postgres://ann@db.example/jobs?sslmode=verify-full",
                SslMode::Require,
            ),
            ("host=db.example user=ann sslmode=disable", SslMode::Disable),
            (
                "postgres://ann@localhost/jobs?sslmode=require",
                SslMode::Require,
            ),
        ] {
            assert_eq!(
                Database::new(url, "abide").unwrap().config.get_ssl_mode(),
                mode,
                "{url}"
            );
        }
    }
}
