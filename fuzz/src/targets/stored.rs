//! What was stored, by this program or another, whole or damaged.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use abide_engine::{Engine, Entry, Policy};
use abide_server::journal::{Journal, JournalError, SqliteJournal};
use tempfile::TempDir;

/// Lines that are read.
const LINES_MAX: usize = 100;
/// Deadlines that are played.
const DUE_MAX: usize = 100;

/// What holds of every state: its bytes are counted, and its parts give it again.
pub(super) fn is_whole(engine: &mut Engine) {
    let counted = engine.recount();
    assert_eq!(engine.stored(), &counted, "the bytes of records");
    let parts: Vec<_> = engine
        .all_parts()
        .into_iter()
        .map(|(key, part)| (key.to_string(), part.encode()))
        .collect();
    let mut again = Engine::new(Policy::default());
    for (name, bytes) in &parts {
        let text = String::from_utf8_lossy(bytes);
        let restored = again.restore(name, bytes);
        restored.unwrap_or_else(|error| panic!("{name} {text}: {error:?}"));
    }
    again.restored(engine.last_change());
    let same: Vec<_> = again
        .all_parts()
        .into_iter()
        .map(|(key, part)| (key.to_string(), part.encode()))
        .collect();
    for (one, other) in parts.iter().zip(&same) {
        let text =
            |part: &(String, Vec<u8>)| format!("{} {}", part.0, String::from_utf8_lossy(&part.1));
        assert_eq!(text(one), text(other), "a part that is read again");
    }
    assert_eq!(parts.len(), same.len(), "all parts are read again");
}

/// Lets what is due in the next days happen.
fn fire(engine: &mut Engine) {
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    for _ in 0..DUE_MAX {
        let Some(at) = engine.next_due() else {
            break;
        };
        let now = at.max(engine.latest());
        engine.fire(now, 10, &mut entries, &mut effects);
        engine.dispatch(now, &mut effects);
    }
    for entry in &entries {
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes).ok().as_ref(), Some(entry));
    }
}

/// Entries, one a line: they are applied whatever they say, and change nothing where they don't fit.
pub(super) fn entries(data: &[u8]) {
    let mut engine = Engine::new(Policy::default());
    let mut effects = Vec::new();
    let lines = data.split(|byte| *byte == b'\n');
    for entry in lines
        .take(LINES_MAX)
        .filter_map(|line| Entry::decode(line).ok())
    {
        let bytes = entry.encode();
        let again = Entry::decode(&bytes).map_err(|error| error.to_string());
        assert_eq!(
            again.as_ref(),
            Ok(&entry),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        engine.apply(&entry, &mut effects);
    }
    is_whole(&mut engine);
    fire(&mut engine);
    is_whole(&mut engine);
}

/// Parts, one a line after their names.
pub(super) fn parts(data: &[u8]) {
    let mut engine = Engine::new(Policy::default());
    let text = String::from_utf8_lossy(data);
    for line in text.lines().take(LINES_MAX) {
        let (name, bytes) = line.split_once(' ').unwrap_or((line, ""));
        if engine.restore(name, bytes.as_bytes()).is_err() {
            // A start ends here.
            return;
        }
    }
    engine.restored(1);
    is_whole(&mut engine);
    fire(&mut engine);
}

/// A journal's files, and what they hold.
struct Kept {
    files: Vec<(String, Vec<u8>)>,
    held: Held,
}

/// The parts and the entries.
type Held = (Vec<(String, Vec<u8>)>, Vec<(u64, Vec<u8>)>);

static KEPT: LazyLock<Kept> = LazyLock::new(|| {
    let room = TempDir::new().expect("a directory for temporary files");
    let folder = room.path().join("data");
    write(&folder).expect("an empty directory can be written");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("it has just been made")
        .map(|entry| entry.expect("it can be read"))
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("it can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    let held = read(&folder).expect("it has just been written");
    Kept { files, held }
});

/// The entries of one append.
fn batch(from: u8) -> Vec<Vec<u8>> {
    (from..from + 12)
        .map(|n| vec![n; 40 + usize::from(n)])
        .collect()
}

fn write(folder: &Path) -> Result<(), JournalError> {
    let mut journal = SqliteJournal::open(folder, &[], 9)?;
    journal.append(&batch(0))?;
    let mut parts = (0..9).map(|n: u8| (format!("part/{n}"), Some(vec![n; 90])));
    journal.checkpoints().write(6, &mut parts)?;
    for n in 12..30 {
        journal.append(&batch(n))?;
    }
    Box::new(journal).close()
}

fn read(folder: &Path) -> Result<Held, JournalError> {
    let mut journal = SqliteJournal::open(folder, &[], 10)?;
    let (mut parts, mut entries) = (Vec::new(), Vec::new());
    let seq = journal.load(&mut |name, bytes| {
        parts.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    })?;
    journal.replay(seq, &mut |seq, bytes| {
        entries.push((seq, bytes.to_vec()));
        Ok(())
    })?;
    Ok((parts, entries))
}

/// A journal's files with changes: which file, where, and the byte or the end that is there. Damage is found, never
/// served.
pub(super) fn journal(data: &[u8]) {
    let room = TempDir::new().expect("a directory for temporary files");
    let folder = room.path().join("data");
    fs::create_dir(&folder).expect("it is new");
    let mut files = KEPT.files.clone();
    for change in data.chunks_exact(5).take(20) {
        let file = usize::from(change[0] & 0x7f) % files.len();
        let (_, bytes) = &mut files[file];
        let at = u32::from_le_bytes([change[1], change[2], change[3], 0]);
        let at = usize::try_from(at).unwrap_or(usize::MAX) % bytes.len().max(1);
        match bytes.get_mut(at) {
            Some(_) if change[0] & 0x80 != 0 => bytes.truncate(at),
            Some(byte) => *byte = change[4],
            None => bytes.push(change[4]),
        }
    }
    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes).expect("it is new");
    }
    if let Ok((parts, entries)) = read(&folder) {
        // Without its checkpoint a log that has all its entries gives the same state.
        let all = [0].into_iter().chain(12..30).flat_map(batch);
        let is_all = parts.is_empty() && entries.iter().map(|(_, it)| it.clone()).eq(all);
        assert!(is_all || (parts, entries) == KEPT.held, "damage was served");
    }
}
