//! Receiving webhooks in a server of your own.
//!
//! Anyone who knows a receiver's address can post to it, so nothing that a request says is to be believed before its
//! signature has been checked over the very bytes that came:
//!
//! ```
//! use abide::webhook::{self, Delivery, ReplayGuard, Verifier};
//!
//! # fn handle(headers: &http::HeaderMap, body: &[u8], verifier: &Verifier, guard: &mut ReplayGuard) -> u16 {
//! let delivery = match Delivery::verified(verifier, headers, body) {
//!     Ok(delivery) => delivery,
//!     Err(_) => return 401,
//! };
//! match guard.is_new(&delivery.id, webhook::now()) {
//!     Ok(true) => {}
//!     Ok(false) => return 204, // The sender got no answer to the first one, and asks again.
//!     Err(_) => return 503,    // Too many at once: it comes back.
//! }
//! if let Some(job) = delivery.job() {
//!     // An `abide::Inbox` takes it in, or whatever you keep jobs in.
//!     # let _ = job;
//! }
//! 204
//! # }
//! # let verifier = Verifier::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?]);
//! # assert_eq!(handle(&http::HeaderMap::new(), b"{}", &verifier, &mut ReplayGuard::default()), 401);
//! # Ok::<(), abide::webhook::SecretError>(())
//! ```
//!
//! The feature `inbox` has a listener that does all of it: `Receiver`.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use abide_wire::{Event, Job, Timestamp};

pub use abide_wire::webhook::{
    GuardFull, ReplayGuard, Secret, SecretError, Signed, TOLERANCE, Verifier, VerifyError,
    seconds_of, sign,
};

use crate::rt;

/// The system's time: what to sign with, and what receivers compare with.
#[must_use]
pub fn now() -> Timestamp {
    rt::system_time()
}

/// A delivery whose signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Its id, the same at every attempt.
    pub id: String,
    /// What happened, such as `job.completed`; empty where the body doesn't say.
    pub kind: String,
    /// The very bytes that came.
    pub body: Bytes,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default)]
    kind: String,
}

impl Delivery {
    /// Checks the signature, and says what was delivered.
    ///
    /// # Errors
    ///
    /// Why it is not to be believed. Nothing of the body has been parsed then.
    pub fn verified(
        verifier: &Verifier,
        headers: &HeaderMap,
        body: impl AsRef<[u8]>,
    ) -> Result<Self, VerifyError> {
        let body = body.as_ref();
        let signed = Signed::read(|name| headers.get(name)?.to_str().ok())?;
        verifier.verify_at(signed, body, now())?;
        let id = headers.get(abide_wire::headers::WEBHOOK_ID);
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let kind: Option<Kind> = serde_json::from_slice(body).ok();
        Ok(Self {
            id: id.to_owned(),
            kind: kind.map(|kind| kind.kind).unwrap_or_default(),
            body: Bytes::copy_from_slice(body),
        })
    }

    /// The job that it tells of; `None` for a test, and for anything that isn't of a job.
    #[must_use]
    pub fn job(&self) -> Option<Job> {
        let event: Event = serde_json::from_slice(&self.body).ok()?;
        Some(event.data)
    }
}
