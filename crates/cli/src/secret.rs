//! Secrets of webhooks on the command line, read in one way.

use abide::webhook::Secret;

use crate::exit::{Failure, USAGE};

/// Reads the secret that `--secret` gives.
///
/// # Errors
///
/// It is none.
pub(crate) fn read(text: &str) -> Result<Secret, Failure> {
    let wrong = |error| Failure::new(USAGE, format!("--secret: {error}"));
    text.trim().parse::<Secret>().map_err(wrong)
}
