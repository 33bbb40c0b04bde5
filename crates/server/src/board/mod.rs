//! The board: what readers see, and where they wait.
//!
//! Reads never enter the loop. The loop publishes each job on the board once its change is durable, and every read
//! looks here.
//!
//! Wake-ups are hints, the state is the truth. A waiter registers first, then looks, then sleeps; a change is put on
//! the board first, then the waiters are rung. Whatever order the two take, the waiter either sees the change when it
//! looks or is rung after it. A ring is kept for the waiter until it sleeps
//! ([`Notify::notify_one`](tokio::sync::Notify::notify_one)), so none is lost in between.
//!
//! [`Board`] holds the jobs, each with its waiters and its JSON behind one lock of 64. Beside them it holds the feed of
//! all changes, the workers that wait for a job, what is known of each kind's durations, and webhooks, each behind a
//! lock of its own.

mod claims;
mod feed;
mod jobs;
mod kinds;
mod names;
mod text;
mod waiters;
mod webhooks;

pub use claims::CLAIM_KIND_BYTES;
pub use feed::{FEED_CHANGES_MAX, Feed, FeedChange, NoPlace, Place};
pub use jobs::{Board, Look};
pub use names::{NAMES_MAX, NamesOf};
pub use waiters::{Channel, Waiter, Watcher};
pub use webhooks::{WebhookBoard, WebhookCounts};

#[cfg(test)]
mod tests;
