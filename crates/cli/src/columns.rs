//! Lists: a line an item with columns under headers, or JSON.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{output, show};

/// The columns of an id of the server's: a prefix, and 32 digits.
pub(crate) const ID_COLUMNS: usize = 36;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns with headers
    Table,
    /// The same with more columns
    Wide,
    /// One JSON object a line, as --json
    Json,
}

/// The flag of commands that write lists.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// How to write the list: as columns with headers, as more of them, or as --json does [default: columns, with
    /// headers on a terminal]
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Writes a list as it comes, so that its first items are seen before the last are known.
#[derive(Debug)]
pub(crate) struct Columns {
    format: Format,
    /// Name and width of each; those after the first `narrow` are shown in the wide form alone.
    columns: &'static [(&'static str, usize)],
    narrow: usize,
    /// Whether the headers are still to be written.
    is_headed: bool,
    is_empty: bool,
}

impl Columns {
    /// A list with those columns: name, and the width that most values have; 0 for the rest of the line.
    pub(crate) fn new(
        output: &Output,
        as_json: bool,
        columns: &'static [(&'static str, usize)],
    ) -> Self {
        let format = match output.format {
            _ if as_json => Format::Json,
            Some(format) => format,
            None => Format::Table,
        };
        // Where a program reads, it hasn't asked for headers.
        let is_headed = output.format.is_some() || io::stdout().is_terminal();
        Self {
            format,
            columns,
            narrow: columns.len(),
            is_headed: is_headed && format != Format::Json,
            is_empty: true,
        }
    }

    /// Shows the columns after the first `narrow` in the wide form alone.
    pub(crate) const fn narrow(mut self, narrow: usize) -> Self {
        self.narrow = narrow;
        self
    }

    /// Writes an item: as JSON, or the cells of all columns.
    ///
    /// # Errors
    ///
    /// Those of stdout.
    pub(crate) fn write(
        &mut self,
        item: &impl Serialize,
        cells: impl FnOnce() -> Vec<String>,
    ) -> io::Result<()> {
        self.is_empty = false;
        if self.format == Format::Json {
            return output::json(item);
        }
        if std::mem::take(&mut self.is_headed) {
            let names = self.columns.iter().map(|(name, _)| (*name).to_owned());
            let header = self.line(&names.collect::<Vec<_>>());
            output::line(&show::styled(show::DIM, header))?;
        }
        output::line(&self.line(&cells()))
    }

    /// Tells a person that nothing was written; a program sees that.
    pub(crate) fn end(&self, nothing: &str) {
        if self.is_empty && self.format != Format::Json && io::stdout().is_terminal() {
            output::say(nothing);
        }
    }

    /// The cells beside each other. A style takes no room.
    fn line(&self, cells: &[String]) -> String {
        let shown = match self.format {
            Format::Wide => self.columns.len(),
            Format::Table | Format::Json => self.narrow,
        };
        let mut line = String::new();
        for ((_, width), cell) in self.columns.iter().zip(cells).take(shown) {
            let taken = console::measure_text_width(cell);
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(taken) + 2));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_whatever_their_style_and_the_wide_form_has_more() {
        const COLUMNS: &[(&str, usize)] = &[("A", 3), ("B", 2), ("C", 0)];
        let line = |format| {
            let output = Output {
                format: Some(format),
            };
            let columns = Columns::new(&output, false, COLUMNS).narrow(2);
            columns.line(&[
                "\u{1b}[2mx\u{1b}[0m".to_owned(),
                "yyyy".to_owned(),
                "z".to_owned(),
            ])
        };
        assert_eq!(line(Format::Table), "\u{1b}[2mx\u{1b}[0m    yyyy");
        assert_eq!(line(Format::Wide), "\u{1b}[2mx\u{1b}[0m    yyyy  z");
    }
}
