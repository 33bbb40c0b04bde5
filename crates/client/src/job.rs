//! A handle to one job, and what can be done to the job.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use url::Url;

use abide_wire::{Job, JobId, Revision, Timestamp};

use crate::answer::read_job;
use crate::call::call;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, Failure, Reply, exchange};
use crate::resume::ResumeToken;
use crate::retry::RetryPolicy;
use crate::rt::{Instant, after};
use crate::telemetry::Purpose;

/// How long a cancel at a wait's deadline may take: the caller wants its thread back.
const CANCEL_WAIT: Duration = Duration::from_secs(1);
/// The longest id that is sent, in bytes.
const ID_BYTES_MAX: usize = 1_024;

/// A job on a server: what [`Client::create`], [`Client::job`] and [`Client::resume`] return.
///
/// A handle is cheap to clone, does nothing by itself, and stays usable whatever became of the futures made from it.
#[derive(Clone)]
pub struct JobHandle {
    client: Client,
    id: JobId,
    pub(crate) known: Arc<Known>,
}

/// What this process knows of a job before it asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The job as the create's answer showed it.
    pub(crate) snapshot: Option<Arc<Job>>,
    /// When it was accepted, if this process was there.
    pub(crate) accepted: Option<Instant>,
    pub(crate) key: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) revision: Option<Revision>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) replayed: bool,
}

/// What is done to a job.
#[derive(Clone, Copy, Debug)]
enum Action {
    Status,
    Cancel,
    Delete,
}

impl Client {
    /// A handle to the job with that id. Nothing is sent; whether there is such a job shows when something is asked of
    /// it.
    #[must_use]
    pub fn job(&self, id: impl Into<JobId>) -> JobHandle {
        JobHandle::new(self.clone(), id.into(), Known::default())
    }

    /// A handle to the job of a token. Nothing is sent.
    ///
    /// # Errors
    ///
    /// A token of another server, or of a create whose answer never came: send that create again with
    /// [`Create::resume`](crate::Create::resume).
    pub fn resume(&self, token: &ResumeToken) -> Result<JobHandle, Error> {
        self.check_server(token)?;
        let Some(id) = token.job_id() else {
            return Err(Error::usage(
                "this token is of a create whose answer never came: \
                 send the same create again, with `create(…).resume(&token)`",
            )
            .token(token.clone()));
        };
        let known = Known {
            key: token.idempotency_key().map(str::to_owned),
            kind: token.kind().map(str::to_owned),
            created_at: token.created_at(),
            revision: token.revision(),
            ..Known::default()
        };
        Ok(JobHandle::new(self.clone(), id.clone(), known))
    }
}

impl JobHandle {
    pub(crate) fn new(client: Client, id: JobId, known: Known) -> Self {
        Self {
            client,
            id,
            known: Arc::new(known),
        }
    }

    /// The same job, of that kind: durations are learned under it from the first request on, and on an API whose paths
    /// have a [kind](crate::Remote) it stands there. A handle from a create or a token knows its kind.
    #[must_use]
    pub fn of_kind(mut self, kind: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.known).kind = Some(kind.into());
        self
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The client that it was made by.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The job as the create's answer showed it; none for a handle that was made from an id or a token.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Job> {
        self.known.snapshot.as_deref()
    }

    /// The key under which this process created it.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.known.key.as_deref()
    }

    /// Whether the create was answered with a job that had been created before under the same key.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.known.replayed
    }

    /// Asks how the job stands now.
    ///
    /// # Errors
    ///
    /// [Unreachable](Error::is_unreachable) after the attempts of the retry policy, [refused](Error::is_refused), among
    /// others by [404 and 410](Error::is_not_found), or [garbled](Error::is_garbled).
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing; the future may be dropped at any time.
    pub async fn status(&self) -> Result<Job, Error> {
        let request = Call::get(Purpose::Look, self.url(Action::Status)?);
        self.call(self.young(request), |reply| self.read(reply))
            .await
    }

    /// Cancels the job. A job that has ended stays as it ended, and that is no error.
    ///
    /// # Errors
    ///
    /// As for [`status`](Self::status).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the job may have been canceled or not. Canceling again is harmless.
    pub async fn cancel(&self) -> Result<Job, Error> {
        let request = self.cancel_call()?;
        let read = |reply: &Reply| Ok(self.read(reply).ok());
        match self.call(self.young(request), read).await? {
            Some(job) => Ok(job),
            // Others answer a cancel with something else than the job.
            None => self.status().await,
        }
    }

    /// Deletes the record of a job that is done. A record that is already gone is no error.
    ///
    /// # Errors
    ///
    /// As for [`status`](Self::status); a job that isn't done is [refused](Error::is_refused) with 409.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the record may have been deleted or not. Deleting again is harmless.
    pub async fn delete(&self) -> Result<(), Error> {
        let request = Call::new(Purpose::Delete, Method::DELETE, self.url(Action::Delete)?);
        match self.call(request, |_| Ok(())).await {
            // A retry of a delete whose answer was lost finds nothing.
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    fn cancel_call(&self) -> Result<Call, Error> {
        let remote = self.client.core.remote.as_ref();
        let method = remote.map(|remote| Method::from_bytes(remote.cancel_method.as_bytes()));
        let method = method.transpose().map_err(|error| {
            Error::usage("the method of a cancel can't be sent")
                .because(error)
                .token(self.resume_token())
        })?;
        let url = self.url(Action::Cancel)?;
        Ok(Call::new(
            Purpose::Cancel,
            method.unwrap_or(Method::POST),
            url,
        ))
    }

    /// Cancels, without retries and without telling what came of it.
    pub(crate) async fn cancel_once(&self) {
        let origin = &self.client.core.origin;
        if let Ok(request) = self.cancel_call() {
            // The caller is told that the job was still running; that it could not be canceled changes nothing.
            let limit = origin.attempt_timeout.min(CANCEL_WAIT);
            let _ = exchange(origin, &request, limit).await;
        }
    }

    /// What a later process needs to go on waiting.
    #[must_use]
    pub fn resume_token(&self) -> ResumeToken {
        let known = &self.known;
        let token =
            ResumeToken::of_job(self.client.server(), self.id.clone()).key(known.key.clone());
        match known.created_at {
            Some(created_at) => {
                let kind = known.kind.as_deref().unwrap_or_default();
                token.known(kind, created_at, known.revision)
            }
            None => token,
        }
    }

    /// The end of the time in which not all of the server may know the job, because this client has just made it.
    pub(crate) fn young_until(&self, policy: &RetryPolicy) -> Option<Instant> {
        let accepted = self.known.accepted?;
        Some(after(accepted, policy.not_found_for))
    }

    /// Makes sure that the id can stand in a path and mean a job there.
    pub(crate) fn check_id(&self) -> Result<(), Error> {
        let wrong = match self.id.as_str() {
            id @ ("" | "." | "..") => format!("{id:?} is not the id of a job"),
            id if id.len() > ID_BYTES_MAX => {
                format!("the id of a job has at most {ID_BYTES_MAX} bytes")
            }
            _ => return Ok(()),
        };
        Err(Error::usage(wrong))
    }

    async fn call<T>(
        &self,
        request: Call,
        read: impl Fn(&Reply) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let origin = &self.client.core.origin;
        call(origin, &request, &self.resume_token(), read).await
    }

    /// The same call, of which a 404 may be "not yet".
    fn young(&self, mut request: Call) -> Call {
        request.young_until = self.young_until(&self.client.core.origin.retry);
        request
    }

    fn read(&self, reply: &Reply) -> Result<Job, Failure> {
        let core = &self.client.core;
        match &core.remote {
            None => read_job(reply, Some(&self.id)),
            Some(remote) => {
                let kind = self.known.kind.as_ref().unwrap_or(&remote.name);
                remote.read(&core.origin, reply, &self.id, kind)
            }
        }
    }

    fn url(&self, action: Action) -> Result<Url, Error> {
        self.check_id()
            .map_err(|error| error.token(self.resume_token()))?;
        let origin = &self.client.core.origin;
        let Some(remote) = &self.client.core.remote else {
            let id = self.id.as_str();
            return Ok(match action {
                Action::Status | Action::Delete => origin.job_url(&self.id),
                Action::Cancel => origin.url(["v1", "jobs", id, "cancel"]),
            });
        };
        let template = match action {
            Action::Status => Some(&remote.status),
            Action::Cancel => remote.cancel.as_ref(),
            Action::Delete => remote.delete.as_ref(),
        };
        let template = template.ok_or_else(|| {
            let what = format!("{} knows no way to do this to a job", remote.name);
            Error::usage(what).token(self.resume_token())
        })?;
        let kind = self.known.kind.as_ref().unwrap_or(&remote.name);
        Ok(remote.url(origin, template, &self.id, kind))
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id.as_str())
            .field("server", &self.client.server())
            .finish_non_exhaustive()
    }
}
