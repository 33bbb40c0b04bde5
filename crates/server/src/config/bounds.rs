//! What settings must keep to: the bounds of each, and what doesn't go together.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use abide_wire::Span;

use super::settings::{Config, seconds_span};
use super::types::{ClockSort, WebhookAllow};

/// The shortest pause before the default job starts again: without any, one that takes no time would start for ever.
const DEFAULT_JOB_RESET_MIN: Duration = Duration::from_millis(10);

/// A setting, and what is wrong with it.
type Wrong = (&'static str, String);

fn refuse(name: &'static str, said: impl Into<String>) -> Result<(), Wrong> {
    Err((name, said.into()))
}

impl Config {
    /// What is out of its bounds or doesn't go together.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_numbers()?;
        self.check_database()?;
        self.check_webhooks()?;
        self.check_tls()?;
        self.check_who_may_ask()
    }

    fn check_numbers(&self) -> Result<(), Wrong> {
        let between = |name, span: Span, min: u64, max: u64| {
            let seconds = span.get().as_secs_f64();
            if seconds < min as f64 || seconds > max as f64 {
                let (min, max) = (seconds_span(min), seconds_span(max));
                return refuse(name, format!("must be {min} to {max}, but is {span}"));
            }
            Ok(())
        };
        between("hold-max", self.hold_max, 1, 600)?;
        if !(500..=60_000).contains(&self.lease.get().as_millis()) {
            let said = format!("must be 500ms to 60s, but is {}", self.lease);
            return refuse("lease", said);
        }
        between("drain", self.drain, 0, 600)?;
        between("retention", self.retention, 1, 366 * 86_400)?;
        if !(0.0..=1.0).contains(&self.error_chance) {
            let said = format!("must be between 0 and 1, but is {}", self.error_chance);
            return refuse("error-chance", said);
        }
        if self.speed.get() > 100_000 {
            let said = format!("must be 1 to 100000, but is {}", self.speed);
            return refuse("speed", said);
        }
        if self.clock == ClockSort::Manual && self.speed != NonZeroU32::MIN {
            let said = "does nothing with --clock manual; leave one of them out";
            return refuse("speed", said);
        }
        if let Some(reset) = self.default_job_reset
            && reset.get() < DEFAULT_JOB_RESET_MIN
        {
            let said = format!("must be at least 10ms, but is {reset}");
            return refuse("default-job-reset", said);
        }
        let law = self.job_duration();
        law.validate().map_err(|said| ("min-delay", said))
    }

    /// What a database excludes, and what needs one.
    fn check_database(&self) -> Result<(), Wrong> {
        if self.database.is_none() {
            return match &self.seal_key_file {
                Some(_) => refuse("seal-key-file", "needs --database as well"),
                None => Ok(()),
            };
        }
        if !cfg!(feature = "postgres") {
            return refuse("database", "needs a build with the feature `postgres`");
        }
        let untouched = Self::default();
        let excluded = [
            ("data", self.data != untouched.data),
            ("ephemeral", self.ephemeral),
            ("clock", self.clock != untouched.clock),
            ("speed", self.speed != untouched.speed),
        ];
        match excluded.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => refuse(
                name,
                "can't be set together with --database; leave one of them out",
            ),
            None => Ok(()),
        }
    }

    fn check_webhooks(&self) -> Result<(), Wrong> {
        if self.webhook_retry.is_empty() || self.webhook_retry.len() > 50 {
            return refuse("webhook-retry", "must have 1 to 50 pauses");
        }
        if self.webhook_allow.len() > 1 && self.webhook_allow.contains(&WebhookAllow::None) {
            return refuse("webhook-allow", "is either none, or what is allowed");
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), Wrong> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => refuse("tls-cert", "needs --tls-key as well"),
            (None, Some(_)) => refuse("tls-key", "needs --tls-cert as well"),
            (Some(_), Some(_)) if !cfg!(feature = "tls") => {
                refuse("tls-cert", "needs a build with the feature `tls`")
            }
            _ => Ok(()),
        }
    }

    fn check_who_may_ask(&self) -> Result<(), Wrong> {
        let is_origin = |text: &String| {
            let origin = url::Url::parse(text).map(|url| url.origin().ascii_serialization());
            text == "*" || origin.is_ok_and(|origin| origin == *text)
        };
        if let Some(wrong) = self.cors_origin.iter().find(|text| !is_origin(text)) {
            let said = format!("{wrong:?} is not an origin such as https://example.com, nor *");
            return refuse("cors-origin", said);
        }
        let mut named = self.api_keys.iter().filter(|key| key.is_named());
        let mut by_secret = HashMap::new();
        // There may be thousands, and they are checked again whenever their file is read.
        if named.any(|key| {
            let before = by_secret.insert(key.secret.reveal(), key);
            before.is_some_and(|before| before != key)
        }) {
            return refuse("api-key", "has one secret under two names or roles");
        }
        let mut addresses = self.listen.all();
        if let Some(address) = addresses.find(|address| !address.ip().is_loopback())
            && self.api_keys.is_empty()
            && !self.allow_anonymous
        {
            let said = format!(
                "is {address}, which others can reach, and there is no API key; give one with --api-key, or let anybody in with --allow-anonymous"
            );
            return refuse("listen", said);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::super::settings::SETTINGS;
    use super::super::value::Value;
    use super::*;

    #[test]
    fn a_database_excludes_what_only_one_process_can_have() {
        let with = |name: &str, value: &str| {
            let database = || Some(Value::parse("postgres://ann@x/jobs").unwrap());
            let mut config = Config {
                database: database(),
                ..Config::default()
            };
            config.check().unwrap();
            let setting = SETTINGS
                .iter()
                .find(|setting| setting.name == name)
                .unwrap();
            (setting.set)(&mut config, value).unwrap();
            config.check().unwrap_err()
        };
        for (name, value) in [
            ("data", "jobs"),
            ("ephemeral", "true"),
            ("clock", "manual"),
            ("speed", "2"),
        ] {
            let (setting, said) = with(name, value);
            assert_eq!(setting, name);
            assert!(said.contains("--database"), "{said}");
        }
        let config = Config {
            seal_key_file: Some("key".into()),
            ..Config::default()
        };
        assert_eq!(config.check().unwrap_err().0, "seal-key-file");
    }
}
