//! Past jobs, read from a file: a duration a line, or the columns of a CSV file.

use std::time::Duration;

use abide::schedule::{Feature, FeatureValue};
use abide_simulate::Job;
use abide_wire::Span;

use super::command::JOBS_MAX;
use crate::exit::{self, Failure};

/// A job a line; empty lines and what follows a `#` don't count.
pub(super) fn of_lines(text: &str) -> Result<Vec<Job>, Failure> {
    let mut jobs = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            jobs.push(Job::new(duration(line, i + 1)?));
        }
    }
    checked(jobs)
}

/// A job a record of a CSV file, of which the first record has the names of the columns. A record without a duration
/// doesn't count.
pub(super) fn of_columns(
    text: &str,
    column: &str,
    contexts: &[String],
) -> Result<Vec<Job>, Failure> {
    let wrong = |error: csv::Error| Failure::new(exit::USAGE, error.to_string());
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(wrong)?.clone();
    let place = |column: &str| {
        let place = names.iter().position(|name| name == column);
        place.ok_or_else(|| {
            let names: Vec<&str> = names.iter().collect();
            let names = names.join(", ");
            Failure::new(
                exit::USAGE,
                format!("there is no column {column}; the first line has {names}"),
            )
        })
    };
    let seconds = place(column)?;
    let contexts: Vec<(&String, usize)> = contexts
        .iter()
        .map(|name| Ok((name, place(name)?)))
        .collect::<Result<_, Failure>>()?;
    let mut jobs = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(0, |position| position.line());
        let cell = |place: usize| record.get(place).filter(|cell| !cell.is_empty());
        let Some(took) = cell(seconds) else { continue };
        let mut job = Job::new(duration(took, line as usize)?);
        let told = contexts.iter().filter_map(|(name, place)| {
            let value = cell(*place)?;
            let number = value.parse::<f64>().map(FeatureValue::from);
            Some(Feature::new(name, number.unwrap_or(value.into())))
        });
        job.features.extend(told);
        jobs.push(job);
    }
    checked(jobs)
}

fn duration(text: &str, line: usize) -> Result<Duration, Failure> {
    let span: Span = text.parse().map_err(|error| {
        let advice = match text.contains(',') {
            true => "; name a column of a CSV file with --column",
            false => "",
        };
        Failure::new(exit::USAGE, format!("line {line}: {error}{advice}"))
    })?;
    Ok(span.get())
}

fn checked(jobs: Vec<Job>) -> Result<Vec<Job>, Failure> {
    match jobs.len() {
        0 => Err("there is no duration to wait for".to_owned()),
        count if count > JOBS_MAX => Err(format!("more than {JOBS_MAX} durations")),
        _ => Ok(jobs),
    }
    .map_err(|message| Failure::new(exit::USAGE, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(jobs: &[Job]) -> Vec<u128> {
        jobs.iter().map(|job| job.duration.as_millis()).collect()
    }

    #[test]
    fn durations_are_read_line_by_line() {
        let read = of_lines("20\n 1.5 # a note\n\n# nothing\n500ms\n1m 30s\n0\n").unwrap();
        assert_eq!(millis(&read), [20_000, 1_500, 500, 90_000, 0]);
        assert!(of_lines("\n# nothing\n").is_err());
        let wrong = of_lines("20\nsoon\n").unwrap_err();
        assert!(wrong.message.starts_with("line 2"), "{wrong}");
        assert_eq!(wrong.code, exit::USAGE);
        let wrong = of_lines("a,20\n").unwrap_err();
        assert!(wrong.message.contains("--column"), "{wrong}");
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let text = "job,\"seconds\",model,steps\n\"a, b\",20, m1 ,30\nb,1.5,m2,\nc,,m1,40\n";
        let contexts = ["model", "steps"].map(str::to_owned);
        let read = of_columns(text, "seconds", &contexts).unwrap();
        assert_eq!(millis(&read), [20_000, 1_500]);
        let told = [Feature::new("model", "m1"), Feature::new("steps", 30)];
        assert_eq!(read[0].features, told);
        assert_eq!(read[1].features, [Feature::new("model", "m2")]);
        for (column, contexts) in [("odd", &[][..]), ("seconds", &["odd".to_owned()])] {
            let wrong = of_columns(text, column, contexts).unwrap_err();
            assert!(wrong.message.contains("job, seconds, model"), "{wrong}");
        }
        let wrong = of_columns("seconds\n20\nsoon\n", "seconds", &[]).unwrap_err();
        assert!(wrong.message.starts_with("line 3"), "{wrong}");
    }
}
