//! What only a journal on a disk must stand.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::rows::{ROW_BYTES, SWEEP_ROWS};
use super::*;
use crate::journal::{Journal, JournalError};

const LIFE: u64 = 7;
const VIEW: View = View {
    name: "job",
    query: "SELECT key AS id, body ->> '$.status' AS status FROM part WHERE key LIKE 'job/%'",
};

fn open(directory: &Path) -> Result<SqliteJournal, JournalError> {
    SqliteJournal::open(directory, &[VIEW], LIFE)
}

fn entry(n: u64) -> Vec<u8> {
    // Of different lengths, so that pages break at different places.
    format!(
        "{{\"fact\":{n},\"pad\":\"{}\"}}",
        "x".repeat((n as usize * 37) % 900)
    )
    .into_bytes()
}

/// Opens a copy as after a power cut, and returns the number of its last entry after checking that all are there and
/// whole.
fn survives(directory: &Path) -> Result<u64, JournalError> {
    let mut journal = open(directory)?;
    let covered = journal.load(&mut |_, _| Ok(()))?;
    let mut last = covered;
    journal.replay(covered, &mut |seq, body| {
        assert_eq!(body, entry(seq), "entry {seq} is another");
        last = seq;
        Ok(())
    })?;
    assert_eq!(last, journal.last_seq());
    Ok(last)
}

#[test]
fn a_checkpoint_has_its_parts_in_whatever_order_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path()).unwrap();
    let mut checkpoints = journal.checkpoints();
    let mut model = std::collections::BTreeMap::new();
    for round in 0_u64..40 {
        // Runs of new keys, old ones among them, the same twice, backwards, and removals of what is there and what
        // isn't.
        let changes: Vec<_> = (0..50)
            .map(|n| {
                let place = if round % 3 == 0 { 50 - n } else { n };
                let key = format!("k/{:04}", (round * 31 + place * (1 + round % 4)) % 400);
                let body = ((n + round) % 5 > 0).then(|| format!("{round} {n}").into_bytes());
                (key, body)
            })
            .collect();
        let seq = journal.append(&[entry(journal.last_seq() + 1)]).unwrap();
        checkpoints
            .write(seq, &mut changes.clone().into_iter())
            .unwrap();
        for (key, body) in changes {
            match body {
                Some(body) => drop(model.insert(key, body)),
                None => drop(model.remove(&key)),
            }
        }
        let mut found = std::collections::BTreeMap::new();
        let load = journal.load(&mut |key, body| {
            found.insert(key.to_owned(), body.to_owned());
            Ok(())
        });
        // It compares the number of parts and their sums with what the checkpoint says.
        assert_eq!((load.unwrap(), &found), (seq, &model));
    }
}

/// Copies the directory as a crash would leave it: all but the lock, and but the index of the write-ahead file, which
/// is rebuilt.
fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let kept = [".db", ".db-wal"]
            .iter()
            .any(|end| path.to_str().is_some_and(|path| path.ends_with(end)));
        if kept {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn a_copy_taken_at_any_moment_has_every_entry_acknowledged_before() {
    let live = tempfile::tempdir().unwrap();
    let mut journal = open(live.path()).unwrap();
    let mut checkpoints = journal.checkpoints();
    let mut n = 0;
    for round in 1..=60_u64 {
        let batch: Vec<_> = (0..round % 7 + 1).map(|k| entry(n + k + 1)).collect();
        n = journal.append(&batch).unwrap();
        if round % 9 == 0 {
            let part = (format!("p{round}"), Some(entry(round)));
            checkpoints.write(n - 2, &mut [part].into_iter()).unwrap();
        }
        let crashed = tempfile::tempdir().unwrap();
        copy(live.path(), crashed.path());
        assert_eq!(survives(crashed.path()).unwrap(), n);
    }
}

#[test]
fn a_torn_tail_loses_only_whole_batches_from_the_end() {
    let live = tempfile::tempdir().unwrap();
    let mut journal = open(live.path()).unwrap();
    let ends: Vec<u64> = (0..8)
        .map(|batch| {
            let entries: Vec<_> = (1..=3).map(|k| entry(batch * 3 + k)).collect();
            journal.append(&entries).unwrap()
        })
        .collect();
    let wal = fs::read(live.path().join("journal.db-wal")).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for cut in (0..=wal.len()).rev().step_by(997) {
        copy(live.path(), crashed.path());
        // After a power failure the note may be older than the log.
        for name in ["journal.db-shm", "journal.end"] {
            let _ = fs::remove_file(crashed.path().join(name));
        }
        fs::write(crashed.path().join("journal.db-wal"), &wal[..cut]).unwrap();
        let last = survives(crashed.path()).unwrap();
        assert!(last == 0 || ends.contains(&last), "cut at {cut}: {last}");
        seen.push(last);
    }
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    assert_eq!(seen.first(), ends.last());

    // Rubbish where the tail should be, as of a sector that was never written.
    copy(live.path(), crashed.path());
    fs::remove_file(crashed.path().join("journal.end")).unwrap();
    let mut torn = wal;
    let tail = torn.len() - 2_000;
    torn[tail..].fill(0xa5);
    fs::write(crashed.path().join("journal.db-wal"), &torn).unwrap();
    let last = survives(crashed.path()).unwrap();
    assert!(ends.contains(&last) && last < 24, "{last}");
}

#[test]
fn a_crash_between_checkpoint_and_sweep_keeps_both() {
    let live = tempfile::tempdir().unwrap();
    let mut journal = open(live.path()).unwrap();
    journal.append(&[entry(1), entry(2), entry(3)]).unwrap();
    journal
        .checkpoints()
        .write(3, &mut [("a".to_owned(), Some(entry(9)))].into_iter())
        .unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy(live.path(), crashed.path());
    let mut again = open(crashed.path()).unwrap();
    assert_eq!((again.bounds.first, again.bounds.last), (1, 3));
    assert_eq!(again.append(&[entry(4)]).unwrap(), 4);
    assert_eq!((again.bounds.first, again.bounds.last), (4, 4));
}

#[test]
fn old_rows_leave_a_few_with_each_batch() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = open(place.path()).unwrap();
    for _ in 0..40 {
        journal.append(&[b"{}".to_vec(), b"{}".to_vec()]).unwrap();
    }
    journal
        .checkpoints()
        .write(79, &mut std::iter::empty())
        .unwrap();
    let mut left = Vec::new();
    for _ in 0..9 {
        journal.append(&[b"{}".to_vec()]).unwrap();
        let count: u64 = journal
            .log
            .query_row("SELECT count(*) FROM batch", [], |row| row.get(0))
            .unwrap();
        left.push(count);
    }
    // The row of entries 79 and 80 is not covered whole.
    assert_eq!(left[0], 41 - (SWEEP_ROWS + 1));
    assert_eq!(left[8], 10);
    assert_eq!((journal.bounds.first, journal.bounds.last), (79, 89));
}

#[test]
fn a_large_batch_is_several_rows_and_replayed_from_within_any() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = open(place.path()).unwrap();
    let entries: Vec<_> = (1..=700).map(entry).collect();
    journal.append(&entries).unwrap();
    let rows: u64 = journal
        .log
        .query_row("SELECT count(*) FROM batch", [], |row| row.get(0))
        .unwrap();
    assert!(rows > 3, "{rows}");
    for after in [0, 1, 99, 350, 699, 700] {
        let mut next = after + 1;
        let replay = journal.replay(after, &mut |seq, body| {
            assert_eq!((seq, body), (next, &*entry(seq)));
            next += 1;
            Ok(())
        });
        replay.unwrap();
        assert_eq!(next, 701);
    }
    let huge = vec![b'x'; 3 * ROW_BYTES];
    assert_eq!(journal.append(&[huge, vec![], vec![]]).unwrap(), 703);
}

#[test]
fn a_second_server_is_refused_until_the_first_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let journal = open(place.path()).unwrap();
    let checkpoints = journal.checkpoints();
    let error = open(place.path()).unwrap_err();
    let own = std::process::id();
    assert!(
        matches!(error, JournalError::Locked { pid: Some(pid), .. } if pid == own),
        "{error}"
    );
    // Without the file the directory itself still is.
    if cfg!(unix) {
        fs::remove_file(place.path().join("abide.lock")).unwrap();
        let error = open(place.path()).unwrap_err();
        assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    }
    drop(journal);
    assert!(open(place.path()).is_err(), "the other door is still open");
    drop(checkpoints);
    open(place.path()).unwrap();
}

#[test]
fn a_full_disk_refuses_the_batch_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = open(place.path()).unwrap();
    journal.append(&[entry(1)]).unwrap();
    journal
        .log
        .pragma_update(None, "max_page_count", 12)
        .unwrap();
    let mut last = 1;
    let error = loop {
        match journal.append(&[entry(last + 1), entry(last + 2)]) {
            Ok(seq) => last = seq,
            Err(error) => break error,
        }
        assert!(last < 10_000);
    };
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    assert!(error.is_retryable());
    assert_eq!(journal.last_seq(), last);
    // Still full, still there.
    journal
        .append(&[entry(last + 1), entry(last + 2)])
        .unwrap_err();
    journal
        .log
        .pragma_update(None, "max_page_count", 100_000)
        .unwrap();
    assert_eq!(journal.append(&[entry(last + 1)]).unwrap(), last + 1);
    drop(journal);
    assert_eq!(survives(place.path()).unwrap(), last + 1);
}

#[test]
fn a_full_disk_keeps_the_last_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = open(place.path()).unwrap();
    journal.append(&[entry(1), entry(2)]).unwrap();
    let mut checkpoints = journal.checkpoints();
    checkpoints
        .write(1, &mut [("a".to_owned(), Some(entry(1)))].into_iter())
        .unwrap();
    journal
        .shared
        .state()
        .file
        .pragma_update(None, "max_page_count", 8)
        .unwrap();
    let large: Vec<_> = (0..100)
        .map(|n| (format!("{n}"), Some(entry(24))))
        .collect();
    let error = checkpoints
        .write(2, &mut large.clone().into_iter())
        .unwrap_err();
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    let mut keys = Vec::new();
    let seq = journal.load(&mut |key, _| {
        keys.push(key.to_owned());
        Ok(())
    });
    assert_eq!((seq.unwrap(), keys), (1, vec!["a".to_owned()]));
    journal
        .shared
        .state()
        .file
        .pragma_update(None, "max_page_count", 1_000)
        .unwrap();
    checkpoints.write(2, &mut large.into_iter()).unwrap();
    assert_eq!(journal.load(&mut |_, _| Ok(())).unwrap(), 2);
}

#[test]
fn another_format_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    open(place.path())
        .unwrap()
        .log
        .pragma_update(None, "user_version", 3)
        .unwrap();
    let error = open(place.path()).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::OtherVersion {
                found: 3,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_foreign_file_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE mine (x)")
        .unwrap();
    let error = open(place.path()).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");

    fs::write(&path, "a letter, and no database at all").unwrap();
    let error = open(place.path()).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    assert!(fs::read_to_string(&path).unwrap().starts_with("a letter"));
}

#[test]
fn a_missing_half_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let fill = || {
        let mut journal = Box::new(open(place.path()).unwrap());
        let next = journal.last_seq() + 1;
        journal.append(&[entry(next), entry(next + 1)]).unwrap();
        journal
            .checkpoints()
            .write(next + 1, &mut std::iter::empty())
            .unwrap();
        journal.append(&[entry(next + 2)]).unwrap();
        journal.close().unwrap();
    };
    for (file, said) in [
        ("state.db", "begins with entry"),
        ("journal.db", "it is missing or empty"),
    ] {
        fill();
        fs::remove_file(place.path().join(file)).unwrap();
        let error = open(place.path()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        for file in fs::read_dir(place.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_damaged_page_is_told_from_an_empty_journal() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = Box::new(open(place.path()).unwrap());
    let entries: Vec<_> = (1..=100).map(entry).collect();
    journal.append(&entries).unwrap();
    journal.close().unwrap();
    let path = place.path().join("journal.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096..3 * 4_096].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let error = survives(place.path()).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
}

#[test]
fn a_place_that_is_no_directory_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("below")).unwrap_err();
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    let refused = JournalError::of_io("x", io::ErrorKind::PermissionDenied.into());
    assert!(
        matches!(refused, JournalError::NotWritable { .. }),
        "{refused}"
    );
    let full = JournalError::of_io("x", io::ErrorKind::StorageFull.into());
    assert!(matches!(full, JournalError::Full { .. }), "{full}");
}

#[test]
fn people_see_their_jobs() {
    let place = tempfile::tempdir().unwrap();
    let mut journal = open(place.path()).unwrap();
    journal.append(&[entry(1)]).unwrap();
    let body = br#"{"status":"running"}"#.to_vec();
    let parts = [
        ("job/7".to_owned(), Some(body.clone())),
        ("other".to_owned(), Some(body)),
    ];
    journal
        .checkpoints()
        .write(1, &mut parts.into_iter())
        .unwrap();
    let person = Connection::open(place.path().join("state.db")).unwrap();
    let row: (String, String) = person
        .query_row("SELECT id, status FROM job", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(row, ("job/7".to_owned(), "running".to_owned()));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_look_into_a_directory_that_we_made() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("data");
    drop(open(&directory).unwrap());
    let mode = fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
