//! Where a client reaches this server, for the URLs in its answers.

use http::uri::Authority;
use http::{HeaderValue, header};

use super::call::Call;
use super::value::value;

/// Where the client reaches this server, as far as its request tells: what it puts before every path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base(Box<str>);

impl Base {
    /// That of the request: scheme, host and, if a [mount](super::mount) was asked, the mount's path.
    pub(super) fn of(call: &Call) -> Self {
        // HTTP/2 has the host in the URI.
        let authority = call.uri.authority().map(Authority::as_str);
        let host = authority.or_else(|| call.field(header::HOST));
        let mount = &call.uri.path()[..call.mount.base];
        let Some(host) = host else {
            return Self(mount.into());
        };
        let scheme = match call.field("x-forwarded-proto") {
            Some("https") => "https",
            _ => "http",
        };
        Self(format!("{scheme}://{host}{mount}").into())
    }

    /// The one with that text, as it is [shown](Self::as_str).
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of that path as the client would reach it, or the path if that can't be told.
    pub(super) fn url(&self, path: &str) -> HeaderValue {
        value(|text| {
            text.str(&self.0).str(path);
        })
    }
}
