//! One simulated world: the production server, clients of every strategy, receivers of webhooks, workers, a disk and a
//! network that fail, clocks that step; all in one thread, on virtual time, from one seed.
//!
//! A [`Plan`] is made of a seed: who does what when, and what breaks when. [`run()`] plays it and gives the
//! [`History`]: everything that anybody was told, and every fault. [`check()`] judges the history by the promises, and
//! nothing else does. So a failing plan can be [shrunk](shrink()): steps are left out for as long as the verdict stays
//! bad.
//!
//! | module | what it has |
//! |---|---|
//! | `draw` | random draws by a hash of what they are for, so that one step less doesn't change the others |
//! | `plan` | the steps of a seed |
//! | `net` | streams with latency, stalls, cuts and half-closes |
//! | `transport` | HTTP over those streams, for the real client; requests that are repeated, answers that are lost |
//! | `disk` | a journal that takes time, fills up, breaks and forgets what wasn't synced |
//! | `node` | the server: started, stopped, crashed |
//! | `receivers` | where webhooks arrive |
//! | `actors` | what clients and workers do |
//! | `history` | the log |
//! | `check` | the promises |
//! | `run` | all of it together |
//! | `shrink` | the least steps that still fail |
//!
//! What is in it is the product, but for sockets and files: hyper reads and writes every byte, and the driver, the
//! board, the courier and the gate are those of the binary. The same seed gives the same history where the process
//! draws no randomness of its own; the binary `world` makes sure of that.

mod actors;
mod check;
mod disk;
mod draw;
mod history;
mod net;
mod node;
mod plan;
mod receivers;
mod run;
mod shrink;
mod transport;

pub use check::{Promise, Violation, check};
pub use history::{Event, History, Moment};
pub use plan::{Act, Breakage, Plan, Sabotage, Step};
pub use run::run;
pub use shrink::shrink;
