//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// One line of the table: our figure beside the limit's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// The goal that it belongs to, `P1` to `P15`, if any.
    pub(crate) goal: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// The unit.
    pub(crate) unit: &'static str,
    /// Ours: the median of the rounds.
    pub(crate) ours: f64,
    /// What it is compared with.
    pub(crate) limit_is: &'static str,
    /// The limit's: the median of the rounds.
    pub(crate) limit: Option<f64>,
    /// Ours divided by the limit's.
    pub(crate) ratio: Option<f64>,
    /// What is aimed for, in words.
    pub(crate) aim: String,
    /// Whether it was reached.
    pub(crate) reached: Option<bool>,
}

/// What is aimed for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// Nothing: the figure is only shown.
    Shown,
    /// Ours is at most that.
    AtMost(f64),
    /// Ours is at least that.
    AtLeast(f64),
    /// Ours is at most this multiple of the limit's.
    TimesAtMost(f64),
    /// Ours is at least this multiple of the limit's.
    TimesAtLeast(f64),
}

impl Figure {
    /// A figure of no goal's, which is only shown.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self {
            goal: "",
            what: what.into(),
            unit,
            ours,
            limit_is: "",
            limit: None,
            ratio: None,
            aim: String::new(),
            reached: None,
        }
    }

    /// The same beside a limit's.
    pub(crate) fn beside(mut self, (limit_is, limit): (&'static str, f64)) -> Self {
        (self.limit_is, self.limit) = (limit_is, Some(limit));
        self.ratio = Some(self.ours / limit);
        self
    }

    /// The same for a goal, after what it is [beside](Self::beside).
    pub(crate) fn aims(mut self, goal: &'static str, aim: Aim) -> Self {
        let (ours, ratio) = (self.ours, self.ratio);
        let (words, reached) = match aim {
            Aim::Shown => (String::new(), None),
            Aim::AtMost(most) => (format!("≤ {}", number(most)), Some(ours <= most)),
            Aim::AtLeast(least) => (format!("≥ {}", number(least)), Some(ours >= least)),
            Aim::TimesAtMost(most) => (format!("≤ {most} ×"), ratio.map(|ratio| ratio <= most)),
            Aim::TimesAtLeast(least) => (format!("≥ {least} ×"), ratio.map(|ratio| ratio >= least)),
        };
        (self.goal, self.aim, self.reached) = (goal, words, reached);
        self
    }
}

/// The figures as a table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut rows =
        vec![["", "what", "unit", "ours", "limit", "", "ratio", "aim", ""].map(str::to_owned)];
    rows.extend(figures.iter().map(|figure| {
        [
            figure.goal.to_owned(),
            figure.what.clone(),
            figure.unit.to_owned(),
            number(figure.ours),
            figure.limit.map(number).unwrap_or_default(),
            figure.limit_is.to_owned(),
            figure
                .ratio
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
            figure.aim.clone(),
            match figure.reached {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            }
            .to_owned(),
        ]
    }));
    let widths: Vec<usize> = (0..9)
        .map(|column| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = width - cell.chars().count();
            // Numbers stand to the right, so that they can be compared at a glance. Writing to a string can't fail.
            let _ = if matches!(n, 3 | 4 | 6) {
                write!(text, "{:pad$}{cell}  ", "")
            } else {
                write!(text, "{cell}{:pad$}  ", "")
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Writes the figures as JSON.
pub(crate) fn write_json(figures: &[Figure], file: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(figures)?;
    text.push('\n');
    Ok(std::fs::write(file, text)?)
}

/// Where a page has its figures.
const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- /figures -->\n"];

/// Writes the figures of goals into a page, in place of those that it has.
pub(crate) fn write_docs(figures: &[Figure], file: &Path) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(file)?;
    let page = with_figures(&page, figures);
    let page = page.with_context(|| format!("{} has no place for figures", file.display()))?;
    Ok(std::fs::write(file, page)?)
}

/// The page with these figures; `None` if it has no place for them.
fn with_figures(page: &str, figures: &[Figure]) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let mut rows =
        "| goal | what | measured | beside | aim | |\n|---|---|---|---|---|---|\n".to_owned();
    for figure in figures.iter().filter(|figure| !figure.goal.is_empty()) {
        let Figure {
            goal,
            what,
            unit,
            limit_is,
            aim,
            ..
        } = figure;
        let beside = match figure.limit.zip(figure.ratio) {
            Some((limit, ratio)) => format!("{limit_is}: {}, {ratio:.2} ×", number(limit)),
            None => String::new(),
        };
        let missed = if figure.reached == Some(false) {
            "missed"
        } else {
            ""
        };
        // Writing to a string can't fail.
        let _ = writeln!(
            rows,
            "| {goal} | {what} | {} {unit} | {beside} | {aim} | {missed} |",
            number(figure.ours)
        );
    }
    Some(format!("{before}{begin}{rows}{end}{after}"))
}

/// Three digits, whatever the size.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        let whole = format!("{value:.0}");
        let (sign, digits) = whole
            .strip_prefix('-')
            .map_or(("", whole.as_str()), |digits| ("-", digits));
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        format!("{sign}{}", groups.join(","))
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The middle one; of an even number, the lower of the two. The order of the list changes.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// A quantile of the values. Reorders them.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_unstable_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// Lets every contestant have its turn in every round and gives, per contestant, the median of each of its figures.
pub(crate) fn in_turns<C, const N: usize>(
    rounds: usize,
    contestants: &[C],
    mut measure: impl FnMut(&C) -> anyhow::Result<[f64; N]>,
) -> anyhow::Result<Vec<[f64; N]>> {
    let mut seen = vec![[(); N].map(|()| Vec::new()); contestants.len()];
    for _ in 0..rounds {
        for (contestant, seen) in contestants.iter().zip(&mut seen) {
            for (value, seen) in measure(contestant)?.into_iter().zip(seen) {
                seen.push(value);
            }
        }
    }
    Ok(seen
        .into_iter()
        .map(|figures| figures.map(|mut rounds| median(&mut rounds)))
        .collect())
}

/// Says something on the side.
pub(crate) fn say(text: &str) {
    // A closed pipe is no error.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints what was asked for.
pub(crate) fn print(text: &str) {
    // A closed pipe means that the reader has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_groups_of_three() {
        for (value, text) in [
            (0.123_4, "0.12"),
            (9.999, "10.00"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-4_321.0, "-4,321"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_median_of_three_rounds_is_the_middle_one() {
        let mut turn = 0.0;
        let medians = in_turns(3, &["a", "b"], |_| {
            turn += 1.0;
            Ok([turn, -turn])
        });
        assert_eq!(medians.unwrap(), [[3.0, -3.0], [4.0, -4.0]]);
        assert_eq!(quantile(&mut [1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert_eq!(quantile(&mut [1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
    }

    #[test]
    fn the_figures_of_goals_take_the_place_of_those_in_a_page() {
        let figures = [
            Figure::new("a read", "µs", 12.0)
                .beside(("bare", 10.0))
                .aims("P1", Aim::TimesAtMost(1.1)),
            Figure::new("more", "s", 1.0),
            Figure::new("a create", "ms", 0.1).aims("P8", Aim::AtMost(0.15)),
        ];
        let rows = "| goal | what | measured | beside | aim | |\n|---|---|---|---|---|---|\n\
            | P1 | a read | 12.0 µs | bare: 10.0, 1.20 × | ≤ 1.1 × | missed |\n\
            | P8 | a create | 0.10 ms |  | ≤ 0.15 |  |\n";
        let [begin, end] = MARKS;
        let page = format!("# Page\n{begin}old\n{end}rest\n");
        let expected = format!("# Page\n{begin}{rows}{end}rest\n");
        assert_eq!(with_figures(&page, &figures), Some(expected));
        assert_eq!(with_figures("# Page\n", &figures), None);
    }

    #[test]
    fn a_figure_says_whether_its_aim_was_reached() {
        let reached = |aim| {
            Figure::new("x", "µs", 12.0)
                .beside(("y", 10.0))
                .aims("", aim)
                .reached
        };
        assert_eq!(reached(Aim::TimesAtMost(1.2)), Some(true));
        assert_eq!(reached(Aim::TimesAtMost(1.1)), Some(false));
        assert_eq!(reached(Aim::TimesAtLeast(1.3)), Some(false));
        assert_eq!(reached(Aim::AtMost(11.0)), Some(false));
        assert_eq!(reached(Aim::AtLeast(12.0)), Some(true));
        assert_eq!(reached(Aim::Shown), None);
    }
}
