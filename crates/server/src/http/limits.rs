//! How much one client may ask for: requests per time, and requests held at the same time.
//!
//! Rates are kept by the generic cell rate algorithm: per client one instant, the one at which all that it has asked
//! for would have been allowed at an even pace. A request is allowed while that instant is less than a window ahead.
//! So a client may spend its whole quota at once and then goes on at the even pace, and what is remembered of it is a
//! single number.
//!
//! The well-kept crate for this takes another clock, but keeps a record of every client it has ever seen until
//! it is swept, and a bounded sweep would have been as long as the algorithm.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::{Quota, RateLimit};
use crate::sharded::Sharded;
use abide_engine::Owner;
use abide_engine::hash::FastMap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// How many shards the clients are divided into.
const SHARDS: usize = 16;
/// The most clients that are remembered per shard. Beyond it, those whose quota is whole again are forgotten, and if
/// that isn't enough, all of them.
const CLIENTS_MAX: usize = 8_192;

/// How many requests that need no key an address may make, wherever anything is limited: more often than probes ask,
/// and whatever its clients may ask, so that a low limit of theirs doesn't make a server look dead.
const PAGES_QUOTA: Quota = Quota {
    requests: NonZeroU32::new(3_000).expect("it isn't 0"),
    window: Duration::from_mins(1),
};

/// What a request counts as. Each has the whole quota for itself, so that waiting doesn't use up asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It is answered at once.
    Request,
    /// It is held until there is news.
    Hold,
    /// It is about no job: a probe, a page that shows nothing of any owner's, or what was counted of clients.
    Page,
}

impl Class {
    /// What it is called in headers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "requests",
            Self::Hold => "holds",
            Self::Page => "pages",
        }
    }
}

/// Who counts as one client for limits: a key, else an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The owner of that key.
    Key(Owner),
    /// A network address. Of an IPv6 address only the network part counts, because hosts change the rest as they like.
    Address(IpAddr),
}

impl Client {
    /// The client identity: the API key, or the address if there is none.
    #[must_use]
    pub fn new(owner: Owner, address: Option<IpAddr>) -> Self {
        if owner == Owner::ANYONE {
            Self::of_address(address)
        } else {
            Self::Key(owner)
        }
    }

    /// The client identity of an address, whatever key its requests have.
    #[must_use]
    pub fn of_address(address: Option<IpAddr>) -> Self {
        Self::Address(match address {
            // Nothing but a test has no address.
            None => Ipv6Addr::UNSPECIFIED.into(),
            Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => address.into(),
                None => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
            },
            Some(address) => address,
        })
    }
}

/// How many requests each client may still make.
#[derive(Debug)]
pub struct Rates {
    quota: Option<Quota>,
    clients: Sharded<(Client, Class), Evens>,
}

/// Per client, when all it has asked for would have been allowed at an even pace, in microseconds of the machine's
/// time: a clock that stands still would lock every client out.
type Evens = FastMap<(Client, Class), i64>;

/// What was found about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it counted as.
    pub class: Class,
    /// How many more may be made at once.
    pub remaining: u32,
    /// How long until there is one more, or, where the request is refused, until it may be made again.
    pub wait: Duration,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The limit.
    pub quota: Quota,
}

impl Rates {
    /// No client has asked for anything yet.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self {
            quota: limit.0,
            clients: Sharded::new(SHARDS, Evens::default),
        }
    }

    /// Counts a request, if it is allowed. `None` where nothing is limited. `now` is the machine's time.
    pub fn take(&self, client: Client, class: Class, now: Duration) -> Option<Verdict> {
        let quota = match class {
            Class::Page => self.quota.map(|_| PAGES_QUOTA)?,
            Class::Request | Class::Hold => self.quota?,
        };
        let now = micros(now);
        let window = micros(quota.window);
        let step = (window / i64::from(quota.requests.get())).max(1);
        let key = (client, class);
        let mut clients = self.clients.write(&key);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&key) {
            clients.retain(|_, even| *even > now);
            if clients.len() >= CLIENTS_MAX {
                clients.clear();
            }
        }
        let even = clients.entry(key).or_insert(now);
        let next = (*even).max(now) + step;
        let over = next - now - window;
        let allowed = over <= 0;
        if allowed {
            *even = next;
        }
        let ahead = (*even).max(now) - now;
        Some(Verdict {
            class,
            remaining: u32::try_from((window - ahead) / step).unwrap_or(0),
            wait: Duration::from_micros(if allowed {
                u64::try_from(step - (window - ahead) % step).unwrap_or(0)
            } else {
                u64::try_from(over).unwrap_or(0)
            }),
            allowed,
            quota,
        })
    }
}

impl Verdict {
    /// How many requests may be made in a window.
    pub(super) const fn requests(&self) -> u32 {
        self.quota.requests.get()
    }

    /// The length of the window, in seconds.
    pub(super) const fn window_s(&self) -> u64 {
        self.quota.window.as_secs()
    }

    /// The [wait](Self::wait) in whole seconds, rounded up.
    pub(super) fn wait_s(&self) -> u64 {
        let millis = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        millis.div_ceil(1_000)
    }
}

/// How much one client may have of what all share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// That much at most.
    Fixed(usize),
    /// That many times as much as is free. With four times, a client alone may have four fifths, two may have four
    /// ninths each, and the next to come always finds room.
    OfFree(usize),
}

/// How many streams of a client write what is new at a time; the others wait for their turn. All of them at once would
/// keep every other client's tasks waiting for as long as that takes.
pub(super) const TURNS: usize = 4;

/// How much there is of something at the same time, for each client and in all: held requests, streams, bytes in
/// flight, requests that change something.
#[derive(Debug)]
pub struct Holds {
    share: Share,
    all_max: Arc<AtomicUsize>,
    all: AtomicUsize,
    clients: Mutex<FastMap<Client, Own>>,
}

/// What a client has of it.
#[derive(Debug, Default)]
struct Own {
    amount: usize,
    /// The turns of what it has, once any asks for its own.
    turns: Option<Arc<Semaphore>>,
}

/// A held request, a stream, or bytes. Dropping it makes room for others.
#[derive(Debug)]
pub struct Held {
    holds: Arc<Holds>,
    client: Client,
    amount: usize,
}

/// Fewer bytes than this aren't counted as in flight: a connection has as many anyway.
pub const COUNTED_BYTES_MIN: usize = 4 * 1024;

/// Bytes that are in flight for as long as they exist.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Which bound a hold would have gone beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That of the client.
    Client(usize),
    /// That of all clients together.
    All(usize),
}

impl Holds {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(per_client_max: usize, all_max: usize) -> Arc<Self> {
        Self::bounded(
            Share::Fixed(per_client_max),
            Arc::new(AtomicUsize::new(all_max)),
        )
    }

    /// Nothing is held yet, and at most `all_max` will be, of which a client has at most `times` as much as is free.
    #[must_use]
    pub fn fair(all_max: Arc<AtomicUsize>, times: usize) -> Arc<Self> {
        Self::bounded(Share::OfFree(times), all_max)
    }

    fn bounded(share: Share, all_max: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            share,
            all_max,
            all: AtomicUsize::new(0),
            clients: Mutex::default(),
        })
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts one more.
    ///
    /// # Errors
    ///
    /// There are as many as there may be.
    pub fn hold(self: &Arc<Self>, client: Client) -> Result<Held, Full> {
        self.take(client, 1)
    }

    /// Counts that much more.
    ///
    /// # Errors
    ///
    /// There would be more than there may be.
    pub fn take(self: &Arc<Self>, client: Client, amount: usize) -> Result<Held, Full> {
        let mut clients = self.clients.lock();
        let all = self.all.load(Ordering::Relaxed);
        let all_max = self.all_max.load(Ordering::Relaxed);
        if all.saturating_add(amount) > all_max {
            return Err(Full::All(all_max));
        }
        let own = clients.get(&client).map_or(0, |own| own.amount);
        let own_max = match self.share {
            Share::Fixed(most) => most,
            Share::OfFree(times) => times.saturating_mul(all_max - all),
        };
        if own.saturating_add(amount) > own_max {
            return Err(Full::Client(own_max));
        }
        Ok(self.add(&mut clients, client, amount))
    }

    fn add(
        self: &Arc<Self>,
        clients: &mut FastMap<Client, Own>,
        client: Client,
        amount: usize,
    ) -> Held {
        clients.entry(client).or_default().amount += amount;
        // Changed under the lock, read without it.
        self.all.fetch_add(amount, Ordering::Relaxed);
        Held {
            holds: self.clone(),
            client,
            amount,
        }
    }

    /// These bytes, counted until the last of them has been sent.
    ///
    /// # Errors
    ///
    /// There would be more than there may be.
    pub(super) fn count(self: &Arc<Self>, client: Client, bytes: Bytes) -> Result<Bytes, Full> {
        if bytes.len() < COUNTED_BYTES_MIN {
            return Ok(bytes);
        }
        let held = self.take(client, bytes.len())?;
        Ok(Bytes::from_owner(Counted { bytes, _held: held }))
    }

    /// The same beyond every limit, for what can't be refused any more.
    pub(super) fn count_done(self: &Arc<Self>, client: Client, bytes: Bytes) -> Bytes {
        if bytes.len() < COUNTED_BYTES_MIN {
            return bytes;
        }
        let held = self.add(&mut self.clients.lock(), client, bytes.len());
        Bytes::from_owner(Counted { bytes, _held: held })
    }
}

impl Held {
    /// The turns that all of this client's have among them.
    pub(super) fn turns(&self) -> Arc<Semaphore> {
        let mut clients = self.holds.clients.lock();
        let own = clients.entry(self.client).or_default();
        let turns = own
            .turns
            .get_or_insert_with(|| Arc::new(Semaphore::new(TURNS)));
        turns.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut clients = self.holds.clients.lock();
        if let Some(own) = clients.get_mut(&self.client) {
            own.amount -= self.amount;
            if own.amount == 0 {
                clients.remove(&self.client);
            }
        }
        self.holds.all.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn rates(requests: u32, seconds: u64) -> Rates {
        Rates::new(RateLimit(Some(Quota {
            requests: requests.try_into().unwrap(),
            window: Duration::from_secs(seconds),
        })))
    }

    fn client(n: u64) -> Client {
        Client::Key(Owner(n))
    }

    #[test]
    fn a_client_is_a_key_or_else_a_network() {
        let of = |text: &str| Client::new(Owner::ANYONE, Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
        assert_eq!(
            Client::new(Owner(7), Some("10.0.0.1".parse().unwrap())),
            Client::new(Owner(7), None)
        );
    }

    #[test]
    fn a_quota_may_be_spent_at_once_and_then_comes_back_evenly() {
        let rates = rates(3, 60);
        let take = |millis: u64| {
            let verdict = rates
                .take(
                    client(1),
                    Class::Request,
                    START + Duration::from_millis(millis),
                )
                .unwrap();
            (verdict.allowed, verdict.remaining, verdict.wait.as_millis())
        };
        let table = [
            (0, (true, 2, 20_000)),
            (0, (true, 1, 20_000)),
            (0, (true, 0, 20_000)),
            (0, (false, 0, 20_000)),
            (19_999, (false, 0, 1)),
            (20_000, (true, 0, 20_000)),
            (20_001, (false, 0, 19_999)),
            (60_000, (true, 1, 20_000)),
            (600_000, (true, 2, 20_000)),
        ];
        for (at, expected) in table {
            assert_eq!(take(at), expected, "at {at} ms");
        }
    }

    #[test]
    fn a_client_never_has_more_than_its_quota_in_a_window_and_a_burst() {
        let rates = rates(25, 60);
        let allowed = (0..300_000_u64)
            .step_by(37)
            .filter(|at| {
                let now = START + Duration::from_millis(*at);
                rates.take(client(1), Class::Request, now).unwrap().allowed
            })
            .count();
        // Five minutes at 25 a minute, and the burst at the start.
        assert!((149..=150).contains(&allowed), "{allowed}");
    }

    #[test]
    fn clients_and_classes_dont_notice_each_other() {
        let rates = rates(1, 60);
        let allowed = |n, class| rates.take(client(n), class, START).unwrap().allowed;
        assert!(allowed(1, Class::Request));
        assert!(!allowed(1, Class::Request));
        assert!(allowed(1, Class::Hold));
        assert!(allowed(2, Class::Request));
        assert_eq!(
            Rates::new(RateLimit(None)).take(client(1), Class::Request, START),
            None
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rates = rates(600, 60);
        for n in 0..400_000 {
            rates.take(client(n), Class::Request, START).unwrap();
        }
        let kept: usize = rates.clients.all().iter().map(|it| it.read().len()).sum();
        assert!(kept <= SHARDS * CLIENTS_MAX, "{kept}");
    }

    #[test]
    fn holds_are_bounded_for_each_and_for_all_and_given_back() {
        let holds = Holds::new(2, 3);
        let first = holds.hold(client(1)).unwrap();
        let _second = holds.hold(client(1)).unwrap();
        assert_eq!(holds.hold(client(1)).unwrap_err(), Full::Client(2));
        let _third = holds.hold(client(2)).unwrap();
        assert_eq!(holds.hold(client(2)).unwrap_err(), Full::All(3));
        drop(first);
        assert_eq!(holds.len(), 2);
        let again = holds.hold(client(1)).unwrap();
        drop((again, _second, _third));
        assert!(holds.is_empty());
        assert!(holds.clients.lock().is_empty());
    }

    #[test]
    fn where_clients_share_fairly_the_next_one_always_finds_room() {
        let all_max = Arc::new(AtomicUsize::new(900));
        let holds = Holds::fair(all_max.clone(), 4);
        let fill = |n| {
            let held = std::iter::from_fn(|| holds.hold(client(n)).ok());
            held.collect::<Vec<_>>()
        };
        let greedy = fill(1);
        assert_eq!(greedy.len(), 720);
        let mut kept = Vec::new();
        for n in 2..20 {
            let held = holds.hold(client(n));
            kept.push(held.expect("a client that has nothing finds room"));
        }
        // What becomes free goes to those that have less.
        drop(greedy);
        let (first, second) = (fill(1), fill(2));
        assert!(second.len() * 6 > first.len(), "{}", second.len());
        // With less room nothing is taken away, and nothing more is given to those that have much.
        all_max.store(100, Ordering::Relaxed);
        assert!(holds.hold(client(1)).is_err() && holds.hold(client(99)).is_err());
        drop((first, second, kept));
        assert_eq!(fill(1).len(), 80);
    }

    #[test]
    fn bytes_count_until_the_last_of_them_is_gone() {
        let holds = Holds::new(50_000, 60_000);
        let bytes = |length: usize| Bytes::from(vec![0; length]);
        let small = holds
            .count(client(1), bytes(COUNTED_BYTES_MIN - 1))
            .unwrap();
        assert!(holds.is_empty());
        let mut whole = holds.count(client(1), bytes(40_000)).unwrap();
        assert_eq!(
            holds.count(client(1), bytes(20_000)),
            Err(Full::Client(50_000))
        );
        assert_eq!(
            holds.count(client(2), bytes(20_001)),
            Err(Full::All(60_000))
        );
        let half = whole.split_to(20_000);
        drop((whole, small));
        assert_eq!(holds.len(), 40_000);
        drop(half);
        assert!(holds.is_empty());
    }
}
