//! What it takes to go on waiting in another process.

use std::fmt;

use serde::{Deserialize, Serialize};

use abide_wire::{JobId, Revision, Timestamp};

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// What a later process needs to go on where this one stopped: a small versioned JSON, without any secret.
///
/// Every handle and every error has one. Write it down with [`ToString`] and read it back with [`str::parse`]; hand it
/// to [`Client::resume`](crate::Client::resume). The API key is not in it.
///
/// An error of a `create` whose answer never came has a token without an id: whether the job exists is unknown. Such
/// a token carries the idempotency key; send the same create with it again,
/// [`client.create(the_same).resume(&token)`](crate::Create::resume), and there will be one job, not two.
///
/// ```
/// # fn main() -> Result<(), abide::Error> {
/// let client = abide::Client::new("http://127.0.0.1:8080")?;
/// let text = client.job("job_1").resume_token().to_string();
/// // Later, elsewhere:
/// let job = client.resume(&text.parse()?)?;
/// assert_eq!(job.id().as_str(), "job_1");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeToken {
    /// The version of this format.
    v: u32,
    /// The server, without credentials.
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
}

/// The version of tokens that this crate writes.
const VERSION: u32 = 1;

impl ResumeToken {
    pub(crate) fn of_job(server: &str, job: JobId) -> Self {
        Self {
            v: VERSION,
            server: server.to_owned(),
            job: Some(job),
            key: None,
            kind: None,
            created_at: None,
            revision: None,
        }
    }

    pub(crate) fn of_create(server: &str, key: String) -> Self {
        Self {
            v: VERSION,
            server: server.to_owned(),
            job: None,
            key: Some(key),
            kind: None,
            created_at: None,
            revision: None,
        }
    }

    /// A token that resumes nothing, for errors of calls that are about no job.
    pub(crate) fn of_nothing(server: &str) -> Self {
        Self {
            job: None,
            ..Self::of_create(server, String::new())
        }
        .key(None)
    }

    /// Notes what is known of the job, so that the next process needn't learn it again.
    pub(crate) fn known(
        mut self,
        kind: &str,
        created_at: Timestamp,
        revision: Option<Revision>,
    ) -> Self {
        self.kind = (!kind.is_empty()).then(|| kind.to_owned());
        self.created_at = Some(created_at);
        self.revision = revision;
        self
    }

    pub(crate) fn key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    /// The job; none where a create's answer never came.
    #[must_use]
    pub fn job_id(&self) -> Option<&JobId> {
        self.job.as_ref()
    }

    /// The key under which the job was created, where this process created it.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The server that has the job.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    pub(crate) const fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    pub(crate) const fn revision(&self) -> Option<Revision> {
        self.revision
    }
}

/// Why a text is no resume token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoToken {
    #[error("a resume token has at most {TOKEN_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("this is not a resume token")]
    Garbled(#[source] serde_json::Error),
    #[error("this resume token has version {0}, and this release reads version {VERSION}")]
    Version(u32),
}

impl ResumeToken {
    /// Reads what [`ToString`] wrote; `str::parse` calls it.
    pub(crate) fn read(text: &str) -> Result<Self, NoToken> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(NoToken::TooLong(text.len()));
        }
        let token: Self = serde_json::from_str(text).map_err(NoToken::Garbled)?;
        match token.v {
            VERSION => Ok(token),
            other => Err(NoToken::Version(other)),
        }
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_written_down() {
        let token = ResumeToken::of_job("http://127.0.0.1:8080", JobId::new("job_1"))
            .known(
                "video_translation",
                Timestamp::from_millis(5),
                Some(Revision(3)),
            )
            .key(Some("k".to_owned()));
        let text = token.to_string();
        assert_eq!(
            text,
            r#"{"v":1,"server":"http://127.0.0.1:8080","job":"job_1","key":"k","kind":"video_translation","created_at":"1970-01-01T00:00:00.005Z","revision":3}"#
        );
        assert_eq!(text.parse::<ResumeToken>().unwrap(), token);
    }

    #[test]
    fn what_is_not_a_token_is_refused_and_named() {
        for text in [
            "",
            "{}",
            "job_1",
            r#"{"v":9,"server":"x"}"#,
            &"x".repeat(9_000),
        ] {
            let error = text.parse::<ResumeToken>().unwrap_err();
            assert!(error.is_usage(), "{error}");
        }
    }
}
