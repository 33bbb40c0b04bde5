//! Where another system's interface is mounted: `/dialects/NAME/…`, `/with/DIRECTIVES/dialects/NAME/…`, or at the
//! root of a listener of its own.

use std::ops::Range;

/// What comes before the path that a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mount {
    /// How many bytes of the path it is; none on native paths.
    pub base: usize,
    /// Where in the path its directives are; empty if it has none.
    pub directives: Range<usize>,
}

const WITH: &str = "/with/";
const DIALECTS: &str = "/dialects/";

impl Mount {
    /// The mount that a path begins with, and the dialect's name. `own` is the dialect that the listener is for.
    pub(super) fn of<'a>(path: &'a str, own: Option<&'a str>) -> Option<(Self, &'a str)> {
        let end_of = |start: usize| path[start..].find('/').map_or(path.len(), |n| start + n);
        let directives = match path.starts_with(WITH) {
            true => WITH.len()..end_of(WITH.len()),
            false => 0..0,
        };
        let base = directives.end;
        if let Some(own) = own {
            return Some((Self { base, directives }, own));
        }
        path[base..].strip_prefix(DIALECTS)?;
        let name = base + DIALECTS.len()..end_of(base + DIALECTS.len());
        let base = name.end;
        Some((Self { base, directives }, &path[name]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_says_the_dialect_the_directives_and_where_its_own_paths_begin() {
        for (path, own, expected) in [
            ("/dialects/x/v1/a", None, Some(("x", "", "/v1/a"))),
            ("/dialects/x", None, Some(("x", "", ""))),
            (
                "/with/queue=5s/dialects/x/v1",
                None,
                Some(("x", "queue=5s", "/v1")),
            ),
            (
                "/with/queue=5s/v1",
                Some("x"),
                Some(("x", "queue=5s", "/v1")),
            ),
            ("/v1/a", Some("x"), Some(("x", "", "/v1/a"))),
            ("/with/queue=5s", None, None),
            ("/with/queue=5s/v1/jobs", None, None),
            ("/with", None, None),
            ("/v1/jobs", None, None),
            ("/dialectsx/y", None, None),
        ] {
            let found = Mount::of(path, own)
                .map(|(mount, name)| (name, &path[mount.directives.clone()], &path[mount.base..]));
            assert_eq!(found, expected, "{path}");
        }
    }
}
