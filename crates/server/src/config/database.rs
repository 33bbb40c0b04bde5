//! The URL of a database, and what the nodes on it share.

use std::fmt;

use super::value::Value;

/// What all nodes of a cluster may share: what decides which entries are written.
pub const SHARED_SETTINGS: &[&str] = &[
    "duration",
    "error-chance",
    "jobs-max",
    "max-delay",
    "min-delay",
    "retention",
    "seed",
    "stored-bytes-max",
    "stored-bytes-per-owner",
    "webhook-retry",
];

/// The URL of a PostgreSQL database, with its password: it is shown and logged without.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole text. For connecting, never for showing.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl Value for DatabaseUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Ok(Self(text.to_owned()));
        }
        // It isn't repeated: it may be most of a password.
        Err("must look like postgres://USER:PASSWORD@HOST/NAME".to_owned())
    }

    fn show(&self) -> String {
        const HIDDEN: &str = "[redacted]";
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // A password may have an `@` of its own that should be encoded and isn't; hosts and parameters have none.
        let shown = match rest.rsplit_once('@') {
            Some((user, hosts)) => {
                let user = match user.split_once(':') {
                    Some((user, _)) => format!("{user}:{HIDDEN}"),
                    None => user.to_owned(),
                };
                format!("{scheme}://{user}@{hosts}")
            }
            None => self.0.clone(),
        };
        let Some((before, parameters)) = shown.split_once('?') else {
            return shown;
        };
        let parameters = parameters
            .split('&')
            .map(|parameter| match parameter.split_once('=') {
                Some((name @ ("password" | "sslpassword"), _)) => format!("{name}={HIDDEN}"),
                _ => parameter.to_owned(),
            });
        format!("{before}?{}", parameters.collect::<Vec<_>>().join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (text, shown) in [
            (
                "postgres://ann:hush@a,b:1/jobs",
                "postgres://ann:[redacted]@a,b:1/jobs",
            ),
            (
                "postgres://ann:hu@sh@a/jobs?sslmode=require",
                "postgres://ann:[redacted]@a/jobs?sslmode=require",
            ),
            (
                "postgresql://a/jobs?user=ann&password=hush",
                "postgresql://a/jobs?user=ann&password=[redacted]",
            ),
            ("postgres://ann@a/jobs", "postgres://ann@a/jobs"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.show(), shown);
            assert_eq!(format!("{url:?} {url}"), format!("{shown} {shown}"));
            assert_eq!(url.reveal(), text);
        }
        let error = DatabaseUrl::parse("ann:hush@a/jobs").unwrap_err();
        assert!(
            !error.contains("hush") && error.contains("postgres://USER"),
            "{error}"
        );
    }
}
