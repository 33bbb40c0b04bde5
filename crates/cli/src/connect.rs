//! From the common flags to a client, and from its errors to this program's words and codes.

use std::error::Error as _;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use abide::{Client, ClientBuilder, Error, JobHandle, Remote, RetryPolicy};
use abide_engine::JobKey;
use abide_wire::limits::PAGE_JOBS_MAX;
use anyhow::Context as _;
use clap::Args;

use crate::exit::{FAILED, Failure, STILL_RUNNING, UNREACHABLE, USAGE};
use crate::reach::Reach;
use crate::{output, url};

/// Where a server listens unless it is told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// How long making a connection may take before the server counts as not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The fewest characters that stand for an id.
const PART_MIN: usize = 4;
/// The most pages of jobs, the newest first, that are searched for an id.
const PART_PAGES_MAX: usize = 10;
/// The pauses after each look for a server that may just be starting, in milliseconds: half a second in all.
const START_PAUSES: [u64; 6] = [10, 20, 50, 100, 150, 170];

/// What every command that talks to a server takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Server URL; several, with commas between them, for the nodes of a cluster
    #[arg(
        long,
        global = true,
        env = "ABIDE_SERVER",
        default_value = DEFAULT_SERVER,
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// API key
    #[arg(
        long = "api-key",
        id = "api-key",
        global = true,
        env = "ABIDE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Vec<String>,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Another system's API, with the name under which it was asked for.
    #[arg(skip)]
    pub(crate) remote: Option<(String, Remote)>,
    /// The kind of the jobs there, which may stand in that API's paths.
    #[arg(skip)]
    pub(crate) kind: Option<String>,
}

impl Common {
    /// The flags that name the same server again; nothing for the default one.
    pub(crate) fn server_flag(&self) -> String {
        let server = (self.server != DEFAULT_SERVER).then_some(&self.server);
        let remote = self.remote.as_ref().map(|(name, _)| name);
        let flags = [
            ("server", server),
            ("remote", remote),
            ("kind", self.kind.as_ref()),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(flag, value)| Some(format!(" --{flag} {}", value?)));
        flags.collect()
    }

    /// The first server that was named.
    pub(crate) fn first_server(&self) -> &str {
        self.server.split(',').next().unwrap_or_default()
    }

    /// Whether no server was named.
    pub(crate) fn has_default_server(&self) -> bool {
        self.server == DEFAULT_SERVER
    }

    /// A client of the server that the flags name. Nothing is sent yet.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(self.client_with_memory(None)?.0)
    }

    /// The same, which keeps what it learns of durations in that directory, and what tells whether the server answers.
    pub(crate) fn client_with_memory(
        &self,
        state: Option<PathBuf>,
    ) -> Result<(Client, Reach), Failure> {
        let (mut builder, reach) = self.builder()?;
        if let Some(directory) = state {
            builder = builder.state_dir(directory);
        }
        let client = builder.build().map_err(|error| self.failure(&error))?;
        Ok((client, reach))
    }

    /// The same, which meets failures so, and what tells whether the server answers.
    pub(crate) fn client_with_retry(&self, retry: RetryPolicy) -> Result<(Client, Reach), Failure> {
        let (builder, reach) = self.builder()?;
        let client = builder.retry(retry).build();
        Ok((client.map_err(|error| self.failure(&error))?, reach))
    }

    fn builder(&self) -> Result<(ClientBuilder, Reach), Failure> {
        let reach = Reach::new(CONNECT_TIMEOUT);
        let mut servers = self.server.split(',').map(url::read_server);
        let first = servers.next().unwrap_or(Ok(String::new()))?;
        let more = servers.collect::<Result<Vec<_>, _>>()?;
        let mut builder = Client::builder(first)
            .servers(more)
            .transport(reach.clone());
        if let Some((_, remote)) = &self.remote {
            builder = builder.remote(remote.clone());
        }
        if let Some(key) = self.api_key.first() {
            builder = builder.api_key(key);
        }
        Ok((builder, reach))
    }

    /// The job that a whole id names, or the first or the last characters of one, if there is only one such job.
    ///
    /// # Errors
    ///
    /// Several jobs have such an id, or they can't be listed.
    pub(crate) async fn job(&self, client: &Client, text: &str) -> Result<JobHandle, Failure> {
        let is_part = text.len() >= PART_MIN
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_part || self.remote.is_some() || text.parse::<JobKey>().is_ok() {
            let job = client.job(text);
            return Ok(match &self.kind {
                Some(kind) => job.of_kind(kind),
                None => job,
            });
        }
        let mut found: Vec<String> = Vec::new();
        let mut list = client.list().page_size(PAGE_JOBS_MAX);
        for _ in 0..PART_PAGES_MAX {
            let page = match list.next_page().await {
                Ok(Some(page)) => page,
                Err(error) if error.is_unreachable() => return Err(self.failure(&error)),
                // A server that can't list jobs may still know this one.
                Ok(None) | Err(_) => break,
            };
            let ids = page.iter().map(|job| job.id.as_str());
            found.extend(ids.filter(|id| is_part_of(text, id)).map(str::to_owned));
        }
        match found.as_slice() {
            // Where nothing is like it, the server says so best.
            [] => Ok(client.job(text)),
            [id] => Ok(client.job(id.as_str())),
            [one, two, ..] => Err(Failure::new(
                USAGE,
                format!(
                    "{text} is a part of {} ids, such as {one} and {two}; write more of it",
                    found.len()
                ),
            )),
        }
    }

    /// Makes sure that a server listens where it should be, if that is this machine: there a server that isn't running
    /// is the likeliest fault by far, and to retry for half a minute is no help. Elsewhere the client finds out.
    ///
    /// It looks for a moment rather than once, so that `abide serve & abide create` works as it is written.
    pub(crate) async fn check_listening(&self) -> Result<(), Failure> {
        if self.server.contains(',') {
            // One of several that isn't running is none to speak of.
            return Ok(());
        }
        let Some(address) = loopback(&url::read_server(&self.server)?) else {
            return Ok(());
        };
        for pause in START_PAUSES {
            match tokio::net::TcpStream::connect(&address).await {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                // Whatever else may be wrong, the client says it better.
                _ => return Ok(()),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(self.not_running())
    }

    /// Has the server forget a webhook endpoint, and says so if it still knows it.
    pub(crate) async fn unregister(&self, client: &Client, id: &str) {
        if let Err(error) = client.webhooks().delete(id).await {
            let why = self.failure(&error);
            output::say(&format!("abide: {id} is still registered: {why}"));
        }
    }

    fn not_running(&self) -> Failure {
        if let Some((name, _)) = &self.remote {
            let why = format!(
                "nothing answers at {}; is it the address of {name}?",
                self.server
            );
            return Failure::new(UNREACHABLE, why);
        }
        let start = match loopback(&self.server).as_deref() {
            Some("127.0.0.1:8080" | "localhost:8080") => "abide serve".to_owned(),
            Some(address) => format!("abide serve --listen {address}"),
            None => {
                return Failure::new(
                    UNREACHABLE,
                    format!(
                        "nothing answers at {}; check the address and the network, or name another server with --server",
                        self.server
                    ),
                );
            }
        };
        Failure::new(
            UNREACHABLE,
            format!(
                "no server is running at {}; start one with `{start}`, or name another with --server or ABIDE_SERVER",
                self.server
            ),
        )
    }

    /// What the program says about that error, and the code with which it ends.
    pub(crate) fn failure(&self, error: &Error) -> Failure {
        let said = error.to_string();
        let code = exit_code(error);
        if let (Some(404), Some(id), None) = (error.status(), error.job_id(), &self.remote) {
            let detail = error
                .problem()
                .and_then(|problem| problem.detail.as_deref());
            let what = detail.unwrap_or("the server answered 404 Not Found");
            let advice = "check the id; a job that belongs to another API key isn't found either";
            return Failure::new(code, format!("job {id}: {what}; {advice}"));
        }
        let advice = match error.status() {
            _ if error.is_unreachable() && error.status().is_none() => {
                unreachable_advice(&self.server, &said)
            }
            Some(401) => {
                let key = match self.remote {
                    Some(_) => "--remote-key or ABIDE_REMOTE_KEY",
                    None => "--api-key or ABIDE_API_KEY",
                };
                match self.api_key.is_empty() {
                    true => format!("name a key with {key}"),
                    false => format!("the key of {key} isn't one of the server's"),
                }
            }
            Some(404) if self.remote.is_some() => "check the id".to_owned(),
            Some(404) if error.problem().is_none() => {
                format!("is {} the address of an abide server?", self.server)
            }
            _ if error.is_too_large() => match error.job_id() {
                None => "ask for fewer with --limit".to_owned(),
                Some(_) => return Failure::new(code, said),
            },
            _ if error.is_garbled() => {
                let why = error.source().map(|why| format!(": {why}"));
                let said = said + &why.unwrap_or_default();
                if error.is_unreadable() {
                    return Failure::new(code, said);
                }
                let server = &self.server;
                let system = match &self.remote {
                    Some((name, _)) => name,
                    None => "an abide server",
                };
                return Failure::new(
                    code,
                    format!("{said}; is {server} the address of {system}?"),
                );
            }
            status => match (error.retry_after(), status) {
                (Some(pause), _) => format!("it asks to be left alone for {} s", pause.as_secs()),
                (None, Some(502..=504)) => {
                    "it may be starting, or too busy: try again later".to_owned()
                }
                (None, _) => return Failure::new(code, said),
            },
        };
        Failure::new(code, format!("{said}; {advice}"))
    }
}

/// What to do where no answer came from that server, for that reason. The words are those of the TLS and HTTP
/// libraries.
fn unreachable_advice(server: &str, said: &str) -> String {
    if said.contains("InvalidContentType") {
        let plain = server.replacen("https://", "http://", 1);
        return format!("that port speaks no https; try {plain}");
    }
    if said.contains("invalid HTTP version parsed") && server.starts_with("http://") {
        let secure = server.replacen("http://", "https://", 1);
        return format!("that port may speak https; try {secure}");
    }
    if said.contains("invalid peer certificate") {
        return "if you trust that server, name the certificate of its authority with SSL_CERT_FILE".to_owned();
    }
    format!("is {server} the right address, and is the server running?")
}

/// The exit code that goes with an error of the client's.
pub(crate) fn exit_code(error: &Error) -> u8 {
    if error.is_usage() {
        USAGE
    } else if error.is_still_running() {
        STILL_RUNNING
    } else if error.is_failed() || error.is_canceled() {
        FAILED
    } else {
        UNREACHABLE
    }
}

/// Whether a text is the beginning of an id, with or without `job_`, or its end, as progress bars show it.
fn is_part_of(text: &str, id: &str) -> bool {
    let digits = id.strip_prefix("job_").unwrap_or(id);
    id.starts_with(text) || digits.starts_with(text) || id.ends_with(text)
}

/// Runs a command that talks to a server. One thread is plenty: it mostly waits.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(work)
}

/// Host and port of a plain-HTTP address on this machine.
fn loopback(server: &str) -> Option<String> {
    let rest = server.strip_prefix("http://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok())
        .map_or(authority, |(host, _)| host);
    let is_local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    let has_port = host.len() < authority.len();
    is_local.then(|| match has_port {
        true => authority.to_owned(),
        false => format!("{authority}:80"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_looked_at_beforehand() {
        let table = [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://localhost:9/", Some("localhost:9")),
            ("http://[::1]:7/v1?x", Some("[::1]:7")),
            ("http://127.0.0.1", Some("127.0.0.1:80")),
            ("https://127.0.0.1:8080", None),
            ("http://jobs.example.com:8080", None),
            (
                "http://127.example.com.evil",
                Some("127.example.com.evil:80"),
            ),
            ("job", None),
        ];
        for (server, expected) in table {
            assert_eq!(loopback(server).as_deref(), expected, "{server}");
        }
    }
}
