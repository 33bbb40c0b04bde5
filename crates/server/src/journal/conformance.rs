//! What every journal must do, run over each.

use std::path::Path;

use super::{Journal, JournalError, Member, MemoryJournal, SharedMemoryJournal, SqliteJournal};

/// A place where a journal can be opened again and again.
enum Place {
    Memory(MemoryJournal),
    SharedMemory(SharedMemoryJournal),
    Directory(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Postgres(super::postgres::TestSchema),
}

impl Place {
    fn all() -> impl Iterator<Item = Self> {
        [
            Self::Memory(MemoryJournal::new()),
            Self::Directory(tempfile::tempdir().unwrap()),
        ]
        .into_iter()
        .chain(Self::shared())
    }

    /// Those whose log several servers may write.
    fn shared() -> impl Iterator<Item = Self> {
        let memory = Self::SharedMemory(SharedMemoryJournal::new(1));
        #[cfg(feature = "postgres")]
        let postgres = super::postgres::TestSchema::new().map(Self::Postgres);
        #[cfg(not(feature = "postgres"))]
        let postgres = None;
        std::iter::once(memory).chain(postgres)
    }

    /// As another process would open it.
    fn open(&self) -> Box<dyn Journal> {
        match self {
            Self::Memory(journal) => Box::new(journal.clone()),
            Self::SharedMemory(journal) => Box::new(journal.open()),
            Self::Directory(directory) => Box::new(open(directory.path())),
            #[cfg(feature = "postgres")]
            Self::Postgres(schema) => Box::new(schema.open()),
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
fn a_checkpoint_of_a_state_that_began_anew_has_nothing_of_those_before() {
    for place in Place::all() {
        let mut journal = place.open();
        journal.append(&entries(1..=2)).unwrap();
        let mut checkpoints = journal.checkpoints();
        let first = [part("a", "1"), part("b", "1"), part("c", "1")];
        checkpoints.write(1, &mut first.into_iter()).unwrap();
        let all = (String::new(), None);
        let gone = ("c".to_owned(), None);
        let second = [all, part("b", "2"), gone, part("d", "2")];
        checkpoints.write(2, &mut second.into_iter()).unwrap();

        drop((journal, checkpoints));
        let state =
            [("b", "2"), ("d", "2")].map(|(key, body)| (key.to_owned(), body.as_bytes().to_vec()));
        assert_eq!(loaded(&mut *place.open()), (2, state.to_vec()));
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

#[test]
fn a_mark_fences_the_writer_before_it() {
    for place in Place::shared() {
        let (mut old, mut new) = (place.open(), place.open());
        old.append(&entries(1..=2)).unwrap();
        let log = new.shared().unwrap();
        let late = log.mark(7).unwrap_err();
        assert!(matches!(late, JournalError::Superseded { .. }), "{late}");
        let read = log.tail().read(log.position()).unwrap();
        assert_eq!(read.len(), 1);
        assert!(read[0].follows(log.position()));
        assert_eq!(read[0].entries, entries(1..=2));
        log.stand_at(read[0].position());
        let marked = log.mark(7).unwrap();
        assert_eq!((marked.batch, marked.seq), (2, 2));
        let zombie = old.append(&entries(3..=3)).unwrap_err();
        assert!(
            matches!(zombie, JournalError::Superseded { .. }),
            "{zombie}"
        );
        assert!(!zombie.is_retryable());
        assert_eq!(new.append(&entries(3..=3)).unwrap(), 3);
        let log = new.shared().unwrap();
        let read = log.tail().read(read[0].position()).unwrap();
        let terms: Vec<_> = read
            .iter()
            .map(|batch| (batch.number, batch.term))
            .collect();
        assert_eq!(terms, [(2, 7), (3, 7)]);
        assert_eq!(log.tail().read(log.position()).unwrap(), []);
        assert_eq!(replayed(&mut *new, 0), numbered(1..=3));
    }
}

#[test]
fn a_checkpoint_of_a_leader_that_was_superseded_changes_nothing() {
    for place in Place::shared() {
        let (mut old, mut new) = (place.open(), place.open());
        old.append(&entries(1..=2)).unwrap();
        new.replay(0, &mut |_, _| Ok(())).unwrap();
        new.shared().unwrap().mark(1).unwrap();
        new.checkpoints()
            .write(2, &mut [part("a", "new")].into_iter())
            .unwrap();
        let late = old
            .checkpoints()
            .write(2, &mut [part("a", "old")].into_iter());
        assert!(
            matches!(late, Err(JournalError::Superseded { .. })),
            "{late:?}"
        );
        let there = vec![("a".to_owned(), b"new".to_vec())];
        assert_eq!(loaded(&mut *new), (2, there));
    }
}

#[test]
fn a_reader_that_is_behind_a_checkpoint_is_told_to_load_again() {
    for place in Place::shared() {
        let mut journal = place.open();
        let begin = journal.shared().unwrap().position();
        for n in 1..=3 {
            journal.append(&entries(n..=n)).unwrap();
        }
        journal
            .checkpoints()
            .write(2, &mut std::iter::empty())
            .unwrap();
        let error = journal.shared().unwrap().tail().read(begin).unwrap_err();
        let is_missing = matches!(
            error,
            JournalError::Missing {
                from: 1,
                through: 2,
                ..
            }
        );
        assert!(is_missing, "{error}");
    }
}

#[test]
fn one_node_wins_a_term_and_a_new_process_takes_its_name_over() {
    for place in Place::shared() {
        let mut journal = place.open();
        journal.append(&entries(1..=1)).unwrap();
        let log = journal.shared().unwrap();
        let (mut one, mut two) = (log.lease(), log.lease());
        let member = |run| Member {
            node: "n".to_owned(),
            run,
            address: "here".to_owned(),
            version: String::new(),
            reads_from: 1,
            reads_to: 2,
            applied: 0,
            beat: 0,
        };
        one.join(&member(1)).unwrap();
        assert!(one.take("n", 1, 0).unwrap());
        // Asked again after an answer that was lost.
        assert!(one.take("n", 1, 0).unwrap());
        assert!(!two.take("m", 2, 0).unwrap());
        let before = two.leading().unwrap();
        assert_eq!(one.beat("n", 1, 1).unwrap().term, 1);
        let leading = two.leading().unwrap();
        assert!(leading.beat > before.beat);
        assert_eq!((leading.run, &*leading.address), (1, "here"));
        assert_eq!(two.members().unwrap()[0].applied, 1);
        two.join(&member(2)).unwrap();
        let error = one.beat("n", 1, 1).unwrap_err();
        assert!(matches!(error, JournalError::Superseded { .. }), "{error}");
        assert!(!two.hand_over(0).unwrap());
        assert!(two.hand_over(1).unwrap());
        assert_eq!(
            (two.leading().unwrap().node, two.leading().unwrap().term),
            (None, 2)
        );
        let seen = two.members().unwrap().remove(0);
        two.beat("n", 2, 1).unwrap();
        assert!(!one.forget(&seen).unwrap(), "it has beaten since");
        let seen = two.members().unwrap().remove(0);
        assert!(one.forget(&seen).unwrap());
        assert!(two.members().unwrap().is_empty());
        let error = two.beat("n", 2, 1).unwrap_err();
        assert!(matches!(error, JournalError::Superseded { .. }), "{error}");
    }
}
