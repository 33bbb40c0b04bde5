//! The HTTP surface: one way from a request to its answer.
//!
//! A request becomes one `Call`. A row of the one route table says what it is, and the
//! row's handler answers it with one [`Answer`](answer::Answer), at once or later. The [`Gate`] is what happens
//! around every request, whatever it asks for. Rows stand beside their handlers, in the rooms of this folder; another
//! system's routes and words are in a folder of `dialect`.
//!
//! Handlers see the board and the door to the loop, by [`AppState`]; never the engine's decisions, the journal or the
//! courier.

pub mod access;
mod agreed;
pub mod answer;
mod attendance;
mod base;
mod body;
mod call;
mod dashboard;
mod described;
mod dialect;
mod door;
pub mod error;
mod events;
mod exchange;
mod faults;
mod feed;
mod find;
mod form;
mod fresh;
pub mod gate;
mod head;
mod hold;
mod id;
mod instant;
mod jobs;
mod json;
mod kept;
pub mod limits;
mod mount;
mod near;
mod nodes;
mod openapi;
mod ops;
mod ordinals;
mod paging;
mod represent;
mod requests;
mod route;
mod seen;
mod simulator;
pub mod state;
mod stream_token;
mod strict;
mod table;
pub mod trace;
mod value;
mod webhooks;

pub use gate::Gate;
pub(crate) use nodes::answer_others;
pub use state::AppState;
pub use table::{dialects, names_of, render_webhook};
