//! Requests against delay, in characters.

use abide_simulate::Bound;

use super::trial::Place;

/// The size of the field, in characters.
const WIDTH: usize = 64;
const HEIGHT: usize = 16;

/// How many times a schedule's requests and delay the bound is shown.
const NEAR: f64 = 1.3;

/// How many ticks an axis has at least.
const TICKS_MIN: usize = 3;

/// The mark of the bound.
const BOUND: char = '·';

/// The marks of the schedules, in order; later ones share the last.
const MARKS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*";

/// The range of an axis, in powers of ten.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// An axis on which these positive numbers have room.
    pub(super) fn around(numbers: impl Iterator<Item = f64>) -> Self {
        let powers = numbers.filter(|number| *number > 0.0).map(f64::log10);
        let (low, high) = powers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), power| {
            (low.min(power), high.max(power))
        });
        if low > high {
            return Self {
                low: -1.0,
                high: 1.0,
            };
        }
        // A tenth of room on either side, and never an axis of no length.
        let room = (0.1 * (high - low)).max(0.05);
        Self {
            low: low - room,
            high: high + room,
        }
    }

    /// The numbers at its ends.
    pub(super) fn ends(self) -> (f64, f64) {
        (10f64.powf(self.low), 10f64.powf(self.high))
    }

    /// Round numbers on the axis: powers of ten if there are three, else finer steps of each, down to a tenth.
    pub(super) fn ticks(self) -> Vec<f64> {
        let fine: Vec<f64> = (10..100).map(|tenths| f64::from(tenths) / 10.0).collect();
        let whole: Vec<f64> = (1..10).map(f64::from).collect();
        let mut ticks = Vec::new();
        for steps in [&[1.0][..], &[1.0, 2.0, 5.0], &whole, &fine] {
            let powers = self.low.floor() as i32..=self.high.ceil() as i32;
            ticks = powers
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(|tick| (self.low..=self.high).contains(&tick.log10()))
                .collect();
            if ticks.len() >= TICKS_MIN {
                break;
            }
        }
        ticks
    }

    /// Where a number lies, 0 to 1; what is too small lies at the low end.
    pub(super) fn place(self, number: f64) -> f64 {
        let power = number.max(f64::MIN_POSITIVE).log10();
        ((power - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The letter of a schedule.
pub(super) fn mark(i: usize) -> char {
    MARKS.chars().nth(i).unwrap_or('*')
}

/// The axes that a picture of these needs: they show the schedules, and the bound where it is near.
pub(super) fn axes(places: &[Place<'_>], bound: &Bound) -> (Axis, Axis) {
    let best = bound.frontier().iter().filter(|corner| {
        let near = |place: &Place<'_>| {
            corner.requests <= NEAR * place.requests && corner.delay_s <= NEAR * place.delay_s
        };
        places.iter().any(near)
    });
    let requests = places
        .iter()
        .map(|place| place.requests)
        .chain(best.clone().map(|corner| corner.requests));
    let delays = places
        .iter()
        .map(|place| place.delay_s)
        .chain(best.map(|corner| corner.delay_s));
    (Axis::around(requests), Axis::around(delays))
}

/// Draws the field; both axes are logarithmic.
pub(super) fn draw(bound: &Bound, places: &[Place<'_>]) -> String {
    let (x, y) = axes(places, bound);
    let mut field = vec![vec![' '; WIDTH]; HEIGHT];
    let column = |requests: f64| (x.place(requests) * (WIDTH - 1) as f64).round() as usize;
    let row = |delay: f64| ((1.0 - y.place(delay)) * (HEIGHT - 1) as f64).round() as usize;
    let (left, right) = x.ends();
    let (soonest, latest) = y.ends();
    for i in 0..WIDTH {
        let requests = left * (right / left).powf(i as f64 / (WIDTH - 1) as f64);
        let delay = bound.delay_at(requests);
        if (soonest..=latest).contains(&delay) {
            let cells: &mut Vec<char> = &mut field[row(delay)];
            cells[i] = BOUND;
        }
    }
    // From the last to the first, so that where two meet the first named is seen.
    for (i, place) in places.iter().enumerate().rev() {
        field[row(place.delay_s)][column(place.requests)] = mark(i);
    }

    let mut lines = vec![format!("{:>9} ┌{}┐", "late, s", "─".repeat(WIDTH))];
    for (i, cells) in field.iter().enumerate() {
        let label = match i {
            0 => number(latest),
            last if last == HEIGHT - 1 => number(soonest),
            _ => String::new(),
        };
        lines.push(format!("{label:>9} │{}│", cells.iter().collect::<String>()));
    }
    lines.push(format!("{:>9} └{}┘", "", "─".repeat(WIDTH)));
    let (few, many) = (number(left), number(right));
    let middle = "requests per job";
    let space = WIDTH.saturating_sub(few.len() + many.len());
    lines.push(format!("{:>9}  {few}{middle:^space$}{many}", ""));
    lines.push(format!("{:>9}  {BOUND} the best that polling can do", ""));
    lines.join("\n")
}

/// Three digits, or as many as the number has before its point.
pub(super) fn number(number: f64) -> String {
    let digits = (2 - number.max(1e-6).log10().floor() as i32).clamp(0, 4) as usize;
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use abide_simulate::Population;

    use super::*;

    fn place(name: &str, requests: f64, delay_s: f64) -> Place<'_> {
        Place {
            name,
            is_ours: false,
            requests,
            delay_s,
        }
    }

    #[test]
    fn every_axis_has_ticks_and_not_too_many() {
        for (low, high) in [
            (1.0, 1.0),
            (8.7, 9.4),
            (2.1, 2.9),
            (0.3, 40.0),
            (1e-3, 1e4),
            (4.2, 4.24),
        ] {
            let ticks = Axis::around([low, high].into_iter()).ticks();
            assert!(
                (TICKS_MIN..=20).contains(&ticks.len()),
                "{low} to {high}: {ticks:?}"
            );
        }
    }

    #[test]
    fn marks_stand_where_their_schedules_do() {
        let population = Population::of(&"uniform:10s:30s".parse().unwrap());
        let bound = Bound::new(&population, Duration::from_millis(100));
        let drawn = draw(
            &bound,
            &[
                place("one", 10.0, 1.1),
                place("two", 6.2, 4.9),
                place("none", 0.0, 0.0),
            ],
        );
        let at = |mark: char| {
            drawn.lines().enumerate().find_map(|(row, line)| {
                let inside = line.split('│').nth(1)?;
                inside
                    .chars()
                    .position(|cell| cell == mark)
                    .map(|column| (column, row))
            })
        };
        let (one, two) = (at('a').unwrap(), at('b').unwrap());
        assert!(one.0 > two.0 && one.1 > two.1, "\n{drawn}");
        assert!(drawn.contains(BOUND), "\n{drawn}");
        assert!(
            drawn.lines().all(|line| line.chars().count() <= 80),
            "\n{drawn}"
        );
    }

    #[test]
    fn nothing_to_draw_is_drawn_too() {
        let bound = Bound::new(&Population::like(&[]), Duration::ZERO);
        assert!(draw(&bound, &[]).contains("requests per job"));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.05, "0.05"),
            (1.0, "1"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (0.0, "0"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
