//! Dialects: other systems' ways to ask for the same jobs.
//!
//! A dialect translates at the edge, both ways, and nothing behind it knows that dialects exist.

pub(in crate::http) mod classic;
