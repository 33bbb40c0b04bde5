//! Writes `vectors/`: what every language's client must do, as data. `cargo run -p abide-core --example vectors`.
//!
//! A test of this crate fails where the files differ from what the code does now; this command renews them.

mod write;

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let files = write::files();
    for stale in write::others(&files)? {
        fs::remove_file(stale)?;
    }
    for (path, text) in files {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
