//! The commands of those who own endpoints: to create, change, delete, test and replay them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::webhook::Secret;
use abide_wire::{Timestamp, limits};

use super::delivery::Delivery;
use super::endpoint::{Disabled, Endpoint, OldSecret, Reason, Scope};
use super::endpoints::ENDPOINTS_PER_OWNER_MAX;
use super::events::Events;
use super::fact::{Fact, Replayed};
use super::schedule::OLD_SECRET_SIGNS;
use super::state::Deliveries;
use super::tell::{TEST_EVENT, test_body};
use crate::command::{Answer, Command, Decided, Refusal};
use crate::engine::Engine;
use crate::entry::Entries;
use crate::{DeliveryKey, EndpointKey, Owner, Rng};

/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 500;

/// Has secrets derived from this one, unless a master secret is set already.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetMasterSecret(pub Secret);

/// Creates an endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateEndpoint {
    /// Who asks, and whose jobs it is told of.
    pub owner: Owner,
    /// The URL that deliveries are posted to. The guard has let it through.
    pub url: String,
    /// The events it is told of; those that end a job if `None`.
    pub events: Option<Vec<String>>,
    /// The secret that signs; one is derived if `None`.
    pub secret: Option<Secret>,
    /// A note of its owner's.
    pub description: Option<String>,
    /// Whether events of a job keep their order.
    pub ordered: bool,
    /// The form in which it is told; see [`Endpoint::rendering`].
    pub rendering: Option<String>,
    /// How the kinds of the jobs begin that it is told of; all of them if `None`.
    pub kinds: Option<String>,
}

/// Changes an endpoint. What is `None` stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeEndpoint {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The URL that deliveries are posted to. The guard has let it through.
    pub url: Option<String>,
    /// The events it is told of.
    pub events: Option<Vec<String>>,
    /// A note of its owner's.
    pub description: Option<String>,
    /// Whether events of a job keep their order.
    pub ordered: Option<bool>,
    /// Whether it is called.
    pub enabled: Option<bool>,
}

/// Deletes an endpoint, and with it what was still to be sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DeleteEndpoint {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
}

/// Replaces an endpoint's secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateSecret {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The new secret; one is derived if `None`.
    pub secret: Option<Secret>,
    /// Whether the old one signs too for [`OLD_SECRET_SIGNS`].
    pub keeps_old: bool,
}

/// A secret of the server's that follows from the master secret and that label: the same each time it is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NamedSecret(pub String);

/// Sends an endpoint a test.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TestEndpoint {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
}

/// Attempts a delivery now.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RetryDelivery {
    /// Who asks.
    pub owner: Owner,
    /// The delivery.
    pub delivery: DeliveryKey,
}

/// Sends an endpoint's held and failed deliveries again. Answered with their number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReplayDeliveries {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// Only those of events from then on.
    pub since: Timestamp,
    /// Whether delivered ones are sent again too.
    pub delivered: bool,
}

impl Command for SetMasterSecret {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        if engine.deliveries.master.is_none() {
            let secret = self.0.clone();
            entries.push(Fact::Keyed { secret }.into());
        }
        Ok(())
    }
}

impl Command for CreateEndpoint {
    type Answer = Arc<Endpoint>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let endpoint = engine
            .deliveries
            .new_endpoint(self, engine.jobs.rng(), now)?;
        engine.check_room(self.owner, endpoint.bytes())?;
        let key = endpoint.key;
        entries.push(Fact::Endpoint(Box::new(endpoint)).into());
        Ok(key)
    }
}

impl Command for ChangeEndpoint {
    type Answer = Arc<Endpoint>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let endpoint = engine.deliveries.changed_endpoint(self, now)?;
        entries.push(Fact::Endpoint(Box::new(endpoint)).into());
        Ok(self.endpoint)
    }
}

impl Command for DeleteEndpoint {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let endpoint = engine.deliveries.owned(self.owner, self.endpoint)?.key;
        entries.push(Fact::Deleted { endpoint }.into());
        Ok(())
    }
}

impl Command for RotateSecret {
    type Answer = Arc<Endpoint>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let mut rotated = engine.deliveries.owned(self.owner, self.endpoint)?.clone();
        rotated.rotations += 1;
        let fresh = self.secret.clone().unwrap_or_else(|| {
            let rng = engine.jobs.rng();
            engine
                .deliveries
                .derived_secret(rotated.key, rotated.rotations, rng)
        });
        let old = rotated.secret.replace(fresh);
        rotated.old_secret = old.filter(|_| self.keeps_old).map(|secret| OldSecret {
            secret,
            until: now + OLD_SECRET_SIGNS,
        });
        rotated.updated_at = now;
        entries.push(Fact::Endpoint(Box::new(rotated)).into());
        Ok(self.endpoint)
    }
}

impl Command for NamedSecret {
    type Answer = Secret;

    fn decide(&self, _: &Engine, _: Timestamp, _: &mut Entries) -> Decided<Self> {
        Ok(self.0.clone())
    }
}

impl Answer for Secret {
    type Key = String;

    fn read(engine: &Engine, label: String) -> Result<Self, Refusal> {
        Ok(engine.deliveries.named_secret(&label, engine.jobs.rng()))
    }
}

impl Command for TestEndpoint {
    type Answer = Arc<Delivery>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let endpoint = engine.deliveries.owned(self.owner, self.endpoint)?;
        enabled(endpoint)?;
        let test = engine.deliveries.test_of(endpoint, now);
        let key = test.key;
        entries.push(Fact::Announced(Box::new(test)).into());
        Ok(key)
    }
}

impl Command for RetryDelivery {
    type Answer = Arc<Delivery>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let found = engine.deliveries.get(self.delivery);
        let endpoint = found
            .and_then(|found| engine.deliveries.endpoint(found.endpoint))
            .filter(|endpoint| endpoint.owner == self.owner)
            .ok_or(Refusal::NoSuchDelivery)?;
        enabled(endpoint)?;
        if found.is_some_and(|found| !engine.deliveries.queue.can_send(found)) {
            return Err(Refusal::Gone);
        }
        let delivery = self.delivery;
        entries.push(Fact::Resent { delivery, at: now }.into());
        Ok(delivery)
    }
}

impl Command for ReplayDeliveries {
    type Answer = usize;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let endpoint = engine.deliveries.owned(self.owner, self.endpoint)?;
        enabled(endpoint)?;
        let replayed = Replayed {
            endpoint: endpoint.key,
            since: self.since,
            delivered: self.delivered,
            at: now,
            after: None,
        };
        if endpoint.replaying.is_some() {
            return Err(Refusal::Replaying);
        }
        let count = engine.deliveries.queue.to_replay(&replayed).count();
        if count > 0 {
            entries.push(Fact::Replayed(Box::new(replayed)).into());
        }
        Ok(count)
    }
}

impl Deliveries {
    /// The endpoint, for a caller who must have made it.
    fn owned(&self, owner: Owner, key: EndpointKey) -> Result<&Endpoint, Refusal> {
        self.endpoint(key)
            .filter(|endpoint| endpoint.owner == owner && endpoint.scope == Scope::Owner)
            .map(AsRef::as_ref)
            .ok_or(Refusal::NoSuchEndpoint)
    }

    fn new_endpoint(
        &self,
        new: &CreateEndpoint,
        rng: Rng,
        now: Timestamp,
    ) -> Result<Endpoint, Refusal> {
        let count = self.endpoints.count_of_owner(new.owner);
        check_count(count)?;
        // Two that are made within a millisecond differ by how many there have been.
        let mut salt = count as u64;
        let key = loop {
            let owner = new.owner.0.to_le_bytes();
            let key = EndpointKey::of(now, &[&owner, new.url.as_bytes(), &salt.to_le_bytes()]);
            if self.endpoint(key).is_none() {
                break key;
            }
            salt += 1;
        };
        let events = new.events.as_deref().map(Events::parse).transpose();
        let secret = new.secret.clone();
        Ok(Endpoint {
            events: events.map_err(Refusal::Invalid)?.unwrap_or(Events::ENDS),
            ordered: new.ordered,
            description: new.description.as_deref().map(checked_note).transpose()?,
            secret: Some(secret.unwrap_or_else(|| self.derived_secret(key, 0, rng))),
            rendering: new.rendering.as_deref().map(Arc::from),
            kinds: new.kinds.as_deref().map(Arc::from),
            ..Endpoint::new(key, new.owner, checked_url(&new.url)?, Scope::Owner, now)
        })
    }

    fn changed_endpoint(
        &self,
        change: &ChangeEndpoint,
        now: Timestamp,
    ) -> Result<Endpoint, Refusal> {
        let mut endpoint = self.owned(change.owner, change.endpoint)?.clone();
        if let Some(url) = &change.url {
            endpoint.url = checked_url(url)?;
        }
        if let Some(events) = &change.events {
            endpoint.events = Events::parse(events).map_err(Refusal::Invalid)?;
        }
        if let Some(note) = &change.description {
            endpoint.description = Some(checked_note(note)?);
        }
        endpoint.ordered = change.ordered.unwrap_or(endpoint.ordered);
        match (change.enabled, endpoint.disabled) {
            (Some(false), None) => {
                endpoint.disabled = Some(Disabled {
                    at: now,
                    reason: Reason::Owner,
                });
            }
            (Some(true), Some(_)) => {
                endpoint.disabled = None;
                endpoint.failing_since = None;
                endpoint.failed_at = None;
            }
            _ => {}
        }
        endpoint.updated_at = now;
        Ok(endpoint)
    }

    fn test_of(&self, endpoint: &Endpoint, now: Timestamp) -> Delivery {
        let mut salt = self.iter().len() as u64;
        let key = loop {
            let endpoint = endpoint.key.as_u128().to_le_bytes();
            let key = DeliveryKey::of(now, &[b"test", &endpoint, &salt.to_le_bytes()]);
            if self.get(key).is_none() {
                break key;
            }
            salt += 1;
        };
        Delivery {
            body: Some(test_body(endpoint.key, now)),
            ..Delivery::new(key, endpoint.key, TEST_EVENT.into(), now)
        }
    }
}

fn enabled(endpoint: &Endpoint) -> Result<(), Refusal> {
    match endpoint.disabled {
        None => Ok(()),
        Some(disabled) => Err(Refusal::EndpointDisabled { since: disabled.at }),
    }
}

pub(super) fn checked_url(url: &str) -> Result<Arc<str>, Refusal> {
    if url.is_empty() || url.len() > limits::URL_BYTES_MAX {
        return Err(Refusal::Invalid(format!(
            "`url` must be 1 to {} bytes long",
            limits::URL_BYTES_MAX
        )));
    }
    Ok(url.into())
}

fn checked_note(note: &str) -> Result<Arc<str>, Refusal> {
    let length = note.chars().count();
    if length > DESCRIPTION_CHARS_MAX {
        return Err(Refusal::Invalid(format!(
            "`description` must be at most {DESCRIPTION_CHARS_MAX} characters long, but is {length}"
        )));
    }
    Ok(note.into())
}

/// Refuses one more endpoint of an owner or a name that has that many.
pub(super) const fn check_count(count: usize) -> Result<(), Refusal> {
    if count >= ENDPOINTS_PER_OWNER_MAX {
        return Err(Refusal::TooManyEndpoints {
            limit: ENDPOINTS_PER_OWNER_MAX,
        });
    }
    Ok(())
}
