//! What a process has learned, one learner per kind, and the directory that keeps it.

use super::file::Record;
use super::hint::Sort;
use super::kind::Kind;
use crate::rt::Work;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fmt, process};

/// How many kinds a history holds in memory; the one that was used longest ago makes room, once it is on disk.
const KINDS_MAX: usize = 1024;

/// How many kinds it holds at most where they can't be saved; then the one that was used longest ago makes room, and
/// what was learned of it is lost.
const UNSAVED_MAX: usize = 4 * KINDS_MAX;

/// How many kinds are read when a directory is opened, the latest first; others are when they are first used.
const OPENED_MAX: usize = 128;

/// The greatest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The size from which on a file is made as short as it can be, in bytes.
const COMPACT_BYTES: u64 = 48 * 1024;

/// The longest file name that is written, in bytes; of longer ones the rest is hashed.
const FILE_NAME_BYTES_MAX: usize = 200;

/// How the name of every file of this form ends.
const ENDING: &str = ".jsonl";

/// How long a kind is kept without a new observation.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 3600);

/// Counts the temporary files of the process, so that no two are one.
static TEMPORARY_FILES: AtomicU64 = AtomicU64::new(0);

/// The prior's median where nothing at all is known, in seconds.
const PRIOR_MEDIAN: f64 = 15.0;

/// How long jobs took, by kind: what [`Learned`](super::Learned) learns from and adds to.
///
/// A cheap handle: clones share one history, and every wait of a process should use the same. A kind is an endpoint, a
/// type of job and whatever else changes the speed. Beside each kind stands what was learned of the server's estimates
/// about it.
///
/// With a directory, each kind is one small file, to which every process adds what it has learned: processes that share
/// a directory lose nothing of each other. What can't be read or understood is ignored, and a kind that nothing was
/// learned of for 90 days is deleted. Reading ([`open`](Self::open)) and writing ([`save`](Self::save)) block for a
/// file system access per kind: in asynchronous code, call them through `spawn_blocking`, or begin with
/// [`at`](Self::at). The file of a kind that is first used later is read then, off the threads that turn futures. A
/// wait doesn't wait long for that: it goes on with nothing learned.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use abide::schedule::{History, Learned};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let (directory, now) = (directory.path(), SystemTime::UNIX_EPOCH);
/// let history = History::open(directory, now);
/// let schedule = Learned::new("translate").history(&history).expect_about(Duration::from_secs(120));
/// // … wait for jobs …
/// history.save(now)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct History {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    directory: Option<PathBuf>,
    /// Whether what is learned is saved, in the directory or elsewhere.
    is_kept: bool,
    /// When it was opened, in seconds since 1970.
    opened: u64,
    /// When, where the directory hasn't been read yet.
    unread: Mutex<Option<SystemTime>>,
    kinds: Mutex<HashMap<String, Entry>>,
    /// Counts uses, to tell which kind was used longest ago.
    uses: AtomicU64,
}

struct Entry {
    kind: Arc<Kind>,
    used: u64,
}

impl History {
    /// A history in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the history kept in a directory, or begins one there.
    ///
    /// `now` is the time of day: of a file older than a week only the newer half counts. The directory is made by the
    /// first [`save`](Self::save).
    #[must_use]
    pub fn open(directory: impl Into<PathBuf>, now: SystemTime) -> Self {
        let directory = directory.into();
        let records = latest(&directory, now);
        let history = Self::at(directory, now);
        history.put(records);
        history
    }

    /// The same, and nothing is read yet: the first wait has it read, off the threads that turn futures.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>, now: SystemTime) -> Self {
        Self {
            shared: Arc::new(Shared {
                directory: Some(directory.into()),
                is_kept: true,
                opened: unix_seconds(now),
                unread: Mutex::new(Some(now)),
                ..Shared::default()
            }),
        }
    }

    /// A history that is kept elsewhere than in a directory, such as in a database: of these texts, one per kind, each
    /// all that was ever given to the `append` of [`save_to`](Self::save_to) under one name. What can't be understood
    /// is ignored.
    #[must_use]
    pub fn read_from(texts: impl IntoIterator<Item = impl AsRef<[u8]>>, now: SystemTime) -> Self {
        let opened = unix_seconds(now);
        let records = texts.into_iter().take(KINDS_MAX);
        let records = records.filter_map(|text| Record::read(text.as_ref()));
        Self {
            shared: Arc::new(Shared {
                is_kept: true,
                opened,
                kinds: Mutex::new(entries(records, opened)),
                ..Shared::default()
            }),
        }
    }

    /// Adds what was learned since the last call to the directory, and says of how many kinds that was.
    ///
    /// Without a directory there is nothing to write.
    ///
    /// # Errors
    ///
    /// The first failure of the file system. Kinds that could not be written are tried again by the next call; nothing
    /// learned is lost from memory.
    pub fn save(&self, now: SystemTime) -> io::Result<usize> {
        match &self.shared.directory {
            Some(directory) => {
                self.save_to(now, |name, lines| Self::append(directory, name, lines))
            }
            None => Ok(0),
        }
    }

    /// What [`save`](Self::save) gives [`save_to`](Self::save_to).
    #[doc(hidden)]
    pub fn append(directory: &Path, name: &str, lines: &[u8]) -> io::Result<()> {
        // The system's words name no file.
        let named = |error: io::Error| format!("{}: {error}", directory.display());
        let written = append(directory, name, lines);
        written.map_err(|error| io::Error::new(error.kind(), named(error)))
    }

    /// The same for a history that is [kept elsewhere](Self::read_from): gives `append` the lines to add to the text of
    /// each name. Texts grow; [`shortened`](Self::shortened) makes them short again.
    ///
    /// # Errors
    ///
    /// The first that `append` returns; those kinds are tried again by the next call.
    pub fn save_to(
        &self,
        now: SystemTime,
        mut append: impl FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let now = unix_seconds(now);
        // The lock on the map is not held while writing: waits go on looking up their kinds.
        let kinds: Vec<(String, Arc<Kind>)> = self
            .lock()
            .iter()
            .map(|(name, entry)| (name.clone(), entry.kind.clone()))
            .collect();
        let mut written = 0;
        let mut first_error = Ok(());
        for (name, kind) in kinds {
            let Some((lines, unsaved)) = kind.take_unsaved(&name, now) else {
                continue;
            };
            match append(&file_name(&name), &lines) {
                Ok(()) => written += 1,
                Err(error) => {
                    kind.not_saved(unsaved);
                    first_error = first_error.and(Err(error));
                }
            }
        }
        first_error.map(|()| written)
    }

    /// The shortest text that says the same; none where it isn't about a kind.
    #[must_use]
    pub fn shortened(text: &[u8]) -> Option<Vec<u8>> {
        Record::read(text).map(|record| record.to_lines())
    }

    /// How many jobs a kind remembers; 0 for a kind that was never seen.
    #[must_use]
    pub fn jobs(&self, kind: &str) -> usize {
        self.read(kind);
        self.find(&mut self.lock(), kind)
            .map_or(0, |kind| kind.jobs())
    }

    /// The memory in bytes that a kind must keep at most, without what can be derived from it; 0 for a kind that was
    /// never seen.
    #[doc(hidden)]
    #[must_use]
    pub fn state_bytes(&self, kind: &str) -> usize {
        self.read(kind);
        self.find(&mut self.lock(), kind)
            .map_or(0, |kind| kind.state_bytes())
    }

    /// The learner of the durations of a kind, made if there is none.
    pub(crate) fn durations(&self, name: &str, expected: Option<f64>) -> Arc<Kind> {
        let mut kinds = self.lock();
        if let Some(kind) = self.find(&mut kinds, name) {
            if let Some(median) = expected {
                kind.expect(median);
            }
            return kind;
        }
        let median = expected
            .or_else(|| siblings(&kinds))
            .unwrap_or(PRIOR_MEDIAN);
        self.insert(&mut kinds, name, Kind::of_durations(median))
    }

    /// The learner of one sort of estimate about a kind, made if there is none.
    pub(crate) fn estimates(&self, name: &str, make: impl FnOnce() -> Kind) -> Arc<Kind> {
        let mut kinds = self.lock();
        match self.find(&mut kinds, name) {
            Some(kind) => kind,
            None => self.insert(&mut kinds, name, make()),
        }
    }

    /// What is to be read of the directory before a wait for that kind begins; nothing if all is in memory.
    pub(crate) fn reading(&self, name: &str) -> Option<Work> {
        let directory = self.shared.directory.clone()?;
        let unread = *locked(&self.shared.unread);
        if unread.is_none() && self.lock().contains_key(name) {
            return None;
        }
        let (history, name) = (self.clone(), name.to_owned());
        Some(Box::new(move || {
            let mut records = unread.map_or_else(Vec::new, |now| latest(&directory, now));
            records.extend(Sort::names(&name).filter_map(|name| {
                let record = read(&directory.join(file_name(&name)));
                record.filter(|record| record.kind() == name)
            }));
            Box::new(move || history.put(records))
        }))
    }

    /// Reads that now.
    pub(crate) fn read(&self, name: &str) {
        if let Some(work) = self.reading(name) {
            work()();
        }
    }

    /// Puts in what the directory has, unless more is known: a wait that didn't wait for it began with nothing.
    fn put(&self, records: Vec<Record>) {
        let mut kinds = self.lock();
        for record in records {
            let name = record.kind().to_owned();
            if kinds.get(&name).is_none_or(|entry| entry.kind.jobs() == 0) {
                self.insert(&mut kinds, &name, record.into_kind(self.shared.opened));
            }
        }
        drop(kinds);
        *locked(&self.shared.unread) = None;
    }

    /// A kind that is in memory.
    fn find(&self, kinds: &mut HashMap<String, Entry>, name: &str) -> Option<Arc<Kind>> {
        let entry = kinds.get_mut(name)?;
        entry.used = self.shared.uses.fetch_add(1, Ordering::Relaxed);
        Some(entry.kind.clone())
    }

    fn insert(&self, kinds: &mut HashMap<String, Entry>, name: &str, kind: Kind) -> Arc<Kind> {
        if kinds.len() >= KINDS_MAX {
            // What isn't on disk yet stays until it is.
            let kept = |entry: &Entry| !(self.shared.is_kept && entry.kind.is_unsaved());
            let is_full = kinds.len() >= UNSAVED_MAX;
            let idle = kinds.iter().filter(|(_, entry)| is_full || kept(entry));
            let oldest = idle.min_by_key(|(_, entry)| entry.used);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                kinds.remove(&name);
            }
        }
        let kind = Arc::new(kind);
        let entry = Entry {
            kind: kind.clone(),
            used: self.shared.uses.fetch_add(1, Ordering::Relaxed),
        };
        kinds.insert(name.to_owned(), entry);
        kind
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        locked(&self.shared.kinds)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("directory", &self.shared.directory)
            .field("kinds", &self.lock().len())
            .finish()
    }
}

/// The kinds that records are about.
fn entries(records: impl Iterator<Item = Record>, opened: u64) -> HashMap<String, Entry> {
    let entry = |record: Record| {
        let name = record.kind().to_owned();
        let kind = Arc::new(record.into_kind(opened));
        (name, Entry { kind, used: 0 })
    };
    records.map(entry).collect()
}

/// The median of what the other kinds took, as a first guess for a new one.
fn siblings(kinds: &HashMap<String, Entry>) -> Option<f64> {
    let mut medians: Vec<f64> = kinds
        .iter()
        .filter(|(name, _)| !name.contains(super::hint::MARK))
        .filter_map(|(_, entry)| entry.kind.median_seen())
        .collect();
    medians.sort_by(f64::total_cmp);
    medians.get(medians.len() / 2).copied()
}

/// What the files say that were added to last, the latest at the end.
fn latest(directory: &Path, now: SystemTime) -> Vec<Record> {
    let mut files = files(directory, now);
    files.sort_by_key(|(modified, _)| *modified);
    let latest = files.split_off(files.len().saturating_sub(OPENED_MAX));
    latest.iter().filter_map(|(_, path)| read(path)).collect()
}

/// The files of this form in a directory and when they were last added to. Those that are too old are deleted.
fn files(directory: &Path, now: SystemTime) -> Vec<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let path = entry.path();
        let modified = entry.metadata().and_then(|file| file.modified()).ok()?;
        if !path.to_str()?.ends_with(ENDING) {
            return None;
        }
        if now.duration_since(modified).is_ok_and(|age| age > UNUSED) {
            // What can't be deleted does no harm.
            let _ = fs::remove_file(&path);
            return None;
        }
        Some((modified, path))
    });
    files.collect()
}

/// What a file says, if it is about the kind that its name is made of.
fn read(path: &Path) -> Option<Record> {
    if fs::metadata(path).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    let record = Record::read(&fs::read(path).ok()?)?;
    // A file that was copied under another name would make two kinds of one.
    (file_name(record.kind()) == path.file_name()?.to_str()?).then_some(record)
}

/// Adds lines to a file.
fn append(directory: &Path, file_name: &str, lines: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let path = directory.join(file_name);
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    // In one write, which the system puts at the end of the file whatever others do.
    file.write_all(lines)?;
    if file.metadata()?.len() > COMPACT_BYTES {
        compact(&path)?;
    }
    Ok(())
}

/// Makes a file as short as it can be. What others add meanwhile is carried over.
fn compact(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(record) = Record::read(&bytes) else {
        return Ok(());
    };
    let count = TEMPORARY_FILES.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}.{count}.tmp", process::id()));
    let mut new = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(&temporary)?;
    let mut late = Vec::new();
    let replaced = new
        .write_all(&record.to_lines())
        .and_then(|()| file.read_to_end(&mut late))
        .and_then(|_| new.write_all(&late))
        .and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        // The failure above is what the caller must know; a leftover file is ignored by every reader.
        let _ = fs::remove_file(&temporary);
        return replaced;
    }
    // Those who had opened the file before it was replaced have written by now, or nearly all of them.
    let mut late = Vec::new();
    file.read_to_end(&mut late)?;
    new.write_all(&late)
}

/// The FNV-1a hash of 64 bits, which every language has in three lines.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The name of a kind's file: letters, digits, `-` and `_` stand for themselves, everything else for its bytes in hex.
/// What is too long ends in `~` and the FNV-1a hash of the whole name instead.
fn file_name(kind: &str) -> String {
    let mut name = String::with_capacity(kind.len() + ENDING.len());
    for byte in kind.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            // Capitals too, for file systems that don't tell them from small letters.
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.len() + ENDING.len() > FILE_NAME_BYTES_MAX {
        name.truncate(FILE_NAME_BYTES_MAX - ENDING.len() - 17);
        name.push_str(&format!("~{:016x}", hash(kind)));
    }
    name + ENDING
}

/// Seconds since 1970; a clock before that counts as 1970.
fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::effects::Traits;
    use super::super::past::Whose;
    use super::*;

    fn day(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs((20_000 + days) * 24 * 3600)
    }

    /// As if each job had a seed of its own.
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

    fn learn(history: &History, kind: &str, seconds: impl IntoIterator<Item = f64>) {
        let kind = history.durations(kind, None);
        for t in seconds {
            let whose = Whose {
                random: COUNT.fetch_add(1, Ordering::Relaxed),
                ..Whose::default()
            };
            kind.observe(whose, t, t, &Traits::default());
        }
    }

    #[test]
    fn what_was_saved_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("not/yet/there");
        let history = History::open(&directory, day(0));
        learn(&history, "translate", [20.0, 30.0]);
        learn(&history, "POST https://example.com/v1/jobs?type=Ä", [5.0]);
        assert_eq!(history.save(day(0)).unwrap(), 2);
        assert_eq!(history.save(day(0)).unwrap(), 0);
        learn(&history, "translate", [25.0]);
        assert_eq!(history.save(day(0)).unwrap(), 1);

        let again = History::open(&directory, day(0));
        assert_eq!(again.jobs("translate"), 3);
        assert_eq!(again.jobs("POST https://example.com/v1/jobs?type=Ä"), 1);
        assert_eq!(again.jobs("nothing"), 0);
        assert_eq!(again.save(day(0)).unwrap(), 0);
        let half = History::open(&directory, day(8));
        assert_eq!(half.jobs("translate"), 2);
    }

    #[test]
    fn a_directory_that_is_read_late_is_read_by_the_first_wait() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), day(0));
        learn(&history, "a", [100.0]);
        learn(&history, "b", [200.0]);
        history.save(day(0)).unwrap();
        let late = History::at(directory.path(), day(0));
        assert_eq!(late.lock().len(), 0);
        assert!(late.reading("new").is_some());
        late.read("new");
        // A new kind starts from all of its siblings.
        assert_eq!(late.lock().len(), 2);
        late.durations("new", None);
        assert!(late.reading("new").is_none());
    }

    #[test]
    fn damaged_and_foreign_files_are_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), day(0));
        learn(&history, "good", [20.0]);
        history.save(day(0)).unwrap();
        let good = fs::read(directory.path().join("good.jsonl")).unwrap();
        fs::write(directory.path().join("copy.jsonl"), &good).unwrap();
        fs::write(directory.path().join("cut.jsonl"), &good[..good.len() / 2]).unwrap();
        fs::write(directory.path().join("empty.jsonl"), b"").unwrap();
        fs::write(directory.path().join("README"), b"hello").unwrap();
        fs::create_dir(directory.path().join("folder.jsonl")).unwrap();
        let again = History::open(directory.path(), day(0));
        assert_eq!(again.lock().len(), 1);
        assert_eq!(again.jobs("good"), 1);
    }

    #[test]
    fn a_failure_to_save_is_told_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("a file");
        fs::write(&blocked, b"").unwrap();
        let history = History::open(&blocked, day(0));
        learn(&history, "translate", [20.0]);
        assert!(history.save(day(0)).is_err());
        fs::remove_file(&blocked).unwrap();
        assert_eq!(history.save(day(0)).unwrap(), 1);
    }

    #[test]
    fn writers_beside_each_other_leave_whole_files() {
        let directory = tempfile::tempdir().unwrap();
        let histories: Vec<History> = (0..4)
            .map(|_| History::open(directory.path(), day(0)))
            .collect();
        std::thread::scope(|scope| {
            for history in &histories {
                scope.spawn(|| {
                    for _ in 0..30 {
                        learn(history, "shared", [20.0]);
                        history.save(day(0)).unwrap();
                        assert!(History::open(directory.path(), day(0)).jobs("shared") > 0);
                    }
                });
            }
        });
        assert_eq!(History::open(directory.path(), day(0)).jobs("shared"), 120);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_long_log_is_made_short_and_loses_nothing_that_counts() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), day(0));
        let path = directory.path().join("k.jsonl");
        let mut longest = 0;
        for i in 0..400 {
            learn(&history, "k", [10.0 + f64::from(i % 20)]);
            history.save(day(0)).unwrap();
            longest = longest.max(fs::metadata(&path).unwrap().len());
        }
        assert!(longest < 2 * COMPACT_BYTES, "{longest}");
        assert_eq!(
            History::open(directory.path(), day(0)).jobs("k"),
            history.jobs("k")
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn any_number_of_kinds_is_kept_under_any_name_until_it_is_unused_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let now = fs::metadata(directory.path()).unwrap().modified().unwrap();
        let long = "日本語".repeat(40);
        let name = |i: usize| format!("{long} {i}");
        let history = History::open(directory.path(), now);
        for i in 0..OPENED_MAX + 20 {
            learn(&history, &name(i), [20.0]);
        }
        history.save(now).unwrap();
        let again = History::open(directory.path(), now);
        assert_eq!(again.lock().len(), OPENED_MAX);
        assert!((0..OPENED_MAX + 20).all(|i| again.jobs(&name(i)) == 1));
        let later = now + UNUSED + Duration::from_secs(60);
        let later = History::open(directory.path(), later);
        assert_eq!(later.jobs(&name(7)), 0);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_kind_starts_from_its_siblings() {
        let history = History::new();
        learn(&history, "a", [100.0]);
        learn(&history, "b", [200.0]);
        learn(&history, "c", [900.0]);
        let median = |name: &str, expected| {
            let law = history.durations(name, expected).law(&Traits::default());
            super::super::forecast::quantile(&law, 0.5, 0.0)
        };
        assert!((median("d", None) - 200.0).abs() < 5.0);
        assert!((median("e", Some(7.0)) - 7.0).abs() < 0.2);
        // What the caller expects is heard later, too, but never against experience.
        assert!((median("d", Some(7.0)) - 7.0).abs() < 0.2);
        assert!(median("c", Some(7.0)) > 100.0);
    }

    #[test]
    fn a_kind_that_is_not_on_disk_yet_makes_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), day(0));
        learn(&history, "unsaved", [20.0]);
        for i in 0..KINDS_MAX {
            history.durations(&format!("kind {i}"), None);
        }
        assert_eq!(history.lock().len(), KINDS_MAX);
        assert!(history.lock().contains_key("unsaved"));
    }

    #[test]
    fn the_number_of_kinds_is_bounded_although_none_is_saved() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), day(0));
        for i in 0..UNSAVED_MAX + 5 {
            let kind = history.durations(&format!("kind {i}"), Some(20.0));
            kind.count_sizes_from(2.0);
            assert!(kind.is_unsaved());
        }
        let kinds = history.lock();
        assert_eq!(kinds.len(), UNSAVED_MAX);
        assert!(!kinds.contains_key("kind 4") && kinds.contains_key("kind 5"));
    }

    #[test]
    fn what_is_read_late_counts_from_then_on_and_estimates_are_read_with_their_kind() {
        let directory = tempfile::tempdir().unwrap();
        let [kind, estimates] = ["k".to_owned(), Sort::names("k").nth(1).unwrap()];
        let history = History::open(directory.path(), day(0));
        learn(&history, &kind, [20.0]);
        learn(&history, &estimates, [20.0]);
        history.save(day(0)).unwrap();

        let elsewhere = tempfile::tempdir().unwrap();
        let late = History::open(elsewhere.path().join("d"), day(0));
        fs::rename(directory.path(), elsewhere.path().join("d")).unwrap();
        // A wait begins, and nothing is read for it.
        assert_eq!(late.durations(&estimates, None).jobs(), 0);
        late.read(&kind);
        assert_eq!(late.durations(&kind, None).jobs(), 1);
        assert_eq!(late.durations(&estimates, None).jobs(), 1);
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let history = History::new();
        for i in 0..KINDS_MAX + 5 {
            history.durations(&format!("kind {i}"), None);
        }
        let kinds = history.lock();
        assert_eq!(kinds.len(), KINDS_MAX);
        assert!(!kinds.contains_key("kind 0") && kinds.contains_key("kind 1028"));
    }
}
