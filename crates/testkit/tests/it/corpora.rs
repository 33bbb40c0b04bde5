//! Every file that a target of the fuzzer begins with is tried, by any toolchain.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../../../fuzz/src/targets/mod.rs"]
mod targets;

use targets::TARGETS;

/// The targets with their folders, as the script that runs the fuzzer reads them.
const LIST: &str = include_str!("../../../../fuzz/targets.txt");

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[test]
fn every_target_takes_the_files_it_begins_with() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    let mut listed = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("{name} is no target"));
        listed.push(name);
        let own = root.join("fuzz/corpus").join(name);
        let folders = words.map(|folder| root.join(folder));
        let begins: Vec<_> = folders.chain([own]).flat_map(|it| files(&it)).collect();
        assert!(!begins.is_empty(), "{name} begins with nothing");
        for file in begins {
            let bytes = fs::read(&file).unwrap();
            let ran = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(ran.is_ok(), "{name} {}", file.display());
        }
    }
    let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(listed, known);
}
