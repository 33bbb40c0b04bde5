//! What a process has learned, one learner per kind, and the directory that keeps it.

use super::file::Record;
use super::kind::Kind;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use std::{fmt, fs, io, process};

/// How many kinds a history holds; the one that was used longest ago makes room.
const KINDS_MOST: usize = 1024;

/// The greatest file that is read as a record, in bytes.
const RECORD_BYTES_MOST: u64 = 64 * 1024;

/// The longest file name that is written, in bytes; kinds with longer names are learned but not kept.
const FILE_NAME_BYTES_MOST: usize = 200;

/// Counts the temporary files of the process, so that two histories in one directory never write the same one.
static TEMPORARY_FILES: AtomicU64 = AtomicU64::new(0);

/// The prior's median where nothing at all is known, in seconds.
const PRIOR_MEDIAN: f64 = 15.0;

/// How long jobs took, by kind: what [`Learned`](super::Learned) learns from and adds to.
///
/// A cheap handle: clones share one history, and every wait of a process should use the same. A kind is an endpoint, a
/// type of job and whatever else changes the speed. Beside each kind stands what was learned of the server's estimates
/// about it.
///
/// With a directory, each kind is one file of a few kilobytes, replaced atomically, so that processes can share the
/// directory: the last writer wins, and all that can be lost is the memory of some jobs. Files that can't be read or
/// understood are ignored. Reading ([`open`](Self::open)) and writing ([`save`](Self::save)) block for a file system
/// access per kind: in asynchronous code, call them through `spawn_blocking`.
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
        let now = unix_seconds(now);
        let kinds = records(&directory)
            .map(|record| {
                let name = record.kind().to_owned();
                let kind = Arc::new(record.into_kind(now));
                (name, Entry { kind, used: 0 })
            })
            .collect();
        Self {
            shared: Arc::new(Shared {
                directory: Some(directory),
                kinds: Mutex::new(kinds),
                ..Shared::default()
            }),
        }
    }

    /// Writes what changed since the last call, and says how many kinds that were.
    ///
    /// Without a directory there is nothing to write.
    ///
    /// # Errors
    ///
    /// The first failure of the file system. Kinds that could not be written are tried again by the next call; nothing
    /// learned is lost from memory.
    pub fn save(&self, now: SystemTime) -> io::Result<usize> {
        let Some(directory) = &self.shared.directory else {
            return Ok(0);
        };
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
            let Some(file_name) = file_name(&name) else {
                continue;
            };
            let Some(record) = kind.take_unsaved(&name, now) else {
                continue;
            };
            match Self::replace(directory, &file_name, &record.to_json()) {
                Ok(()) => written += 1,
                Err(error) => {
                    kind.not_saved();
                    first_error = first_error.and(Err(error));
                }
            }
        }
        first_error.map(|()| written)
    }

    /// How many jobs a kind remembers; 0 for a kind that was never seen.
    #[must_use]
    pub fn jobs(&self, kind: &str) -> usize {
        self.lock().get(kind).map_or(0, |entry| entry.kind.jobs())
    }

    /// The memory in bytes that a kind must keep, without what can be derived from it; 0 for a kind that was never seen.
    #[must_use]
    pub fn state_bytes(&self, kind: &str) -> usize {
        self.lock()
            .get(kind)
            .map_or(0, |entry| entry.kind.state_bytes())
    }

    /// The learner of the durations of a kind, made if there is none.
    pub(crate) fn durations(&self, name: &str, expected: Option<f64>) -> Arc<Kind> {
        let mut kinds = self.lock();
        if let Some(entry) = kinds.get_mut(name) {
            entry.used = self.shared.uses.fetch_add(1, Ordering::Relaxed);
            if let Some(median) = expected {
                entry.kind.expect(median);
            }
            return entry.kind.clone();
        }
        let median = expected
            .or_else(|| siblings(&kinds))
            .unwrap_or(PRIOR_MEDIAN);
        self.insert(&mut kinds, name, Kind::of_durations(median))
    }

    /// The learner of one sort of estimate about a kind, made if there is none.
    pub(crate) fn estimates(&self, name: &str, make: impl FnOnce() -> Kind) -> Arc<Kind> {
        let mut kinds = self.lock();
        match kinds.get_mut(name) {
            Some(entry) => {
                entry.used = self.shared.uses.fetch_add(1, Ordering::Relaxed);
                entry.kind.clone()
            }
            None => self.insert(&mut kinds, name, make()),
        }
    }

    fn insert(&self, kinds: &mut HashMap<String, Entry>, name: &str, kind: Kind) -> Arc<Kind> {
        if kinds.len() >= KINDS_MOST {
            let oldest = kinds.iter().min_by_key(|(_, entry)| entry.used);
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

    /// Replaces a file in one step, so that a reader sees the old or the new content and never a part.
    fn replace(directory: &Path, file_name: &str, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let count = TEMPORARY_FILES.fetch_add(1, Ordering::Relaxed);
        let temporary = directory.join(format!(".{file_name}.{}.{count}.tmp", process::id()));
        let written = fs::write(&temporary, content)
            .and_then(|()| fs::rename(&temporary, directory.join(file_name)));
        if written.is_err() {
            // The failure above is what the caller must know; a leftover file is ignored by every reader.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.shared
            .kinds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("directory", &self.shared.directory)
            .field("kinds", &self.lock().len())
            .finish()
    }
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

/// The records in a directory, at most as many as a history holds.
fn records(directory: &Path) -> impl Iterator<Item = Record> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let record = read(&entry.path(), &name)?;
            // A file that was copied under another name would make two kinds of one.
            (file_name(record.kind())? == name).then_some(record)
        })
        .take(KINDS_MOST)
}

fn read(path: &Path, name: &str) -> Option<Record> {
    if !name.ends_with(".json") || fs::metadata(path).ok()?.len() > RECORD_BYTES_MOST {
        return None;
    }
    Record::from_json(&fs::read(path).ok()?)
}

/// The name of a kind's file: letters, digits, `-` and `_` stand for themselves, everything else for its bytes in hex.
fn file_name(kind: &str) -> Option<String> {
    let mut name = String::with_capacity(kind.len() + 5);
    for byte in kind.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            // Capitals too, for file systems that don't tell them from small letters.
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name.push_str(".json");
    (name.len() <= FILE_NAME_BYTES_MOST).then_some(name)
}

/// Seconds since 1970; a clock before that counts as 1970.
fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn day(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs((20_000 + days) * 24 * 3600)
    }

    fn learn(history: &History, kind: &str, seconds: impl IntoIterator<Item = f64>) {
        let kind = history.durations(kind, None);
        seconds.into_iter().for_each(|t| kind.observe(t, t, None));
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
    fn damaged_and_foreign_files_are_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), day(0));
        learn(&history, "good", [20.0]);
        history.save(day(0)).unwrap();
        let good = fs::read(directory.path().join("good.json")).unwrap();
        fs::write(directory.path().join("copy.json"), &good).unwrap();
        fs::write(directory.path().join("cut.json"), &good[..good.len() / 2]).unwrap();
        fs::write(directory.path().join("empty.json"), b"").unwrap();
        fs::write(directory.path().join("README"), b"hello").unwrap();
        fs::create_dir(directory.path().join("folder.json")).unwrap();
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
                    for _ in 0..40 {
                        learn(history, "shared", [20.0]);
                        history.save(day(0)).unwrap();
                        assert!(History::open(directory.path(), day(0)).jobs("shared") > 0);
                    }
                });
            }
        });
        assert_eq!(History::open(directory.path(), day(0)).jobs("shared"), 40);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_kind_starts_from_its_siblings() {
        let history = History::new();
        learn(&history, "a", [100.0]);
        learn(&history, "b", [200.0]);
        learn(&history, "c", [900.0]);
        let median = |name: &str, expected| {
            let law = history.durations(name, expected).law(None);
            super::super::forecast::quantile(&law, 0.5, 0.0)
        };
        assert!((median("d", None) - 200.0).abs() < 5.0);
        assert!((median("e", Some(7.0)) - 7.0).abs() < 0.2);
        // What the caller expects is heard later, too, but never against experience.
        assert!((median("d", Some(7.0)) - 7.0).abs() < 0.2);
        assert!(median("c", Some(7.0)) > 100.0);
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let history = History::new();
        for i in 0..KINDS_MOST + 5 {
            history.durations(&format!("kind {i}"), None);
        }
        let kinds = history.lock();
        assert_eq!(kinds.len(), KINDS_MOST);
        assert!(!kinds.contains_key("kind 0") && kinds.contains_key("kind 1028"));
    }
}
