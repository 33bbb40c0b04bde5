//! What the server says of itself at its start and at its end: lines for people, or records where the log is JSON.

use std::collections::BTreeSet;
use std::path::PathBuf;

use abide_server::Server;
use abide_server::config::{ApiKey, Config, LogFormat, Role};

use crate::output;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Says that the server listens, where, on what data and for which keys. The first line ends with the URL.
pub(crate) fn started(server: &Server) {
    let config = &server.state().config;
    let url = url(server);
    let data = data(config, server.restored());
    let keys = keys(config);
    match config.log_format {
        LogFormat::Json => tracing::info!(
            version = VERSION,
            url,
            dashboard = format!("{url}/"),
            reference = format!("{url}/docs"),
            data,
            jobs_restored = server.restored(),
            keys = config.api_keys.len(),
            "listening"
        ),
        LogFormat::Text => output::say(&format!(
            "abide {VERSION}: listening on {url}\n\
             abide: dashboard {url}/, reference {url}/docs\n\
             abide: {data}\n\
             abide: {keys}"
        )),
    }
    for (name, address) in &config.listen.dialects {
        match config.log_format {
            LogFormat::Json => tracing::info!(dialect = name, %address, "listening"),
            LogFormat::Text => output::say(&format!("abide: {name} at http://{address}")),
        }
    }
}

/// Names the files that settings came from: those in the working directory are read without being asked for.
pub(crate) fn settings(config: &Config, files: &BTreeSet<PathBuf>) {
    for file in files {
        let path = file.display();
        match config.log_format {
            LogFormat::Json => tracing::info!(file = %path, "settings were read"),
            LogFormat::Text => output::say(&format!("abide: settings of {path}")),
        }
    }
}

/// Says that the server was told to stop.
pub(crate) fn stopping(config: &Config) {
    match config.log_format {
        LogFormat::Json => tracing::info!(drain = %config.drain, "stopping"),
        LogFormat::Text => output::say(&format!(
            "abide: stopping; what is in flight has up to {}",
            config.drain
        )),
    }
}

/// Says that the server has ended in good order.
pub(crate) fn stopped(format: LogFormat) {
    match format {
        LogFormat::Json => tracing::info!("stopped"),
        LogFormat::Text => output::say("abide: stopped"),
    }
}

/// The server's address as a URL.
pub(crate) fn url(server: &Server) -> String {
    let scheme = match server.state().config.tls_cert {
        Some(_) => "https",
        None => "http",
    };
    format!("{scheme}://{}", server.address())
}

fn data(config: &Config, restored: usize) -> String {
    if config.ephemeral {
        return "data in memory, forgotten at the end".to_owned();
    }
    let jobs = if restored == 1 { "job" } else { "jobs" };
    if let Some(database) = &config.database {
        let schema = &config.schema;
        return format!("data in {database}, schema {schema}, {restored} {jobs} restored");
    }
    let path: PathBuf = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    format!("data in {}, {restored} {jobs} restored", path.display())
}

fn keys(config: &Config) -> String {
    let is_admin = |key: &&ApiKey| key.role == Role::Admin;
    let admins = config.api_keys.iter().filter(is_admin).count();
    match (config.api_keys.len(), admins) {
        (0, _) if config.listen.is_loopback() => {
            "no API key: every program on this machine has full access".to_owned()
        }
        (0, _) => "no API key: everyone who reaches this address has full access".to_owned(),
        (1, 0) => "1 API key, no admin: simulator, clock and metrics are closed".to_owned(),
        (1, _) => "1 API key, an admin's".to_owned(),
        (all, 0) => format!("{all} API keys, no admin: simulator, clock and metrics are closed"),
        (all, admins) => format!("{all} API keys, {admins} of the role admin"),
    }
}
