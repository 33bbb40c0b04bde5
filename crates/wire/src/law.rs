//! Laws of random durations: their JSON, their text form, their bounds and their mathematics.
//!
//! Everything about a law but the random numbers stands here, so the simulator of the server and the simulation of
//! schedules agree on it. [`DurationLaw::length`] turns standard random numbers into a length: the engine brings them
//! from its seeded generators, and [`DurationLaw::points`] goes through them evenly.

use std::fmt;
use std::str::FromStr;

use serde::de::{IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Span, limits};

/// The law of a random duration.
///
/// In JSON a law is an object with its name, or its text form:
///
/// | text | JSON | lengths |
/// |---|---|---|
/// | `20s`, `fixed:20s` | `{"fixed": "20s"}` | always 20 s |
/// | `uniform:10s:30s` | `{"uniform": {"min": "10s", "max": "30s"}}` | evenly between two bounds |
/// | `exponential:20s` | `{"exponential": {"mean": "20s"}}` | memoryless, with that mean |
/// | `lognormal:20s:0.5` | `{"lognormal": {"median": "20s", "sigma": 0.5}}` | as real work mostly lasts |
/// | `weibull:20s:1.5` | `{"weibull": {"scale": "20s", "shape": 1.5}}` | 63 % are shorter than the scale |
/// | `pareto:10s:1.5` | `{"pareto": {"min": "10s", "alpha": 1.5}}` | heavy tail above the minimum |
/// | `empirical:3s:41s` | `{"empirical": ["3s", "41s"]}` | one of these, each equally likely |
/// | `shifted:5s:LAW` | `{"shifted": {"by": "5s", "law": LAW}}` | another law, 5 s later |
/// | `mixture:0.3:LAW+0.7:LAW` | `{"mixture": [{"weight": 0.3, "law": LAW}, …]}` | one of several laws, by weight |
///
/// A `shifted` law can't contain a `shifted` one, nor a `mixture` a `mixture`, at any depth.
///
/// ```
/// use abide_wire::DurationLaw;
///
/// let law: DurationLaw = "lognormal:20s:0.5".parse()?;
/// assert_eq!(serde_json::to_string(&law).unwrap(), r#"{"lognormal":{"median":"20s","sigma":0.5}}"#);
/// assert_eq!(serde_json::from_str::<DurationLaw>(r#""lognormal:20s:0.5""#).unwrap(), law);
/// assert_eq!(law.to_string(), "lognormal:20s:0.5");
/// # Ok::<(), abide_wire::law::ParseLawError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DurationLaw {
    /// Always the same.
    Fixed(Span),
    /// Anything between two bounds, each as likely.
    Uniform {
        /// The shortest.
        min: Span,
        /// The longest.
        max: Span,
    },
    /// Without memory: however long it has run, the rest is as long as ever.
    Exponential {
        /// The mean.
        mean: Span,
    },
    /// Bell-shaped in the logarithm, as durations of real work are.
    Lognormal {
        /// Half of the jobs are shorter.
        median: Span,
        /// The standard deviation of the logarithm, 0 to 5.
        #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 5))]
        sigma: f64,
    },
    /// The chance of ending soon grows with time (shape above 1) or falls (below 1).
    Weibull {
        /// 63 % of the jobs are shorter.
        scale: Span,
        /// The exponent of time, more than 0 and at most 100.
        #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0, maximum = 100))]
        shape: f64,
    },
    /// A heavy tail: a few jobs take very long.
    Pareto {
        /// The shortest.
        min: Span,
        /// The exponent of the tail, more than 0 and at most 100; the mean is infinite at 1 and below.
        #[cfg_attr(feature = "openapi", schema(exclusive_minimum = 0, maximum = 100))]
        alpha: f64,
    },
    /// One of these, each as likely: paste your own past durations.
    Empirical(Vec<Span>),
    /// Another law after a fixed time, such as an upload.
    Shifted {
        /// The fixed time.
        by: Span,
        /// The law of the rest.
        #[cfg_attr(feature = "openapi", schema(no_recursion))]
        law: Box<Self>,
    },
    /// One of several laws, by weight; at most 50.
    Mixture(Vec<MixturePart>),
}

/// One law of a [`DurationLaw::Mixture`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MixturePart {
    /// How often this law is drawn, relative to the other parts' weights.
    #[cfg_attr(
        feature = "openapi",
        schema(exclusive_minimum = 0, maximum = 1_000_000)
    )]
    pub weight: f64,
    /// The law.
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub law: DurationLaw,
}

/// Why a text isn't a law of durations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseLawError(String);

/// A source of standard random numbers.
pub trait Draws {
    /// A number evenly distributed in `0.0..1.0`.
    fn unit(&mut self) -> f64;
    /// An exponential number with the mean 1.
    fn exponential(&mut self) -> f64;
    /// A normal number with the mean 0 and the standard deviation 1.
    fn normal(&mut self) -> f64;
    /// An index below `length`, each as likely. `length` isn't 0.
    fn index(&mut self, length: usize) -> usize;
}

const SHIFTED: &str = "shifted";
const MIXTURE: &str = "mixture";

impl DurationLaw {
    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// The member that is out of its bound, and the bound.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_within(&mut Vec::new())
    }

    /// Checks the bounds of a law that lies within laws of these names.
    fn validate_within(&self, outer: &mut Vec<&'static str>) -> Result<(), String> {
        let is_within = |number: f64, most: f64| number > 0.0 && number <= most;
        match self {
            Self::Uniform { min, max } if min > max => Err(format!(
                "`min` of a uniform duration must not be more than `max`, but is {min} against {max}"
            )),
            Self::Lognormal { sigma, .. } if !(0.0..=5.0).contains(sigma) => Err(format!(
                "`sigma` of a lognormal duration must be between 0 and 5, but is {sigma}"
            )),
            Self::Weibull { shape, .. } if !is_within(*shape, 100.0) => Err(format!(
                "`shape` of a weibull duration must be more than 0 and at most 100, but is {shape}"
            )),
            Self::Pareto { alpha, .. } if !is_within(*alpha, 100.0) => Err(format!(
                "`alpha` of a pareto duration must be more than 0 and at most 100, but is {alpha}"
            )),
            Self::Empirical(samples) if samples.is_empty() => {
                Err("`empirical` must have at least one duration".to_owned())
            }
            Self::Empirical(samples) if samples.len() > limits::EMPIRICAL_SAMPLES_MAX => {
                Err(format!(
                    "`empirical` must have at most {} durations, but has {}",
                    limits::EMPIRICAL_SAMPLES_MAX,
                    samples.len()
                ))
            }
            Self::Shifted { law, .. } => nested(SHIFTED, outer, |outer| law.validate_within(outer)),
            Self::Mixture(parts) => nested(MIXTURE, outer, |outer| {
                if parts.is_empty() || parts.len() > limits::MIXTURE_PARTS_MAX {
                    return Err(format!(
                        "`mixture` must have 1 to {} parts, but has {}",
                        limits::MIXTURE_PARTS_MAX,
                        parts.len()
                    ));
                }
                parts.iter().try_for_each(|MixturePart { weight, law }| {
                    if !is_within(*weight, 1e6) {
                        return Err(format!(
                            "`weight` in a mixture must be more than 0 and at most 1000000, but is {weight}"
                        ));
                    }
                    law.validate_within(outer)
                })
            }),
            _ => Ok(()),
        }
    }

    /// A random length in seconds, never negative; it may be longer than [`Span::MAX`], or infinite.
    #[must_use]
    pub fn length(&self, draws: &mut impl Draws) -> f64 {
        let seconds = |span: &Span| span.get().as_secs_f64();
        match self {
            Self::Fixed(length) => seconds(length),
            Self::Uniform { min, max } => {
                seconds(min) + (seconds(max) - seconds(min)) * draws.unit()
            }
            Self::Exponential { mean } => seconds(mean) * draws.exponential(),
            Self::Lognormal { median, sigma } => seconds(median) * (sigma * draws.normal()).exp(),
            Self::Weibull { scale, shape } => {
                seconds(scale) * draws.exponential().powf(shape.recip())
            }
            Self::Pareto { min, alpha } => seconds(min) * (1.0 - draws.unit()).powf(-alpha.recip()),
            Self::Empirical(samples) if samples.is_empty() => 0.0,
            Self::Empirical(samples) => seconds(&samples[draws.index(samples.len())]),
            Self::Shifted { by, law } => seconds(by) + law.length(draws),
            Self::Mixture(parts) => {
                let mut left = draws.unit() * weight_of(parts);
                let part = parts.iter().find(|part| {
                    left -= part.weight;
                    left < 0.0
                });
                // Rounding may leave a trace of the last weight.
                part.or(parts.last())
                    .map_or(0.0, |part| part.law.length(draws))
            }
        }
    }

    /// The law as weighted lengths in seconds, for exact sums instead of random ones: one for each of `count` equal
    /// shares of the jobs, a few more for a mixture, and exactly its own for a law that has few. The weights sum to 1.
    #[must_use]
    pub fn points(&self, count: usize) -> Vec<(f64, f64)> {
        let one = |span: &Span, weight: f64| (span.get().as_secs_f64(), weight);
        match self {
            Self::Fixed(length) => vec![one(length, 1.0)],
            Self::Empirical(samples) => {
                let weight = (samples.len() as f64).recip();
                samples.iter().map(|sample| one(sample, weight)).collect()
            }
            Self::Shifted { by, law } => {
                let by = by.get().as_secs_f64();
                let points = law.points(count).into_iter();
                points.map(|(time, weight)| (time + by, weight)).collect()
            }
            Self::Mixture(parts) => {
                let whole = weight_of(parts);
                let points = parts.iter().flat_map(|part| {
                    let share = part.weight / whole;
                    let count = ((count as f64 * share).ceil() as usize).max(1);
                    let points = part.law.points(count).into_iter();
                    points.map(move |(time, weight)| (time, weight * share))
                });
                points.collect()
            }
            _ => (0..count)
                .map(|k| {
                    let u = (k as f64 + 0.5) / count as f64;
                    (self.length(&mut Quantile(u)), (count as f64).recip())
                })
                .collect(),
        }
    }
}

/// Runs `then` within a law of that name, which no two laws around each other may have.
fn nested<T>(
    name: &'static str,
    outer: &mut Vec<&'static str>,
    then: impl FnOnce(&mut Vec<&'static str>) -> Result<T, String>,
) -> Result<T, String> {
    if outer.contains(&name) {
        return Err(format!(
            "a `{name}` duration must not be inside of a `{name}` one"
        ));
    }
    outer.push(name);
    let result = then(outer);
    outer.pop();
    result
}

fn weight_of(parts: &[MixturePart]) -> f64 {
    parts.iter().map(|part| part.weight).sum()
}

/// The standard numbers below which a share of all lies, more than 0 and less than 1: lengths drawn from them are the
/// quantiles of a law that draws one number.
struct Quantile(f64);

impl Draws for Quantile {
    fn unit(&mut self) -> f64 {
        self.0
    }

    fn exponential(&mut self) -> f64 {
        -(-self.0).ln_1p()
    }

    /// The inverse of the normal distribution by bisection, which is fast enough for tables.
    fn normal(&mut self) -> f64 {
        const HALVINGS: usize = 60;
        let (mut low, mut high) = (-9.0, 9.0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < self.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }

    fn index(&mut self, length: usize) -> usize {
        (self.0 * length as f64) as usize
    }
}

impl FromStr for DurationLaw {
    type Err = ParseLawError;

    /// Reads the text form, or JSON where the text begins with `{`, and checks the bounds.
    fn from_str(text: &str) -> Result<Self, ParseLawError> {
        let text = text.trim();
        let law = if text.starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())
        } else {
            parse(text, &mut Vec::new())
        };
        law.and_then(|law: Self| law.validate().map(|()| law))
            .map_err(ParseLawError)
    }
}

/// Reads the text form of a law that lies within laws of these names, which bounds how deep it can go.
fn parse(text: &str, outer: &mut Vec<&'static str>) -> Result<DurationLaw, String> {
    let span = |text: &str| text.parse::<Span>().map_err(|error| error.to_string());
    let number = |text: &str| {
        let number = text.trim().parse::<f64>();
        number.map_err(|_| format!("{text:?} is not a number"))
    };
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let parameters: Vec<&str> = rest.split(':').collect();
    Ok(match (name, parameters.as_slice()) {
        (SHIFTED, _) => nested(SHIFTED, outer, |outer| {
            let (by, law) = first_and_law(rest)?;
            Ok(DurationLaw::Shifted {
                by: span(by)?,
                law: Box::new(parse(law, outer)?),
            })
        })?,
        (MIXTURE, _) => nested(MIXTURE, outer, |outer| {
            let parts = rest.split('+').map(|part| {
                let (weight, law) = first_and_law(part)?;
                Ok(MixturePart {
                    weight: number(weight)?,
                    law: parse(law, outer)?,
                })
            });
            Ok(DurationLaw::Mixture(parts.collect::<Result<_, String>>()?))
        })?,
        ("fixed", [length]) => DurationLaw::Fixed(span(length)?),
        ("uniform", [min, max]) => DurationLaw::Uniform {
            min: span(min)?,
            max: span(max)?,
        },
        ("exponential", [mean]) => DurationLaw::Exponential { mean: span(mean)? },
        ("lognormal", [median, sigma]) => DurationLaw::Lognormal {
            median: span(median)?,
            sigma: number(sigma)?,
        },
        ("weibull", [scale, shape]) => DurationLaw::Weibull {
            scale: span(scale)?,
            shape: number(shape)?,
        },
        ("pareto", [min, alpha]) => DurationLaw::Pareto {
            min: span(min)?,
            alpha: number(alpha)?,
        },
        ("empirical", samples) => DurationLaw::Empirical(
            samples
                .iter()
                .map(|sample| span(sample))
                .collect::<Result<_, _>>()?,
        ),
        // A negative or too long duration is told as such.
        (length, [""]) if length.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            DurationLaw::Fixed(span(length)?)
        }
        _ => {
            return Err(format!(
                "{text:?} is not a law of durations such as 20s, uniform:10s:30s, exponential:20s, lognormal:20s:0.5, \
                 weibull:20s:1.5, pareto:10s:1.5, empirical:3s:41s, shifted:5s:LAW or mixture:0.3:LAW+0.7:LAW"
            ));
        }
    })
}

/// What stands before a law, and the law.
fn first_and_law(text: &str) -> Result<(&str, &str), String> {
    text.split_once(':').ok_or_else(|| {
        format!("{text:?} lacks a law, as in shifted:5s:LAW or mixture:0.3:LAW+0.7:LAW")
    })
}

impl fmt::Display for DurationLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "{length}"),
            Self::Uniform { min, max } => write!(f, "uniform:{min}:{max}"),
            Self::Exponential { mean } => write!(f, "exponential:{mean}"),
            Self::Lognormal { median, sigma } => write!(f, "lognormal:{median}:{sigma}"),
            Self::Weibull { scale, shape } => write!(f, "weibull:{scale}:{shape}"),
            Self::Pareto { min, alpha } => write!(f, "pareto:{min}:{alpha}"),
            Self::Empirical(samples) => {
                f.write_str("empirical")?;
                samples.iter().try_for_each(|sample| write!(f, ":{sample}"))
            }
            Self::Shifted { by, law } => write!(f, "{SHIFTED}:{by}:{law}"),
            Self::Mixture(parts) => {
                f.write_str(MIXTURE)?;
                parts.iter().enumerate().try_for_each(|(i, part)| {
                    let before = if i == 0 { ':' } else { '+' };
                    write!(f, "{before}{}:{}", part.weight, part.law)
                })
            }
        }
    }
}

impl Serialize for DurationLaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The method that the derive made.
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for DurationLaw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Reads a law as an object or as text.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = DurationLaw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a law of durations such as {\"uniform\": {\"min\": \"10s\", \"max\": \"30s\"}} or \"uniform:10s:30s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationLaw, E> {
        let law = parse(text.trim(), &mut Vec::new()).map_err(E::custom)?;
        law.validate().map_err(E::custom)?;
        Ok(law)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DurationLaw, A::Error> {
        // The method that the derive made.
        let law = DurationLaw::deserialize(MapAccessDeserializer::new(&mut map))?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom(
                "a law of durations has one member, its name",
            ));
        }
        Ok(law)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A law of every name: text, JSON, mean in seconds, median in seconds.
    const LAWS: [(&str, &str, f64, f64); 9] = [
        ("20s", r#"{"fixed":"20s"}"#, 20.0, 20.0),
        (
            "uniform:10s:30s",
            r#"{"uniform":{"min":"10s","max":"30s"}}"#,
            20.0,
            20.0,
        ),
        (
            "exponential:20s",
            r#"{"exponential":{"mean":"20s"}}"#,
            20.0,
            13.863,
        ),
        (
            "lognormal:20s:0.5",
            r#"{"lognormal":{"median":"20s","sigma":0.5}}"#,
            22.663,
            20.0,
        ),
        (
            "weibull:20s:1.5",
            r#"{"weibull":{"scale":"20s","shape":1.5}}"#,
            18.055,
            15.664,
        ),
        (
            "pareto:10s:3",
            r#"{"pareto":{"min":"10s","alpha":3.0}}"#,
            15.0,
            12.599,
        ),
        (
            "empirical:1s:3s:8s",
            r#"{"empirical":["1s","3s","8s"]}"#,
            4.0,
            3.0,
        ),
        (
            "shifted:5s:uniform:1s:3s",
            r#"{"shifted":{"by":"5s","law":{"uniform":{"min":"1s","max":"3s"}}}}"#,
            7.0,
            7.0,
        ),
        (
            "mixture:1:2s+3:shifted:1s:exponential:9s",
            r#"{"mixture":[{"weight":1.0,"law":{"fixed":"2s"}},{"weight":3.0,"law":{"shifted":{"by":"1s","law":{"exponential":{"mean":"9s"}}}}}]}"#,
            8.0,
            4.649,
        ),
    ];

    #[test]
    fn every_law_is_written_and_read_as_text_and_as_json() {
        for (text, json, ..) in LAWS {
            let law: DurationLaw = text.parse().unwrap();
            assert_eq!(law.to_string(), text);
            assert_eq!(serde_json::to_string(&law).unwrap(), json);
            assert_eq!(json.parse(), Ok(law.clone()));
            for form in [json.to_owned(), format!("{text:?}")] {
                assert_eq!(serde_json::from_str::<DurationLaw>(&form).unwrap(), law);
                let value: serde_json::Value = serde_json::from_str(&form).unwrap();
                assert_eq!(serde_json::from_value::<DurationLaw>(value).unwrap(), law);
            }
        }
        for (text, shown) in [
            ("fixed:20", "20s"),
            (" uniform:500ms:90 ", "uniform:500ms:1m 30s"),
            (r#"{"uniform":{"min":"1s","max":2}}"#, "uniform:1s:2s"),
            (
                r#"{"shifted":{"by":1,"law":"uniform:1:2"}}"#,
                "shifted:1s:uniform:1s:2s",
            ),
        ] {
            let law: DurationLaw = text.parse().unwrap();
            assert_eq!(law.to_string(), shown);
        }
    }

    #[test]
    fn a_wrong_law_is_told_what_would_be_right() {
        let deep = "shifted:1s:".repeat(20_000);
        for (text, part) in [
            ("", "is not a law of durations such as 20s"),
            ("normal:1:2", "such as"),
            ("uniform:10s", "such as"),
            ("uniform:30s:10s", "must not be more than `max`"),
            ("-3", "must not be negative"),
            ("367d", "at most 366 days"),
            ("fixed:soon", "is not a duration"),
            (
                "lognormal:20s:-1",
                "`sigma` of a lognormal duration must be between 0 and 5",
            ),
            ("lognormal:20s:x", "is not a number"),
            (
                "weibull:20s:0",
                "`shape` of a weibull duration must be more than 0",
            ),
            (
                "pareto:10s:NaN",
                "`alpha` of a pareto duration must be more than 0",
            ),
            ("empirical:", "is not a duration"),
            ("mixture:", "lacks a law"),
            ("mixture:0:1s", "`weight` in a mixture must be more than 0"),
            (
                "mixture:1:mixture:1:1s",
                "must not be inside of a `mixture`",
            ),
            ("shifted:1s", "lacks a law"),
            ("shifted:1s:nothing", "such as"),
            (&deep, "must not be inside of a `shifted`"),
            (r#"{"uniform":{}}"#, "missing field `min`"),
            (r#"{"empirical":[]}"#, "at least one duration"),
            (r#"{"mixture":[]}"#, "must have 1 to 50 parts, but has 0"),
            (r#"{"fixed":1,"exponential":{"mean":1}}"#, "has one member"),
            (
                r#"{"shifted":{"by":1,"law":{"shifted":{"by":1,"law":"1s"}}}}"#,
                "must not be inside of a `shifted`",
            ),
        ] {
            let error = text.parse::<DurationLaw>().expect_err(text).to_string();
            assert!(error.contains(part), "{text:.50}: {error:.200}");
        }
    }

    #[test]
    fn the_points_of_every_law_have_its_mean_and_its_median() {
        for (text, _, mean, median) in LAWS {
            let mut points = text.parse::<DurationLaw>().unwrap().points(20_000);
            let weight: f64 = points.iter().map(|(_, weight)| weight).sum();
            assert!((weight - 1.0).abs() < 1e-9, "{text}: {weight}");
            let got: f64 = points.iter().map(|(time, weight)| time * weight).sum();
            assert!((got / mean - 1.0).abs() < 0.005, "{text}: mean {got}");
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            let mut below = 0.0;
            let middle = points.iter().find(|(_, weight)| {
                below += weight;
                below >= 0.5
            });
            let got = middle.unwrap().0;
            assert!((got / median - 1.0).abs() < 0.001, "{text}: median {got}");
        }
    }

    #[test]
    fn the_normal_quantile_is_the_known_one() {
        assert!(Quantile(0.5).normal().abs() < 1e-12);
        assert!((Quantile(0.975).normal() - 1.959_963_984_540).abs() < 1e-9);
    }
}
