//! Webhook endpoints on the server: who is told of jobs, and what became of each delivery.
//!
//! ```no_run
//! # async fn example(client: abide::Client) -> Result<(), abide::Error> {
//! use abide::webhooks::NewEndpoint;
//!
//! let webhooks = client.webhooks();
//! let made = webhooks
//!     .create(&NewEndpoint { url: "https://example.com/hook".to_owned(), ..NewEndpoint::default() })
//!     .await?;
//! // Shown once: what the receiver verifies with.
//! println!("{:?}", made.secret.as_deref());
//! for delivery in webhooks.deliveries(&made.id, None).await?.deliveries {
//!     println!("{} {}: {}", delivery.id, delivery.kind, delivery.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What arrives is checked by [`webhook`](crate::webhook).

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use abide_wire::Timestamp;

pub use abide_wire::endpoint::{
    Attempt, Breaker, Delivery, DeliveryPage, Disabled, Endpoint, EndpointChange, EndpointPage,
    NewEndpoint, ReplayStarted, Rotation,
};

use crate::call::call;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, Failure, JOBS_BYTES_MAX, Reply, object};
use crate::resume::ResumeToken;
use crate::telemetry::Purpose;

/// The webhook endpoints of the client's key: made by [`Client::webhooks`].
///
/// # Errors
///
/// Of every call: [unreachable](Error::is_unreachable) after the attempts of the retry policy,
/// [refused](Error::is_refused), or [of usage](Error::is_usage) for an API that isn't ours. A call that isn't harmless
/// to repeat (create, rotate, test, replay, retry) is sent again only if it surely had no effect.
///
/// # Cancel safety
///
/// If the future of a call that changes something is dropped it may have been carried out or not.
#[derive(Clone, Debug)]
pub struct Webhooks {
    client: Client,
}

impl Client {
    /// The webhook endpoints: who is told of jobs, and what became of each delivery. Nothing is sent.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks {
        Webhooks {
            client: self.clone(),
        }
    }
}

impl Webhooks {
    /// Registers an endpoint. The answer alone shows its secret.
    ///
    /// # Errors
    ///
    /// As for all calls; 409 if there are as many endpoints as there may be.
    pub async fn create(&self, new: &NewEndpoint) -> Result<Endpoint, Error> {
        self.send(self.once(["webhooks"])?, Some(new)).await
    }

    /// A page of endpoints, the oldest first. `page` is the `next_page_token` of the page before.
    ///
    /// # Errors
    ///
    /// As for all calls.
    pub async fn list(&self, page: Option<&str>) -> Result<EndpointPage, Error> {
        self.send(self.get(["webhooks"], page)?, NOTHING).await
    }

    /// How an endpoint stands.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found).
    pub async fn read(&self, id: &str) -> Result<Endpoint, Error> {
        self.send(self.get(["webhooks", id], None)?, NOTHING).await
    }

    /// Changes an endpoint; what is left out stays.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found).
    pub async fn update(&self, id: &str, change: &EndpointChange) -> Result<Endpoint, Error> {
        let call = self.call(Method::PATCH, ["webhooks", id])?;
        self.send(call, Some(change)).await
    }

    /// Removes an endpoint. One that is already gone is no error.
    ///
    /// # Errors
    ///
    /// As for all calls.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let request = self.call(Method::DELETE, ["webhooks", id])?;
        match self.answer(&request, |_| Ok(())).await {
            // A retry of a delete whose answer was lost finds nothing.
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Gives an endpoint a new secret, which the answer alone shows; the old one signs too for a day.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found).
    pub async fn rotate(&self, id: &str, rotation: &Rotation) -> Result<Endpoint, Error> {
        let call = self.once(["webhooks", id, "rotate"])?;
        self.send(call, Some(rotation)).await
    }

    /// Sends an endpoint an event that is of no job.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found), 409 for a disabled endpoint.
    pub async fn test(&self, id: &str) -> Result<Delivery, Error> {
        self.send(self.once(["webhooks", id, "test"])?, NOTHING)
            .await
    }

    /// Sends an endpoint again what was held or failed, and also what was `delivered` if that is wanted; since that
    /// instant if one is given.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found), 409 for a disabled endpoint.
    pub async fn replay(
        &self,
        id: &str,
        since: Option<Timestamp>,
        delivered: bool,
    ) -> Result<ReplayStarted, Error> {
        let mut call = self.once(["webhooks", id, "replay"])?;
        if delivered {
            call.url.query_pairs_mut().append_pair("delivered", "true");
        }
        if let Some(since) = since {
            let mut query = call.url.query_pairs_mut();
            query.append_pair("since", &since.to_string());
        }
        self.send(call, NOTHING).await
    }

    /// A page of an endpoint's deliveries, the newest first. `page` is the `next_page_token` of the page before.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found).
    pub async fn deliveries(&self, id: &str, page: Option<&str>) -> Result<DeliveryPage, Error> {
        self.send(self.get(["webhooks", id, "deliveries"], page)?, NOTHING)
            .await
    }

    /// The deliveries of a job, the newest first, up to 1,000.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found).
    pub async fn deliveries_of_job(&self, id: &str) -> Result<DeliveryPage, Error> {
        self.send(self.get(["jobs", id, "deliveries"], None)?, NOTHING)
            .await
    }

    /// A delivery, with what is sent and every attempt.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found).
    pub async fn delivery(&self, id: &str) -> Result<Delivery, Error> {
        self.send(self.get(["deliveries", id], None)?, NOTHING)
            .await
    }

    /// Tries a delivery again now.
    ///
    /// # Errors
    ///
    /// As for all calls; [not found](Error::is_not_found), 409 for a disabled endpoint.
    pub async fn retry(&self, id: &str) -> Result<Delivery, Error> {
        self.send(self.once(["deliveries", id, "retry"])?, NOTHING)
            .await
    }

    fn call<const N: usize>(&self, method: Method, path: [&str; N]) -> Result<Call, Error> {
        if self.client.core.remote.is_some() {
            return Err(Error::usage("only our own API has webhook endpoints"));
        }
        // Such an id would make the path that of something else.
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Error::usage("this is no id"));
        }
        let url: Url = self.client.core.origin.url(["v1"].into_iter().chain(path));
        Ok(Call::new(Purpose::Webhooks, method, url).limit(JOBS_BYTES_MAX))
    }

    fn get<const N: usize>(&self, path: [&str; N], page: Option<&str>) -> Result<Call, Error> {
        let mut call = self.call(Method::GET, path)?;
        if let Some(page) = page {
            call.url.query_pairs_mut().append_pair("page_token", page);
        }
        Ok(call)
    }

    /// A call that must not be carried out twice.
    fn once<const N: usize>(&self, path: [&str; N]) -> Result<Call, Error> {
        let mut call = self.call(Method::POST, path)?;
        call.repeatable = false;
        Ok(call)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        mut request: Call,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        if let Some(body) = body {
            let body = serde_json::to_vec(body)
                .map_err(|error| Error::usage("this can't be written as JSON").because(error))?;
            request = request.json(Bytes::from(body));
        }
        let read = |reply: &Reply| {
            object(&reply.body).map_err(|error| {
                reply
                    .garbled("the answer is not what was asked for")
                    .because(error)
            })
        };
        self.answer(&request, read).await
    }

    async fn answer<T>(
        &self,
        request: &Call,
        read: impl Fn(&Reply) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let origin = &self.client.core.origin;
        call(
            origin,
            request,
            &ResumeToken::of_nothing(origin.server()),
            read,
        )
        .await
    }
}

/// No body.
const NOTHING: Option<&()> = None;
