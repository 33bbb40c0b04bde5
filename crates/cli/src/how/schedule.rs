//! Schedules as they are written on the command line.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use abide::schedule::{Backoff, Countdown, Dial, Fixed, Schedule};
use abide_wire::Span;

/// What can be written, for errors.
pub(crate) const FORMS: &str = "learned[:eager|balanced|frugal|PRICE], fixed[:PAUSE], backoff[:INITIAL[:FACTOR[:MAX]]], countdown[:FIRST]";
/// The first pause of a countdown that names none.
const COUNTDOWN_FIRST: Duration = Duration::from_secs(4);

/// A schedule by name, with the numbers that were given.
#[derive(Clone, Debug)]
pub(crate) enum Recipe {
    /// When earlier jobs of the kind suggest it.
    Learned(Option<Dial>),
    /// At equal pauses.
    Fixed(Option<Duration>),
    /// At pauses that grow by a factor, up to a greatest one.
    Backoff {
        initial: Option<Duration>,
        factor: Option<f64>,
        max: Option<Duration>,
    },
    /// At pauses that shrink.
    Countdown(Option<Duration>),
}

impl Recipe {
    /// A backoff that names no numbers.
    pub(crate) const BACKOFF: Self = Self::Backoff {
        initial: None,
        factor: None,
        max: None,
    };

    /// The schedule; `None` for the learned one, which needs to know of which jobs.
    pub(crate) fn build(&self) -> Option<Arc<dyn Schedule>> {
        Some(match *self {
            Self::Learned(_) => return None,
            Self::Fixed(pause) => Arc::new(pause.map_or_else(Fixed::default, Fixed::new)),
            Self::Backoff {
                initial,
                factor,
                max,
            } => {
                let mut backoff = initial.map_or_else(Backoff::default, Backoff::new);
                if let Some(factor) = factor {
                    backoff = backoff.factor(factor);
                }
                if let Some(max) = max {
                    backoff = backoff.max(max);
                }
                Arc::new(backoff)
            }
            Self::Countdown(first) => {
                let first = first.unwrap_or(COUNTDOWN_FIRST);
                Arc::new(Countdown::new([(4, first), (3, first / 2)]).then(first / 4))
            }
        })
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not one of {FORMS}");
        let pause = |text: &&str| {
            let span = Span::from_str(text).map_err(|_| wrong())?.get();
            (!span.is_zero()).then_some(span).ok_or_else(wrong)
        };
        let factor = |text: &&str| {
            let factor = text.parse().ok();
            factor.filter(is_factor).ok_or_else(wrong)
        };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let numbers: Vec<&str> = parts.collect();
        let first = || numbers.first().map(pause).transpose();
        Ok(match (name, numbers.as_slice()) {
            ("learned", []) => Self::Learned(None),
            ("learned", ["eager"]) => Self::Learned(Some(Dial::Eager)),
            ("learned", ["balanced"]) => Self::Learned(Some(Dial::Balanced)),
            ("learned", ["frugal"]) => Self::Learned(Some(Dial::Frugal)),
            ("learned", [price]) => Self::Learned(Some(Dial::Price(pause(price)?))),
            ("fixed", [] | [_]) => Self::Fixed(first()?),
            ("countdown", [] | [_]) => Self::Countdown(first()?),
            ("backoff", [] | [_] | [_, _] | [_, _, _]) => Self::Backoff {
                initial: first()?,
                factor: numbers.get(1).map(factor).transpose()?,
                max: numbers.get(2).map(pause).transpose()?,
            },
            _ => return Err(wrong()),
        })
    }
}

/// Whether pauses may be multiplied by it.
pub(crate) fn is_factor(factor: &f64) -> bool {
    (1.0..=100.0).contains(factor)
}
