//! A handle to one job.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use abide_wire::{Job, JobId, Revision};

use crate::client::Client;
use crate::error::Error;
use crate::resume::ResumeToken;
use crate::wait::Wait;
use crate::watch::Watch;

/// A job on a server: what [`Client::create`], [`Client::job`] and [`Client::resume`] return.
///
/// A handle is cheap to clone, does nothing by itself, and stays usable whatever became of the futures made from it.
#[derive(Clone)]
pub struct JobHandle {
    pub(crate) client: Client,
    pub(crate) id: JobId,
    pub(crate) known: Arc<Known>,
}

/// What this process knows of a job before it asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The job as the create's answer showed it.
    pub(crate) snapshot: Option<Arc<Job>>,
    /// When it was accepted, where this process was there.
    pub(crate) accepted: Option<Instant>,
    pub(crate) key: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) revision: Option<Revision>,
    pub(crate) created_at: Option<abide_wire::Timestamp>,
    pub(crate) replayed: bool,
}

impl JobHandle {
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

    /// Waits for the end. Nothing is sent before the [`Wait`] is awaited.
    ///
    /// ```no_run
    /// # async fn example(job: abide::JobHandle) -> Result<(), abide::Error> {
    /// let done = job.wait().deadline(std::time::Duration::from_secs(600)).await?;
    /// println!("{}", done.outcome());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&self) -> Wait {
        Wait::new(self.clone())
    }

    /// Watches the job change: a stream of its states, progress included, to the last one. Nothing is sent before it is
    /// polled.
    ///
    /// ```no_run
    /// # async fn example(job: abide::JobHandle) -> Result<(), abide::Error> {
    /// let mut updates = job.watch();
    /// while let Some(update) = updates.next().await {
    ///     let job = update?;
    ///     println!("{} {:?}", job.status, job.progress);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> Watch {
        Watch::new(self.clone())
    }

    /// Asks how the job stands now.
    ///
    /// # Errors
    ///
    /// See [`Client::status`].
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing; the future may be dropped at any time.
    pub async fn status(&self) -> Result<Job, Error> {
        self.client.status_of(&self.id, self.resume_token()).await
    }

    /// Cancels the job. A job that has ended stays as it ended, and that is no error.
    ///
    /// # Errors
    ///
    /// See [`Client::cancel`].
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped the job may have been canceled or not; calling it again does no harm.
    pub async fn cancel(&self) -> Result<Job, Error> {
        self.client.cancel_of(&self.id, self.resume_token()).await
    }

    /// Deletes the record of a job that is done.
    ///
    /// # Errors
    ///
    /// See [`Client::delete`].
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped the record may have been deleted or not; calling it again does no harm.
    pub async fn delete(&self) -> Result<(), Error> {
        self.client.delete_of(&self.id, self.resume_token()).await
    }

    /// What a later process needs to go on waiting.
    #[must_use]
    pub fn resume_token(&self) -> ResumeToken {
        let known = &self.known;
        let token =
            ResumeToken::of_job(self.client.server(), self.id.clone()).key(known.key.clone());
        match (known.created_at, known.revision) {
            (Some(created_at), Some(revision)) => {
                let kind = known.kind.as_deref().unwrap_or_default();
                token.known(kind, created_at, revision)
            }
            _ => token,
        }
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
