//! stdout is data, stderr is talk.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::show;

/// Writes one line of data.
///
/// # Errors
///
/// Those of stdout; a closed pipe among them, which ends the program without a word.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// What came of writing to stdout, said as such.
///
/// # Errors
///
/// That of the result, of the same kind.
pub(crate) fn written(result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| {
        io::Error::new(error.kind(), format!("failed to write to stdout: {error}"))
    })
}

/// Writes one value as a line of JSON.
///
/// # Errors
///
/// Those of stdout.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value)?;
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // Outside of texts, where free-form JSON is laid out as its maker wanted it.
            '\n' | '\r' | '\t' => {}
            // The same text to every reader of JSON, but not to a terminal.
            char if show::is_unsafe(char) => {
                safe.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => safe.push(char),
        }
    }
    line(&safe)
}

/// Says something to the person at the terminal, in plain text: much of it repeats what a server said.
pub(crate) fn say(text: &str) {
    let lines: Vec<_> = text.lines().map(show::plain).collect();
    let text = lines.join("\n");
    // A closed stderr is fine.
    let _closed = writeln!(anstream::stderr().lock(), "{text}");
}
