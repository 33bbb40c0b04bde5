//! The guard against requests forged on the server's behalf.
//!
//! A client that may register a webhook can make this server send a request to an address of its choice, from inside
//! the network that the server stands in. So every address is judged, and by one rule only: **what counts is the
//! address that is about to be dialled**. A name is judged by none of its spellings and by no earlier answer of the
//! name server; each answer is judged at each dial, and an address that leads to another one (mapped, 6to4, Teredo,
//! NAT64) is judged by both.
//!
//! ```text
//! registration   [`Target::parse`]   scheme, no user info, a host; an IP literal or `localhost` is judged at once
//! each dial      [`Guard::dialable`] the resolver's answers, filtered; the socket connects to those addresses and no others
//! ```
//!
//! What is refused is what isn't the public internet ([`class`]). [`Allow`] opens more: networks, and names whose
//! answers are trusted whatever they are. A server without keys that listens on loopback may call loopback, because
//! every client that can reach it could do the same; but not behind a proxy, whose clients are elsewhere. None calls
//! itself.

pub mod class;
pub mod names;
pub mod resolve;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use abide_wire::limits;
use ipnet::IpNet;
use url::{Host, Url};

use crate::config::{Config, WebhookAllow};

pub use class::{Class, class_of};
pub use names::Names;
pub use resolve::{Resolve, ScriptedResolver, SystemResolver};

/// What may be called beyond the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    networks: Vec<IpNet>,
    /// Lower case, without a trailing dot.
    hosts: Vec<String>,
}

impl Allow {
    /// Nothing beyond the public internet, not even loopback.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Loopback beside the public internet: what a server that listens on loopback may call.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = ipnet::Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).expect("8 is at most 32");
        let v6 = ipnet::Ipv6Net::new(Ipv6Addr::LOCALHOST, 128).expect("128 is at most 128");
        Self {
            networks: vec![v4.into(), v6.into()],
            hosts: Vec::new(),
        }
    }

    /// What the configuration opens: loopback where every client is on this machine, and what `--webhook-allow` says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let is_near = config.listen.is_loopback() && config.trusted_proxy.is_empty();
        let mut allow = match is_near && config.api_keys.is_empty() {
            true => Self::loopback(),
            false => Self::none(),
        };
        for opening in &config.webhook_allow {
            allow = match opening {
                WebhookAllow::None => Self::none(),
                WebhookAllow::Network(network) => allow.network(*network),
                WebhookAllow::Host(host) => allow.host(host),
            };
        }
        allow
    }

    /// Opens a network.
    #[must_use]
    pub fn network(mut self, network: IpNet) -> Self {
        self.networks.push(network);
        self
    }

    /// Trusts a name: whatever its answers are.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.hosts.push(without_dot(name).to_ascii_lowercase());
        self
    }

    fn has_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed == host)
    }

    fn has_network(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// Why a receiver is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL at all; zone ids and impossible ports are among these.
    #[error("the URL can't be read: {0}")]
    Url(String),
    /// Too long.
    #[error("the URL must be at most {} bytes long", limits::URL_BYTES_MAX)]
    Length,
    /// Neither `http` nor `https`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// `http://user:password@host`, which hides the host from a reader and not the password.
    #[error("the URL must not hold a user name or a password")]
    UserInfo,
    /// This server, which would be told of its own jobs without end.
    #[error("{0} leads to this server itself")]
    Own(String),
    /// An address that may not be called.
    #[error("{host} leads to {address}, a {class} address that this server doesn't call")]
    Address {
        /// The host as the URL has it.
        host: String,
        /// Where it leads.
        address: IpAddr,
        /// What is wrong with that.
        class: Class,
    },
}

/// A URL that may be registered. Whether it may be called is decided again at each dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(Url);

impl Target {
    /// Reads a receiver's URL as browsers do, so that every spelling of an address is seen as that address.
    ///
    /// The fragment is dropped and a dot after the host too.
    ///
    /// # Errors
    ///
    /// Why it is refused. A name is not resolved here: its answer now would say nothing about its answer later.
    pub fn parse(text: &str, guard: &Guard) -> Result<Self, Refused> {
        if text.len() > limits::URL_BYTES_MAX {
            return Err(Refused::Length);
        }
        let mut url = Url::parse(text).map_err(|error| Refused::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        url.set_fragment(None);
        let port = url.port_or_known_default().unwrap_or_default();
        if port == 0 {
            return Err(Refused::Url("nothing can listen on port 0".to_owned()));
        }
        let host = url
            .host()
            .ok_or_else(|| Refused::Url("it has no host".to_owned()))?
            .to_owned();
        match host {
            Host::Ipv4(address) => guard.check_port(&address.to_string(), address.into(), port)?,
            Host::Ipv6(address) => guard.check_port(&address.to_string(), address.into(), port)?,
            Host::Domain(name) => {
                let bare = without_dot(&name);
                // `127.0.0.1..` is a name, and would become an address once its dot is dropped.
                if bare.split('.').any(str::is_empty) {
                    return Err(Refused::Url("its host has an empty label".to_owned()));
                }
                if bare == "localhost" || bare.ends_with(".localhost") {
                    // The one name whose answer is fixed, by RFC 6761; said now, it needn't be found out later.
                    guard.check_port(bare, Ipv4Addr::LOCALHOST.into(), port)?;
                }
                if bare.len() != name.len() {
                    url.set_host(Some(bare))
                        .map_err(|error| Refused::Url(error.to_string()))?;
                }
            }
        }
        Ok(Self(url))
    }

    /// The URL as it will be called.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Judges addresses, and finds them.
#[derive(Clone, Debug)]
pub struct Guard {
    allow: Allow,
    /// Where this server listens itself, which it never calls.
    own: Vec<SocketAddr>,
    resolver: Arc<dyn Resolve>,
}

/// Why a host can't be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// None of its addresses may be called.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Its name was not resolved.
    #[error("the name {host} was not resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
}

impl Guard {
    /// A guard that opens that much and asks the system's resolver.
    #[must_use]
    pub fn new(allow: Allow) -> Self {
        Self::with_resolver(allow, Arc::new(Names::new(Arc::new(SystemResolver))))
    }

    /// A guard that opens that much and asks that resolver.
    #[must_use]
    pub fn with_resolver(allow: Allow, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            allow,
            own: Vec::new(),
            resolver,
        }
    }

    /// The same, of a server that listens at those.
    #[must_use]
    pub fn of_server(mut self, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.own.extend(own);
        self
    }

    /// Whether that host may be called at that address and port.
    fn check_port(&self, host: &str, address: IpAddr, port: u16) -> Result<(), Refused> {
        let plain = |address: IpAddr| address.to_canonical();
        let is_own = |own: SocketAddr| {
            let (there, here) = (plain(address), plain(own.ip()));
            // A listener on every address is met at each loopback address too.
            let is_met = there.is_unspecified() || here.is_unspecified() && there.is_loopback();
            own.port() == port && (there == here || is_met)
        };
        if self.own.iter().copied().any(is_own) {
            return Err(Refused::Own(host.to_owned()));
        }
        self.check(host, address)
    }

    /// Whether a connection from `here` to `there` has come to this server itself: a listener on every address is met
    /// at each address of the machine, and only the system knows those.
    pub(crate) fn is_own(&self, here: SocketAddr, there: SocketAddr) -> bool {
        let is_met = |own: &SocketAddr| own.ip().is_unspecified() && own.port() == there.port();
        here.ip().to_canonical() == there.ip().to_canonical() && self.own.iter().any(is_met)
    }

    /// Whether that host may be called at that address.
    ///
    /// # Errors
    ///
    /// [`Refused::Address`] where it may not.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        if self.allow.has_host(host) {
            return Ok(());
        }
        let refused = |address, class| Refused::Address {
            host: host.to_owned(),
            address,
            class,
        };
        if let Some(class) = class_of(address)
            && !self.allow.has_network(address)
        {
            return Err(refused(address, class));
        }
        if let IpAddr::V6(outer) = address {
            // Opening a range of translated addresses opens the road, not what lies behind it.
            for inner in class::carried(outer).into_iter().flatten() {
                let inner = IpAddr::V4(inner);
                if let Some(class) = class_of(inner)
                    && !self.allow.has_network(inner)
                {
                    return Err(refused(address, class));
                }
            }
        }
        Ok(())
    }

    /// The addresses at which that host may be called now, at that port: an IP literal itself, or what of the
    /// resolver's answer passes.
    ///
    /// # Errors
    ///
    /// Where nothing is left, the first refusal; where the resolver failed, what it said.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn dialable(&self, host: &str, port: u16) -> Result<Vec<IpAddr>, DialError> {
        let parsed = Host::parse(host).map_err(|error| Refused::Url(error.to_string()))?;
        let name = match parsed {
            Host::Ipv4(address) => {
                self.check_port(host, address.into(), port)?;
                return Ok(vec![address.into()]);
            }
            Host::Ipv6(address) => {
                self.check_port(host, address.into(), port)?;
                return Ok(vec![address.into()]);
            }
            Host::Domain(name) => without_dot(&name).to_owned(),
        };
        let unresolved = |source| DialError::Resolve {
            host: name.clone(),
            source,
        };
        let answers = self.resolver.resolve(&name).await.map_err(unresolved)?;
        let mut passed = Vec::new();
        let mut refusal = None;
        for address in answers.into_iter().take(resolve::ADDRESSES_MAX) {
            match self.check_port(&name, address, port) {
                Ok(()) => passed.push(address),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match (passed.is_empty(), refusal) {
            (false, _) => Ok(passed),
            (true, Some(error)) => Err(error.into()),
            (true, None) => Err(unresolved(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "the name has no address",
            ))),
        }
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests;
