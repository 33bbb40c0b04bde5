//! The machine: its cores, its limit of open files, and what a process has used of it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the server under test runs, and where the load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// The first core.
    Server,
    /// The second.
    Load,
    /// Both, for a server while there is no load.
    Both,
}

/// Pins the calling thread, and with it every process that it starts from now on.
pub(crate) fn pin(core: Core) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    match core {
        Core::Server => set.set(0),
        Core::Load => set.set(1),
        Core::Both => {
            set.set(0);
            set.set(1);
        }
    }
    sched_setaffinity(None, &set).context("failed to pin to a core; two are needed")
}

/// How many cores this process may use.
pub(crate) fn cores() -> u32 {
    sched_getaffinity(None).map_or(1, |set| set.count())
}

/// Raises the limit of open files as far as the system lets us, and says how many there may be.
pub(crate) fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 262_144;
    for most in [Some(wanted), limit.maximum] {
        let raised = Rlimit {
            current: most,
            maximum: limit.maximum.max(most),
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            break;
        }
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    usize::try_from(now).unwrap_or(usize::MAX)
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Its time on the processor, in user space and in the kernel together; to the nanosecond where the kernel counts
    /// so.
    pub(crate) cpu: Duration,
    /// Its memory that belongs to no file, in bytes: what the kernel calls `RssAnon`.
    pub(crate) memory: u64,
}

/// What the process with that number has used.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat
        .rsplit_once(") ")
        .context("/proc/PID/stat has no program name")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || -> anyhow::Result<u64> {
        Ok(fields.next().context("/proc/PID/stat is short")?.parse()?)
    };
    let ticks = ticks()? + ticks()?;
    let per_second = rustix::param::clock_ticks_per_second();
    let coarse = Duration::from_micros(ticks * 1_000_000 / per_second);
    Ok(Usage {
        cpu: fine_cpu(pid)
            // Threads that have ended are in one of the two only.
            .filter(|fine| fine.abs_diff(coarse) < Duration::from_millis(40))
            .unwrap_or(coarse),
        memory: memory(pid)?,
    })
}

/// The memory of that process that belongs to no file, in bytes.
pub(crate) fn memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
        .context("/proc/PID/status has no RssAnon")?;
    Ok(kilobytes * 1024)
}

/// The time on the processor of all threads that there are, which the kernel counts to the nanosecond.
fn fine_cpu(pid: u32) -> Option<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(sum))
}
