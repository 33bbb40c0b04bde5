//! The journal on a real PostgreSQL, where `ABIDE_TEST_DATABASE` names one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::append::Rule;
use super::link::{ANSWER_MUCH, Link, Session};
use super::{Admin, Database, PostgresJournal, SealKey};
use crate::journal::{Journal as _, JournalError, Member, SharedLog as _};

/// A cluster in a schema of its own, which goes with it.
pub(in crate::journal) struct TestSchema {
    name: String,
    runs: AtomicU32,
}

impl TestSchema {
    /// `None` without a database for tests.
    pub(in crate::journal) fn new() -> Option<Self> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        url()?;
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let schema = Self {
            name: format!("abide_test_{}_{number}", std::process::id()),
            runs: AtomicU32::new(1),
        };
        assert!(schema.admin().init(1, 1, [0; 32]).unwrap());
        Some(schema)
    }

    pub(in crate::journal) fn open(&self) -> PostgresJournal {
        PostgresJournal::open(self.database(), self.run()).unwrap()
    }

    fn run(&self) -> u64 {
        u64::from(self.runs.fetch_add(1, Ordering::Relaxed)) << 40
    }

    fn database(&self) -> Database {
        let mut database = Database::new(&url().unwrap(), &self.name).unwrap();
        database.kept = 0;
        database
    }

    fn admin(&self) -> Admin {
        Admin::new(self.database())
    }

    fn execute(&self, sql: &str) {
        let mut link = Link::new(std::sync::Arc::new(self.database()));
        link.call(ANSWER_MUCH, async |session: &mut Session| {
            session.client.batch_execute(sql).await
        })
        .unwrap();
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.execute(&format!("DROP SCHEMA {} CASCADE", self.name));
        }
    }
}

fn url() -> Option<String> {
    std::env::var("ABIDE_TEST_DATABASE")
        .ok()
        .filter(|url| !url.is_empty())
}

fn entry(number: u64) -> Vec<Vec<u8>> {
    vec![format!(r#"{{"fact":{number}}}"#).into_bytes()]
}

/// What a judge finds who reads the log against what was acknowledged.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    /// The writer was told.
    Noticed,
    Broken(String),
}

/// Reads the rows as they are, by none of the rules that the journal reads by.
fn judge(schema: &TestSchema, acknowledged: &[u64]) -> Verdict {
    let database = schema.database();
    let mut link = Link::new(std::sync::Arc::new(database.clone()));
    let rows = link
        .call(ANSWER_MUCH, async |session: &mut Session| {
            let sql = concat!("SELECT ", super::rows::columns!(), " FROM batch ORDER BY n");
            session.client.query(sql, &[]).await
        })
        .unwrap();
    let (mut counts, mut expected) = (BTreeMap::<Vec<u8>, u32>::new(), 1);
    for row in rows {
        let batch = super::rows::Stored::of(&row)
            .unwrap()
            .read(&database)
            .unwrap();
        if batch.number != expected {
            return Verdict::Broken(format!("batch {expected} is missing"));
        }
        expected += 1;
        for entry in batch.entries {
            *counts.entry(entry).or_default() += 1;
        }
    }
    if let Some((entry, _)) = counts.iter().find(|(_, count)| **count > 1) {
        return Verdict::Broken(format!("{} is there twice", String::from_utf8_lossy(entry)));
    }
    let lost = acknowledged
        .iter()
        .find(|number| !counts.contains_key(&entry(**number)[0]));
    lost.map_or(Verdict::Whole, |number| {
        Verdict::Broken(format!("entry {number} is lost"))
    })
}

/// A journal, and what its appends wait on that don't block.
struct Writer {
    runtime: Runtime,
    journal: PostgresJournal,
}

impl Writer {
    fn new(schema: &TestSchema, rule: Rule) -> Self {
        let mut journal = schema.open();
        journal.rule = rule;
        Self {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            journal,
        }
    }

    /// Appends it, in turns over the one connection and the other.
    fn append(&mut self, number: u64, turn: u64) -> Result<u64, JournalError> {
        let (journal, entry) = (&mut self.journal, entry(number));
        match turn % 2 {
            0 => journal.append(&entry),
            _ => self.runtime.block_on(journal.append_here(&entry)),
        }
    }
}

/// A history of appends whose answers are lost now and then, judged.
fn lossy_answers(rule: Rule) -> Option<Verdict> {
    let schema = TestSchema::new()?;
    let mut writer = Writer::new(&schema, rule);
    let mut acknowledged = Vec::new();
    for number in 1..=40 {
        writer.journal.losing(if number % 5 == 0 { 3 } else { 0 });
        for turn in number.. {
            match writer.append(number, turn) {
                Ok(_) => break,
                Err(JournalError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        acknowledged.push(number);
    }
    Some(judge(&schema, &acknowledged))
}

/// A history in the midst of which the database goes back in time, judged.
fn lost_suffix(rule: Rule) -> Option<Verdict> {
    let schema = TestSchema::new()?;
    let mut writer = Writer::new(&schema, rule);
    let mut acknowledged = Vec::new();
    for number in 1..=20 {
        if number == 15 {
            schema.execute("DELETE FROM batch WHERE n > 11");
        }
        match writer.append(number, number) {
            Ok(_) => acknowledged.push(number),
            Err(JournalError::LostByDatabase { .. }) => return Some(Verdict::Noticed),
            Err(error) => panic!("{error}"),
        }
    }
    Some(judge(&schema, &acknowledged))
}

#[test]
fn an_append_whose_answer_was_lost_is_written_once() {
    if let Some(verdict) = lossy_answers(Rule::Fenced) {
        assert_eq!(verdict, Verdict::Whole);
    }
}

#[test]
fn the_judge_notices_a_writer_that_takes_a_lost_answer_for_a_failure() {
    if let Some(verdict) = lossy_answers(Rule::FailedIsNext) {
        assert!(matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
    }
}

#[test]
fn a_database_that_went_back_in_time_is_noticed_by_the_next_append() {
    if let Some(verdict) = lost_suffix(Rule::Fenced) {
        assert_eq!(verdict, Verdict::Noticed);
    }
}

#[test]
fn the_judge_notices_a_writer_that_does_not_look_at_the_batch_before() {
    if let Some(verdict) = lost_suffix(Rule::WithoutNonce) {
        assert!(matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
    }
}

#[test]
fn after_a_loss_no_node_starts_until_it_is_accepted() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    let mut journal = schema.open();
    for number in 1..=3 {
        journal.append(&entry(number)).unwrap();
    }
    assert_eq!(schema.admin().accept_loss(9).unwrap(), None);
    schema.execute("DELETE FROM batch WHERE n > 1");
    journal.append(&entry(4)).unwrap_err();
    let error = PostgresJournal::open(schema.database(), 1 << 50).unwrap_err();
    assert!(
        matches!(error, JournalError::LostByDatabase { .. }),
        "{error}"
    );
    let lost = schema.admin().accept_loss(9).unwrap().unwrap();
    assert!(lost.contains("batch 3"), "{lost}");
    let mut journal = schema.open();
    assert_eq!((journal.life(), journal.last_seq()), (9, 1));
    assert_eq!(journal.append(&entry(2)).unwrap(), 2);
}

#[test]
fn a_loss_is_noticed_also_where_another_one_has_written_since() {
    for others in [1, 2, 3] {
        let Some(schema) = TestSchema::new() else {
            return;
        };
        let mut journal = schema.open();
        for number in 1..=3 {
            journal.append(&entry(number)).unwrap();
        }
        schema.execute("DELETE FROM batch WHERE n > 1");
        let mut other = schema.open();
        for number in 0..others {
            other.append(&entry(10 + number)).unwrap();
        }
        let error = journal.append(&entry(4)).unwrap_err();
        assert!(
            matches!(error, JournalError::LostByDatabase { .. }),
            "{others}: {error}"
        );
        assert!(schema.admin().standing().unwrap().lost.is_some());
    }
}

#[test]
fn a_beat_notices_a_loss_and_what_was_noted_or_accepted_since() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    let mut journal = schema.open();
    for number in 1..=3 {
        journal.append(&entry(number)).unwrap();
    }
    let member = |node: &str| Member {
        node: node.to_owned(),
        run: 1,
        address: String::new(),
        version: String::new(),
        reads_from: 1,
        reads_to: 1,
        applied: 0,
        beat: 0,
    };
    let shared = journal.shared().unwrap();
    let (mut ahead, mut behind, mut away) = (shared.lease(), shared.lease(), shared.lease());
    for (node, lease) in [("a", &mut ahead), ("b", &mut behind), ("c", &mut away)] {
        lease.join(&member(node)).unwrap();
    }
    ahead.beat("a", 1, 3).unwrap();
    behind.beat("b", 1, 1).unwrap();
    schema.execute("DELETE FROM batch WHERE n > 1");
    behind.beat("b", 1, 1).unwrap();
    // One that has applied what is gone notices it, and the others hear of it.
    for (node, lease, applied) in [("a", &mut ahead, 3), ("b", &mut behind, 1)] {
        let error = lease.beat(node, 1, applied).unwrap_err();
        assert!(
            matches!(error, JournalError::LostByDatabase { .. }),
            "{error}"
        );
    }
    schema.admin().accept_loss(9).unwrap().unwrap();
    // One that was stopped meanwhile ends, and doesn't report the loss once more.
    let error = away.beat("c", 1, 3).unwrap_err();
    assert!(matches!(error, JournalError::Superseded { .. }), "{error}");
    journal.append(&entry(4)).unwrap_err();
    assert_eq!(schema.admin().standing().unwrap().lost, None);
}

#[test]
fn a_node_that_is_alone_takes_over_from_one_that_still_writes() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    let mut old = schema.open();
    old.take_over("a").unwrap();
    let mut new = schema.open();
    let mut acknowledged = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            for number in 1.. {
                match old.append(&entry(number)) {
                    Ok(_) => acknowledged.push(number),
                    Err(JournalError::Superseded { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        });
        new.take_over("b").unwrap();
        acknowledged = writer.join().unwrap();
    });
    assert_eq!(new.term(), 2);
    let begin = u64::try_from(acknowledged.len()).unwrap() + 1;
    assert_eq!(new.last_seq(), begin - 1);
    new.append(&entry(begin)).unwrap();
    acknowledged.push(begin);
    assert_eq!(judge(&schema, &acknowledged), Verdict::Whole);
}

#[test]
fn sealed_bodies_are_read_with_the_key_alone() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    let key = |byte| SealKey::new(&[byte; 32], [byte; 16]).unwrap();
    let secret = || vec![b"whsec_secret".to_vec()];
    let part = ("a".to_owned(), Some(secret().remove(0)));
    {
        let mut journal = schema.open();
        journal.append(&entry(1)).unwrap();
        let database = schema.database().sealed(key(1));
        let mut journal = PostgresJournal::open(database, schema.run()).unwrap();
        journal.append(&secret()).unwrap();
        journal
            .checkpoints()
            .write(1, &mut [part].into_iter())
            .unwrap();
    }
    let read = |database: Database| -> Result<Vec<Vec<u8>>, JournalError> {
        let mut journal = PostgresJournal::open(database, schema.run())?;
        let mut seen = Vec::new();
        journal.load(&mut |_, body| {
            seen.push(body.to_vec());
            Ok(())
        })?;
        journal.replay(1, &mut |_, body| {
            seen.push(body.to_vec());
            Ok(())
        })?;
        Ok(seen)
    };
    let both = [secret(), secret()].concat();
    assert_eq!(read(schema.database().sealed(key(1))).unwrap(), both);
    for (database, said) in [
        (schema.database(), "--seal-key-file"),
        (schema.database().sealed(key(2)), "another key"),
    ] {
        let error = read(database).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn reading_a_checkpoint_may_take_longer_than_any_other_statement() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    {
        let mut journal = schema.open();
        journal.append(&entry(1)).unwrap();
        let body = || Some(vec![b'x'; 512 * 1024]);
        let mut parts = (0..64).map(|number| (format!("part {number:02}"), body()));
        journal.checkpoints().write(1, &mut parts).unwrap();
    }
    let mut database = schema.database();
    let options = database.config.get_options().unwrap();
    let hurried = options.replace("statement_timeout=30s", "statement_timeout=1s");
    assert_ne!(options, hurried);
    database.config.options(hurried);
    let mut journal = PostgresJournal::open(database, schema.run()).unwrap();
    let mut read = 0;
    let mut each = |_: &str, _: &[u8]| {
        if read == 0 {
            // The rest is more than sockets hold, so its statement waits.
            let sleep = || schema.execute("SELECT pg_sleep(3)");
            thread::scope(|scope| scope.spawn(sleep).join()).unwrap();
        }
        read += 1;
        Ok(())
    };
    journal.load(&mut each).unwrap();
    assert_eq!(read, 64);
}

#[test]
fn a_row_that_was_changed_is_noticed() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    let mut journal = schema.open();
    for number in 1..=3 {
        journal.append(&entry(number)).unwrap();
    }
    let part = |key: &str| (key.to_owned(), Some(b"1".to_vec()));
    let mut checkpoints = journal.checkpoints();
    checkpoints
        .write(1, &mut [part("a"), part("b")].into_iter())
        .unwrap();
    let all = |schema: &TestSchema| -> Result<(), JournalError> {
        let mut journal = PostgresJournal::open(schema.database(), schema.run())?;
        journal.load(&mut |_, _| Ok(()))?;
        journal.replay(1, &mut |_, _| Ok(()))
    };
    all(&schema).unwrap();
    for (change, back) in [
        (
            "UPDATE batch SET term = term + 1 WHERE n = 2",
            "UPDATE batch SET term = term - 1 WHERE n = 2",
        ),
        (
            "UPDATE batch SET before = before + 1 WHERE n = 3",
            "UPDATE batch SET before = before - 1 WHERE n = 3",
        ),
        (
            "UPDATE part SET body = '2' WHERE key = 'a'",
            "UPDATE part SET body = '1' WHERE key = 'a'",
        ),
        (
            "UPDATE part SET key = 'c' WHERE key = 'a'",
            "UPDATE part SET key = 'a' WHERE key = 'c'",
        ),
        (
            "UPDATE checkpoint SET seq = 2",
            "UPDATE checkpoint SET seq = 1",
        ),
        (
            "UPDATE checkpoint SET parts = 3",
            "UPDATE checkpoint SET parts = 2",
        ),
    ] {
        schema.execute(change);
        let error = all(&schema).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { .. }),
            "{change}: {error}"
        );
        schema.execute(back);
        all(&schema).unwrap();
    }
    schema.execute("DELETE FROM batch WHERE n = 2");
    let error = all(&schema).unwrap_err().to_string();
    assert!(error.contains("entries 2 to 2 are missing"), "{error}");
}

#[test]
fn a_schema_without_a_cluster_says_how_to_make_one() {
    let Some(url) = url() else { return };
    let database = Database::new(&url, "abide_test_nothing").unwrap();
    let error = PostgresJournal::open(database, 1).unwrap_err();
    assert!(matches!(error, JournalError::NoCluster { .. }), "{error}");
    let nowhere = Database::new("postgres://ann@127.0.0.1:1/x", "abide").unwrap();
    let error = PostgresJournal::open(nowhere, 1).unwrap_err();
    assert!(matches!(error, JournalError::Away { .. }), "{error}");
}

#[test]
fn the_cluster_keeps_its_settings_and_is_made_once() {
    let Some(schema) = TestSchema::new() else {
        return;
    };
    let mut admin = schema.admin();
    assert!(!admin.init(2, 2, [1; 32]).unwrap());
    admin.set("retention", Some("7d")).unwrap();
    admin.set("jobs-max", Some("5")).unwrap();
    admin.set("retention", None).unwrap();
    assert_eq!(
        admin.settings().unwrap(),
        [("jobs-max".to_owned(), "5".to_owned())]
    );
    let standing = admin.standing().unwrap();
    assert_eq!((standing.life, standing.level, standing.seq), (1, 1, 0));
    assert!(admin.health().unwrap().fsync);
}
