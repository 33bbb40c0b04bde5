//! What `abide simulate` takes, and what it does with it.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use abide_simulate::{Bound, DurationLaw, Job, Observe, Population, World};
use abide_wire::Span;
use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::schedules::{Candidate, candidates};
use super::trial::{Place, Summary, Trial};
use super::{chart, picture, table};
use crate::exit::{self, Failure};
use crate::output;

/// The most jobs that are read or drawn: more would only make the same figures slower.
const JOBS_MOST: usize = 100_000;

/// What `abide simulate` takes.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Past durations, one a line in seconds or as `1m 30s`, or a CSV file with --column; `-` reads stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["law", "jobs"])]
    durations: Option<PathBuf>,
    /// Column of a CSV file, by its name in the first line
    #[arg(long, value_name = "NAME", requires = "durations")]
    column: Option<String>,
    /// Distribution of durations
    #[arg(long, value_name = "LAW", default_value = "lognormal:20s:0.5")]
    law: DurationLaw,
    /// Number of jobs to draw
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = count)]
    jobs: usize,
    /// Schedule to try, such as learned, learned:frugal, fixed:2s, backoff:1s:1.5:30s, countdown:4s, aws-waiter or
    /// known; repeatable [default: learned and those of twelve well-known clients]
    #[arg(long = "schedule", value_name = "SCHEDULE")]
    schedules: Vec<String>,
    /// Cost of a request, in seconds of delay
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = price)]
    price: f64,
    /// Round-trip time of a request
    #[arg(long, value_name = "DURATION", default_value = "100ms")]
    rtt: Span,
    /// What a schedule learns of a job's duration
    #[arg(long, value_enum, default_value_t = Known::Known)]
    observe: Known,
    /// Seed of the draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Write a plot of requests against delay to this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What a schedule learns of a job's duration, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Known {
    /// The server says how long a job took
    Known,
    /// Only the polls enclose it
    Polls,
}

/// Tries the schedules.
pub(crate) fn run(args: &SimulateArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let (jobs, population) = jobs(args)?;
    let world = World::new()
        .rtt(args.rtt.get())
        .observe(match args.observe {
            Known::Known => Observe::Known,
            Known::Polls => Observe::Polls,
        });
    let price = Duration::from_secs_f64(args.price);
    let trials: Vec<Trial> = candidates(&args.schedules, price)?
        .into_iter()
        .map(
            |Candidate {
                 name,
                 schedule,
                 is_ours,
             }| Trial {
                run: world.run(&schedule, &jobs, args.seed),
                name,
                is_ours,
            },
        )
        .collect();
    let bound = Bound::new(&population, args.rtt.get());

    let places: Vec<Place<'_>> = trials.iter().map(Trial::place).collect();
    let summaries: Vec<Summary<'_>> = trials
        .iter()
        .map(|trial| trial.summary(&bound, args.price))
        .collect();
    if as_json {
        trials.iter().try_for_each(Trial::write_rows)?;
        summaries.iter().try_for_each(output::json)?;
    } else {
        let ours: Vec<bool> = trials.iter().map(|trial| trial.is_ours).collect();
        output::line(&chart::draw(&bound, &places))?;
        output::line(&table::table(&summaries, &ours))?;
        output::line(&table::note(&summaries, jobs.len(), args.price))?;
    }
    if let Some(file) = &args.plot {
        let title = match &args.durations {
            Some(durations) => durations.display().to_string(),
            None => args.law.to_string(),
        };
        let drawn = picture::draw(&title, &bound, &places, &world, &population)?;
        fs::write(file, drawn).map_err(|error| {
            Failure::new(
                exit::USAGE,
                format!("can't write {}: {error}", file.display()),
            )
        })?;
    }
    Ok(ExitCode::from(exit::COMPLETED))
}

fn jobs(args: &SimulateArgs) -> anyhow::Result<(Vec<Job>, Population)> {
    let Some(file) = &args.durations else {
        let population = Population::of(&args.law);
        return Ok((population.draw(args.seed, args.jobs), population));
    };
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .context("can't read stdin")?;
        text
    } else {
        fs::read_to_string(file).map_err(|error| {
            Failure::new(
                exit::USAGE,
                format!("can't read {}: {error}", file.display()),
            )
        })?
    };
    let durations = match &args.column {
        Some(column) => durations(&of_column(&text, column)?)?,
        None => durations(&text)?,
    };
    let population = Population::like(&durations);
    Ok((durations.into_iter().map(Job::new).collect(), population))
}

/// One column of a CSV file as lines of their own, the first line left empty, so that a line keeps its number.
fn of_column(text: &str, column: &str) -> Result<String, Failure> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line
            .split(',')
            .map(|cell| cell.trim().trim_matches('"').trim().to_owned());
        cells.collect()
    };
    let names = cells(text.lines().next().unwrap_or_default());
    let place = names
        .iter()
        .position(|name| name == column)
        .ok_or_else(|| {
            let names = names.join(", ");
            Failure::new(
                exit::USAGE,
                format!("there is no column {column}; the first line has {names}"),
            )
        })?;
    let lines = text
        .lines()
        .skip(1)
        .map(|line| cells(line).get(place).cloned().unwrap_or_default());
    Ok(format!("\n{}", lines.collect::<Vec<_>>().join("\n")))
}

/// A duration a line; empty lines and what follows a `#` don't count.
fn durations(text: &str) -> Result<Vec<Duration>, Failure> {
    let mut durations = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let span: Span = line.parse().map_err(|error| {
            let advice = match line.contains(',') {
                true => "; name a column of a CSV file with --column",
                false => "",
            };
            Failure::new(exit::USAGE, format!("line {}: {error}{advice}", i + 1))
        })?;
        durations.push(span.get());
        if durations.len() > JOBS_MOST {
            return Err(Failure::new(
                exit::USAGE,
                format!("more than {JOBS_MOST} durations"),
            ));
        }
    }
    if durations.is_empty() {
        return Err(Failure::new(
            exit::USAGE,
            "there is no duration to wait for",
        ));
    }
    Ok(durations)
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=JOBS_MOST).contains(count))
        .ok_or_else(|| format!("must be 1 to {JOBS_MOST}"))
}

fn price(text: &str) -> Result<f64, String> {
    let price: Span = text.parse().map_err(|error| format!("{error}"))?;
    let price = price.get().as_secs_f64();
    if price > 0.0 {
        Ok(price)
    } else {
        Err("must be more than 0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_line_by_line() {
        let read = durations("20\n 1.5 # a note\n\n# nothing\n500ms\n1m 30s\n").unwrap();
        assert_eq!(
            read.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [20_000, 1_500, 500, 90_000]
        );
        assert!(durations("\n# nothing\n").is_err());
        let column = of_column("job,\"seconds\"\na,20\nb, 1.5\n", "seconds").unwrap();
        assert_eq!(durations(&column).unwrap().len(), 2);
        assert!(
            of_column("job,seconds\n", "odd")
                .unwrap_err()
                .message
                .contains("job, seconds")
        );
        assert!(
            durations("a,20\n")
                .unwrap_err()
                .message
                .contains("--column")
        );
        let wrong = durations("20\nsoon\n").unwrap_err();
        assert!(wrong.message.starts_with("line 2"), "{wrong}");
        assert_eq!(wrong.code, exit::USAGE);
    }
}
