//! Requests against delay, as SVG.

use std::time::Duration;

use abide::schedule::Fixed;
use abide_simulate::{Bound, Population, World};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::chart;
use super::trial::Place;

const SIZE: (u32, u32) = (1000, 700);
const FONT: &str = "sans-serif";
/// The width of a letter and the height of a line of names, in pixels.
const LETTER: f64 = 8.0;
const LINE: f64 = 15.0;

const OURS: RGBColor = RGBColor(31, 95, 168);
const OTHERS: RGBColor = RGBColor(176, 20, 60);
const FIXED: RGBColor = RGBColor(190, 100, 20);
const BEYOND: RGBColor = RGBColor(236, 236, 236);

/// How many intervals the line of all fixed ones has, from a fiftieth of the mean duration to three times it.
const INTERVALS: i32 = 40;

/// The jobs on which each is tried.
const SAMPLE: usize = 2_000;

/// Draws the picture; both axes are logarithmic.
///
/// # Errors
///
/// Those of the drawing library.
pub(super) fn draw(
    title: &str,
    bound: &Bound,
    places: &[Place<'_>],
    world: &World,
    population: &Population,
) -> anyhow::Result<String> {
    let (x, y) = chart::axes(places, bound);
    let ((left, right), (bottom, top)) = (x.ends(), y.ends());
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 22))
            .margin(20)
            .x_label_area_size(50)
            .y_label_area_size(70)
            .build_cartesian_2d(
                (left..right).log_scale().with_key_points(x.ticks()),
                (bottom..top).log_scale().with_key_points(y.ticks()),
            )?;

        // Where no polling client can be.
        let edge = frontier(bound, (left, right), (bottom, top));
        let mut beyond = edge.clone();
        beyond.push((right, bottom));
        beyond.push((edge.first().map_or(left, |first| first.0), bottom));
        chart.draw_series([Polygon::new(beyond, BEYOND.filled())])?;
        chart
            .configure_mesh()
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(BLACK.mix(0.1))
            .x_desc("requests per job")
            .y_desc("mean delay, s")
            .x_label_formatter(&|number| chart::number(*number))
            .y_label_formatter(&|number| chart::number(*number))
            .label_style((FONT, 15))
            .draw()?;
        chart
            .draw_series(LineSeries::new(edge, BLACK.stroke_width(3)))?
            .label("the best that polling can do")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], BLACK.stroke_width(3)));
        let inside = |&(requests, delay): &(f64, f64)| {
            (left..=right).contains(&requests) && (bottom..=top).contains(&delay)
        };
        let fixed = fixed(world, population).into_iter().filter(inside);
        chart
            .draw_series(LineSeries::new(fixed, FIXED.stroke_width(1)))?
            .label("a fixed interval of any length")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], FIXED.stroke_width(1)));
        let seen = |place: &&Place<'_>| inside(&(place.requests, place.delay_s));
        let shown: Vec<&Place<'_>> = places.iter().filter(seen).collect();
        let mut taken = Vec::new();
        for place in &shown {
            let pixel = |place: &Place<'_>| {
                let across = x.place(place.requests) * f64::from(SIZE.0 - 110);
                let down = (1.0 - y.place(place.delay_s)) * f64::from(SIZE.1 - 115);
                (across, down)
            };
            let dots: Vec<_> = shown.iter().map(|place| pixel(place)).collect();
            let (color, style, offset) = label(place, pixel(place), &dots, &mut taken);
            chart.draw_series([EmptyElement::at((place.requests, place.delay_s))
                + Circle::new((0, 0), 5, color.filled())
                + Text::new(place.name.to_owned(), offset, style)])?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.3))
            .label_font((FONT, 15))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

/// A point of the picture, in pixels from its upper left corner.
type Pixel = (f64, f64);

/// The color of a schedule's point and the style and place of its name: ours to the left, where nothing is, because
/// whatever is near it spends more. A name goes above or below if a dot or another name, of `taken`, is in its way.
fn label(
    place: &Place<'_>,
    (x, y): Pixel,
    dots: &[Pixel],
    taken: &mut Vec<(Pixel, Pixel)>,
) -> (RGBColor, TextStyle<'static>, (i32, i32)) {
    let (color, side, away) = match place.is_ours {
        true => (OURS, HPos::Right, -9),
        false => (OTHERS, HPos::Left, 9),
    };
    let width = LETTER * place.name.chars().count() as f64;
    let area = |down: i32| {
        let from = x + f64::from(away) - if place.is_ours { width } else { 0.0 };
        let middle = y + f64::from(down);
        (
            (from, middle - LINE / 2.0),
            (from + width, middle + LINE / 2.0),
        )
    };
    let is_free = |down: &i32| {
        let (low, high) = area(*down);
        let is_hit = |&(x, y): &Pixel| low.0 < x && x < high.0 && low.1 < y && y < high.1;
        let meets = |other: &(Pixel, Pixel)| {
            low.0 < other.1.0 && other.0.0 < high.0 && low.1 < other.1.1 && other.0.1 < high.1
        };
        !dots.iter().any(is_hit) && !taken.iter().any(meets)
    };
    // To the left of ours the bound rises, so its name begins below.
    let first = if place.is_ours { 14 } else { 0 };
    let downs = [first, 0, -14, 14, -28, 28];
    let down = downs.into_iter().find(is_free).unwrap_or(first);
    taken.push(area(down));
    let style = (FONT, 15).into_font().color(&color);
    (color, style.pos(Pos::new(side, VPos::Center)), (away, down))
}

/// The bound, from the left to the right, as far as it is in the picture.
fn frontier(
    bound: &Bound,
    (left, right): (f64, f64),
    (bottom, top): (f64, f64),
) -> Vec<(f64, f64)> {
    let steps = 200;
    (0..=steps)
        .map(|i| left * (right / left).powf(f64::from(i) / f64::from(steps)))
        .filter_map(|requests| {
            let delay = bound.delay_at(requests);
            delay
                .is_finite()
                .then(|| (requests, delay.clamp(bottom, top)))
        })
        .collect()
}

/// What fixed intervals of all lengths spend, on an even sample.
fn fixed(world: &World, population: &Population) -> Vec<(f64, f64)> {
    let jobs = population.even(SAMPLE);
    (0..=INTERVALS)
        .map(|i| {
            let factor = 0.02 * 150f64.powf(f64::from(i) / f64::from(INTERVALS));
            let interval = Duration::try_from_secs_f64(population.mean_s() * factor);
            let schedule = Fixed::new(interval.unwrap_or(Duration::from_secs(1)));
            let point = world.run(&schedule, &jobs, 0).mean();
            (point.requests, point.delay_s)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use abide_simulate::Population;

    use super::*;

    #[test]
    fn the_picture_names_every_schedule_in_it() {
        let population = Population::of(&"uniform:10s:30s".parse().unwrap());
        let world = World::new();
        let bound = Bound::new(&population, world.round_trip());
        let places = [
            Place {
                name: "learned",
                is_ours: true,
                requests: 3.5,
                delay_s: 1.7,
            },
            Place {
                name: "<aws & co>",
                is_ours: false,
                requests: 5.5,
                delay_s: 11.0,
            },
        ];
        let svg = draw("uniform", &bound, &places, &world, &population).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in [
            "learned",
            "&lt;aws &amp; co&gt;",
            "requests per job",
            "mean delay, s",
        ] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }

    #[test]
    fn a_point_mass_has_a_picture() {
        let population = Population::of(&"fixed:20s".parse().unwrap());
        let world = World::new();
        let bound = Bound::new(&population, world.round_trip());
        let places = [Place {
            name: "learned",
            is_ours: true,
            requests: 1.0,
            delay_s: 0.08,
        }];
        draw("fixed", &bound, &places, &world, &population).unwrap();
    }
}
