//! Making a client.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use abide_wire::{JobId, Timestamp};

use crate::budget::Budget;
use crate::client::{Client, Core, OnReport};
use crate::error::Error;
use crate::hub::Hub;
use crate::memory::Memory;
use crate::options::{Options, settings};
use crate::origin::{ATTEMPT_TIMEOUT, Origin, TIMEOUT};
use crate::remote::Remote;
use crate::report::Report;
use crate::retry::RetryBudget;
use crate::rng::Rng;
use crate::rt::Clock;
use crate::schedule::History;
use crate::transport::{Nodes, Transport};

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    ///
    /// A URL that isn't the `http` or `https` address of a server.
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// A client with other settings.
    pub fn builder(url: impl AsRef<str>) -> ClientBuilder {
        ClientBuilder::new(url.as_ref())
    }
}

/// Settings of a [`Client`].
///
/// | setting | default |
/// |---|---|
/// | [`api_key`](Self::api_key), [`header`](Self::header) | none |
/// | [`servers`](Self::servers) | none but the one |
/// | [`remote`](Self::remote) | our own API |
/// | [`user_agent`](Self::user_agent) | `abide/<version>` |
/// | [`connect_timeout`](Self::connect_timeout) | 5 s |
/// | [`attempt_timeout`](Self::attempt_timeout) of calls, and of waits that name none | 10 s |
/// | [`timeout`](Self::timeout) | 30 s |
/// | [`deadline`](Self::deadline) of waits that name none | none: such a wait goes on for as long as the server answers |
/// | [`retry`](Self::retry) of calls, and of waits that name none | [`RetryPolicy::default`](crate::RetryPolicy) |
/// | [`budget`](Self::budget) | 50 requests of waits a second |
/// | [`schedule`](Self::schedule) of waits that name none | [`Learned`](crate::schedule::Learned), by server and kind of job |
/// | [`dial`](Self::dial), [`max_interval`](Self::max_interval) of the learned schedule | balanced, none |
/// | [`state_dir`](Self::state_dir) | what is learned is kept in memory |
/// | [`transport`](Self::transport) | HTTP over TCP and TLS, by the feature `http` |
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    url: String,
    more: Vec<String>,
    headers: HeaderMap,
    api_key: Option<String>,
    remote: Option<Remote>,
    wrong: Option<Error>,
    connect_timeout: Duration,
    timeout: Duration,
    options: Options,
    budget: Budget,
    state_dir: Option<PathBuf>,
    history: Option<History>,
    transport: Option<Arc<dyn Transport>>,
    seed: Option<u64>,
    on_report: Option<OnReport>,
    wall: Option<Timestamp>,
}

impl ClientBuilder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            more: Vec::new(),
            headers: HeaderMap::new(),
            api_key: None,
            remote: None,
            wrong: None,
            connect_timeout: Duration::from_secs(5),
            timeout: TIMEOUT,
            options: Options::default(),
            budget: Budget::default(),
            state_dir: None,
            history: None,
            transport: None,
            seed: None,
            on_report: None,
            wall: None,
        }
    }

    settings! { deadline schedule dial max_interval retry attempt_timeout }

    /// Sends `Authorization: Bearer <key>`, or what a [`remote`](Self::remote) wants instead. The key appears in no
    /// log, error or token.
    pub fn api_key(mut self, key: impl AsRef<str>) -> Self {
        self.api_key = Some(key.as_ref().trim().to_owned());
        self
    }

    /// More addresses of the same server, if it is several nodes on one database. A node that can't be reached is left
    /// for another one at once. No read goes back for it, because reads of jobs name the revision that was seen. Only
    /// host and port of these addresses differ from the first one's. Default: none.
    pub fn servers(mut self, urls: impl IntoIterator<Item: Into<String>>) -> Self {
        self.more.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Speaks another API than ours. Default: ours.
    pub fn remote(mut self, remote: Remote) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Sends a header with every request.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let parsed = HeaderName::from_bytes(name.as_bytes());
        match (parsed, HeaderValue::from_str(value.as_ref())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(name == header::AUTHORIZATION || name == header::COOKIE);
                self.with_header(name, value)
            }
            _ => self.wrong(Error::usage(format!("the header {name:?} can't be sent"))),
        }
    }

    /// Who asks, for the server's logs. Default: `abide/` and the version of this crate.
    pub fn user_agent(self, name: impl AsRef<str>) -> Self {
        self.header("user-agent", name)
    }

    /// The most that making a connection may take. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The most that one call (create, status, cancel, list, delete) may take, with all its retries. Waits have
    /// [deadlines](Self::deadline) instead. Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What all waits may send together. Give clones of one budget to several clients, and they share it. Default: 50
    /// requests a second for this client.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = budget.clone();
        self
    }

    /// A directory that keeps what is learned of how long jobs take, a few kilobytes per kind of job, so that the next
    /// process needn't learn it anew. Several processes may share one. It is read when the client is built and written
    /// by [`Client::save_history`]. Default: none.
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(directory.into());
        self
    }

    /// Learns from and for that history, which others may share, instead of one of its own. A
    /// [`state_dir`](Self::state_dir) is not read then. Default: none.
    pub fn history(mut self, history: &History) -> Self {
        self.history = Some(history.clone());
        self
    }

    /// What sends requests. Default: HTTP over TCP and TLS, by the feature `http`. With a transport of your own
    /// [`connect_timeout`](Self::connect_timeout) is its business.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Makes all random numbers (jitter, idempotency keys) repeat, for a test. Default: seeded by the operating system.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What this machine's clock shows, instead of what it shows in truth; for simulations, no part of the interface.
    #[doc(hidden)]
    pub const fn wall(mut self, wall: Timestamp) -> Self {
        self.wall = Some(wall);
        self
    }

    /// Calls this with the report of every wait and watch that ended or gave up, for metrics.
    pub fn on_report(
        mut self,
        on_report: impl Fn(&JobId, &Report) + Send + Sync + 'static,
    ) -> Self {
        self.on_report = Some(Box::new(on_report));
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// A URL that isn't the `http` or `https` address of a server, a header that can't be sent, or a [`Remote`] that
    /// can't be right.
    pub fn build(mut self) -> Result<Client, Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let base = address(&self.url)?;
        if let Some(mistake) = self.remote.as_ref().and_then(Remote::mistake) {
            return Err(Error::usage(format!(
                "the remote is described wrongly: {mistake}"
            )));
        }
        if let Some(key) = &self.api_key {
            let (name, value) = key_header(self.remote.as_ref(), key)?;
            self.headers.insert(name, value);
        }
        for (name, value) in self.remote.iter().flat_map(|remote| &remote.headers) {
            let wrong = || Error::usage(format!("the header {name:?} can't be sent"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            self.headers.entry(name).or_insert(value);
        }
        let agent = concat!("abide/", env!("CARGO_PKG_VERSION"));
        self.headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(agent));
        let clock = self.wall.map_or_else(Clock::start, Clock::showing);
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport(&base, self.connect_timeout)?,
        };
        let transport = match self.more.is_empty() {
            true => transport,
            false => several(&base, &self.more, transport)?,
        };
        let history = match (self.history, &self.state_dir) {
            (Some(history), _) => history,
            (None, Some(directory)) => History::open(directory, clock.time_of_day()),
            (None, None) => History::new(),
        };
        let origin = Origin {
            base,
            headers: self.headers,
            transport,
            clock,
            rng: Rng::new(self.seed),
            memory: Memory::default(),
            retry: self.options.retry.clone().unwrap_or_default(),
            retry_budget: RetryBudget::default(),
            budget: self.budget,
            attempt_timeout: self.options.attempt_timeout.unwrap_or(ATTEMPT_TIMEOUT),
            timeout: self.timeout,
        };
        if self.remote.is_some() {
            origin.memory.only_polls();
        }
        let origin = Arc::new(origin);
        Ok(Client {
            core: Arc::new(Core {
                hub: Hub::new(Arc::clone(&origin)),
                remote: self.remote.map(Arc::new),
                origin,
                options: self.options,
                on_report: self.on_report,
                history,
                directory: self.state_dir,
            }),
        })
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn wrong(mut self, error: Error) -> Self {
        self.wrong.get_or_insert(error);
        self
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

/// The header that carries the key, marked so that nothing logs it.
fn key_header(remote: Option<&Remote>, key: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let (name, prefix) = remote.map_or(("authorization", "Bearer "), |remote| {
        (remote.key_header.as_str(), remote.key_prefix.as_str())
    });
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| {
        Error::usage(format!("the header {name:?} can't be sent")).because(error)
    })?;
    let mut value = HeaderValue::from_str(&format!("{prefix}{key}"))
        .map_err(|_| Error::usage("an API key must be visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The transport of a client that names none.
fn default_transport(base: &Url, connect_timeout: Duration) -> Result<Arc<dyn Transport>, Error> {
    if cfg!(not(feature = "tls")) && base.scheme() == "https" {
        return Err(Error::usage(
            "https needs the feature `tls-ring` of abide, or `tls` and a provider of cryptography of your own",
        ));
    }
    #[cfg(feature = "http")]
    return Ok(Arc::new(crate::transport::Http::new(connect_timeout)));
    #[cfg(not(feature = "http"))]
    {
        let _ = connect_timeout;
        Err(Error::usage(
            "without the feature `http` a client needs a `transport`",
        ))
    }
}

/// The same transport, to several nodes.
fn several(
    base: &Url,
    more: &[String],
    transport: Arc<dyn Transport>,
) -> Result<Arc<dyn Transport>, Error> {
    let mut servers = vec![base.clone()];
    for text in more {
        let url = address(text)?;
        if url.path() != base.path() {
            let said = format!("the path of {url} is another one than that of {base}");
            return Err(Error::usage(said));
        }
        servers.push(url);
    }
    let nodes = Nodes::new(transport, servers.into_iter());
    let nodes = nodes.ok_or_else(|| Error::usage("an address can't be sent to"))?;
    Ok(Arc::new(nodes))
}

fn address(text: &str) -> Result<Url, Error> {
    // Whatever stands before an `@` may be a password, and errors end up in logs.
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let no_address = || format!("{shown:?} is not an address such as http://127.0.0.1:8080");
    let mut url = Url::parse(text).map_err(|error| Error::usage(no_address()).because(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Error::usage(no_address()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage(
            "an address with a name or a password in it would end up in logs: use `api_key`",
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}
