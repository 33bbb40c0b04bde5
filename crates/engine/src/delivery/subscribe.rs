//! Endpoints of a name's jobs, which no owner has: each is found by what it was subscribed with.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use super::delivery::Standing;
use super::endpoint::{Endpoint, Scope};
use super::fact::Fact;
use super::manage::{check_count, checked_url};
use super::tell::event_of;
use crate::command::{Command, Decided};
use crate::engine::Engine;
use crate::entry::Entries;
use crate::{EndpointKey, Owner};

/// Tells a URL of the ends of a name's jobs. If its job has ended already, the URL is told at once, unless it was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscribe {
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
        let key = key_of(&self.name, &self.rendering, &self.url);
        let known = deliveries.endpoint(key).filter(|known| known.is_enabled());
        let endpoint = match known {
            Some(known) => known.as_ref().clone(),
            // One that was disabled is called again once it is subscribed anew.
            None => {
                check_count(deliveries.endpoints.count_of_name(&self.name))?;
                let scope = Scope::Named(self.name.as_ref().into());
                let endpoint = Endpoint {
                    rendering: Some(self.rendering.as_ref().into()),
                    ..Endpoint::new(key, Owner::ANYONE, checked_url(&self.url)?, scope, now)
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
            let endpoint = key_of(&self.name, rendering, &self.url);
            if engine.deliveries.endpoint(endpoint).is_some() {
                entries.push(Fact::Deleted { endpoint }.into());
            }
        }
        Ok(())
    }
}

/// The name of such an endpoint, which is never told to anyone: it follows from what was subscribed.
fn key_of(name: &str, rendering: &str, url: &str) -> EndpointKey {
    let words = [name.as_bytes(), rendering.as_bytes(), url.as_bytes()];
    EndpointKey::of(Timestamp::from_millis(0), &words)
}
