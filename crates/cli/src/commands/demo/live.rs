//! What is seen while it runs: a bar for each way of waiting, or plain lines unless stderr is a terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::contender::Contender;
use super::meter::Meter;
use super::stage::Told;
use crate::{output, show};

/// How often the counts move.
const TICK: Duration = Duration::from_millis(100);
/// Narrower terminals show no bar, only counts.
const NARROW: u16 = 90;

/// Where progress is shown.
#[derive(Debug)]
pub(super) struct Live {
    bars: Option<MultiProgress>,
    /// Whether stdout is for data alone.
    as_json: bool,
    jobs: u16,
    columns: u16,
}

/// One way of waiting, as it comes along.
#[derive(Debug)]
pub(super) struct Line {
    bar: Option<ProgressBar>,
    contender: &'static Contender,
    meter: Meter,
    /// Milliseconds of all ends together.
    late_ms: Arc<AtomicU64>,
    as_json: bool,
}

impl Live {
    pub(super) fn new(jobs: u16, as_json: bool) -> Self {
        let terminal = console::Term::stderr();
        let (_, columns) = terminal.size();
        Self {
            bars: terminal.is_term().then(MultiProgress::new),
            as_json,
            jobs,
            columns,
        }
    }

    /// A line for that way of waiting.
    pub(super) fn line(&self, contender: &'static Contender, meter: &Meter) -> Line {
        let late_ms = Arc::new(AtomicU64::new(0));
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(u64::from(self.jobs)));
            bar.set_style(self.style(meter.clone(), late_ms.clone()));
            bar.set_prefix(contender.name);
            bar.enable_steady_tick(TICK);
            bar
        });
        Line {
            bar,
            contender,
            meter: meter.clone(),
            late_ms,
            as_json: self.as_json,
        }
    }

    fn style(&self, meter: Meter, late_ms: Arc<AtomicU64>) -> ProgressStyle {
        let template = if self.columns < NARROW {
            "{prefix:36!} {pos:>2}/{len} {spent}"
        } else {
            "{prefix:36!} {bar:20.cyan/dim} {pos:>2}/{len} ended, {spent}"
        };
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─")
            .with_key(
                "spent",
                move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let late = mean(late_ms.load(Ordering::Relaxed), state.pos());
                    // Drawing on a terminal that is gone is nothing to fail for.
                    let requests = meter.requests();
                    let end = if requests == 1 { "" } else { "s" };
                    let _gone = write!(out, "{requests:>3} request{end}{late}");
                },
            )
    }
}

fn mean(sum_ms: u64, count: u64) -> String {
    match sum_ms.checked_div(count) {
        Some(mean) => format!(", {} late", show::duration(Duration::from_millis(mean))),
        None => String::new(),
    }
}

impl Line {
    /// A job's end has been told.
    pub(super) fn told(&self, told: &anyhow::Result<Told>) {
        let late = told.as_ref().map_or(0, |told| told.late.as_millis());
        let late = u64::try_from(late).unwrap_or(u64::MAX);
        self.late_ms.fetch_add(late, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(1);
            return;
        }
        let what = match told {
            Ok(told) => format!("{}, {} late", told.outcome, show::duration(told.late)),
            Err(error) => format!("{error:#}"),
        };
        let line = format!(
            "{:<36} {what} (requests so far: {})",
            self.contender.name,
            self.meter.requests()
        );
        if self.as_json {
            output::say(&line);
        } else {
            // A closed pipe is noticed when the table is written.
            let _closed = output::line(&line);
        }
    }

    /// All jobs have ended.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
