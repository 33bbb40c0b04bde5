//! The runtime of calls without async.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::coop::poll_proceed;

use crate::error::Error;

/// More polls than a task may make in one turn.
const TURN_POLLS_MAX: usize = 256;

/// Waits for a future on this thread. A runtime with one thread of its own, started by the first use, turns the timers
/// and sockets that the future needs; the thread's own runtime, if it has entered one, is not asked.
///
/// # Errors
///
/// Inside an async task, or if no thread can be started.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, Error> {
    if is_in_task() {
        return Err(Error::usage(
            "blocking inside an async task would stop everything else: await it instead, or use `spawn_blocking`",
        ));
    }
    let _entered = runtime()?.enter();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Ok(output),
            Poll::Pending => thread::park(),
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Whether this is the turn of an async task, and not a thread that may block though it has entered a runtime, such as
/// those of `spawn_blocking`. A task has a budget of polls in one turn; the threads have none.
fn is_in_task() -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let mut is_used_up = || match poll_proceed(&mut context) {
        Poll::Ready(proceed) => {
            proceed.made_progress();
            false
        }
        Poll::Pending => true,
    };
    Handle::try_current().is_ok() && (0..TURN_POLLS_MAX).any(|_| is_used_up())
}

/// The one runtime on which the process blocks.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("abide")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())
    });
    runtime
        .as_ref()
        .map_err(|error| Error::usage(format!("no thread can be started: {error}")))
}
