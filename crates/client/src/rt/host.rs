//! Time and tasks in the hands of a host: a loop without a thread, a clock or a socket.
//!
//! A host in another language makes a [`Loop`], puts futures into it, and [turns](Loop::turn) it whenever it has told
//! them something or [their next instant](Loop::deadline) has come. While a loop turns, everything of this crate that
//! runs within takes its time from it; anywhere else the same code runs on tokio's clock, so that a build with this
//! feature serves both. The same inputs at the same instants make the same things happen.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Add, Sub};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Work;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// The loop that turns on this thread.
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// What a loop shares with the futures in it.
#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    now: Duration,
    wall: Duration,
    /// Names tasks and timers.
    names: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    /// Tasks that were spawned since the last turn.
    fresh: Vec<Task>,
    /// Tasks to be polled.
    ready: VecDeque<u64>,
    /// What the host is to do on threads of its own.
    works: Vec<Work>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }
}

/// Looks at the loop that turns on this thread, if one does.
fn current<T>(work: impl FnOnce(&Arc<Shared>) -> T) -> Option<T> {
    CURRENT.with(|current| current.borrow().as_ref().map(work))
}

/// Marks a loop as the one that turns, until it is dropped.
struct Turning(Option<Arc<Shared>>);

/// Does the work on a thread of the host's, where a loop turns this one's futures, or of tokio's. Returns once it is
/// done.
pub(crate) async fn spawn_blocking(work: Work) {
    let (tell, told) = oneshot::channel();
    let mut work: Option<Work> = Some(Box::new(move || {
        let put = work();
        Box::new(move || {
            put();
            // A wait that didn't wait for it is gone.
            let _ = tell.send(());
        })
    }));
    current(|shared| shared.lock().works.extend(work.take()));
    if let Some(work) = work {
        tokio::task::spawn_blocking(|| work()());
    }
    // A host or a runtime that goes down drops the work.
    let _ = told.await;
}

impl Drop for Turning {
    fn drop(&mut self) {
        let outer = self.0.take();
        CURRENT.with(|current| *current.borrow_mut() = outer);
    }
}

/// Wakes a task.
struct Bell {
    shared: Arc<Shared>,
    task: u64,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.shared.lock().ready.push_back(self.task);
        }
    }
}

/// Runs futures for a host that tells it the time. Instants are times since the host's own zero, which never go back.
///
/// ```
/// use std::time::Duration;
/// use abide::{Look, poll_until};
///
/// let mut turns = abide::Loop::new(Duration::ZERO);
/// let wait = turns.within(Duration::ZERO, || poll_until(|| async { Ok::<_, std::io::Error>(Look::done(7)) }));
/// turns.add(async move { assert_eq!(wait.await.unwrap(), 7) });
/// while !turns.is_empty() {
///     let now = turns.deadline().unwrap_or_default();
///     turns.turn(now);
/// }
/// ```
#[derive(Default)]
pub struct Loop {
    shared: Arc<Shared>,
    tasks: HashMap<u64, (Task, Arc<Bell>)>,
}

impl Loop {
    /// An empty loop. `wall` is the time of day at the host's zero, since 1970.
    #[must_use]
    pub fn new(wall: Duration) -> Self {
        let turns = Self::default();
        turns.shared.lock().wall = wall;
        turns
    }

    /// Does something that may read the time, as all futures of this crate do when they are made, polled or dropped.
    pub fn within<T>(&self, now: Duration, work: impl FnOnce() -> T) -> T {
        let _turning = self.enter(now);
        work()
    }

    /// Adds a future, to be polled at the next turn. Returns its name.
    pub fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) -> u64 {
        self.put(Box::pin(task))
    }

    /// Drops a future; one that has ended is none any more.
    pub fn remove(&mut self, task: u64, now: Duration) {
        let task = self.tasks.remove(&task);
        self.within(now, || drop(task));
    }

    /// Goes on until nothing is left to do at that instant.
    pub fn turn(&mut self, now: Duration) {
        let _turning = self.enter(now);
        let due = {
            let mut state = self.shared.lock();
            let now = state.now;
            let later = state.timers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.timers, later)
        };
        due.into_values().for_each(Waker::wake);
        loop {
            let fresh = std::mem::take(&mut self.shared.lock().fresh);
            for task in fresh {
                self.put(task);
            }
            let Some(name) = self.shared.lock().ready.pop_front() else {
                return;
            };
            let Some((task, bell)) = self.tasks.get_mut(&name) else {
                continue;
            };
            bell.rung.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(bell));
            if task
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                self.tasks.remove(&name);
            }
        }
    }

    /// What is to be done on other threads, because it may wait for a disk.
    #[must_use]
    pub fn works(&mut self) -> Vec<LoopWork> {
        let works = std::mem::take(&mut self.shared.lock().works);
        works.into_iter().map(LoopWork).collect()
    }

    /// When to turn again if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let state = self.shared.lock();
        state.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many futures have not ended, those included that the library has started for itself.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len() + self.shared.lock().fresh.len()
    }

    /// Whether all futures have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many timers are running.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.shared.lock().timers.len()
    }

    fn enter(&self, now: Duration) -> Turning {
        let mut state = self.shared.lock();
        state.now = state.now.max(now);
        drop(state);
        let shared = Arc::clone(&self.shared);
        Turning(CURRENT.with(|current| current.borrow_mut().replace(shared)))
    }

    fn put(&mut self, task: Task) -> u64 {
        let mut state = self.shared.lock();
        let name = state.name();
        state.ready.push_back(name);
        drop(state);
        let bell = Arc::new(Bell {
            shared: Arc::clone(&self.shared),
            task: name,
            rung: AtomicBool::new(true),
        });
        self.tasks.insert(name, (task, bell));
        name
    }
}

/// Work that may wait for a disk, for as long as it likes: [reading](Self::read) what was learned takes no lock, and
/// [putting it in](LoopDone::put) blocks for nothing. Turn the loop after that.
pub struct LoopWork(Work);

/// What a [`LoopWork`] has read.
pub struct LoopDone(Box<dyn FnOnce() + Send>);

impl LoopWork {
    /// Reads.
    #[must_use]
    pub fn read(self) -> LoopDone {
        LoopDone(self.0())
    }
}

impl LoopDone {
    /// Puts it where waits find it.
    pub fn put(self) {
        self.0();
    }
}

impl fmt::Debug for LoopWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopWork")
    }
}

impl fmt::Debug for LoopDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopDone")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        let fresh = std::mem::take(&mut self.shared.lock().fresh);
        self.within(Duration::ZERO, || drop((tasks, fresh)));
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop")
            .field("tasks", &self.len())
            .field("deadline", &self.deadline())
            .finish()
    }
}

/// An instant: of the loop that turns, or of tokio's clock where none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(Duration);

/// What lies between the zero of the instants on tokio's clock and the first of them that was read.
const BEFORE: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The first instant that was read of tokio's clock.
fn first() -> tokio::time::Instant {
    static FIRST: OnceLock<tokio::time::Instant> = OnceLock::new();
    *FIRST.get_or_init(tokio_now)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the client's twin of the clock"
)]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

impl Instant {
    pub(crate) fn now() -> Self {
        let of_loop = current(|shared| Self(shared.lock().now));
        of_loop.unwrap_or_else(|| {
            let (first, now) = (first(), tokio_now());
            // A paused clock may have been ahead when the first instant was read.
            let behind = first.saturating_duration_since(now);
            Self(BEFORE + now.saturating_duration_since(first) - behind)
        })
    }

    pub(crate) fn checked_add(self, span: Duration) -> Option<Self> {
        self.0.checked_add(span).map(Self)
    }

    pub(crate) fn checked_sub(self, span: Duration) -> Option<Self> {
        self.0.checked_sub(span).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The same on tokio's clock.
    fn tokio(self) -> tokio::time::Instant {
        match self.0.checked_sub(BEFORE) {
            Some(since) => first() + since,
            None => first() - (BEFORE - self.0),
        }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// The time of day of the loop that turns, since 1970.
pub(crate) fn wall() -> Option<Duration> {
    current(|shared| {
        let state = shared.lock();
        state.wall + state.now
    })
}

/// Starts a task of the loop that turns, or of tokio's runtime.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let mut task: Option<Task> = Some(Box::pin(task));
    current(|shared| shared.lock().fresh.extend(task.take()));
    if let Some(task) = task {
        tokio::task::spawn(task);
    }
}

/// Sleeps up to an instant.
pub(crate) struct Sleep {
    at: Instant,
    timer: Timer,
}

/// What rings, from the first poll on.
enum Timer {
    None,
    Loop(Arc<Shared>, u64),
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

/// Sleeps up to an instant, on the clock of where it is polled first.
pub(crate) const fn sleep_until(at: Instant) -> Sleep {
    Sleep {
        at,
        timer: Timer::None,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        if matches!(self.timer, Timer::None) {
            let named = current(|shared| {
                let name = shared.lock().name();
                Timer::Loop(Arc::clone(shared), name)
            });
            let tokio = || Timer::Tokio(Box::pin(tokio::time::sleep_until(at.tokio())));
            self.timer = named.unwrap_or_else(tokio);
        }
        match &mut self.timer {
            Timer::Tokio(sleep) => sleep.as_mut().poll(cx),
            Timer::Loop(shared, name) => {
                let mut state = shared.lock();
                if at.0 <= state.now {
                    return Poll::Ready(());
                }
                state.timers.insert((at.0, *name), cx.waker().clone());
                Poll::Pending
            }
            Timer::None => Poll::Pending,
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Timer::Loop(shared, name) = &self.timer {
            let waker = shared.lock().timers.remove(&(self.at.0, *name));
            // Outside of the lock: the last bell of a loop drops it.
            drop(waker);
        }
    }
}

/// The time was over first.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// Does the work, unless that instant comes first.
pub(crate) async fn timeout_at<F: Future>(at: Instant, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let mut sleep = sleep_until(at);
    poll_fn(move |cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// Does the work, unless it takes longer.
pub(crate) async fn timeout<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let far = Instant(Duration::MAX);
    timeout_at(Instant::now().checked_add(limit).unwrap_or(far), work).await
}
