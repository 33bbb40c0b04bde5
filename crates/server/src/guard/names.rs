//! Look-ups of names: fair between receivers, bounded, and remembered for a while.
//!
//! A look-up of the system's takes a thread and can't be cut short, so a name whose server hangs keeps its thread for
//! as long as the resolver is patient. Three rules keep such names from the others:
//!
//! - Names that were answered quickly the last time have places of their own.
//! - A look-up that isn't quick gives its place to the next one and goes on beside, up to [`LINGERING_MAX`] of them.
//! - A name is looked up once at a time, however many exchanges ask for it.
//!
//! An exchange that is given up before its look-up has a place gives up its turn as well. What was found is remembered
//! for [`AGE_MAX`]; it is judged at each dial all the same.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide_engine::hash::FastMap;
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use tokio::sync::Semaphore;

use super::resolve::{Resolve, Resolving};
use crate::clock::Clock;

/// The most look-ups that have a place, of names that were quick the last time and again of the others.
pub const PLACES: usize = 32;
/// The most look-ups beside them that are no longer quick. With those that have a place they take at most 384 threads
/// of the 512 that blocking work has.
pub const LINGERING_MAX: usize = 320;
/// How long a look-up may take to count as quick.
pub const QUICK: Duration = Duration::from_millis(200);
/// How long the addresses of a name are remembered.
pub const AGE_MAX: Duration = Duration::from_secs(30);
/// The most names that are remembered.
const NAMES_MAX: usize = 4_096;

/// A resolver before another one.
#[derive(Debug)]
pub struct Names(Arc<Room>);

#[derive(Debug)]
struct Room {
    resolver: Arc<dyn Resolve>,
    clock: Clock,
    known: Mutex<FastMap<Arc<str>, Known>>,
    /// Places of names that were quick, and of others.
    places: [Arc<Semaphore>; 2],
    lingering: Arc<Semaphore>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    is_quick: bool,
    /// Its addresses, and when they were found.
    found: Option<(Arc<[IpAddr]>, Duration)>,
    under_way: Option<WeakShared<LookUp>>,
}

type LookUp = Pin<Box<dyn Future<Output = Result<Arc<[IpAddr]>, Arc<io::Error>>> + Send>>;

impl Names {
    /// Asks that resolver.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self(Arc::new(Room {
            resolver,
            // Ages are measured by the machine's time, whatever the server's clock shows.
            clock: Clock::real(),
            known: Mutex::default(),
            places: [semaphore(PLACES), semaphore(PLACES)],
            lingering: semaphore(LINGERING_MAX),
        }))
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let answer = self.0.answer(host);
        Box::pin(async move {
            let told = answer.await;
            told.map(|found| found.to_vec())
                .map_err(|error| match error.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(error.kind(), error),
                })
        })
    }
}

impl Room {
    /// What is known of the name, or its look-up, which may be under way already.
    fn answer(self: &Arc<Self>, host: &str) -> Shared<LookUp> {
        let now = self.clock.elapsed();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX && !known.contains_key(host) {
            forget_one(&mut known);
        }
        let host: Arc<str> = host.into();
        let name = known.entry(host.clone()).or_default();
        let is_fresh = |found: &&(_, Duration)| now.saturating_sub(found.1) < AGE_MAX;
        if let Some((addresses, _)) = name.found.as_ref().filter(is_fresh) {
            let found: LookUp = Box::pin(std::future::ready(Ok(addresses.clone())));
            return found.shared();
        }
        if let Some(under_way) = name.under_way.as_ref().and_then(WeakShared::upgrade) {
            return under_way;
        }
        let (room, is_quick) = (self.clone(), name.is_quick);
        let look_up: LookUp = Box::pin(async move { room.look_up(host, is_quick).await });
        let look_up = look_up.shared();
        name.under_way = look_up.downgrade();
        look_up
    }

    async fn look_up(
        self: Arc<Self>,
        host: Arc<str>,
        was_quick: bool,
    ) -> Result<Arc<[IpAddr]>, Arc<io::Error>> {
        let places = self.places[usize::from(was_quick)].clone();
        let place = places
            .acquire_owned()
            .await
            .map_err(|error| Arc::new(io::Error::other(error)))?;
        // Kept until it is over, so that exchanges that ask meanwhile wait for this one.
        let shared = self.under_way(&host);
        // A task, so that its place goes with the look-up and not with those who asked, who may give up long before.
        let task = tokio::spawn(async move {
            let mut found = self.resolver.resolve(&host);
            let quick = tokio::time::timeout(QUICK, &mut found).await;
            let is_quick = quick.is_ok();
            let answer = match quick {
                Ok(answer) => answer,
                Err(_elapsed) => {
                    // Where no more may linger it keeps its place.
                    let beside = self.lingering.clone().try_acquire_owned();
                    let _place = beside.unwrap_or(place);
                    found.await
                }
            };
            let answer = self.note(&host, is_quick, answer);
            drop(shared);
            answer
        });
        task.await
            .map_err(|error| Arc::new(io::Error::other(error)))?
    }

    fn under_way(&self, host: &str) -> Option<Shared<LookUp>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = known.get(host)?.under_way.as_ref()?;
        under_way.upgrade()
    }

    fn note(
        &self,
        host: &str,
        is_quick: bool,
        answer: io::Result<Vec<IpAddr>>,
    ) -> Result<Arc<[IpAddr]>, Arc<io::Error>> {
        let answer = answer.map(Arc::<[IpAddr]>::from).map_err(Arc::new);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get_mut(host) {
            name.is_quick = is_quick;
            let now = self.clock.elapsed();
            name.found = answer.clone().ok().map(|addresses| (addresses, now));
        }
        answer
    }
}

/// Forgets a name that no exchange waits for, if any; it doesn't matter which.
fn forget_one(known: &mut FastMap<Arc<str>, Known>) {
    let is_idle = |name: &Known| {
        name.under_way
            .as_ref()
            .and_then(WeakShared::upgrade)
            .is_none()
    };
    let idle = known.iter().find(|(_, name)| is_idle(name));
    if let Some(host) = idle.map(|(host, _)| host.clone()) {
        known.remove(&host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the name servers of names that begin with `hang` keep a look-up.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// How long an exchange waits.
    const EXCHANGE: Duration = Duration::from_secs(15);

    /// Name servers of which some hang, and what they were asked.
    #[derive(Debug, Default)]
    struct Servers(Mutex<Vec<String>>);

    impl Servers {
        fn asked(&self, host: &str) -> usize {
            let asked = self.0.lock().unwrap();
            asked.iter().filter(|name| *name == host).count()
        }
    }

    impl Resolve for Servers {
        fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
            Box::pin(async move {
                self.0.lock().unwrap().push(host.to_owned());
                let hangs = host.starts_with("hang");
                let length = if hangs {
                    PATIENCE
                } else {
                    Duration::from_millis(5)
                };
                tokio::time::sleep(length).await;
                match hangs {
                    true => Err(io::ErrorKind::TimedOut.into()),
                    false => Ok(vec![[192, 0, 2, 1].into()]),
                }
            })
        }
    }

    fn names() -> (Arc<Names>, Arc<Servers>) {
        let servers = Arc::<Servers>::default();
        (Arc::new(Names::new(servers.clone())), servers)
    }

    /// Asks for all of them at once, as exchanges do, and says how long the slowest took.
    async fn slowest(names: &Arc<Names>, hosts: impl Iterator<Item = String>) -> Duration {
        let clock = Clock::real();
        let asked = hosts.map(|host| {
            let (names, clock) = (names.clone(), clock.clone());
            async move {
                let begun = clock.elapsed();
                let answer = tokio::time::timeout(EXCHANGE, names.resolve(&host)).await;
                answer.expect("an answer in time").expect("addresses");
                clock.elapsed() - begun
            }
        });
        let took = futures_util::future::join_all(asked).await;
        took.into_iter().max().unwrap_or_default()
    }

    fn good(from: usize) -> impl Iterator<Item = String> {
        (from..from + 20).map(|n| format!("good{n}.example"))
    }

    #[tokio::test(start_paused = true)]
    async fn three_hundred_names_that_hang_slow_down_nobody() {
        let (names, _) = names();
        assert!(slowest(&names, good(0)).await < Duration::from_millis(10));
        tokio::time::sleep(AGE_MAX).await;
        for n in 0..300 {
            let names = names.clone();
            tokio::spawn(async move {
                let host = format!("hang{n}.example");
                // Again and again, as deliveries are retried.
                loop {
                    let _ = tokio::time::timeout(EXCHANGE, names.resolve(&host)).await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
        tokio::task::yield_now().await;
        for minute in 1..=4 {
            let known = slowest(&names, good(0)).await;
            assert!(known < Duration::from_millis(10), "{known:?}");
            let new = slowest(&names, good(100 * minute)).await;
            assert!(new < Duration::from_secs(3), "{new:?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_a_bounded_time_and_a_failure_is_not() {
        let (names, servers) = names();
        for (pause, asked) in [(0, 1), (29_000, 1), (2_000, 2)] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let found = names.resolve("good.example").await.unwrap();
            assert_eq!(found, [IpAddr::from([192, 0, 2, 1])]);
            assert_eq!(servers.asked("good.example"), asked, "{pause} ms later");
        }
        for asked in 1..=2 {
            let error = names.resolve("hang.example").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(servers.asked("hang.example"), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_at_a_time_and_not_at_all_once_nobody_waits() {
        let (names, servers) = names();
        let short = Duration::from_secs(1);
        for _ in 0..5 {
            let asked = (0..20).map(|_| tokio::time::timeout(short, names.resolve("hang.example")));
            let answers = futures_util::future::join_all(asked).await;
            assert!(answers.iter().all(Result::is_err));
        }
        assert_eq!(servers.asked("hang.example"), 1, "it goes on beside");

        // As many as there is room for, that one among them, and three more.
        let room = LINGERING_MAX - 1 + PLACES;
        let hosts: Vec<_> = (0..room + 3).map(|n| format!("hang{n}.example")).collect();
        let asked = hosts.iter().map(|host| names.resolve(host));
        let all = tokio::time::timeout(
            Duration::from_secs(10),
            futures_util::future::join_all(asked),
        );
        assert!(all.await.is_err());
        tokio::time::sleep(2 * PATIENCE).await;
        let asked = hosts.iter().filter(|host| servers.asked(host) > 0).count();
        assert_eq!(asked, room, "those without a place were given up");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let (names, _) = names();
        for n in 0..NAMES_MAX + 100 {
            names.resolve(&format!("good{n}.example")).await.unwrap();
        }
        assert_eq!(names.0.known.lock().unwrap().len(), NAMES_MAX);
    }
}
