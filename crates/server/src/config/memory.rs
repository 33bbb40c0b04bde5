//! How many bytes the server may store and have in flight, by its settings or by the memory that there is.

use std::path::Path;

use super::settings::Config;
use super::types::ByteLimit;

/// The memory that a machine is taken to have if it doesn't say.
const MEMORY_UNKNOWN: u64 = 4 << 30;

/// The most bytes of a form with files if that is left to the server.
const UPLOAD_BYTES_MAX: u64 = 512 << 20;

/// What a connection takes at most, in bytes: its reader's buffers and an answer too small to be counted.
const CONNECTION_BYTES: u64 = 15 * 1024;
/// What a delivery takes that has been tried as often as it may be, in bytes.
const DELIVERY_BYTES: usize = 4 * 1024;
/// As many deliveries may wait however little memory there is.
const OPEN_MIN: usize = 1_000;

/// The limits in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteLimits {
    /// What the records of all owners take.
    pub stored: usize,
    /// What the records of one owner take.
    pub stored_per_owner: usize,
    /// What requests, answers and streams of all clients have in memory.
    pub inflight: usize,
    /// What those of one client have.
    pub inflight_per_owner: usize,
}

impl Config {
    /// The limits in bytes: as they are set, else by the memory that the process may use.
    #[must_use]
    pub fn byte_limits(&self) -> ByteLimits {
        self.byte_limits_of(available())
    }

    /// The most bytes of a form with files.
    #[must_use]
    pub fn upload_bytes_max(&self) -> usize {
        self.upload_max.or(UPLOAD_BYTES_MAX)
    }

    /// The most connections: as many as are set, but no more than take a quarter of the memory.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections_of(available())
    }

    fn connections_of(&self, memory: u64) -> usize {
        let room = usize::try_from(memory / 4 / CONNECTION_BYTES).unwrap_or(usize::MAX);
        self.connections_max.get().min(room.max(1))
    }

    fn byte_limits_of(&self, memory: u64) -> ByteLimits {
        let stored = self.stored_bytes_max.or(memory / 4);
        let inflight = self.inflight_bytes_max.or(memory / 16);
        ByteLimits {
            stored,
            stored_per_owner: self.stored_bytes_per_owner.or(stored as u64 / 2),
            inflight,
            inflight_per_owner: self.inflight_bytes_per_owner.or(inflight as u64 / 4),
        }
    }
}

impl ByteLimits {
    /// How many of that many deliveries may wait: no more than take a quarter of the stored bytes.
    pub(super) fn open_deliveries(&self, open_max: usize) -> usize {
        open_max.min((self.stored / 4 / DELIVERY_BYTES).max(OPEN_MIN))
    }
}

impl ByteLimit {
    fn or(self, default: u64) -> usize {
        let bytes = match self {
            Self::Auto => default,
            Self::Bytes(bytes) => bytes,
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// The memory that the process may use, in bytes: the least of the machine's, the control group's limit and the limit
/// of the address space.
fn available() -> u64 {
    let machine = machine().unwrap_or(MEMORY_UNKNOWN);
    let limits = [control_group(), address_space()].into_iter().flatten();
    limits.fold(machine, u64::min)
}

fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// The least limit of the control groups that the process is in.
fn control_group() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    let root = Path::new("/sys/fs/cgroup");
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = root.join(own.unwrap_or_default());
    let unified = own.ancestors().take_while(|group| group.starts_with(root));
    let limits = unified.filter_map(|group| read(&group.join("memory.max")));
    limits
        .chain(read(&root.join("memory/memory.limit_in_bytes")))
        .min()
}

#[cfg(unix)]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(not(unix))]
const fn address_space() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shares_of_the_memory_or_what_is_set() {
        let limits = Config::default().byte_limits_of(2 << 30);
        let expected = ByteLimits {
            stored: 512 << 20,
            stored_per_owner: 256 << 20,
            inflight: 128 << 20,
            inflight_per_owner: 32 << 20,
        };
        assert_eq!(limits, expected);
        assert_eq!(limits.open_deliveries(400_000), 32_768);
        assert_eq!(limits.open_deliveries(10), 10);
        assert_eq!(Config::default().connections_of(2 << 30), 34_952);
        assert_eq!(Config::default().connections_of(64 << 30), 250_000);
        let config = Config {
            stored_bytes_max: ByteLimit::Bytes(1_000),
            inflight_bytes_per_owner: ByteLimit::Bytes(7),
            ..Config::default()
        };
        let limits = config.byte_limits_of(2 << 30);
        assert_eq!((limits.stored, limits.stored_per_owner), (1_000, 500));
        assert_eq!((limits.inflight, limits.inflight_per_owner), (128 << 20, 7));
    }

    #[test]
    fn the_memory_of_this_machine_is_known() {
        let memory = available();
        assert!((64 << 20..1 << 50).contains(&memory), "{memory}");
    }
}
