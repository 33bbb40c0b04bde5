//! Dialects: other systems' ways to ask for the same jobs.
//!
//! A dialect translates at the edge, both ways, and nothing behind it knows that dialects exist. It is a folder of
//! this one and a row in [`DIALECTS`]: it brings rows for the route table and [`Words`] for what the gate says on all
//! of them.

mod classic;

use super::door::Words;
use super::route::Row;

/// Another system's interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Its routes.
    pub rows: &'static [Row],
    /// How it says what every route may have to say.
    pub words: &'static dyn Words,
    /// Paths whose unknown sub-paths are answered in its words, too.
    pub trees: &'static [&'static str],
    /// How it says a native webhook event, for an endpoint that was registered with that form; `None` if it doesn't know
    /// the form, or has no words for the event.
    pub render: fn(form: &str, event: &str) -> Option<String>,
    /// The part of the description that its routes are; `None` if they aren't described.
    pub tag: Option<(&'static str, &'static str)>,
}

/// All of them.
pub(super) const DIALECTS: &[Dialect] = &[classic::DIALECT];
