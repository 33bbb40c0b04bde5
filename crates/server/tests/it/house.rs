//! That the modules of `http/` know each other in one direction, and nothing that they needn't know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The source of a module, without comments and tests.
pub(crate) fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every source file below that folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Each path that a module uses, however they are grouped.
fn uses(code: &str) -> Vec<String> {
    fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
        let Some((head, rest)) = tree.split_once('{') else {
            return found.push(format!("{prefix}{tree}"));
        };
        let inner = rest.strip_suffix('}').unwrap_or(rest);
        let (mut depth, mut start) = (0, 0);
        for (n, sign) in inner.char_indices().chain([(inner.len(), ',')]) {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if start < n {
                        expand(&format!("{prefix}{head}"), &inner[start..n], found);
                    }
                    start = n + 1;
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    for statement in code.split(';') {
        let begin = statement.rfind("use ").filter(|at| {
            let before = statement[..*at].trim_end();
            before.is_empty() || before.ends_with(['\n', '}', ')', ']', 'b'])
        });
        if let Some(at) = begin {
            let tree: String = statement[at + 4..].split_whitespace().collect();
            expand("", &tree, &mut found);
        }
    }
    found
}

/// The rooms of `http/` (its files and folders), and which others each uses.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let http = source().join("http");
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(&http) {
        let inside = path.strip_prefix(&http).unwrap();
        let depth = inside.components().count() - 1;
        let room = inside.components().next().unwrap().as_os_str();
        let room = room.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "mod" {
            continue;
        }
        let used = rooms.entry(room.clone()).or_default();
        // From a folder's `mod.rs` one `super` leads out of it, from its other files two.
        let is_map = inside.ends_with("mod.rs");
        let out = "super::".repeat(depth + usize::from(!is_map));
        for path in uses(&code(&path)) {
            let other = path
                .strip_prefix("crate::http::")
                .or_else(|| path.strip_prefix(out.as_str()))
                .and_then(|path| path.split("::").next());
            used.extend(
                other
                    .filter(|other| *other != room && *other != "super")
                    .map(str::to_owned),
            );
        }
    }
    let known: BTreeSet<String> = rooms.keys().cloned().collect();
    for used in rooms.values_mut() {
        used.retain(|room| known.contains(room));
    }
    rooms
}

#[test]
fn rooms_use_each_other_in_one_direction() {
    let mut rooms = rooms();
    assert!(
        rooms.len() > 25 && rooms["gate"].contains("table"),
        "{rooms:?}"
    );
    // Those that use no other are taken away, until none is left.
    loop {
        let lowest = rooms.iter().filter(|(_, used)| used.is_empty());
        let lowest: Vec<String> = lowest.map(|(room, _)| room.clone()).collect();
        if lowest.is_empty() {
            break;
        }
        rooms.retain(|room, _| !lowest.contains(room));
        for used in rooms.values_mut() {
            used.retain(|room| !lowest.contains(room));
        }
    }
    assert!(
        rooms.is_empty(),
        "these use each other in a circle: {rooms:#?}"
    );
}

#[test]
fn http_sees_the_board_and_the_commands_and_nothing_behind_them() {
    for path in files(&source().join("http")) {
        for used in uses(&code(&path)) {
            let name = format!("{}: {used}", path.display());
            for behind in ["crate::journal", "crate::courier", "abide_engine::snapshot"] {
                assert!(!used.starts_with(behind), "{name}");
            }
            let decides = ["Engine", "Entry", "Effect", "Policy"];
            let last = used.rsplit("::").next().unwrap();
            let is_engines = used.starts_with("abide_engine::");
            assert!(!is_engines || !decides.contains(&last), "{name}");
        }
    }
}

#[test]
fn nothing_but_its_own_folder_knows_a_dialect_by_name() {
    let dialects = source().join("http/dialect");
    let names: Vec<String> = std::fs::read_dir(&dialects)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(!names.is_empty());
    for path in files(&source()) {
        if path.starts_with(&dialects) {
            continue;
        }
        let code = code(&path);
        let words = code.split(|sign: char| !sign.is_ascii_alphanumeric());
        for word in words.map(str::to_lowercase) {
            assert!(!names.contains(&word), "{} names {word}", path.display());
        }
        let is_table = path.ends_with("http/table.rs");
        let uses_one = uses(&code).iter().any(|used| used.contains("dialect::"));
        assert!(is_table || !uses_one, "{} uses a dialect", path.display());
    }
}
