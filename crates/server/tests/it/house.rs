//! Modules know each other in one direction, and nothing that they needn't know; and none is too long to read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The source of a module, without comments and tests.
pub(crate) fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every source file below that folder, but those of tests.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
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

/// The rooms of a folder (its files and folders), and which others each uses. Its path in the crate is `prefix`.
fn rooms(folder: &Path, prefix: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(folder) {
        let inside = path.strip_prefix(folder).unwrap();
        let depth = inside.components().count() - 1;
        let room = inside.components().next().unwrap().as_os_str();
        let room = room.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "mod" || room == "lib" {
            continue;
        }
        let used = rooms.entry(room.clone()).or_default();
        // From a folder's `mod.rs` one `super` leads out of it, from its other files two.
        let is_map = inside.ends_with("mod.rs");
        let out = "super::".repeat(depth + usize::from(!is_map));
        for path in uses(&code(&path)) {
            let other = path
                .strip_prefix(prefix)
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

/// Takes away those that use no other, until none is left.
fn have_one_direction(mut rooms: BTreeMap<String, BTreeSet<String>>) {
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
fn rooms_of_http_use_each_other_in_one_direction() {
    let rooms = rooms(&source().join("http"), "crate::http::");
    assert!(
        rooms.len() > 25 && rooms["gate"].contains("table"),
        "{rooms:?}"
    );
    have_one_direction(rooms);
}

#[test]
fn rooms_of_the_client_use_each_other_in_one_direction() {
    let rooms = rooms(&source().join("../../client/src"), "crate::");
    assert!(
        rooms.len() > 25 && rooms["wait"].contains("target"),
        "{rooms:?}"
    );
    have_one_direction(rooms);
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

/// The functions of some code, as rustfmt indents it, and how many lines each has.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, String, usize)> = None;
    for (line, number) in code.lines().zip(1..) {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        let is_end = trimmed.ends_with([';', '}']);
        if let Some((_, name, begun)) = open.take_if(|open| open.0 == indent && is_end) {
            found.push((name, number - begun + 1));
        }
        let is_keyword = |sign: char| sign.is_ascii_lowercase() || " ():".contains(sign);
        if let Some((before, rest)) = format!(" {trimmed}").split_once(" fn ")
            && open.is_none()
            && before.chars().all(is_keyword)
            && !is_end
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            open = Some((indent, name.to_owned(), number));
        }
    }
    found
}

#[test]
fn no_function_has_80_lines_and_no_file_500_of_code() {
    let crates = source().join("../..");
    let mut longest = 0;
    for entry in std::fs::read_dir(crates).unwrap() {
        for path in files(&entry.unwrap().path().join("src")) {
            let code = code(&path);
            let lines = code.lines().filter(|line| !line.trim().is_empty());
            assert!(lines.count() < 500, "{}", path.display());
            for (name, lines) in functions(&code) {
                assert!(lines < 80, "{}: {name} has {lines} lines", path.display());
                longest = longest.max(lines);
            }
        }
    }
    assert!(longest > 50, "the functions are found");
}

#[test]
fn the_map_and_the_recipes_name_files_that_exist() {
    let root = source().join("../../..");
    let folders = [
        "bindings/",
        "checks/",
        "crates/",
        "docs/",
        "fuzz/",
        "sdks/",
        "vectors/",
    ];
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let spans = text.split('`').skip(1).step_by(2);
        let words = spans.filter_map(|span| span.split_whitespace().next());
        let paths = words.filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
        let mut count = 0;
        for path in paths {
            // What is after a name that the reader chooses isn't there yet.
            let known = path
                .split("NAME")
                .flat_map(|path| path.split("TARGET"))
                .next();
            let known = root.join(known.unwrap_or_default());
            assert!(known.exists(), "{page} names {path}");
            count += 1;
        }
        assert!(count > 10, "{page} names {count} files");
    }
}
