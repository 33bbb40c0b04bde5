//! The types that only settings have.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use subtle::ConstantTimeEq as _;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddr {
    /// For everything.
    pub main: SocketAddr,
    /// For one dialect each, which has the root there.
    pub dialects: Vec<(String, SocketAddr)>,
}

impl ListenAddr {
    /// Where a server listens by default.
    pub(super) const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

    /// All of the addresses.
    pub fn all(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.main).chain(self.dialects.iter().map(|(_, address)| *address))
    }

    /// Whether only programs of this machine reach any of them.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.all().all(|address| address.ip().is_loopback())
    }
}

impl From<SocketAddr> for ListenAddr {
    fn from(main: SocketAddr) -> Self {
        Self {
            main,
            dialects: Vec::new(),
        }
    }
}

/// What sort of clock to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSort {
    /// Runs by itself, as fast as `speed` says.
    Real,
    /// Stands still until it is advanced through the API.
    Manual,
}

/// Whether a node may lead its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// It takes the lead if no other node has it.
    Auto,
    /// It only follows.
    Never,
}

/// When the default job starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStart {
    /// With the server.
    Boot,
    /// At the first request for its status.
    FirstPoll,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which vendors' interfaces are served below `/dialects/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialects {
    /// All of them if the server listens on loopback alone, else none.
    Near,
    /// All of them.
    All,
    /// None of them.
    None,
    /// Those of these names.
    Named(Vec<String>),
}

/// Whether requests may say how their jobs are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directives {
    /// They may.
    On,
    /// What they say is passed over.
    Off,
}

/// How many requests a client may make. `None` inside means as many as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit(pub Option<Quota>);

/// A number of requests in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub requests: NonZeroU32,
    /// The time in which they may be made.
    pub window: Duration,
}

/// A limit in bytes: what is set, or a share of the memory that the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteLimit {
    /// The share.
    Auto,
    /// The number of bytes.
    Bytes(u64),
}

/// One opening in the guard that keeps webhooks from private addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookAllow {
    /// Not even loopback.
    None,
    /// Any address of that network.
    Network(IpNet),
    /// Whatever address that host name has.
    Host(String),
}

/// A secret text: it is neither printed nor logged.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret with that text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. For comparing and signing, never for showing.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it. Takes as long for a wrong text as for the right one of the same length.
    #[must_use]
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }
}

impl PartialEq for Secret {
    /// Takes as long for a wrong text as for the right one of the same length.
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
