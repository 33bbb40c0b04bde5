//! The goals of the learned schedule, beside what the library's own planner and learner reach.
//!
//! `cargo bench -p abide --bench goals` checks all of them in a few minutes; `-- --quick` checks a part with fewer
//! histories, `-- --histories 200` all with more, and `-- G9 G10` some by name. Unless said otherwise a request is
//! worth half a second and a round trip takes 100 ms, and polls have the default jitter. Where histories are drawn at
//! random, the figure is a mean with its standard error. The exit code is 1 when a goal is missed.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

mod batches;
mod change;
mod clocks;
mod crowd;
mod expense;
mod hints;
mod laws;
mod learning;
mod levels;
mod measure;
mod report;
mod rivals;
mod spans;

use self::report::Report;
use std::process::ExitCode;

/// How thorough a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Histories per law.
    pub(crate) histories: u64,
}

type Goal = fn(Effort, &mut Report);

/// Name, whether a quick run checks it, and how.
const GOALS: &[(&str, bool, Goal)] = &[
    ("G1", true, learning::g1_to_g4),
    ("G5", false, learning::g5),
    ("G6", false, rivals::g6),
    ("G7", true, rivals::g7),
    ("G8", true, rivals::g8),
    ("G9", false, change::g9),
    ("G10", true, crowd::g10),
    ("G11", true, hints::g11),
    ("G12", true, hints::g12),
    ("G13", true, expense::g13),
    ("L1", true, batches::l1),
    ("L2", true, batches::l2),
    ("L3", true, clocks::l3),
    ("L4", true, clocks::l4),
    ("L5", false, spans::l5),
    ("L6", false, levels::l6),
    ("L7", false, spans::l7),
    ("L8", true, clocks::l8),
    ("L9", true, spans::l9),
    ("L10", false, clocks::l10),
    ("L12", true, levels::l12),
];

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    // Without either flag this is a test run of all targets, which only wants to know that it starts.
    if !quick && !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing to do without --bench or --quick");
        return ExitCode::SUCCESS;
    }
    let only: Vec<String> = std::env::args()
        .filter(|argument| argument.starts_with(['G', 'L']))
        .collect();
    let told = std::env::args().skip_while(|argument| argument != "--histories");
    let told = told.skip(1).find_map(|number| number.parse().ok());
    let effort = Effort {
        histories: told.unwrap_or(if quick { 12 } else { 40 }),
    };
    let mut report = Report::default();
    for (name, in_quick, goal) in GOALS {
        let wanted = only.is_empty() || only.iter().any(|only| only == name);
        if wanted && (*in_quick || !quick) {
            goal(effort, &mut report);
        }
    }
    if report.missed == 0 {
        println!("\nall goals are met");
        ExitCode::SUCCESS
    } else {
        println!("\n{} missed", report.missed);
        ExitCode::FAILURE
    }
}
