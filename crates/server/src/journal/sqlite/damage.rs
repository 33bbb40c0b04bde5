//! Files that were changed behind the server's back: noticed, or without effect.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::*;
use crate::journal::{Journal as _, JournalError};

/// Rounds of a random change each; 1,000 before a release: `ABIDE_MUTATIONS=1000 cargo test -p abide-server damage`.
const ROUNDS: u64 = 60;
const LIFE: u64 = 7;
const FILES: [&str; 5] = [
    "journal.db",
    "journal.db-wal",
    "state.db",
    "state.db-wal",
    "journal.end",
];

/// What the entries say: entry `n` sets a key to `n`.
type Model = BTreeMap<String, String>;

fn key(n: u64) -> String {
    format!("key/{:03}", n * 7 % 61)
}

fn text(n: u64) -> String {
    format!("{n} {}", "the quick brown fox ".repeat((n % 30) as usize))
}

/// A directory with a checkpoint and entries after it, some of both in write-ahead files, as `kill -9` leaves it; and
/// what is in it.
fn killed() -> (tempfile::TempDir, Model) {
    let live = tempfile::tempdir().unwrap();
    let (mut model, mut n) = (Model::new(), 0);
    let mut write = |journal: &mut SqliteJournal, batches: u64| {
        let mut dirty = Model::new();
        for batch in 0..batches {
            let mut entries = Vec::new();
            for _ in 0..=batch % 3 {
                n += 1;
                dirty.insert(key(n), text(n));
                entries.push(format!("{}={}", key(n), text(n)).into_bytes());
            }
            journal.append(&entries).unwrap();
        }
        model.extend(dirty.clone());
        dirty
    };
    let checkpoint = |journal: &SqliteJournal, dirty: Model| {
        let mut changes = dirty
            .into_iter()
            .map(|(key, text)| (key, Some(text.into_bytes())));
        let seq = journal.last_seq();
        journal.checkpoints().write(seq, &mut changes).unwrap();
    };
    let mut journal = SqliteJournal::open(live.path(), &[], LIFE).unwrap();
    let dirty = write(&mut journal, 60);
    checkpoint(&journal, dirty);
    let mut second = write(&mut journal, 1);
    Box::new(journal).close().unwrap();
    let mut journal = SqliteJournal::open(live.path(), &[], LIFE).unwrap();
    // A reader keeps the second checkpoint in its write-ahead file.
    let reader = Connection::open(live.path().join("state.db")).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM part")
        .unwrap();
    journal
        .shared
        .state()
        .file
        .busy_timeout(std::time::Duration::ZERO)
        .unwrap();
    second.extend(write(&mut journal, 20));
    checkpoint(&journal, second);
    write(&mut journal, 40);
    let copy = tempfile::tempdir().unwrap();
    copy_all(live.path(), copy.path());
    (copy, model)
}

fn copy_all(from: &Path, to: &Path) {
    for name in FILES {
        let _ = fs::remove_file(to.join(name));
        let _ = fs::remove_file(to.join(format!("{name}-shm")));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// What a start on the directory finds.
fn start(directory: &Path) -> Result<Model, JournalError> {
    let mut journal = SqliteJournal::open(directory, &[], LIFE + 1)?;
    let mut model = Model::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let seq = journal.load(&mut |key, body| {
        model.insert(key.to_owned(), text(body));
        Ok(())
    })?;
    journal.replay(seq, &mut |_, entry| {
        let entry = text(entry);
        let (key, text) = entry.split_once('=').unwrap();
        model.insert(key.to_owned(), text.to_owned());
        Ok(())
    })?;
    journal.append(&[b"key/new=1".to_vec()])?;
    Ok(model)
}

/// The same numbers each time.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((n ^ (n >> 31)) % end.max(1) as u64) as usize
    }
}

/// Changes the bytes of a file somehow, and says how.
fn change(bytes: &mut Vec<u8>, rng: &mut Rng) -> &'static str {
    const PAGE: usize = 4_096;
    let place = rng.below(bytes.len());
    let page = place / PAGE * PAGE;
    let page_end = (page + PAGE).min(bytes.len());
    match rng.below(8) {
        0..3 => {
            bytes[place] ^= 1 << rng.below(8);
            "a flipped bit"
        }
        3 => {
            bytes[page..page_end].fill(0);
            "a page of zeros"
        }
        4 => {
            for byte in &mut bytes[page..page_end] {
                *byte = rng.below(256) as u8;
            }
            "a page of noise"
        }
        5 => {
            bytes.truncate(place);
            "a cut end"
        }
        6 => {
            let other = rng.below(bytes.len()) / PAGE * PAGE;
            for offset in 0..PAGE {
                if page.max(other) + offset < bytes.len() {
                    bytes.swap(page + offset, other + offset);
                }
            }
            "two pages exchanged"
        }
        _ => {
            let word = b"quick";
            let found = bytes[place..].windows(word.len()).position(|w| w == word);
            if let Some(offset) = found {
                bytes[place + offset] = b'Q';
            }
            "another letter"
        }
    }
}

#[test]
fn a_random_change_is_noticed_or_without_effect() {
    let rounds = std::env::var("ABIDE_MUTATIONS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let (base, model) = killed();
    let place = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for round in 0..rounds {
        let mut rng = Rng(round);
        let name = FILES[rng.below(FILES.len())];
        copy_all(base.path(), place.path());
        let mut bytes = fs::read(base.path().join(name)).unwrap();
        let how = change(&mut bytes, &mut rng);
        fs::write(place.path().join(name), &bytes).unwrap();
        let wal = fs::read(place.path().join("journal.db-wal")).unwrap();
        match start(place.path()) {
            Err(JournalError::Short { .. }) => {
                let left = fs::read(place.path().join("journal.db-wal")).unwrap();
                assert!(left == wal, "round {round}: what is left isn't kept");
                refused += 1;
            }
            Ok(found) => assert!(
                found == model,
                "round {round}: {how} in {name} wasn't noticed"
            ),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > rounds / 4, "{refused} of {rounds}");
}

#[test]
fn what_a_person_does_to_the_files_is_noticed() {
    let (base, model) = killed();
    let place = tempfile::tempdir().unwrap();
    copy_all(base.path(), place.path());
    assert!(start(place.path()).unwrap() == model);
    let statements = [
        (
            "journal.db",
            "DELETE FROM batch WHERE last = (SELECT max(last) FROM batch)",
        ),
        (
            "journal.db",
            "DELETE FROM batch WHERE last > (SELECT max(last) - 50 FROM batch)",
        ),
        (
            "journal.db",
            "DELETE FROM batch WHERE last = (SELECT last FROM batch ORDER BY last DESC LIMIT 1 OFFSET 9)",
        ),
        (
            "journal.db",
            "UPDATE batch SET bodies = replace(bodies, 'quick', 'quack') WHERE last > (SELECT max(last) - 9 FROM batch)",
        ),
        ("journal.db", "UPDATE life SET life = 8"),
        ("journal.db", "DELETE FROM life"),
        (
            "state.db",
            "DELETE FROM part WHERE key = (SELECT min(key) FROM part)",
        ),
        (
            "state.db",
            "UPDATE part SET body = replace(body, 'quick', 'quack')",
        ),
        ("state.db", "INSERT INTO part VALUES ('odd', 0, 'odd')"),
        ("state.db", "UPDATE checkpoint SET seq = seq - 5"),
        ("state.db", "UPDATE checkpoint SET seq = seq + 5"),
        ("state.db", "DELETE FROM checkpoint"),
        ("state.db", "DROP TABLE part"),
    ];
    for (name, statement) in statements {
        copy_all(base.path(), place.path());
        let person = Connection::open(place.path().join(name)).unwrap();
        person.execute_batch(statement).unwrap();
        person.close().unwrap();
        let error = start(place.path()).map(|_| ()).expect_err(statement);
        let is_told = matches!(
            error,
            JournalError::Corrupt { .. } | JournalError::Short { .. }
        );
        assert!(is_told, "{statement}: {error}");
    }
    // A file that is gone. The log alone has everything only while it begins with the first entry.
    for name in ["journal.db", "journal.db-wal", "state.db"] {
        copy_all(base.path(), place.path());
        fs::remove_file(place.path().join(name)).unwrap();
        start(place.path()).map(|_| ()).expect_err(name);
    }
}

#[test]
fn a_note_that_is_gone_or_old_is_no_damage() {
    let (base, model) = killed();
    let place = tempfile::tempdir().unwrap();
    copy_all(base.path(), place.path());
    fs::remove_file(place.path().join("journal.end")).unwrap();
    assert!(start(place.path()).unwrap() == model);
    copy_all(base.path(), place.path());
    fs::write(place.path().join("journal.end"), "old and torn").unwrap();
    assert!(start(place.path()).unwrap() == model);
}

#[test]
fn files_of_two_directories_are_not_mixed() {
    let (base, _) = killed();
    let other = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(other.path(), &[], LIFE + 1).unwrap();
    for _ in 0..400 {
        journal.append(&[b"a=b".to_vec()]).unwrap();
    }
    drop(journal);
    fs::copy(other.path().join("state.db"), base.path().join("state.db")).unwrap();
    fs::remove_file(base.path().join("state.db-wal")).unwrap();
    let error = start(base.path()).unwrap_err();
    assert!(error.to_string().contains("another directory"), "{error}");
}

#[test]
fn a_check_finds_all_damage_and_a_whole_directory_has_none() {
    let (base, model) = killed();
    let mut found = Vec::new();
    let (mut parts, mut entries) = (0, 0);
    let mut run = |directory: &Path| {
        (parts, entries) = (0, 0);
        found.clear();
        let read = check(
            directory,
            &mut |_, _| {
                parts += 1;
                Ok(())
            },
            &mut |_, _| {
                entries += 1;
                Ok(())
            },
            &mut |error| found.push(error.to_string()),
        );
        if let Err(error) = read {
            found.push(error.to_string());
        }
        (parts, entries, found.clone())
    };
    let (parts, entries, damage) = run(base.path());
    assert_eq!((parts, damage), (model.len(), vec![]));
    assert!(entries > 70, "{entries}");

    for (name, statement, count) in [
        (
            "state.db",
            "UPDATE part SET body = 'x' WHERE key < 'key/002'",
            2,
        ),
        (
            "journal.db",
            "UPDATE batch SET bodies = 'x' WHERE last > (SELECT max(last) - 3 FROM batch)",
            2,
        ),
        (
            "journal.db",
            "DELETE FROM batch WHERE last = (SELECT max(last) FROM batch)",
            1,
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        copy_all(base.path(), place.path());
        let person = Connection::open(place.path().join(name)).unwrap();
        person.execute_batch(statement).unwrap();
        person.close().unwrap();
        let (_, _, damage) = run(place.path());
        assert!(damage.len() >= count, "{statement}: {damage:?}");
    }
}

#[test]
fn a_backup_taken_under_load_is_whole_and_goes_on_as_another_life() {
    let live = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(live.path(), &[], LIFE).unwrap();
    let mut checkpoints = journal.checkpoints();
    let mut copies = Vec::new();
    for n in 1..=120_u64 {
        journal
            .append(&[format!("{}={}", key(n), text(n)).into_bytes()])
            .unwrap();
        if n % 10 == 0 {
            let mut parts = (n - 9..=n).map(|n| (key(n), Some(text(n).into_bytes())));
            checkpoints.write(n, &mut parts).unwrap();
        }
        if n % 13 == 0 {
            let to = tempfile::tempdir().unwrap();
            let to_directory = to.path().join("copy");
            assert_eq!(backup(live.path(), &to_directory, LIFE + n).unwrap(), n);
            copies.push((n, to));
        }
    }
    for (n, to) in copies {
        let directory = to.path().join("copy");
        let expected: Model = (1..=n).map(|n| (key(n), text(n))).collect();
        assert!(start(&directory).unwrap() == expected, "backup at {n}");
        let journal = SqliteJournal::open(&directory, &[], 1).unwrap();
        assert_eq!(journal.life(), LIFE + n);
        let error = backup(live.path(), &directory, 1).unwrap_err();
        assert!(matches!(error, JournalError::NotEmpty { .. }), "{error}");
    }
}

#[test]
fn files_that_can_only_be_read_are_read_and_written_once_they_can_be() {
    let (base, model) = killed();
    let mut journal = SqliteJournal::open_to_read(base.path(), &[]).unwrap();
    let mut found = Model::new();
    let seq = journal
        .load(&mut |key, body| {
            found.insert(key.to_owned(), String::from_utf8_lossy(body).into_owned());
            Ok(())
        })
        .unwrap();
    journal
        .replay(seq, &mut |_, entry| {
            let entry = String::from_utf8_lossy(entry).into_owned();
            let (key, text) = entry.split_once('=').unwrap();
            found.insert(key.to_owned(), text.to_owned());
            Ok(())
        })
        .unwrap();
    assert!(found == model);
    let last = journal.last_seq();
    assert_eq!(journal.append(&[b"key/new=1".to_vec()]).unwrap(), last + 1);
    let changes = [("key/new".to_owned(), Some(b"1".to_vec()))];
    journal
        .checkpoints()
        .write(last + 1, &mut changes.into_iter())
        .unwrap();
    Box::new(journal).close().unwrap();
    assert_eq!(start(base.path()).unwrap().len(), model.len() + 1);
}

#[test]
fn what_is_deleted_is_gone_from_the_files_after_a_clean_stop() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(place.path(), &[], LIFE).unwrap();
    let secret = |n: u64| format!("SECRET {n} {}", "x".repeat(400)).into_bytes();
    for n in 1..=300 {
        journal.append(&[secret(n)]).unwrap();
    }
    let mut checkpoints = journal.checkpoints();
    let parts = (1..=300).map(|n| (format!("job/{n}"), Some(secret(n))));
    checkpoints.write(300, &mut { parts }).unwrap();
    journal.append(&[b"removed".to_vec()]).unwrap();
    let gone = (1..=300).map(|n| (format!("job/{n}"), None));
    checkpoints.write(301, &mut { gone }).unwrap();
    drop(checkpoints);
    let before = fs::metadata(place.path().join("journal.db")).unwrap().len();
    Box::new(journal).close().unwrap();
    let mut bytes = 0;
    for file in fs::read_dir(place.path()).unwrap() {
        let held = fs::read(file.unwrap().path()).unwrap();
        bytes += held.len() as u64;
        assert!(!held.windows(6).any(|window| window == b"SECRET"));
    }
    assert!(bytes < before.max(120_000), "{bytes} bytes are left");
}

/// A shell of `sqlite3` or a slow backup keeps a transaction open, and then the figures say so.
#[test]
fn the_write_ahead_file_is_emptied_beside_the_appends_unless_a_reader_stays() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(place.path(), &[], LIFE).unwrap();
    // 40 MiB in all: as much would lie in the file if it were never emptied.
    let entries: Vec<_> = (0..16).map(|_| vec![b'x'; 16 * 1024]).collect();
    for _ in 0..160 {
        journal.append(&entries).unwrap();
    }
    let wal = fs::metadata(place.path().join("journal.db-wal")).unwrap();
    assert!(wal.len() < 36 << 20, "{} bytes", wal.len());
    assert_eq!(journal.append(&[vec![]]).unwrap(), 160 * 16 + 1);

    let path = place.path().join("journal.db");
    let reader = Connection::open(&path).unwrap();
    let count = "BEGIN; SELECT count(*) FROM batch";
    reader.execute_batch(count).unwrap();
    let files = journal.files();
    let mut appends = 0;
    while files.blocked.load(Ordering::Relaxed) == 0 {
        journal.append(&entries).unwrap();
        appends += 1;
        assert!(appends < 1_000, "no warning names the reader");
    }
    drop(reader);
    Box::new(journal).close().unwrap();
    let wal = fs::metadata(place.path().join("journal.db-wal"));
    assert_eq!(wal.map_or(0, |file| file.len()), 0);
}
