//! Who is near: what keeps pages of strangers away from a server, above all from one without keys.
//!
//! A page can have a visitor's browser ask a server that only the visitor reaches. It can't choose the `Host` that its
//! own name gives the request, even if that name leads here, and it can't leave out its `Origin`. So a server without
//! keys answers to loopback names and to those that it was told, and takes the requests of their pages alone.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::LazyLock;

use abide_wire::Code;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use url::{Host, Url};

use super::answer::{Answer, empty};
use super::call::Call;
use super::error::ApiError;
use super::route::Verb;
use super::state::AppState;

/// What a page may send that doesn't ask for anything by name. What it does ask for it may send: SDKs of vendors have
/// many fields of their own, keys among them, and which pages may ask at all is said by `--cors-origin`.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, prefer, if-none-match, if-match, cache-control, last-event-id, \
     lease-token, traceparent",
);
/// What a page may read: everything. Browsers that don't know the star know the names.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "etag, date, location, operation-location, retry-after, preference-applied, server-timing, idempotent-replayed, \
     link, ratelimit, ratelimit-policy, x-request-id, *",
);
/// The methods by which a page may ask: all that a row can have.
static ALLOWED_METHODS: LazyLock<HeaderValue> = LazyLock::new(|| {
    let methods = Verb::ALL.map(Verb::allowed).join(", ");
    HeaderValue::try_from(methods).expect("methods are a header value")
});
/// How long a browser may remember what a preflight said, in seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a body whose end a proxy may see elsewhere: one with another transfer coding than `chunked` alone.
///
/// # Errors
///
/// There is one, or the header comes twice.
pub(super) fn coding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_known = |line: &HeaderValue| line.as_bytes().eq_ignore_ascii_case(b"chunked");
    if lines.next().is_none_or(is_known) && lines.next().is_none() {
        return Ok(());
    }
    let error = ApiError::of(
        501,
        Code::new("unsupported_coding"),
        "The body has an unknown coding",
    );
    Err(error
        .detail("the only value of `Transfer-Encoding` is chunked")
        .header(header::CONNECTION, HeaderValue::from_static("close")))
}

/// The `Host` that a request is sent to; `None` if it has none, as before HTTP/1.1 and in process.
///
/// # Errors
///
/// It has two, or one that is none.
pub(super) fn host(
    call: &Call,
    version: Version,
    is_needed: bool,
) -> Result<Option<Authority>, ApiError> {
    let refused = |detail: &str| {
        ApiError::of(
            400,
            Code::new("invalid_host"),
            "The request says wrongly where it goes",
        )
        .detail(detail)
    };
    let mut lines = call.headers.get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(refused("send the header `Host` only once"));
    }
    let odd = || refused("the header `Host` must be a name or an address, and maybe a port");
    let sent = line.map(|line| authority_of(line).ok_or_else(odd));
    let sent = sent.transpose()?;
    // HTTP/2 has the host in the URI.
    let host = call.uri.authority().cloned().or(sent);
    if host.is_none() && is_needed && version == Version::HTTP_11 {
        return Err(refused("send the header `Host`"));
    }
    Ok(host)
}

/// The name or address, and maybe a port, of a line `Host`; `None` if it is none.
fn authority_of(line: &HeaderValue) -> Option<Authority> {
    // Most requests of a server have the same one, and comparing it takes less than reading it.
    thread_local! {
        static LAST: RefCell<Option<Authority>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        let known = last.as_ref();
        if known.is_none_or(|known| known.as_str().as_bytes() != line.as_bytes()) {
            let read = Authority::try_from(line.as_bytes()).ok()?;
            let is_odd = read.host().is_empty() || read.as_str().contains('@');
            *last = (!is_odd).then_some(read);
        }
        last.clone()
    })
}

/// Refuses what a page of a stranger's has its visitor's browser ask of a server without keys.
///
/// # Errors
///
/// It is sent to a name that isn't ours (`421`), or comes from a page that isn't (`403`).
pub(super) fn refuse_strangers(
    state: &AppState,
    call: &Call,
    host: Option<&Authority>,
) -> Result<(), ApiError> {
    if !state.access.is_open() {
        return Ok(());
    }
    if let Some(host) = host
        && !is_ours(state, host.host())
    {
        let detail =
            "without API keys the server answers to loopback names and to those of --allow-host";
        return Err(
            ApiError::of(421, Code::new("misdirected_request"), "Not under this name")
                .detail(detail),
        );
    }
    let foreign =
        |detail: &str| Err(ApiError::of(403, Code::FORBIDDEN, "Not from there").detail(detail));
    match call.headers.get(header::ORIGIN) {
        Some(origin) => {
            let page = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
            let is_own = page
                .as_ref()
                .and_then(Url::host_str)
                .is_some_and(|host| is_ours(state, host));
            if !is_own && allowed_origin(state, &call.headers).is_none() {
                return foreign(
                    "without API keys a page of another site may ask nothing here; see --cors-origin",
                );
            }
        }
        // Browsers that leave out the origin say whether it is another one.
        None => {
            let site = call.headers.get(SEC_FETCH_SITE);
            let is_own = site.is_none_or(|site| site == "same-origin" || site == "none");
            if !is_own && !call.method.is_safe() {
                return foreign("a page of another site may not change anything here");
            }
        }
    }
    Ok(())
}

/// Whether that is a name of ours. An address can't be made to lead elsewhere, so beyond loopback each is.
fn is_ours(state: &AppState, host: &str) -> bool {
    let is_near = |address: IpAddr| address.is_loopback() || !state.config.listen.is_loopback();
    // Most requests name an address, and reading any name takes longer than the rest of what is done here.
    if let Ok(address) = host.parse() {
        return is_near(address);
    }
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => is_near(address.into()),
        Ok(Host::Ipv6(address)) => is_near(address.into()),
        Ok(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            let is_allowed = |allowed: &String| allowed.eq_ignore_ascii_case(name);
            name == "localhost"
                || name.ends_with(".localhost")
                || state.config.allow_host.iter().any(is_allowed)
        }
        Err(_) => false,
    }
}

/// The origin of the page that asks, if it is one of `--cors-origin`.
pub(super) fn allowed_origin(state: &AppState, headers: &HeaderMap) -> Option<HeaderValue> {
    let allowed = &state.config.cors_origin;
    if allowed.is_empty() {
        return None;
    }
    let origin = headers.get(header::ORIGIN)?;
    let is_it = |allowed: &String| allowed == "*" || origin == allowed.as_str();
    allowed.iter().any(is_it).then(|| origin.clone())
}

/// The answer to a browser that asks what a page may do; `None` if it isn't that, or if the page may do nothing.
pub(super) fn preflight(state: &AppState, call: &Call) -> Option<Answer> {
    let asked = |name| call.headers.get(name);
    if call.method != Method::OPTIONS || asked(header::ACCESS_CONTROL_REQUEST_METHOD).is_none() {
        return None;
    }
    allowed_origin(state, &call.headers)?;
    let fields = asked(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let fields = fields.unwrap_or(ALLOWED_HEADERS);
    let mut answer = empty(http::StatusCode::NO_CONTENT);
    let out = answer.headers_mut();
    let methods = ALLOWED_METHODS.clone();
    out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fields);
    out.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    Some(answer)
}

/// Says that the page of that origin may read the answer.
pub(super) fn expose(origin: HeaderValue, out: &mut HeaderMap) {
    out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    out.append(header::VARY, HeaderValue::from_static("Origin"));
}
