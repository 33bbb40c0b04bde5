//! Who asks: keys, owners and clients.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use abide_engine::Owner;
use abide_engine::hash::FastMap;
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use parking_lot::RwLock;

use super::error::ApiError;
use super::limits::{Class, Client, Rates};
use crate::attendance::{self, Agent};
use crate::config::{ApiKey, Quota, RateLimit, Role, Secret};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many wrong keys of an address are answered in a minute; the others are told to wait. A right key always passes:
/// many clients may share an address, and the length of keys is what keeps them from being guessed.
const GUESSES_MAX: NonZeroU32 = NonZeroU32::new(30).expect("it isn't 0");

/// The API keys, and whose each one is.
#[derive(Debug)]
pub struct Access {
    keys: RwLock<Keys>,
    /// Whether no key is needed; that stays while the server runs.
    is_open: bool,
    /// How many times the keys have changed.
    changes: AtomicU64,
    guesses: Rates,
}

#[derive(Debug)]
struct Keys {
    /// By digest, so that finding one takes as long for one key as for thousands.
    by_digest: FastMap<u64, (Secret, Pass)>,
    digests: RandomState,
    has_admin: bool,
}

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Whose jobs.
    pub owner: Owner,
    /// What may be done.
    pub role: Role,
}

/// How a client sends its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `Authorization: SCHEME KEY`, for another scheme.
    Scheme(&'static str),
    /// `Authorization: KEY`.
    Raw,
    /// In a header of that name, in lower case.
    Header(&'static str),
}

/// Who asks, as handlers see it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Whose jobs are the caller's.
    pub owner: Owner,
    /// Who it counts as.
    pub client: Client,
    /// Where the request came from, where that is known.
    pub address: Option<IpAddr>,
    /// What program it says that it is.
    pub agent: Agent,
}

impl Pass {
    /// What is open to a client without a key.
    pub const OPEN: Self = Self {
        owner: Owner::ANYONE,
        role: Role::Admin,
    };
}

impl Access {
    /// Access by those keys, or for every client if there are none.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        let quota = Quota {
            requests: GUESSES_MAX,
            window: Duration::from_mins(1),
        };
        Self {
            keys: RwLock::new(Keys::new(keys)),
            is_open: keys.is_empty(),
            changes: AtomicU64::new(0),
            guesses: Rates::new(RateLimit(Some(quota))),
        }
    }

    /// Takes these keys for the ones before. Whether any is needed stays as it was.
    pub fn reload(&self, keys: &[ApiKey]) {
        let keys = Keys::new(keys);
        let mut before = self.keys.write();
        // A certificate alone may have been renewed.
        if !before.opens_as(&keys) {
            *before = keys;
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// How many times the keys have changed: what a key opened stays true for as long as this does.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether no key is needed.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a key opens what is everybody's.
    #[must_use]
    pub fn has_admin(&self) -> bool {
        self.keys.read().has_admin
    }

    /// The key in these headers, sent in the native form.
    pub(super) fn key(&self, headers: &HeaderMap) -> Option<Secret> {
        let sent = key_in(headers, &[KeyForm::Bearer]).ok()?;
        let keys = self.keys.read();
        keys.pass(sent).map(|_| Secret::new(sent))
    }

    /// Whether any key of that owner is it. A server without keys has an empty one, which is everybody's.
    pub(super) fn any_key(&self, owner: Owner, is_it: &dyn Fn(&str) -> bool) -> bool {
        if self.is_open() {
            return is_it("");
        }
        let keys = self.keys.read();
        let mut own = keys
            .by_digest
            .values()
            .filter(|(_, pass)| pass.owner == owner);
        own.any(|(key, _)| is_it(key.reveal()))
    }

    /// What the key in these headers opens, sent in one of those forms. `is_needed` wants one also if every client may
    /// ask. `now` is the machine's time.
    ///
    /// # Errors
    ///
    /// A key is needed, and none that we know was sent; or the address has tried too many.
    pub fn pass(
        &self,
        headers: &HeaderMap,
        forms: &[KeyForm],
        is_needed: bool,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Result<Pass, ApiError> {
        if self.is_open() && !is_needed {
            return Ok(Pass::OPEN);
        }
        let refused = |detail| {
            let form = forms.first().unwrap_or(&KeyForm::Bearer);
            ApiError::challenge(form.scheme(), detail)
        };
        let sent = key_in(headers, forms).map_err(refused)?;
        if self.is_open() {
            return Ok(Pass::OPEN);
        }
        if let Some(pass) = self.keys.read().pass(sent) {
            return Ok(pass);
        }
        let guesser = Client::of_address(address);
        match self.guesses.take(guesser, Class::Request, now) {
            Some(verdict) if !verdict.allowed => Err(ApiError::rate_limited(verdict.wait)),
            _ => Err(refused("the server doesn't know this key".to_owned())),
        }
    }
}

impl Keys {
    fn new(keys: &[ApiKey]) -> Self {
        let (named, bare): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.is_named());
        let digests = RandomState::new();
        let entry = |key: &ApiKey| {
            let (owner, role) = (key.owner(), key.role);
            let digest = digests.hash_one(key.secret.reveal());
            (digest, (key.secret.clone(), Pass { owner, role }))
        };
        Self {
            // The later one stays: a name says more than a bare secret.
            by_digest: bare.into_iter().chain(named).map(entry).collect(),
            digests,
            has_admin: keys.iter().any(|key| key.role == Role::Admin),
        }
    }

    fn pass(&self, sent: &str) -> Option<Pass> {
        let (key, pass) = self.by_digest.get(&self.digests.hash_one(sent))?;
        key.is(sent.as_bytes()).then_some(*pass)
    }

    /// Whether the others are the same keys, each of which opens the same.
    fn opens_as(&self, others: &Self) -> bool {
        let mut own = self.by_digest.values();
        self.by_digest.len() == others.by_digest.len()
            && own.all(|(key, pass)| others.pass(key.reveal()) == Some(*pass))
    }
}

/// The key in these headers, sent in one of those forms.
fn key_in<'h>(headers: &'h HeaderMap, forms: &[KeyForm]) -> Result<&'h str, String> {
    let mut is_wrong = false;
    for form in forms {
        let mut lines = headers.get_all(form.header()).iter();
        let Some(sent) = lines.next() else {
            continue;
        };
        if lines.next().is_some() {
            let name = form.name();
            return Err(format!("send the header `{name}` only once"));
        }
        if let Some(key) = sent.to_str().ok().and_then(|sent| form.key(sent)) {
            return Ok(key);
        }
        is_wrong = true;
    }
    let form = forms.first().unwrap_or(&KeyForm::Bearer);
    Err(match is_wrong {
        true => format!("the header must be `{form}`"),
        false => format!("send the header `{form}`"),
    })
}

impl KeyForm {
    fn header(&self) -> HeaderName {
        match self {
            Self::Header(name) => HeaderName::from_static(name),
            Self::Bearer | Self::Scheme(_) | Self::Raw => header::AUTHORIZATION,
        }
    }

    /// The scheme of `Authorization`, if it has one.
    const fn scheme(&self) -> Option<&'static str> {
        match self {
            Self::Bearer => Some("Bearer"),
            Self::Scheme(scheme) => Some(scheme),
            Self::Raw | Self::Header(_) => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Header(name) => name,
            Self::Bearer | Self::Scheme(_) | Self::Raw => "Authorization",
        }
    }

    /// The key in the header's value, if it has this form.
    fn key<'h>(&self, sent: &'h str) -> Option<&'h str> {
        let wanted = match self {
            Self::Bearer => "bearer",
            Self::Scheme(scheme) => scheme,
            Self::Raw | Self::Header(_) => return Some(sent.trim()).filter(|key| !key.is_empty()),
        };
        let (scheme, key) = sent.split_once(' ')?;
        scheme.eq_ignore_ascii_case(wanted).then(|| key.trim())
    }
}

impl fmt::Display for KeyForm {
    /// The header, as it is to be sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("Authorization: Bearer KEY"),
            Self::Scheme(scheme) => write!(f, "Authorization: {scheme} KEY"),
            Self::Raw | Self::Header(_) => write!(f, "{}: KEY", self.name()),
        }
    }
}

/// Where a request comes from, if proxies pass it on: the last address that none of the trusted ones has.
///
/// `X-Forwarded-For` is read from the right, because each proxy adds on that side, and what is left of the first
/// address that isn't trusted is what that client says.
pub(super) fn origin_of(
    peer: Option<IpAddr>,
    trusted: &[IpNet],
    headers: &HeaderMap,
) -> Option<IpAddr> {
    let mut address = peer?.to_canonical();
    if trusted.is_empty() {
        return Some(address);
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        if !trusted.iter().any(|network| network.contains(&address)) {
            break;
        }
        let hop = hop.trim();
        let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
        match hop.parse::<IpAddr>().ok().or_else(with_port) {
            Some(hop) => address = hop.to_canonical(),
            None => break,
        }
    }
    Some(address)
}

/// Whether a request comes by a trusted proxy, whose word on host and prefix is taken.
pub(super) fn is_proxied(peer: Option<IpAddr>, trusted: &[IpNet]) -> bool {
    let is_trusted = |peer: IpAddr| {
        trusted
            .iter()
            .any(|network| network.contains(&peer.to_canonical()))
    };
    peer.is_some_and(is_trusted)
}

impl Caller {
    /// A client at that address that sent these headers, and may see that owner's jobs.
    pub(super) fn new(owner: Owner, address: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Self {
            owner,
            client: Client::new(owner, address),
            address,
            agent: Agent::new(agent.unwrap_or_default()),
        }
    }

    /// The client that its reads and creates are counted for.
    pub(super) const fn counted(&self) -> attendance::Client {
        attendance::Client {
            owner: self.owner,
            agent: self.agent,
            address: self.address,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::Layers;

    const ALPHA: &str = "alpha-alpha-alpha-alpha";
    const ADMIN: &str = "admin-admin-admin-admin";

    fn access() -> Access {
        let layers = Layers::default()
            .flag("api-key", ALPHA)
            .flag("api-key", format!("ann:admin:{ADMIN}"))
            .flag("api-key", "ann:read:reads-reads-reads-reads");
        Access::new(&layers.resolve().unwrap().config.api_keys)
    }

    fn ask(access: &Access, lines: &[&str], address: &str, second: u64) -> Result<Pass, u16> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        let address = Some(address.parse().unwrap());
        let pass = access.pass(
            &headers,
            &[KeyForm::Bearer],
            false,
            address,
            Duration::from_secs(second),
        );
        pass.map_err(|error| error.problem().status)
    }

    #[test]
    fn a_key_opens_what_is_its_owners() {
        let access = access();
        let pass = |line: &str| ask(&access, &[line], "10.0.0.1", 0);
        let (owner, role) = (Owner::of_api_key(ALPHA), Role::User);
        let alpha = pass(&format!("bearer  {ALPHA}"));
        assert_eq!(alpha, Ok(Pass { owner, role }));
        let (owner, role) = (Owner::named("ann"), Role::Admin);
        let ann = pass(&format!("Bearer {ADMIN}"));
        assert_eq!(ann, Ok(Pass { owner, role }));
        let reads = pass("Bearer reads-reads-reads-reads").unwrap();
        assert_eq!((reads.owner, reads.role), (owner, Role::Read));
        for wrong in [
            "Bearer alpha-alpha-alpha",
            "Bearer",
            "alpha",
            "",
            "Basic alpha",
        ] {
            assert_eq!(pass(wrong), Err(401), "{wrong:?}");
        }
        let line = format!("Bearer {ALPHA}");
        assert_eq!(ask(&access, &[&line, &line], "10.0.0.1", 0), Err(401));
        assert_eq!(ask(&access, &[], "10.0.0.1", 0), Err(401));
        assert_eq!(ask(&Access::new(&[]), &[], "10.0.0.1", 0), Ok(Pass::OPEN));
        assert!(!format!("{access:?}").contains("alpha"));
    }

    #[test]
    fn a_key_is_found_in_every_form_and_wanted_where_it_is_needed() {
        let forms = [
            KeyForm::Header("x-key"),
            KeyForm::Scheme("Token"),
            KeyForm::Raw,
        ];
        let key = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, line) in lines {
                headers.append(*name, HeaderValue::from_str(line).unwrap());
            }
            let open = Access::new(&[]).pass(&headers, &forms, true, None, Duration::ZERO);
            let found = key_in(&headers, &forms);
            assert_eq!(open.is_ok(), found.is_ok());
            found.map(str::to_owned)
        };
        assert_eq!(key(&[("x-key", "a")]).unwrap(), "a");
        assert_eq!(key(&[("authorization", "token b")]).unwrap(), "b");
        assert_eq!(key(&[("authorization", "c")]).unwrap(), "c");
        assert_eq!(key(&[]).unwrap_err(), "send the header `x-key: KEY`");
        let twice = key(&[("x-key", "a"), ("x-key", "a")]).unwrap_err();
        assert_eq!(twice, "send the header `x-key` only once");
        assert_eq!(
            key(&[("x-key", "")]).unwrap_err(),
            "the header must be `x-key: KEY`"
        );
    }

    #[test]
    fn guesses_are_slowed_by_address_and_a_right_key_always_passes() {
        let access = access();
        let right = format!("Bearer {ALPHA}");
        let ask = |line: &str, address, second| ask(&access, &[line], address, second);
        for n in 0..GUESSES_MAX.get() {
            let guess = format!("Bearer guess-guess-guess-{n}");
            assert_eq!(ask(&guess, "2001:db8::1", 0), Err(401), "{n}");
        }
        // So is the same network.
        for address in ["2001:db8::1", "2001:db8::2"] {
            assert_eq!(ask("Bearer guess", address, 0), Err(429));
            assert!(ask(&right, address, 0).is_ok());
        }
        assert_eq!(ask("Bearer guess", "2001:db8:0:1::1", 0), Err(401));
        assert_eq!(ask("Bearer guess", "2001:db8::1", 2), Err(401));
    }

    #[test]
    fn a_name_says_more_than_the_same_secret_alone() {
        let layers = Layers::default()
            .variable("ABIDE_API_KEYS", format!("ann:admin:{ADMIN}"))
            .variable("ABIDE_API_KEY", ADMIN);
        let access = Access::new(&layers.resolve().unwrap().config.api_keys);
        let pass = ask(&access, &[&format!("Bearer {ADMIN}")], "10.0.0.1", 0);
        assert_eq!(pass.unwrap().owner, Owner::named("ann"));
    }

    #[test]
    fn the_address_behind_trusted_proxies_is_read_from_the_right() {
        let trusted: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        for (peer, lines, address) in [
            ("10.0.0.1", &["1.2.3.4"][..], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
            ("::ffff:10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("::1", &["[2001:db8::1]:5678"], "2001:db8::1"),
            ("10.0.0.1", &["1.2.3.4, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("9.9.9.9", &["1.2.3.4"], "9.9.9.9"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let found = origin_of(Some(peer.parse().unwrap()), &trusted, &headers);
            assert_eq!(found, Some(address.parse().unwrap()), "{peer} {lines:?}");
        }
    }
}
