//! The files of `vectors/` are what the code does now.

#[path = "../../examples/vectors/write/mod.rs"]
mod write;

use std::fs;
use std::path::Path;

#[test]
fn the_vectors_are_those_of_this_code() {
    let files = write::files();
    let mut stale = Vec::new();
    for (path, text) in &files {
        if fs::read_to_string(path).ok().as_ref() != Some(text) {
            stale.push(path.file_name().map(ToOwned::to_owned));
        }
    }
    let others = write::others(&files).expect("the folder is there");
    stale.extend(
        others
            .iter()
            .map(|path| path.file_name().map(ToOwned::to_owned)),
    );
    assert!(
        stale.is_empty(),
        "`cargo run -p abide-core --example vectors` renews them: {stale:?}"
    );
}

#[test]
fn a_random_history_is_the_same_whenever_it_is_played() {
    let play = || write::random(Path::new("here"), 7..12);
    let (once, again) = (play(), play());
    assert_eq!(once.len(), 5);
    assert_eq!(once, again);
}
