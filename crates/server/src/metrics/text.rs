//! The two forms of the text.

/// The content type of [`Metrics::encode`](super::Metrics::encode).
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of [`plain`].
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same as text for scrapers that don't ask for OpenMetrics: a counter has the name of its samples, and units and
/// the end aren't told.
#[must_use]
pub fn plain(openmetrics: &str) -> String {
    let mut plain = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", _, text] => help = text,
            ["#", "TYPE", name, kind] => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                plain.push_str(&format!(
                    "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"
                ));
            }
            ["#", ..] => {}
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::super::{Levels, Metrics};
    use super::*;

    /// The lines that say the same in both forms, and those of a counter, whose name differs.
    #[test]
    fn in_the_plain_form_every_sample_has_the_name_that_its_help_and_type_have() {
        let metrics = Metrics::new();
        metrics.request(
            &Method::GET,
            "/v1/jobs",
            200,
            Some(Duration::from_millis(1)),
        );
        metrics.superseded();
        let plain = plain(&metrics.encode(Levels::default()));
        for lines in [
            "# HELP abide_requests_total Requests answered.\n# TYPE abide_requests_total counter\nabide_requests_total{",
            "# TYPE abide_superseded_total counter\nabide_superseded_total{} 1\n",
            "# TYPE abide_jobs gauge\nabide_jobs 0\n",
        ] {
            assert!(plain.contains(lines), "{lines}\n{plain}");
        }
        assert!(
            !plain.contains("# UNIT") && !plain.contains("# EOF"),
            "{plain}"
        );
        let mut name = "";
        for line in plain.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                name = declared.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert!(line.starts_with(name), "{name}: {line}");
            }
        }
    }
}
