//! Endpoints of a name's jobs, which no owner has: each is found by what it was subscribed with, and by whom.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use super::delivery::Standing;
use super::endpoint::{Endpoint, Scope};
use super::endpoints::ENDPOINTS_PER_OWNER_MAX;
use super::fact::Fact;
use super::manage::{check_count, checked_url};
use super::tell::event_of;
use crate::command::{Command, Decided, Refusal};
use crate::engine::Engine;
use crate::entry::Entries;
use crate::{EndpointKey, Owner};

/// Of a name's endpoints an owner may have that many times as many as are free.
const OWNER_SHARE: usize = 99;

/// Tells a URL of the ends of a name's jobs. If its job has ended already, the URL is told at once, unless it was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscribe {
    /// Who asks.
    #[serde(default, skip_serializing_if = "Owner::is_anyone")]
    pub owner: Owner,
    /// The name.
    pub name: Cow<'static, str>,
    /// The form in which it is told; see [`Endpoint::rendering`].
    pub rendering: Cow<'static, str>,
    /// The URL that deliveries are posted to. The guard has let it through.
    pub url: String,
}

/// Tells a URL no more of a name's jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// Who asks. What another owner subscribed stays.
    #[serde(default, skip_serializing_if = "Owner::is_anyone")]
    pub owner: Owner,
    /// The name.
    pub name: Cow<'static, str>,
    /// The forms in which it is told no more.
    pub renderings: Vec<Cow<'static, str>>,
    /// The URL.
    pub url: String,
}

impl Command for Subscribe {
    type Answer = Arc<Endpoint>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let (jobs, deliveries) = (&engine.jobs, &engine.deliveries);
        let key = key_of(self.owner, &self.name, &self.rendering, &self.url);
        let known = deliveries.endpoint(key).filter(|known| known.is_enabled());
        let endpoint = match known {
            Some(known) => known.as_ref().clone(),
            // One that was disabled is called again once it is subscribed anew.
            None => {
                let counts = deliveries.endpoints.counts_of_name(&self.name, self.owner);
                check_counts(self.owner, counts)?;
                let scope = Scope::Named(self.name.as_ref().into());
                let endpoint = Endpoint {
                    rendering: Some(self.rendering.as_ref().into()),
                    ..Endpoint::new(key, self.owner, checked_url(&self.url)?, scope, now)
                };
                entries.push(Fact::Endpoint(Box::new(endpoint.clone())).into());
                endpoint
            }
        };
        let job = jobs.named(&self.name).and_then(|named| jobs.get(named.job));
        if let Some(job) = job.filter(|job| job.is_done()) {
            let kind = event_of(job);
            let mut late = deliveries.delivery_of(job, &kind, &endpoint, jobs);
            if deliveries.get(late.key).is_none() {
                late.standing = Standing::Pending { due_at: now };
                entries.push(Fact::Announced(Box::new(late)).into());
            }
        }
        Ok(key)
    }
}

impl Command for Unsubscribe {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        for rendering in &self.renderings {
            let endpoint = key_of(self.owner, &self.name, rendering, &self.url);
            if engine.deliveries.endpoint(endpoint).is_some() {
                entries.push(Fact::Deleted { endpoint }.into());
            }
        }
        Ok(())
    }
}

/// Refuses one more endpoint of a name that has as many as it may, or of an owner that has its share of them: others
/// find room then.
fn check_counts(owner: Owner, (own, all): (usize, usize)) -> Result<(), Refusal> {
    check_count(all)?;
    if !owner.is_anyone() && own >= OWNER_SHARE * (ENDPOINTS_PER_OWNER_MAX - all) {
        return Err(Refusal::TooManyEndpoints { limit: own });
    }
    Ok(())
}

/// The name of such an endpoint, which is never told to anyone: it follows from what was subscribed, and by whom.
fn key_of(owner: Owner, name: &str, rendering: &str, url: &str) -> EndpointKey {
    let number = owner.0.to_le_bytes();
    let mut words = vec![name.as_bytes(), rendering.as_bytes(), url.as_bytes()];
    if !owner.is_anyone() {
        words.push(&number);
    }
    EndpointKey::of(Timestamp::from_millis(0), &words)
}
