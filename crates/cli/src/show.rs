//! How a job looks to a person.

use std::borrow::Cow;
use std::time::Duration;

use abide::{Job, Problem, Status, Timestamp};
use abide_wire::Remaining;
use anstyle::{AnsiColor, Style};

/// What is good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is bad.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// What goes on.
const BUSY: Style = AnsiColor::Cyan.on_default();
/// A canceled job.
pub(crate) const ENDED: Style = AnsiColor::Yellow.on_default();
/// The columns of the longest status.
const STATUS_COLUMNS: usize = 9;
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// The text in that style. The writer strips the style unless it writes to a terminal.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Text of another's making, without what could drive a terminal or reorder a line.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().filter_map(|char| match char {
        '\n' | '\t' => Some(' '),
        char => (!is_unsafe(char)).then_some(char),
    });
    Cow::Owned(kept.collect())
}

/// Whether a character does something else than to be seen: a control character, a line separator, or one that turns
/// the direction of writing around.
pub(crate) fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The status, padded to the longest one, in its color.
pub(crate) fn status(status: &Status) -> String {
    let style = match status {
        Status::Completed => GOOD,
        Status::Failed => BAD,
        Status::Canceled => ENDED,
        Status::Pending | Status::Running | Status::Other(_) => BUSY,
    };
    let text = plain(status.as_str());
    // Beside the style, so that the end of a line can be trimmed.
    let room = STATUS_COLUMNS.saturating_sub(console::measure_text_width(&text));
    styled(style, text) + &" ".repeat(room)
}

/// A job in one line: its id, its status and its progress or error.
pub(crate) fn line(job: &Job) -> String {
    let mut parts = vec![plain(job.id.as_str()).into_owned(), status(&job.status)];
    parts.extend(remark(job));
    parts.join("  ").trim_end().to_owned()
}

/// What to say of a job beside its status: how far it is, what is wrong, how long it took.
pub(crate) fn remark(job: &Job) -> Option<String> {
    if let Some(problem) = &job.error {
        return Some(problem_line(problem));
    }
    if job.done {
        let began = job.started_at.unwrap_or(job.created_at);
        let took = job.finished_at?.since(began);
        return Some(format!("took {}", duration(took)));
    }
    let mut parts = Vec::new();
    if let Some(progress) = &job.progress {
        parts.push(format!("{:.0} %", progress.percent));
        let stage = progress.stage.as_deref();
        parts.extend(stage.map(|stage| plain(stage).into_owned()));
    }
    parts.extend(job.remaining_ms.as_ref().map(left));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What is wrong, in a line.
pub(crate) fn problem_line(problem: &Problem) -> String {
    let text = problem.detail.as_deref().unwrap_or(&problem.title);
    let line = match text {
        // Not every API says what sort of problem it is.
        text if problem.code.as_str() == "unknown" && !text.is_empty() => text.to_owned(),
        "" => problem.code.to_string(),
        text => format!("{}: {text}", problem.code),
    };
    plain(&line).into_owned()
}

/// What the server expects, as it learned it. The spread is part of it, because a point estimate misleads.
pub(crate) fn left(remaining: &Remaining) -> String {
    let [low, middle, high] =
        [remaining.p10, remaining.p50, remaining.p90].map(|ms| duration(Duration::from_millis(ms)));
    if low == high {
        return format!("about {middle} left");
    }
    format!("about {middle} left ({low} to {high})")
}

/// The time of an instant's day, UTC, to the millisecond.
pub(crate) fn time_of_day(instant: Timestamp) -> String {
    let text = instant.to_string();
    // 2026-11-22T00:22:36.000Z
    text.get(11..23).unwrap_or(&text).to_owned()
}

/// A length of time as a person would say it: two digits that matter, or three.
pub(crate) fn duration(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    let whole = (seconds + 0.5) as u64;
    match seconds {
        ..0.000_95 => format!("{:.0} µs", seconds * 1e6),
        ..0.009_95 => format!("{:.1} ms", seconds * 1e3),
        ..0.999_5 => format!("{:.0} ms", seconds * 1e3),
        ..59.95 => format!("{seconds:.1} s"),
        ..3_599.5 => format!("{} min {:02} s", whole / 60, whole % 60),
        ..172_799.5 => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_the_unit_that_fits() {
        let table: &[(f64, &str)] = &[
            (0.0, "0 µs"),
            (0.000_25, "250 µs"),
            (0.004_2, "4.2 ms"),
            (0.042, "42 ms"),
            (0.999, "999 ms"),
            (0.999_9, "1.0 s"),
            (12.34, "12.3 s"),
            (59.96, "1 min 00 s"),
            (90.0, "1 min 30 s"),
            (3_599.6, "1 h 00 min"),
            (7_500.0, "2 h 05 min"),
            (172_799.0, "47 h 59 min"),
            (345_600.0, "4 d 00 h"),
        ];
        for (seconds, said) in table {
            assert_eq!(duration(Duration::from_secs_f64(*seconds)), *said);
        }
    }

    #[test]
    fn what_drives_a_terminal_is_left_out_of_foreign_text() {
        for (text, expected) in [
            ("Übersetzung 日本語 👍", "Übersetzung 日本語 👍"),
            ("a\nb\tc", "a b c"),
            ("\x1b]0;title\x07\x1b[2Jx", "]0;title[2Jx"),
            ("\u{9b}31m\u{7f}\r\0red", "31mred"),
            ("a\u{202e}b\u{2066}c\u{200f}d\u{2028}e", "abcde"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn the_time_of_day_has_milliseconds() {
        assert_eq!(
            time_of_day(Timestamp::from_millis(3_723_004)),
            "01:02:03.004"
        );
    }

    #[test]
    fn an_estimate_tells_its_spread() {
        let remaining = |p10, p50, p90| left(&Remaining { p10, p50, p90 });
        assert_eq!(
            remaining(4_000, 9_000, 70_000),
            "about 9.0 s left (4.0 s to 1 min 10 s)"
        );
        assert_eq!(remaining(2_000, 2_000, 2_000), "about 2.0 s left");
    }

    #[test]
    fn a_line_tells_what_matters_now() {
        let job = |json: serde_json::Value| -> Job {
            let mut all = serde_json::json!({
                "id": "job_1", "status": "running", "done": false, "revision": 2,
                "created_at": "2026-11-22T00:00:00Z", "updated_at": "2026-11-22T00:00:01Z",
            });
            all.as_object_mut()
                .unwrap()
                .extend(json.as_object().unwrap().clone());
            serde_json::from_value(all).unwrap()
        };
        let plain = |job: &Job| anstream::adapter::strip_str(&line(job)).to_string();
        let running = job(serde_json::json!({
            "progress": {"percent": 40.0, "stage": "translate"},
            "remaining_ms": {"p10": 1000, "p50": 2000, "p90": 3000},
        }));
        assert_eq!(
            plain(&running),
            "job_1  running    40 %, translate, about 2.0 s left (1.0 s to 3.0 s)"
        );
        let completed = job(serde_json::json!({
            "status": "completed", "done": true, "outcome": "completed",
            "finished_at": "2026-11-22T00:00:04.200Z",
        }));
        assert_eq!(plain(&completed), "job_1  completed  took 4.2 s");
        let failed = job(serde_json::json!({
            "status": "failed", "done": true, "outcome": "failed",
            "error": {"code": "job_failed", "title": "the job failed"},
        }));
        assert_eq!(
            plain(&failed),
            "job_1  failed     job_failed: the job failed"
        );
    }
}
