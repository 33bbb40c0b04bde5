//! Instants in queries.

use abide_wire::Timestamp;
use abide_wire::time::ParseTimeError;
use serde::{Deserialize as _, Deserializer, de};

/// Reads an instant of a query. A blank where the sign of the offset belongs was a `+`: that is what a form's encoding
/// makes of one that isn't written `%2B`.
pub(super) fn read(text: &str) -> Result<Timestamp, ParseTimeError> {
    match text.rsplit_once(' ') {
        Some((local, offset)) if local.contains(['T', 't', ' ']) => {
            format!("{local}+{offset}").parse()
        }
        _ => text.parse(),
    }
}

/// The same for a member of a query.
pub(super) fn optional<'de, D: Deserializer<'de>>(query: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(query)?;
    read(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_before_an_offset_is_a_plus_and_no_other_is() {
        let expected = "2026-11-27T10:00:00Z".parse().unwrap();
        for text in [
            "2026-11-27T12:00:00 02:00",
            "2026-11-27T12:00:00.000 02:00",
            "2026-11-27T12:00:00+02:00",
            "2026-11-27 12:00:00 02:00",
            "2026-11-27t03:00:00-07:00",
            "2026-11-27 10:00:00Z",
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            " ",
            "2026-11-27 ",
            "2026-11-27T10:00:00 ",
            "2026-11-27T10:00:00  02:00",
            "soon",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
