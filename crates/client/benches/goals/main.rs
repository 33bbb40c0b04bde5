//! The goals of the learned schedule, beside what the library's own planner and learner reach.
//!
//! `cargo bench -p abide --bench goals` checks all of them in a few minutes; `-- --quick` checks a part with fewer
//! histories. The exit code is 1 when a goal is missed.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

mod goals;
mod laws;
mod measure;

use std::process::ExitCode;

/// How thorough a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Histories per law.
    pub(crate) histories: u64,
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    // Without either flag this is a test run of all targets, which only wants to know that it starts.
    if !quick && !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing to do without --bench or --quick");
        return ExitCode::SUCCESS;
    }
    let only: Vec<String> = std::env::args()
        .filter(|argument| argument.starts_with('G'))
        .collect();
    let effort = Effort {
        histories: if quick { 12 } else { 40 },
    };
    let mut report = goals::Report::default();
    for (name, in_quick, goal) in goals::ALL {
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
