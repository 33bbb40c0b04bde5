//! Claiming a job to work on.

use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use abide_wire::{ClaimRequest, Span, headers};

use super::lease::Lease;
use crate::answer::read_job;
use crate::call::persist;
use crate::client::Client;
use crate::error::{Error, Kind};
use crate::exchange::{Call, Reply, stretched};
use crate::resume::ResumeToken;
use crate::retry::turnaround;
use crate::rt::{after, in_time, sleep_until};
use crate::telemetry::Purpose;
use crate::transport::BoxFuture;

/// The longest that one request for a job is held.
const HOLD_MAX: Duration = Duration::from_secs(25);
/// The least time that a held answer without a job takes, or the hold that was asked for if that is shorter.
const HELD_MIN: Duration = Duration::from_secs(1);
/// How much later than its deadline a claim may end, so that an answer that is on its way isn't lost.
const DEADLINE_SLACK: Duration = Duration::from_secs(1);

impl Client {
    /// Claims a job to work on: the oldest pending one with `"worker": "external"`. Nothing is sent before the
    /// [`Claim`] is awaited.
    ///
    /// ```no_run
    /// # async fn example(client: abide::Client) -> Result<(), abide::Error> {
    /// while let Some(lease) = client.claim().kind("dub").await? {
    ///     let input = lease.job().input.clone();
    ///     match lease.while_held(dub(input)).await {
    ///         Ok(video) => drop(lease.complete(&video).await?),
    ///         Err(over) => eprintln!("{over}"), // Canceled or lost: the work was dropped.
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// # async fn dub(_: Option<abide::Json>) -> String { String::new() }
    /// ```
    pub fn claim(&self) -> Claim {
        Claim {
            client: self.clone(),
            request: ClaimRequest::default(),
            deadline: None,
            by_hand: false,
        }
    }
}

/// A claim of a job, to be awaited: made by [`Client::claim`]. It waits until there is a job, by requests that the
/// server holds, and gives the [`Lease`] on it; `None` only where a [`deadline`](Self::deadline) was set and no job
/// came until then.
///
/// Each claim has an idempotency key of its own, so that one that is sent again because its answer was lost takes no
/// second job. A clone is another claim.
///
/// # Errors
///
/// [Unreachable](Error::is_unreachable) when there was no answer for as long as the client's
/// [retry policy](crate::RetryPolicy::patience) is patient, [refused](Error::is_refused), and of usage on an API that
/// isn't ours.
///
/// # Cancel safety
///
/// Where the future is dropped no job is lost: the server sees the connection end, and gives the job that it may just
/// have claimed to the next worker, without counting the attempt. If the server can't see it (the network broke), the
/// job's lease runs out, which counts as an attempt.
#[must_use = "a claim does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct Claim {
    client: Client,
    request: ClaimRequest,
    deadline: Option<Duration>,
    by_hand: bool,
}

impl Claim {
    /// Only jobs of that kind; called several times, of any of these. At most 50. Default: any kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.request.kinds.push(kind.into());
        self
    }

    /// How long this worker may be silent before it has lost the job, 1 s to 24 hours. The lease renews itself every
    /// third of it. A short one tells the death of a worker sooner, and costs more requests. Default: 30 s.
    pub fn lease(mut self, length: Duration) -> Self {
        self.request.lease_s = Some(Span::new(length));
        self
    }

    /// Gives up with `None` if no job came within that time. Default: none, it waits on.
    pub fn deadline(mut self, within: Duration) -> Self {
        self.deadline = Some(within);
        self
    }

    /// The lease is renewed by reports alone: for a host that doesn't turn while the work is done.
    #[cfg(feature = "host")]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    async fn run(self) -> Result<Option<Lease>, Error> {
        let origin = &self.client.core.origin;
        if self.client.core.remote.is_some() {
            return Err(Error::usage("only our own API gives jobs to workers"));
        }
        self.request.validate().map_err(Error::usage)?;
        let until = self
            .deadline
            .map(|within| after(origin.clock.now(), within));
        let key = origin.rng.key();
        let work = async {
            let mut empty = 0;
            loop {
                let now = origin.clock.now();
                let left = until.map_or(HOLD_MAX, |until| until.saturating_duration_since(now));
                let hold = left.min(HOLD_MAX);
                let lease = self.next(&key, hold).await?;
                if lease.is_some() || left.is_zero() {
                    return Ok(lease);
                }
                let answered = origin.clock.now();
                if answered.saturating_duration_since(now) >= hold.min(HELD_MIN) {
                    empty = 0;
                } else {
                    // Whatever answers holds no request; it isn't asked as fast as it answers.
                    let next = after(answered, turnaround(empty));
                    empty += 1;
                    sleep_until(until.map_or(next, |until| next.min(until))).await;
                }
            }
        };
        let Some(until) = until else {
            return work.await;
        };
        let over = in_time(&origin.clock, after(until, DEADLINE_SLACK), work).await;
        over.unwrap_or_else(|| {
            let what = "no answer until the claim's deadline";
            let token = ResumeToken::of_nothing(origin.server());
            Err(Error::new(Kind::Unreachable, what)
                .timed_out(true)
                .token(token))
        })
    }

    /// One held request, sent again while its failures may pass.
    async fn next(&self, key: &str, hold: Duration) -> Result<Option<Lease>, Error> {
        let origin = &self.client.core.origin;
        let key = HeaderValue::from_str(key).expect("a key that was drawn is hexadecimal");
        let make = || {
            let now = origin.clock.now();
            let hold = hold.min(origin.memory.abilities(now).hold_max);
            let request = ClaimRequest {
                wait: Span::new(hold),
                ..self.request.clone()
            };
            let body = serde_json::to_vec(&request).expect("a claim is plain data");
            let url = origin.url(["v1", "jobs", "claim"]);
            let call = Call::new(Purpose::Claim, Method::POST, url)
                .json(Bytes::from(body))
                .header(headers::IDEMPOTENCY_KEY, key.clone());
            (call, stretched(hold).saturating_add(origin.attempt_timeout))
        };
        let read = |reply: &Reply| {
            if reply.status == StatusCode::NO_CONTENT {
                return Ok(None);
            }
            let mut job = read_job(reply, None)?;
            let lease = job.lease.take();
            let lease = lease.ok_or_else(|| reply.garbled("the answer to a claim has no lease"))?;
            Ok(Some((job, lease)))
        };
        let claimed = persist(origin, make, read).await.map_err(|failure| {
            let token = ResumeToken::of_nothing(origin.server());
            failure.into_error().token(token)
        })?;
        let length = self.request.lease();
        Ok(claimed.map(|(job, lease)| {
            let client = self.client.clone();
            match self.by_hand {
                true => Lease::by_hand(client, job, &lease.token, length),
                false => Lease::begin(client, job, &lease.token, length),
            }
        }))
    }
}

impl IntoFuture for Claim {
    type Output = Result<Option<Lease>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};

    use super::*;
    use crate::transport::{Body, Transport, TransportError};

    /// Has no job, and says so without holding.
    #[derive(Clone, Debug, Default)]
    struct Hasty(Arc<AtomicUsize>);

    impl Transport for Hasty {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                let mut answer = Response::new(Body::full(Bytes::new()));
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Ok(answer)
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_no_claim_is_not_asked_without_end() {
        let hasty = Hasty::default();
        let client = Client::builder("http://jobs.test").transport(hasty.clone());
        let client = client.build().unwrap();
        let minute = Duration::from_secs(60);
        let begun = client.core.origin.clock.now();
        let claimed = client.claim().deadline(minute).await.unwrap();
        let took = client.core.origin.clock.now() - begun;
        assert!(claimed.is_none());
        assert!(took >= minute && took < minute + DEADLINE_SLACK, "{took:?}");
        let asked = hasty.0.load(Ordering::Relaxed);
        assert!((3..=15).contains(&asked), "{asked}");
    }
}
