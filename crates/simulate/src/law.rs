//! Laws of durations, by name and parameters.

use abide_wire::Span;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long jobs take.
///
/// Written and read as `name:parameter:…`, with durations such as `20s`, `500ms` or `1m30s` (or a number of seconds):
///
/// | text | law |
/// |---|---|
/// | `fixed:20s` | always 20 s |
/// | `uniform:10s:30s` | anything between |
/// | `exponential:20s` | memoryless, of that mean |
/// | `lognormal:20s:0.5` | median and spread of the logarithm |
/// | `weibull:20s:1.5` | scale and shape |
/// | `pareto:10s:1.5` | least value and exponent |
/// | `shifted:5s:exponential:20s` | another law, later |
/// | `mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2` | weights and laws, joined by `+` |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Law {
    /// Always the same.
    Fixed(Duration),
    /// Anything between two bounds, each as likely.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// Without memory.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Bell-shaped in the logarithm, as durations of real work are.
    Lognormal {
        /// Half of the jobs are shorter.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// With a hazard that grows (shape above 1) or falls (below 1).
    Weibull {
        /// Where 63 % have ended.
        scale: Duration,
        /// The exponent of time.
        shape: f64,
    },
    /// With a heavy tail.
    Pareto {
        /// The shortest.
        min: Duration,
        /// The exponent of the tail; the mean is infinite at 1 and below.
        alpha: f64,
    },
    /// Another law after a fixed time, such as a queue or an upload.
    Shifted(Duration, Box<Self>),
    /// One of several laws, by weight.
    Mixture(Vec<(f64, Self)>),
}

/// A law that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a law of durations: {0}")]
pub struct ParseLawError(String);

/// How often the halving of an interval is repeated when a quantile is searched for.
const HALVINGS: usize = 60;

impl Law {
    /// The time in seconds by which a share `u` of the jobs has ended, 0 < u < 1; none for a mixture, whose parts have
    /// quantiles of their own.
    fn quantile(&self, u: f64) -> Option<f64> {
        Some(match self {
            Self::Fixed(time) => time.as_secs_f64(),
            Self::Uniform { min, max } => {
                let (min, max) = (min.as_secs_f64(), max.as_secs_f64());
                min + u * (max - min)
            }
            Self::Exponential { mean } => -mean.as_secs_f64() * (-u).ln_1p(),
            Self::Lognormal { median, sigma } => {
                median.as_secs_f64() * (sigma * normal_quantile(u)).exp()
            }
            Self::Weibull { scale, shape } => {
                scale.as_secs_f64() * (-(-u).ln_1p()).powf(shape.recip())
            }
            Self::Pareto { min, alpha } => min.as_secs_f64() * (1.0 - u).powf(-alpha.recip()),
            Self::Shifted(by, law) => by.as_secs_f64() + law.quantile(u)?,
            Self::Mixture(_) => return None,
        })
    }

    /// The law as weighted points, `count` or a few more in all; the weights sum to `weight`.
    pub(crate) fn points(&self, weight: f64, count: usize, points: &mut Vec<(f64, f64)>) {
        match self {
            Self::Fixed(time) => points.push((time.as_secs_f64(), weight)),
            Self::Mixture(parts) => {
                let total: f64 = parts.iter().map(|(share, _)| share).sum();
                for (share, law) in parts {
                    let share = share / total;
                    let count = ((count as f64 * share).ceil() as usize).max(1);
                    law.points(weight * share, count, points);
                }
            }
            Self::Shifted(by, law) => {
                let first = points.len();
                law.points(weight, count, points);
                for (time, _) in &mut points[first..] {
                    *time += by.as_secs_f64();
                }
            }
            _ => points.extend((0..count).filter_map(|k| {
                let u = (k as f64 + 0.5) / count as f64;
                Some((self.quantile(u)?, weight / count as f64))
            })),
        }
    }

    fn check(self) -> Result<Self, ParseLawError> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let sound = match &self {
            Self::Fixed(_) | Self::Exponential { .. } | Self::Shifted(..) => true,
            Self::Uniform { min, max } => min <= max,
            Self::Lognormal { sigma, .. } => (0.0..=5.0).contains(sigma),
            Self::Weibull { shape, .. } => positive(*shape),
            Self::Pareto { alpha, .. } => positive(*alpha),
            Self::Mixture(parts) => {
                !parts.is_empty() && parts.iter().all(|(weight, _)| positive(*weight))
            }
        };
        if sound {
            Ok(self)
        } else {
            Err(ParseLawError(format!("`{self}` is out of range")))
        }
    }
}

impl FromStr for Law {
    type Err = ParseLawError;

    fn from_str(text: &str) -> Result<Self, ParseLawError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        if name == "mixture" {
            let parts = rest.split('+').map(|part| {
                let (weight, law) = part
                    .split_once(':')
                    .ok_or_else(|| ParseLawError(format!("`{part}` needs a weight and a law")))?;
                Ok((number(weight)?, law.parse()?))
            });
            return Self::Mixture(parts.collect::<Result<_, _>>()?).check();
        }
        if name == "shifted" {
            let (by, law) = rest
                .split_once(':')
                .ok_or_else(|| ParseLawError(format!("`{text}` needs a duration and a law")))?;
            return Ok(Self::Shifted(span(by)?, Box::new(law.parse()?)));
        }
        let parameters: Vec<&str> = rest.split(':').collect();
        match (name, parameters.as_slice()) {
            ("fixed", [time]) => Self::Fixed(span(time)?),
            ("uniform", [min, max]) => Self::Uniform {
                min: span(min)?,
                max: span(max)?,
            },
            ("exponential", [mean]) => Self::Exponential { mean: span(mean)? },
            ("lognormal", [median, sigma]) => Self::Lognormal {
                median: span(median)?,
                sigma: number(sigma)?,
            },
            ("weibull", [scale, shape]) => Self::Weibull {
                scale: span(scale)?,
                shape: number(shape)?,
            },
            ("pareto", [min, alpha]) => Self::Pareto {
                min: span(min)?,
                alpha: number(alpha)?,
            },
            _ => {
                return Err(ParseLawError(format!(
                    "`{text}`; try `lognormal:20s:0.5`, `uniform:10s:30s`, `exponential:20s`, `fixed:20s`, \
                     `weibull:20s:1.5`, `pareto:10s:1.5`, `shifted:5s:LAW` or `mixture:0.3:LAW+0.7:LAW`"
                )));
            }
        }
        .check()
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(time) => write!(f, "fixed:{}", seconds(time)),
            Self::Uniform { min, max } => write!(f, "uniform:{}:{}", seconds(min), seconds(max)),
            Self::Exponential { mean } => write!(f, "exponential:{}", seconds(mean)),
            Self::Lognormal { median, sigma } => {
                write!(f, "lognormal:{}:{sigma}", seconds(median))
            }
            Self::Weibull { scale, shape } => write!(f, "weibull:{}:{shape}", seconds(scale)),
            Self::Pareto { min, alpha } => write!(f, "pareto:{}:{alpha}", seconds(min)),
            Self::Shifted(by, law) => write!(f, "shifted:{}:{law}", seconds(by)),
            Self::Mixture(parts) => {
                f.write_str("mixture:")?;
                for (i, (weight, law)) in parts.iter().enumerate() {
                    write!(f, "{}{weight}:{law}", if i == 0 { "" } else { "+" })?;
                }
                Ok(())
            }
        }
    }
}

fn span(text: &str) -> Result<Duration, ParseLawError> {
    let span: Span = text
        .parse()
        .map_err(|error| ParseLawError(format!("{error}")))?;
    Ok(span.get())
}

fn number(text: &str) -> Result<f64, ParseLawError> {
    text.trim()
        .parse()
        .map_err(|_| ParseLawError(format!("`{text}` is not a number")))
}

fn seconds(time: &Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

/// The inverse of the normal distribution, by halving: it is only asked for tables.
fn normal_quantile(u: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < u {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_are_read_as_they_are_written() {
        for text in [
            "fixed:20s",
            "uniform:10s:30s",
            "exponential:20s",
            "lognormal:20s:0.5",
            "weibull:20s:1.5",
            "pareto:10s:1.5",
            "shifted:5s:exponential:20s",
            "mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2",
        ] {
            let law: Law = text.parse().unwrap();
            assert_eq!(law.to_string(), text);
        }
        assert_eq!(
            "uniform:500ms:1m30s".parse::<Law>().unwrap().to_string(),
            "uniform:0.5s:90s"
        );
    }

    #[test]
    fn what_is_no_law_is_refused() {
        for text in [
            "",
            "normal:3s",
            "uniform:30s:10s",
            "uniform:10s",
            "lognormal:20s:-1",
            "lognormal:20s:x",
            "weibull:20s:0",
            "pareto:10s:NaN",
            "mixture:",
            "mixture:1",
            "mixture:0:fixed:1s",
            "shifted:1s",
            "shifted:1s:nothing",
            "fixed:soon",
        ] {
            assert!(text.parse::<Law>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_normal_quantile_is_the_known_one() {
        assert!(normal_quantile(0.5).abs() < 1e-12);
        assert!((normal_quantile(0.975) - 1.959_963_984_540).abs() < 1e-9);
    }
}
