//! Progress bars, where a person is looking: on a terminal, on stderr.
//!
//! A bar shows the last characters of the id (ids of jobs that were created together begin alike), the elapsed time,
//! how far the job is and what the server expects. What is expected counts down between two answers, but never to the
//! point of promising anything: the spread stays beside it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide::{Job, JobId};
use abide_wire::Remaining;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::show;

/// The most bars at a time; more would scroll away.
const BARS_MAX: usize = 20;
/// How often the elapsed time moves.
const TICK: Duration = Duration::from_millis(100);
/// Terminals narrower than this have no room for the bar itself.
const NARROW: u16 = 60;
/// How many characters of an id are shown.
const ID_TAIL: usize = 8;

/// A bar for each job, up to a number that fits.
#[derive(Debug)]
pub(crate) struct Bars {
    multi: MultiProgress,
    bars: HashMap<JobId, ProgressBar>,
}

impl Bars {
    /// Bars for these jobs; none unless stderr is a terminal.
    pub(crate) fn of_jobs(ids: &[JobId]) -> Option<Self> {
        let terminal = console::Term::stderr();
        if !terminal.is_term() || !terminal.features().is_attended() {
            return None;
        }
        let (_, columns) = terminal.size();
        let multi = MultiProgress::new();
        let bars = ids
            .iter()
            .take(BARS_MAX)
            .map(|id| {
                let bar = multi.add(ProgressBar::new(100));
                bar.set_style(style(columns, Shared::default()));
                bar.set_prefix(tail(id));
                bar.set_message("waiting");
                bar.enable_steady_tick(TICK);
                (id.clone(), bar)
            })
            .collect();
        Some(Self { multi, bars })
    }

    /// What to call with every change of that job.
    pub(crate) fn updater(&self, id: &JobId) -> impl FnMut(&Job) + Send + 'static {
        let bar = self.bars.get(id).cloned();
        let (_, columns) = console::Term::stderr().size();
        let expected = Shared::default();
        if let Some(bar) = &bar {
            bar.set_style(style(columns, expected.clone()));
        }
        move |job| {
            let Some(bar) = &bar else { return };
            let percent = job
                .progress
                .as_ref()
                .map_or(0.0, |progress| progress.percent);
            expected.set(bar.elapsed(), job.remaining_ms);
            bar.set_position(percent as u64);
            let stage = job
                .progress
                .as_ref()
                .and_then(|progress| progress.stage.clone());
            let message = stage.unwrap_or_else(|| job.status.to_string());
            bar.set_message(show::plain(&message).into_owned());
        }
    }

    /// Takes that job's bar away, and says something with the others out of the way.
    pub(crate) fn end<T>(&self, id: &JobId, say: impl FnOnce() -> T) -> T {
        if let Some(bar) = self.bars.get(id) {
            bar.finish_and_clear();
        }
        self.suspend(say)
    }

    /// Does something with the bars out of the way.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.multi.suspend(work)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
    }
}

/// What the server expected when, by the bar's own time.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Option<(Duration, Remaining)>>>);

impl Shared {
    fn set(&self, at: Duration, remaining: Option<Remaining>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            remaining.map(|remaining| (at, remaining));
    }

    /// What is left of it now.
    fn left(&self, now: Duration) -> Option<String> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, remaining) = guard.as_ref()?;
        let passed = u64::try_from(now.saturating_sub(*at).as_millis()).unwrap_or(u64::MAX);
        let left = Remaining {
            p10: remaining.p10.saturating_sub(passed),
            p50: remaining.p50.saturating_sub(passed),
            p90: remaining.p90.saturating_sub(passed),
        };
        // Past the middle of what was expected there is nothing honest left to count down.
        (left.p50 > 0).then(|| format!(", {}", show::left(&left)))
    }
}

fn style(columns: u16, expected: Shared) -> ProgressStyle {
    let template = if columns < NARROW {
        "{prefix} {percent:>3} % {wide_msg}{left}"
    } else {
        "{prefix:.bold} {elapsed:>4} {bar:20.cyan/dim} {percent:>3} % {wide_msg}{left}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
        .with_key(
            "left",
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                if let Some(left) = expected.left(state.elapsed()) {
                    // Drawing on a terminal that is gone is no fault of the job's.
                    let _gone = out.write_str(&left);
                }
            },
        )
}

fn tail(id: &JobId) -> String {
    let text = id.as_str();
    let skip = text.chars().count().saturating_sub(ID_TAIL);
    let tail: String = show::plain(text).chars().skip(skip).collect();
    let mut shown = String::new();
    // Writing to a string can't fail.
    let _infallible = write!(shown, "{}{tail}", if skip > 0 { "…" } else { "" });
    shown
}
