//! Several nodes on one log: one leads, all apply and answer, any may die.
//!
//! Every node is a whole server with an engine and a board of its own. One of them **leads**: it decides, and appends
//! to the shared log. The others **follow**: they apply what the leader has appended, so their boards, holds, streams
//! and feeds show the same. What changes something is sent on to the leader as a command and comes back as the name of
//! its answer, which the node reads from its own state once that has come as far. So a node shows a client what that
//! client has done, and nothing in [`http`](crate::http) knows where a command is carried out.
//!
//! **The fence is the log, not the lease.** An append goes after the very batch that its writer wrote or read last; see
//! [`SharedLog`](crate::journal::SharedLog). No clock, no lease and no link decides who may write. The [lease](heart)
//! only decides when another node tries to lead: a node's beat is seen to change, by the observer's own monotonic
//! clock, and no instant of another machine is compared with anything.
//!
//! A new leader reads the log to its end, appends its mark, and goes on deciding with the engine it has. What the old
//! one still appends after the mark is refused; it ends, because its engine is ahead of the log, and starts as a
//! follower. One that is deposed between two batches isn't ahead and follows without a restart.
//!
//! A follower hears of a batch by its link to the leader as soon as it is durable. A link is a convenience: without
//! one, or after a hole, a follower reads the log.
//!
//! | module | what it is about |
//! |---|---|
//! | [`frame`] | what nodes say to each other |
//! | [`network`] | links between nodes: the seam to sockets, and to what tests have instead |
//! | [`tcp`] | links over TCP, encrypted |
//! | [`heart`] | the beat of a node, and when a leader counts as gone |
//! | `hub`, `serve` | the leader's end: batches to all links, commands from them |
//! | `links`, `reader` | a follower's link to the leader, and its reads of the log |
//! | `changed` | which parts a follower must write if it comes to lead |
//! | `errands` | commands that a follower has sent on, until they are answered |
//! | `gather` | what every node knows apart, gathered for one answer |
//! | [`status`] | what the rest of the server may ask: who leads, how far this node is |
//! | [`node`] | a node and its loop: `follow`, be promoted and `lead` |

pub mod frame;
pub mod heart;
pub mod network;
pub mod node;
pub mod status;
#[cfg(feature = "postgres")]
pub mod tcp;

mod changed;
mod errands;
mod follow;
mod gather;
mod hub;
mod lead;
mod links;
mod reader;
mod serve;

pub use frame::{Down, Up};
pub use gather::{Gathered, Told};
pub use network::{Inbound, Network, Upstream};
pub use node::{Membership, Node, Settings};

pub use status::{Role, Status};

pub(crate) use node::{Beginning, Opened};
