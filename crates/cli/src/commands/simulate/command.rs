//! What `abide simulate` takes, and what it does with it.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use abide_simulate::{Arrivals, Bound, DurationLaw, Job, Observe, Population, World};
use abide_wire::Span;
use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::schedules::{Candidate, candidates};
use super::trial::{Place, Summary, Trial};
use super::{chart, picture, series, table};
use crate::exit::{self, Failure};
use crate::output;

/// The most jobs that are read or drawn: more would only make the same figures slower.
pub(super) const JOBS_MAX: usize = 100_000;

/// What `abide simulate` takes.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Past durations, one a line in seconds or as `1m 30s`, or a CSV file with --column; `-` reads stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["laws", "jobs"])]
    durations: Option<PathBuf>,
    /// Column of a CSV file, by its name in the first line
    #[arg(long, value_name = "NAME", requires = "durations")]
    column: Option<String>,
    /// Column that tells the learned schedule something of each job, such as its model; repeatable
    #[arg(long = "context", value_name = "NAME", requires = "column")]
    contexts: Vec<String>,
    /// Distribution of durations; repeatable, and the jobs are then shared out among them one after the other
    #[arg(long = "law", value_name = "LAW", default_value = "lognormal:20s:0.5")]
    laws: Vec<DurationLaw>,
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
    /// What a schedule learns of a job's duration: how long it took, or between which polls it ended
    #[arg(long, value_enum, default_value_t = Observed::Known)]
    observe: Observed,
    /// Begin N jobs together, and the next N once those have ended [default: each after the one before]
    #[arg(long, value_name = "NUMBER", value_parser = count, conflicts_with = "arrivals")]
    at_once: Option<usize>,
    /// Begin jobs at random, such as poisson:2/s
    #[arg(long, value_name = "RATE", value_parser = arrivals)]
    arrivals: Option<Arrivals>,
    /// Seed of the draws
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Write a plot of requests against delay to this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What a schedule learns of a job's duration, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Observed {
    /// The server says how long a job took
    Known,
    /// Only the polls enclose it
    Polls,
}

/// What the bound is of.
pub(super) enum Known {
    /// The law that the jobs are drawn from.
    Law,
    /// What exactly these jobs took, which no client knows beforehand.
    Past,
    /// All jobs together, though each is drawn from one of these laws, of which equally many are.
    Laws(Vec<Population>),
}

impl Known {
    /// The cost to a client that knows each job's law; none where that is the bound anyway, or none was given.
    fn bound(&self, rtt: Duration, price: f64) -> Option<f64> {
        let Self::Laws(laws) = self else { return None };
        let costs = laws
            .iter()
            .map(|law| Bound::new(law, rtt).at_price(price).cost_s(price));
        Some(costs.sum::<f64>() / laws.len() as f64)
    }
}

/// Tries the schedules.
pub(crate) fn run(args: &SimulateArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let (jobs, population, known) = jobs(args)?;
    let arrivals = match args.at_once {
        Some(count) => Arrivals::AtOnce(count),
        None => args.arrivals.unwrap_or_default(),
    };
    let world = World::new()
        .rtt(args.rtt.get())
        .observe(match args.observe {
            Observed::Known => Observe::Known,
            Observed::Polls => Observe::Polls,
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
                run: world.run_as(&schedule, &jobs, arrivals, args.seed),
                name,
                is_ours,
            },
        )
        .collect();
    let bound = Bound::new(&population, args.rtt.get());
    let informed = known.bound(args.rtt.get(), args.price);

    let places: Vec<Place<'_>> = trials.iter().map(Trial::place).collect();
    let summaries: Vec<Summary<'_>> = trials
        .iter()
        .map(|trial| trial.summary(&bound, informed, args.price))
        .collect();
    if as_json {
        trials.iter().try_for_each(Trial::write_rows)?;
        summaries.iter().try_for_each(output::json)?;
    } else {
        let ours: Vec<bool> = trials.iter().map(|trial| trial.is_ours).collect();
        output::line(&chart::draw(&bound, &places))?;
        output::line(&table::table(&summaries, &ours))?;
        output::line(&table::note(&summaries, &known, args.price))?;
    }
    if let Some(file) = &args.plot {
        let title = match &args.durations {
            Some(durations) => durations.display().to_string(),
            None => {
                let laws: Vec<String> = args.laws.iter().map(ToString::to_string).collect();
                laws.join(", then ")
            }
        };
        let drawn = picture::draw(&title, &bound, &places, &world, &population)?;
        fs::write(file, drawn).with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(ExitCode::from(exit::COMPLETED))
}

/// The jobs, what a bound must know of them, and what is known of each beforehand.
fn jobs(args: &SimulateArgs) -> anyhow::Result<(Vec<Job>, Population, Known)> {
    let Some(file) = &args.durations else {
        return of_laws(args);
    };
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .map_err(|error| exit::unread_stdin(&error))?;
        text
    } else {
        fs::read_to_string(file).map_err(|error| {
            Failure::new(
                exit::USAGE,
                format!("can't read {}: {error}", file.display()),
            )
        })?
    };
    let jobs = match &args.column {
        Some(column) => series::of_columns(&text, column, &args.contexts)?,
        None => series::of_lines(&text)?,
    };
    let durations: Vec<Duration> = jobs.iter().map(|job| job.duration).collect();
    Ok((jobs, Population::like(&durations), Known::Past))
}

/// The jobs of laws that follow each other.
fn of_laws(args: &SimulateArgs) -> anyhow::Result<(Vec<Job>, Population, Known)> {
    let [law] = args.laws.as_slice() else {
        let populations: Vec<Population> = args.laws.iter().map(Population::of).collect();
        let count = populations.len();
        let jobs = populations.iter().zip(0..).flat_map(|(population, i)| {
            let share = args.jobs * (i + 1) / count - args.jobs * i / count;
            population.draw(args.seed + i as u64, share)
        });
        let share = 1.0 / count as f64;
        let pooled: Vec<String> = args
            .laws
            .iter()
            .map(|law| format!("{share}:{law}"))
            .collect();
        let pooled: DurationLaw = format!("mixture:{}", pooled.join("+")).parse()?;
        let jobs = jobs.collect();
        return Ok((jobs, Population::of(&pooled), Known::Laws(populations)));
    };
    let population = Population::of(law);
    Ok((
        population.draw(args.seed, args.jobs),
        population,
        Known::Law,
    ))
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=JOBS_MAX).contains(count))
        .ok_or_else(|| format!("must be 1 to {JOBS_MAX}"))
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

/// When jobs begin, as `poisson:2/s`.
fn arrivals(text: &str) -> Result<Arrivals, String> {
    let rate = text.strip_prefix("poisson:").and_then(|rate| {
        let (number, unit) = rate.split_once('/')?;
        let seconds = match unit {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let rate = number.parse::<f64>().ok()? / seconds;
        (rate.is_finite() && rate > 0.0).then_some(rate)
    });
    let rate = rate.ok_or("must be such as poisson:2/s, poisson:10/m or poisson:5/h");
    Ok(Arrivals::Poisson(rate?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_read() {
        assert_eq!(arrivals("poisson:2/s"), Ok(Arrivals::Poisson(2.0)));
        assert_eq!(arrivals("poisson:30/m"), Ok(Arrivals::Poisson(0.5)));
        for text in [
            "",
            "2/s",
            "poisson:2",
            "poisson:0/s",
            "poisson:inf/s",
            "poisson:2/d",
        ] {
            assert!(arrivals(text).is_err(), "{text}");
        }
    }
}
