//! Creating a job, once however often it is sent.

use std::future::IntoFuture;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method};

use abide_wire::{NewJob, headers, limits};

use crate::answer::read_job;
use crate::call::call;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::job::{JobHandle, Known};
use crate::origin::Origin;
use crate::resume::ResumeToken;
use crate::telemetry::Purpose;
use crate::transport::BoxFuture;

impl Client {
    /// Creates a job. Nothing is sent before the [`Create`] is awaited.
    pub fn create(&self, job: NewJob) -> Create {
        Create {
            client: self.clone(),
            job,
            key: None,
        }
    }
}

/// A create, to be awaited: made by [`Client::create`].
///
/// It carries an idempotency key that is made before the first byte is sent and is the same for every retry, so that
/// however often it is sent there is one job. On an API of others without such keys it is sent once, on a connection of
/// its own, and again only if it surely never reached the server.
///
/// # Errors
///
/// Every error has the [key](Error::idempotency_key) and a [token](Error::resume_token): send the same create again
/// with [`Create::resume`], from this process or a later one, and if the job exists already, it is that job. On an API
/// without keys an error has neither, and says whether the job [may have been made](Error::may_have_created).
///
/// # Cancel safety
///
/// Where the future is dropped the job may have been created or not. Name a [key](Self::idempotency_key) of your own
/// beforehand if you must find out.
#[must_use = "a create does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct Create {
    client: Client,
    job: NewJob,
    key: Option<String>,
}

impl Create {
    /// The key that names this create, 1 to 255 visible ASCII characters. Default: 128 random bits. An error of usage
    /// on an API that has no keys.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Takes the key of an earlier attempt, so that there will be one job, not two.
    pub fn resume(mut self, token: &ResumeToken) -> Self {
        self.key = token.idempotency_key().map(str::to_owned).or(self.key);
        self
    }

    async fn run(self) -> Result<JobHandle, Error> {
        let Self { client, job, key } = self;
        let origin = &client.core.origin;
        let remote = client.core.remote.as_deref();
        let keyless = remote.filter(|remote| remote.idempotency_header.is_none());
        if let (Some(remote), Some(_)) = (keyless, &key) {
            return Err(Error::usage(format!(
                "{} has no header for an idempotency key",
                remote.name
            )));
        }
        let key = key.unwrap_or_else(|| origin.rng.key());
        let token = match keyless {
            None => ResumeToken::of_create(origin.server(), key.clone()),
            Some(_) => ResumeToken::of_nothing(origin.server()),
        };
        let fits = !key.is_empty()
            && key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        let Some(value) = HeaderValue::from_str(&key).ok().filter(|_| fits) else {
            return Err(Error::usage(format!(
                "an idempotency key has 1 to {} visible ASCII characters",
                limits::IDEMPOTENCY_KEY_BYTES_MAX
            )));
        };
        let (job, accepted, replayed) = match remote {
            None => {
                let request = native_create(origin, &job, value)
                    .map_err(|error| error.token(token.clone()))?;
                call(origin, &request, &token, |reply| {
                    let job = read_job(reply, None)?;
                    origin.note_date(reply);
                    origin.memory.note_rtt(reply.took());
                    let replayed = reply.header(headers::IDEMPOTENT_REPLAYED) == Some("true");
                    Ok((job, reply.received - reply.took() / 2, replayed))
                })
                .await?
            }
            Some(remote) => {
                let request = remote
                    .create_call(origin, &job, &key)
                    .map_err(|error| error.token(token.clone()))?;
                let kind = job.kind.as_ref().unwrap_or(&remote.name);
                call(origin, &request, &token, |reply| {
                    let id = remote.created(reply)?;
                    let now = origin.clock.wall();
                    // Not every API tells the whole job at once.
                    let job = remote
                        .read(origin, reply, &id, kind)
                        .unwrap_or_else(|_| remote.fresh(id, kind, now));
                    Ok((job, reply.received - reply.took() / 2, false))
                })
                .await?
            }
        };
        let known = Known {
            // A job that was there before was accepted at some other time, which its next answer will tell.
            accepted: (!replayed).then_some(accepted),
            key: keyless.is_none().then_some(key),
            kind: Some(job.kind.clone()),
            // A foreign job has none of its own.
            revision: remote.is_none().then_some(job.revision),
            created_at: Some(job.created_at),
            replayed,
            snapshot: None,
        };
        let id = job.id.clone();
        let known = Known {
            snapshot: Some(Arc::new(job)),
            ..known
        };
        Ok(JobHandle::new(client, id, known))
    }
}

fn native_create(origin: &Origin, job: &NewJob, key: HeaderValue) -> Result<Call, Error> {
    let body = serde_json::to_vec(job)
        .map_err(|error| Error::usage("the job can't be written as JSON").because(error))?;
    Ok(
        Call::new(Purpose::Create, Method::POST, origin.url(["v1", "jobs"]))
            .json(Bytes::from(body))
            .header(headers::IDEMPOTENCY_KEY, key),
    )
}

impl IntoFuture for Create {
    type Output = Result<JobHandle, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
