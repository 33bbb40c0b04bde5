//! Who may see the files, and what is done to files that aren't the server's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::SqliteJournal;
use crate::journal::{Journal as _, JournalError};

const LIFE: u64 = 7;

#[test]
fn nobody_else_may_read_the_files_whatever_the_mask_and_the_directory_are() {
    let place = tempfile::tempdir().unwrap();
    let open_to_all = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open_to_all(place.path(), 0o755);
    fs::write(place.path().join("abide.lock"), "").unwrap();
    open_to_all(&place.path().join("abide.lock"), 0o644);
    let mut journal = SqliteJournal::open(place.path(), &[], LIFE).unwrap();
    journal.append(&[b"a".to_vec()]).unwrap();
    let mut seen = 0;
    for file in fs::read_dir(place.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        seen += 1;
    }
    assert!(seen >= 6, "{seen} files");
}

#[test]
fn nothing_is_acknowledged_that_goes_to_a_file_which_was_removed() {
    for is_replaced in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(place.path(), &[], LIFE).unwrap();
        journal.append(&[b"a".to_vec()]).unwrap();
        let path = place.path().join("journal.db");
        if is_replaced {
            fs::copy(&path, place.path().join("other")).unwrap();
            fs::rename(place.path().join("other"), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let error = journal.append(&[b"b".to_vec()]).unwrap_err();
        assert!(error.to_string().contains("removed or replaced"), "{error}");
        assert!(!error.is_retryable());
    }
}

/// A link may lead to a file that is none of ours, and then nothing is done to that one.
#[test]
fn what_is_no_plain_file_is_refused_and_left_as_it_is() {
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("precious");
    fs::write(&theirs, "precious").unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o644)).unwrap();
    for name in ["abide.lock", "journal.end", "journal.db", "state.db-wal"] {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&theirs, place.path().join(name)).unwrap();
        let error = SqliteJournal::open(place.path(), &[], LIFE).unwrap_err();
        assert!(
            matches!(error, JournalError::Foreign { .. }),
            "{name}: {error}"
        );
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "precious");
        let mode = fs::metadata(&theirs).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    // The directory itself may be a link.
    let place = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("data");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let _journal = SqliteJournal::open(&link, &[], LIFE).unwrap();
    let error = SqliteJournal::open(place.path(), &[], LIFE).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
}
