//! The client of abide for programs in other languages.
//!
//! A [`Core`] is the whole client (held requests, streams, sets, learned schedules, retries, budgets, deadlines)
//! without any I/O of its own: no thread, no socket, no clock. The host, a binding for some language, brings all three:
//!
//! 1. it starts an operation, such as [`Core::wait`], and gets its [`Op`];
//! 2. it [turns](Core::turn) the core and carries out the [`Effect`]s that come of it: send this request, call the
//!    caller's function, this operation has ended;
//! 3. it reports what came of them ([`head`](Core::head), [`chunk`](Core::chunk), [`end`](Core::end),
//!    [`broken`](Core::broken), [`looked`](Core::looked), [`look_failed`](Core::look_failed)) and turns again, and it
//!    turns when [`Core::deadline`] has come, which is one timer for all operations.
//!
//! Every call returns at once. Instants are times since a zero that the host chooses; they must not go back. The same
//! calls with the same instants and the same [seed](abide::ClientBuilder::seed) have the same effects, which is how
//! whole waits are recorded and played again.
//!
//! ```
//! use std::time::Duration;
//! use abide::{Client, Look};
//! use abide_core::{Core, Effect, PollTerms};
//!
//! # fn main() -> Result<(), abide::Error> {
//! let mut core = Core::new(Client::builder("http://127.0.0.1:8080").seed(7), Duration::ZERO)?;
//! let op = core.poll_until(PollTerms::default());
//! let mut now = Duration::ZERO;
//! loop {
//!     for effect in core.turn(now) {
//!         match effect {
//!             // Here the host calls the function that it was given.
//!             Effect::Look { look, .. } => core.looked(look, Look::done(())),
//!             Effect::Ended { op: ended, .. } => assert_eq!(ended, op),
//!             _ => {}
//!         }
//!     }
//!     match core.deadline() {
//!         Some(at) => now = at,
//!         None if core.is_idle() => break,
//!         None => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod core;
mod effect;
mod exchange;
mod look;

pub use self::core::Core;
pub use self::effect::{Broken, Effect, Ended, ExchangeId, LookId, News, Op};
pub use self::look::{LookError, PollTerms};
