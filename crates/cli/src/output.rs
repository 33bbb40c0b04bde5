//! stdout is data, stderr is talk.

use std::io::{self, Write as _};

use serde::Serialize;

/// Writes one line of data.
///
/// # Errors
///
/// Those of stdout; a closed pipe among them, which ends the program without a word.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes one value as a line of JSON.
///
/// # Errors
///
/// Those of stdout.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Says something to the person at the terminal.
pub(crate) fn say(text: &str) {
    // Nobody may be listening to stderr, and that is fine.
    let _closed = writeln!(anstream::stderr().lock(), "{text}");
}
