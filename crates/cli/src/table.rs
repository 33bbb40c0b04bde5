//! Tables for people.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};

/// A table of these rows, those that are `true` in bold. All columns but the first `words` hold numbers.
pub(crate) fn draw<const N: usize>(
    header: [&str; N],
    words: usize,
    rows: impl IntoIterator<Item = (bool, [String; N])>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::UTF8_FULL_CONDENSED)
        // The writer strips styles unless it writes to a terminal.
        .enforce_styling()
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for (is_bold, cells) in rows {
        table.add_row(cells.map(|text| match is_bold {
            true => Cell::new(text).add_attribute(Attribute::Bold),
            false => Cell::new(text),
        }));
    }
    for column in table.column_iter_mut().skip(words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
