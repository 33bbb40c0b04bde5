//! What a caller knows of a job beforehand, beside its size.

use super::learned::hash;

/// What a caller knows of a job before it runs and that may bear on how long it takes: its model, its language, the
/// number of its steps.
///
/// A schedule that learns finds out by how much each value makes jobs longer or shorter, and whether it does at all. A
/// text stands for itself, a number for an amount, with a power of which durations may grow. Tell the same features of
/// all jobs of a kind: one that isn't told counts as one that makes no difference.
///
/// ```
/// use abide::schedule::{Feature, Start};
///
/// let start = Start::new(1).features([Feature::new("model", "sdxl"), Feature::new("steps", 30)]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    /// Tells it from others: of a text the name and the value, of a number the name.
    pub(crate) key: u32,
    /// The logarithm of a number.
    pub(crate) ln: Option<f32>,
}

impl Feature {
    /// A feature of that name and value.
    #[must_use]
    pub fn new(name: &str, value: impl Into<FeatureValue>) -> Self {
        let key = |text: &str| {
            let hash = hash(text);
            (hash ^ (hash >> 32)) as u32
        };
        match value.into() {
            FeatureValue::Number(number) if number > 0.0 && number.is_finite() => Self {
                key: key(name),
                ln: Some(number.ln() as f32),
            },
            FeatureValue::Number(number) => Self::new(name, number.to_string()),
            FeatureValue::Text(text) => Self {
                key: key(&format!("{name}={text}")),
                ln: None,
            },
        }
    }
}

/// The value of a [`Feature`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FeatureValue {
    /// A name for something that has no amount.
    Text(String),
    /// An amount. One that isn't positive and finite counts as a text.
    Number(f64),
}

impl From<&str> for FeatureValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for FeatureValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for FeatureValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for FeatureValue {
    fn from(number: u32) -> Self {
        Self::Number(f64::from(number))
    }
}

impl From<i32> for FeatureValue {
    fn from(number: i32) -> Self {
        Self::Number(f64::from(number))
    }
}
