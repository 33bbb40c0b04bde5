//! Goal and figure, side by side.

use std::process::ExitCode;

/// Prints, and counts what was missed.
#[derive(Default)]
pub(crate) struct Table {
    missed: u32,
}

impl Table {
    pub(crate) fn title(&self, text: &str) {
        println!("\n{text}");
    }

    pub(crate) fn at_most(&mut self, what: &str, figure: f64, goal: f64) {
        let verdict = if figure <= goal {
            "met"
        } else {
            self.missed += 1;
            "MISSED"
        };
        println!("  {what:<52} {figure:>9.2}  <= {goal:<5} {verdict}");
    }

    /// A figure without a goal.
    pub(crate) fn note(&self, what: &str, figure: f64) {
        println!("  {what:<52} {figure:>9.2}");
    }

    pub(crate) fn verdict(&self) -> ExitCode {
        if self.missed == 0 {
            println!("\nall goals are met");
            ExitCode::SUCCESS
        } else {
            println!("\n{} missed", self.missed);
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
