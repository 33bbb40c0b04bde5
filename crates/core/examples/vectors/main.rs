//! Writes `vectors/`: what every language's client must do, as data. `cargo run -p abide-core --example vectors`.
//!
//! A test of this crate fails where the files differ from what the code does now; this command renews them. With
//! `DIRECTORY FROM COUNT` it writes traces of that many random histories there, of the seeds from that one on.

mod write;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let number = |word: &str| word.parse::<u64>().map_err(io::Error::other);
    match words.as_slice() {
        [directory, from, count] => {
            let (from, count) = (number(from)?, number(count)?);
            put(write::random(Path::new(directory), from..from + count))
        }
        _ => {
            let files = write::files();
            for stale in write::others(&files)? {
                fs::remove_file(stale)?;
            }
            put(files)
        }
    }
}

fn put(files: Vec<(PathBuf, String)>) -> io::Result<()> {
    for (path, text) in files {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
