//! What every journal must do, run over each.

use std::path::Path;

use super::{Journal, JournalError, MemoryJournal, SharedMemoryJournal, SqliteJournal};

/// A place where a journal can be opened again and again.
enum Place {
    Memory(MemoryJournal),
    SharedMemory(SharedMemoryJournal),
    Directory(tempfile::TempDir),
}

impl Place {
    fn all() -> [Self; 3] {
        [
            Self::Memory(MemoryJournal::new()),
            Self::SharedMemory(SharedMemoryJournal::new(1)),
            Self::Directory(tempfile::tempdir().unwrap()),
        ]
    }

    fn open(&self) -> Box<dyn Journal> {
        match self {
            Self::Memory(journal) => Box::new(journal.clone()),
            Self::SharedMemory(journal) => Box::new(journal.open()),
            Self::Directory(directory) => Box::new(open(directory.path())),
        }
    }
}

fn open(directory: &Path) -> SqliteJournal {
    SqliteJournal::open(directory, &[], 1).unwrap()
}

fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<Vec<u8>> {
    range
        .map(|n| format!(r#"{{"fact":{n}}}"#).into_bytes())
        .collect()
}

fn replayed(journal: &mut dyn Journal, after: u64) -> Vec<(u64, Vec<u8>)> {
    let mut seen = Vec::new();
    journal
        .replay(after, &mut |seq, entry| {
            seen.push((seq, entry.to_vec()));
            Ok(())
        })
        .unwrap();
    seen
}

fn loaded(journal: &mut dyn Journal) -> (u64, Vec<(String, Vec<u8>)>) {
    let mut seen = Vec::new();
    let seq = journal
        .load(&mut |key, body| {
            seen.push((key.to_owned(), body.to_vec()));
            Ok(())
        })
        .unwrap();
    (seq, seen)
}

fn part(key: &str, body: &str) -> (String, Option<Vec<u8>>) {
    (key.to_owned(), Some(body.as_bytes().to_vec()))
}

fn numbered(range: std::ops::RangeInclusive<u64>) -> Vec<(u64, Vec<u8>)> {
    range.clone().zip(entries(range)).collect()
}

#[test]
fn what_was_appended_is_replayed_in_order_also_after_a_restart() {
    for place in Place::all() {
        let mut journal = place.open();
        assert_eq!(journal.last_seq(), 0);
        assert_eq!(journal.append(&[]).unwrap(), 0);
        assert_eq!(journal.append(&entries(1..=1)).unwrap(), 1);
        assert_eq!(journal.append(&entries(2..=700)).unwrap(), 700);
        assert_eq!(replayed(&mut *journal, 0), numbered(1..=700));
        assert_eq!(replayed(&mut *journal, 698), numbered(699..=700));
        assert_eq!(replayed(&mut *journal, 700), []);

        drop(journal);
        let mut journal = place.open();
        assert_eq!(journal.last_seq(), 700);
        assert_eq!(journal.append(&entries(701..=702)).unwrap(), 702);
        assert_eq!(replayed(&mut *journal, 0), numbered(1..=702));
        journal.close().unwrap();
    }
}

#[test]
fn bytes_come_back_as_they_went_in() {
    let odd: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0xff, 0x00, 0xfe],
        "\u{1F980} text".into(),
        b"a\0b".to_vec(),
    ];
    for place in Place::all() {
        let mut journal = place.open();
        journal.append(&odd).unwrap();
        let changes: Vec<_> = (b'a'..)
            .zip(&odd)
            .map(|(key, body)| (char::from(key).to_string(), Some(body.clone())))
            .collect();
        journal
            .checkpoints()
            .write(2, &mut changes.into_iter())
            .unwrap();
        let bodies = |list: Vec<(String, Vec<u8>)>| list.into_iter().map(|(_, body)| body);
        assert!(bodies(loaded(&mut *journal).1).eq(odd.clone()));
        let rest: Vec<_> = replayed(&mut *journal, 2)
            .into_iter()
            .map(|(_, body)| body)
            .collect();
        assert_eq!(rest, odd[2..]);
    }
}

#[test]
fn a_checkpoint_takes_the_place_of_the_entries_before_it() {
    for place in Place::all() {
        let mut journal = place.open();
        assert_eq!(loaded(&mut *journal), (0, vec![]));
        journal.append(&entries(1..=10)).unwrap();
        let mut checkpoints = journal.checkpoints();
        checkpoints
            .write(
                4,
                &mut [part("b", "1"), part("a", "1"), part("c", "1")].into_iter(),
            )
            .unwrap();
        // The second says only what has changed.
        let gone = ("c".to_owned(), None);
        checkpoints
            .write(7, &mut [part("b", "2"), gone, part("d", "2")].into_iter())
            .unwrap();

        drop((journal, checkpoints));
        let mut journal = place.open();
        let state = [("a", "1"), ("b", "2"), ("d", "2")]
            .map(|(key, body)| (key.to_owned(), body.as_bytes().to_vec()));
        assert_eq!(loaded(&mut *journal), (7, state.to_vec()));
        assert_eq!(replayed(&mut *journal, 7), numbered(8..=10));
        assert_eq!(journal.append(&entries(11..=11)).unwrap(), 11);
        assert_eq!(replayed(&mut *journal, 7), numbered(8..=11));
    }
}

#[test]
fn numbering_goes_on_where_everything_was_forgotten() {
    for place in Place::all() {
        let mut journal = place.open();
        journal.append(&entries(1..=5)).unwrap();
        journal
            .checkpoints()
            .write(5, &mut [part("a", "5")].into_iter())
            .unwrap();
        journal.close().unwrap();
        let mut journal = place.open();
        assert_eq!(journal.last_seq(), 5);
        assert_eq!(loaded(&mut *journal).0, 5);
        assert_eq!(replayed(&mut *journal, 5), []);
        assert_eq!(journal.append(&entries(6..=6)).unwrap(), 6);
    }
}

#[test]
fn an_error_of_the_reader_ends_the_reading() {
    let refuse = || JournalError::Unreadable {
        what: "entry 2".to_owned(),
        detail: "odd".to_owned(),
    };
    for place in Place::all() {
        let mut journal = place.open();
        journal.append(&entries(1..=3)).unwrap();
        journal
            .checkpoints()
            .write(1, &mut [part("a", "1"), part("b", "1")].into_iter())
            .unwrap();
        let mut seen = 0;
        let error = journal
            .replay(1, &mut |_, _| {
                seen += 1;
                Err(refuse())
            })
            .unwrap_err();
        assert!(matches!(error, JournalError::Unreadable { .. }), "{error}");
        let error = journal
            .load(&mut |_, _| {
                seen += 1;
                Err(refuse())
            })
            .unwrap_err();
        assert!(matches!(error, JournalError::Unreadable { .. }), "{error}");
        assert_eq!(seen, 2);
    }
}

#[test]
fn a_replay_from_before_the_checkpoint_says_what_is_missing() {
    for place in Place::all() {
        let mut journal = place.open();
        journal.append(&entries(1..=9)).unwrap();
        journal
            .checkpoints()
            .write(9, &mut std::iter::empty())
            .unwrap();
        // Sweeping happens with appends or with the next checkpoint; the last batch always stays.
        journal.append(&entries(10..=10)).unwrap();
        journal
            .checkpoints()
            .write(10, &mut std::iter::empty())
            .unwrap();
        let error = journal.replay(0, &mut |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("entries 1 to"), "{error}");
    }
}

#[test]
fn checkpoints_are_written_beside_appends() {
    for place in Place::all() {
        let mut journal = place.open();
        journal.append(&entries(1..=1)).unwrap();
        let mut checkpoints = journal.checkpoints();
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for seq in 1..=20 {
                    let parts: Vec<_> = (0..50)
                        .map(|n| part(&format!("{n:02}"), &seq.to_string()))
                        .collect();
                    checkpoints.write(seq, &mut parts.into_iter()).unwrap();
                }
            });
            for n in 2..=200 {
                journal.append(&entries(n..=n)).unwrap();
            }
            writer.join().unwrap();
        });
        let (seq, parts) = loaded(&mut *journal);
        assert_eq!((seq, parts.len()), (20, 50));
        assert_eq!(replayed(&mut *journal, 20), numbered(21..=200));
    }
}
