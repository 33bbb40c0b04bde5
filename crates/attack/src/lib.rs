//! An attack suite for receivers of webhooks.
//!
//! A receiver that works is one that takes what it should; whether it refuses what it must shows only under attack.
//! [`Attack::run`] tries: forged and altered deliveries, old ones, repeated and reordered ones, a secret being
//! replaced, bodies that are too large, too slow or no JSON. Each check has a verdict of its own.
//!
//! What a receiver *does* with a delivery can't be seen from outside; what it answers can. So a repeated delivery
//! passes when it is acknowledged: whether it had its effect twice is for a test of your own, with the same id sent
//! twice.
//!
//! Only attack what is yours.

mod checks;

use std::fmt;
use std::time::Duration;

use abide::Http;
use abide::webhook::Secret;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::Serialize;

/// Tries a receiver.
#[derive(Debug)]
pub struct Attack {
    url: url::Url,
    secret: Secret,
    timeout: Duration,
    patience: Duration,
    payload: Option<String>,
    http: Http,
}

/// Why a receiver can't be tried at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttackError {
    /// The URL isn't one of http or https.
    #[error("{0:?} is no http or https URL")]
    Url(String),
    /// Nothing listens there.
    #[error("the receiver can't be reached: {0}")]
    Unreachable(String),
    /// The system has no randomness to make secrets of.
    #[error("can't make a secret: {0}")]
    Secret(#[source] std::io::Error),
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Pass,
    /// Not wrong, and not good either.
    Warn,
    /// Wrong.
    Fail,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The check's name.
    pub check: &'static str,
    /// How it went.
    pub grade: Grade,
    /// What a good receiver does.
    pub expected: &'static str,
    /// What this one did.
    pub seen: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Attack {
    /// An attack on the receiver at that URL, which believes that secret.
    ///
    /// # Errors
    ///
    /// The URL can't be called.
    pub fn new(url: &str, secret: Secret) -> Result<Self, AttackError> {
        let parsed = url::Url::parse(url).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(Self {
            url: parsed.ok_or_else(|| AttackError::Url(url.to_owned()))?,
            secret,
            timeout: Duration::from_secs(15),
            patience: Duration::from_secs(20),
            payload: None,
            http: Http::new(Duration::from_secs(5)),
        })
    }

    /// How long an answer may take; 15 s by default, as senders allow.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a body that drips is dripped before the receiver counts as one that would wait for ever; 20 s by
    /// default.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What a good delivery says, for receivers that know only certain jobs; an event of a job that completed by
    /// default.
    #[must_use]
    pub fn payload(mut self, json: impl Into<String>) -> Self {
        self.payload = Some(json.into());
        self
    }

    /// The names of all checks, in their order.
    #[must_use]
    pub fn checks() -> Vec<&'static str> {
        checks::ALL.iter().map(|check| check.name).collect()
    }

    /// Runs the checks whose names `wanted` picks, one after the other, and tells of each as it is done.
    ///
    /// # Errors
    ///
    /// The receiver can't be reached at all.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the check under way, and its connections.
    pub async fn run(
        &self,
        wanted: impl Fn(&str) -> bool,
        mut tell: impl FnMut(&Verdict),
    ) -> Result<Vec<Verdict>, AttackError> {
        let stranger = Secret::generate(random_bytes().map_err(AttackError::Secret)?);
        let field = checks::Field::new(self, stranger)?;
        field.reach().await?;
        let mut verdicts = Vec::new();
        for check in checks::ALL.iter().filter(|check| wanted(check.name)) {
            let verdict = field.try_out(check).await;
            tell(&verdict);
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }
}

/// Bytes straight from the operating system: what is made without them is no secret.
fn random_bytes() -> Result<[u8; 32], std::io::Error> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(std::io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
