//! Where a client reaches this server, for the URLs in its answers.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};

use super::call::Call;
use super::value::value;

/// Where the client reaches this server, as far as its request tells: what it puts before every path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base(Box<str>);

impl Base {
    /// That of the request: scheme, host and, if a [mount](super::mount) was asked, the mount's path. Of what a proxy
    /// says, the word of a trusted one alone is taken.
    pub(super) fn of(call: &Call) -> Self {
        // HTTP/2 has the host in the URI.
        let authority = call.uri.authority().map(Authority::as_str);
        let is_host = |host: &&str| host.parse::<Authority>().is_ok() && !host.contains('@');
        let host = forwarded(call, "x-forwarded-host").filter(is_host);
        let host = host.or(authority).or_else(|| call.field(header::HOST));
        let prefix = prefix(call).unwrap_or_default();
        let mount = &call.uri.path()[..call.mount.base];
        let Some(host) = host else {
            return Self([prefix, mount].concat().into());
        };
        let is_https = match forwarded(call, "x-forwarded-proto") {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => call.is_tls,
        };
        let scheme = if is_https { "https" } else { "http" };
        Self([scheme, "://", host, prefix, mount].concat().into())
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

/// What a trusted proxy says under that name: of several proxies in a row each adds at the end, and the last one is the
/// one that is trusted.
fn forwarded<'c>(call: &'c Call, name: &'static str) -> Option<&'c str> {
    if !call.is_proxied {
        return None;
    }
    let last = call.headers.get_all(name).iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// The path under which a trusted proxy serves this server, without a slash at its end.
pub(super) fn prefix(call: &Call) -> Option<&str> {
    let sent = forwarded(call, "x-forwarded-prefix")?;
    let prefix = sent.trim_end_matches('/');
    // Two slashes would lead to another host.
    let is_path = prefix.starts_with('/') && !prefix.starts_with("//");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    (is_path && prefix.bytes().all(is_plain)).then_some(prefix)
}

/// Puts the prefix before a place on this host.
pub(super) fn move_location(prefix: &str, out: &mut HeaderMap) {
    let location = out
        .get(header::LOCATION)
        .and_then(|place| place.to_str().ok());
    if let Some(place) = location.filter(|place| place.starts_with('/')) {
        let moved = value(|text| {
            text.str(prefix).str(place);
        });
        out.insert(header::LOCATION, moved);
    }
}
