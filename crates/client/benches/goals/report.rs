//! Goal and figure, side by side.

use crate::measure::mean;

/// A measured number and its standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

impl Figure {
    /// The mean of independent measurements.
    pub(crate) fn of(numbers: &[f64]) -> Self {
        let value = mean(numbers.iter().copied());
        let spread = mean(
            numbers
                .iter()
                .map(|number| (number - value) * (number - value)),
        );
        Self {
            value,
            error: (spread / numbers.len().max(1) as f64).sqrt(),
        }
    }

    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            error: self.error * factor,
        }
    }
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, error: 0.0 }
    }
}

/// The figure of greatest value.
pub(crate) fn worst(figures: impl IntoIterator<Item = Figure>) -> Figure {
    figures
        .into_iter()
        .max_by(|one, other| one.value.total_cmp(&other.value))
        .unwrap_or(Figure::from(f64::NAN))
}

/// The mean of independent figures.
pub(crate) fn average(figures: impl IntoIterator<Item = Figure>) -> Figure {
    let figures: Vec<Figure> = figures.into_iter().collect();
    let count = figures.len().max(1) as f64;
    Figure {
        value: figures.iter().map(|figure| figure.value).sum::<f64>() / count,
        error: figures
            .iter()
            .map(|figure| figure.error * figure.error)
            .sum::<f64>()
            .sqrt()
            / count,
    }
}

/// Prints, and counts what was missed.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) missed: u32,
}

impl Report {
    pub(crate) fn title(&self, text: &str) {
        println!("\n{text}");
    }

    pub(crate) fn at_most(&mut self, what: &str, figure: impl Into<Figure>, goal: f64) {
        let figure = figure.into();
        self.line(what, figure, "<=", goal, figure.value - goal);
    }

    pub(crate) fn at_least(&mut self, what: &str, figure: impl Into<Figure>, goal: f64) {
        let figure = figure.into();
        self.line(what, figure, ">=", goal, goal - figure.value);
    }

    /// A goal is missed when the figure is beyond it by more than chance explains: two standard errors.
    fn line(&mut self, what: &str, figure: Figure, relation: &str, goal: f64, beyond: f64) {
        let verdict = if beyond <= 0.0 {
            "met"
        } else if beyond <= 2.0 * figure.error {
            "met within the error of measurement"
        } else {
            self.missed += 1;
            "MISSED"
        };
        let error = if figure.error > 0.0 {
            format!("± {:.3}", figure.error)
        } else {
            String::new()
        };
        println!(
            "  {what:<60} {:>8.3} {error:<8} {relation} {goal:<5} {verdict}",
            figure.value
        );
    }
}
