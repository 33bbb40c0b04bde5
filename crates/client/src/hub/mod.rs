//! Many waits, one held request.
//!
//! A few waits of a client hold a request each. Beyond [`ALONE_MAX`] of them the rest share: a wait that wants to hold
//! joins here. A task that lives exactly as long as a wait is joined sends one request for all of them, hands each
//! job's news to those that wait for it, and sends the next one for the rest. Newcomers get a request of their own at
//! first, and requests are merged as they add up, so that there are never more than a handful.
//!
//! How often it sends is bounded: hundreds of jobs end at hundreds of instants, and answering to each one at once would
//! be hundreds of requests. With few jobs nothing is held back.
//!
//! `shared` has the doors and the task; `state` who is joined and what is on its way; `batch` puts a request together,
//! `flight` brings it to its answer, `hand_out` tells the members, and `bucket` says how often.

mod batch;
mod bucket;
mod flight;
mod hand_out;
mod shared;
mod state;

pub(crate) use self::shared::{ALONE_MAX, Alone, Hub};
pub(crate) use self::state::Want;
