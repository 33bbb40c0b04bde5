//! From a command to facts, or a refusal: the commands about webhooks.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use abide_wire::webhook::Secret;
use abide_wire::{Timestamp, limits};

use super::payload::{TEST_EVENT, body_of, event_of, test_body};
use super::schedule::OLD_SECRET_SIGNS;
use super::{
    Attempted, Book, Delivery, Dialect, Disabled, Endpoint, Events, Fact, Next, OldSecret, Reason,
    Replayed, Scope, Standing, book,
};
use crate::command::{Command, Refusal};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::luck::digest;
use crate::{DeliveryKey, EndpointKey, Luck, Owner};

/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// The longest answer that is kept of an attempt, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Has secrets derived from this one, unless a master secret is set already.
#[derive(Clone, Debug)]
pub struct SetMasterSecret(pub Secret);

/// Creates an endpoint.
#[derive(Clone, Debug)]
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
}

/// Changes an endpoint. What is `None` stays.
#[derive(Clone, Debug)]
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
#[derive(Clone, Copy, Debug)]
pub struct DeleteEndpoint {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
}

/// Replaces an endpoint's secret. The old one signs too for [`OLD_SECRET_SIGNS`].
#[derive(Clone, Debug)]
pub struct RotateSecret {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The new secret; one is derived if `None`.
    pub secret: Option<Secret>,
}

/// Sends an endpoint a test.
#[derive(Clone, Copy, Debug)]
pub struct TestEndpoint {
    /// Who asks.
    pub owner: Owner,
    /// The endpoint.
    pub endpoint: EndpointKey,
}

/// Attempts a delivery now.
#[derive(Clone, Copy, Debug)]
pub struct RetryDelivery {
    /// Who asks.
    pub owner: Owner,
    /// The delivery.
    pub delivery: DeliveryKey,
}

/// Sends an endpoint's held and failed deliveries again. Answered with their number.
#[derive(Clone, Copy, Debug)]
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

/// Registers a URL for the default job, in a classic dialect.
#[derive(Clone, Debug)]
pub struct Register {
    /// In which words.
    pub dialect: Dialect,
    /// The URL that deliveries are posted to. The guard has let it through.
    pub url: String,
}

/// Removes the registrations of a URL, in whatever dialect.
#[derive(Clone, Debug)]
pub struct Unregister {
    /// The URL.
    pub url: String,
}

/// Reports how an attempt to deliver ended. May be repeated: a report of a known attempt changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportAttempt {
    /// To deliver what.
    pub delivery: DeliveryKey,
    /// Which attempt, as it was handed out.
    pub number: u32,
    /// When it was handed out.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What the receiver answered.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub answer: Vec<u8>,
    /// Whether the body was longer.
    pub truncated: bool,
    /// When the receiver wants to be called again.
    pub retry_after: Option<Duration>,
}

impl Command for SetMasterSecret {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        _: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        if engine.book.master().is_none() {
            let secret = self.0.clone();
            entries.push(Fact::Keyed { secret }.into());
        }
        Ok(())
    }
}

impl Command for CreateEndpoint {
    type Answer = Arc<Endpoint>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<EndpointKey, Refusal> {
        let endpoint = engine.new_endpoint(self, now)?;
        let key = endpoint.key;
        entries.push(Fact::Endpoint(Box::new(endpoint)).into());
        Ok(key)
    }
}

impl Command for ChangeEndpoint {
    type Answer = Arc<Endpoint>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<EndpointKey, Refusal> {
        let endpoint = engine.changed_endpoint(self, now)?;
        entries.push(Fact::Endpoint(Box::new(endpoint)).into());
        Ok(self.endpoint)
    }
}

impl Command for DeleteEndpoint {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        _: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        let endpoint = engine.owned_endpoint(self.owner, self.endpoint)?.key;
        entries.push(Fact::Deleted { endpoint }.into());
        Ok(())
    }
}

impl Command for RotateSecret {
    type Answer = Arc<Endpoint>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<EndpointKey, Refusal> {
        let mut rotated = engine.owned_endpoint(self.owner, self.endpoint)?.clone();
        rotated.rotations += 1;
        let fresh = self.secret.clone().unwrap_or_else(|| {
            derived_secret(&engine.book, engine.luck(), rotated.key, rotated.rotations)
        });
        rotated.old_secret = rotated.secret.replace(fresh).map(|secret| OldSecret {
            secret,
            until: now + OLD_SECRET_SIGNS,
        });
        rotated.updated_at = now;
        entries.push(Fact::Endpoint(Box::new(rotated)).into());
        Ok(self.endpoint)
    }
}

impl Command for TestEndpoint {
    type Answer = Arc<Delivery>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<DeliveryKey, Refusal> {
        let endpoint = engine.owned_endpoint(self.owner, self.endpoint)?;
        enabled(endpoint)?;
        let test = engine.test_of(endpoint, now);
        let key = test.key;
        entries.push(Fact::Announced(Box::new(test)).into());
        Ok(key)
    }
}

impl Command for RetryDelivery {
    type Answer = Arc<Delivery>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<DeliveryKey, Refusal> {
        let found = engine.book.delivery(self.delivery);
        let endpoint = found
            .and_then(|found| engine.book.endpoint(found.endpoint))
            .filter(|endpoint| endpoint.owner == self.owner)
            .ok_or(Refusal::NoSuchDelivery)?;
        enabled(endpoint)?;
        let delivery = self.delivery;
        entries.push(Fact::Resent { delivery, at: now }.into());
        Ok(delivery)
    }
}

impl Command for ReplayDeliveries {
    type Answer = usize;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<usize, Refusal> {
        let endpoint = engine.owned_endpoint(self.owner, self.endpoint)?;
        enabled(endpoint)?;
        let replayed = Replayed {
            endpoint: endpoint.key,
            since: self.since,
            delivered: self.delivered,
            at: now,
        };
        let count = engine.book.to_replay(&replayed).len();
        if count > 0 {
            entries.push(Fact::Replayed(Box::new(replayed)).into());
        }
        Ok(count)
    }
}

impl Command for Register {
    type Answer = Arc<Endpoint>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<EndpointKey, Refusal> {
        engine.register(self.dialect, &self.url, now, entries)
    }
}

impl Command for Unregister {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        _: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        for dialect in [Dialect::Result, Dialect::Status] {
            let endpoint = classic_key(dialect, &self.url);
            if engine.book.endpoint(endpoint).is_some() {
                entries.push(Fact::Deleted { endpoint }.into());
            }
        }
        Ok(())
    }
}

impl Command for ReportAttempt {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        engine.judge(self, now, entries);
        Ok(())
    }
}

impl Engine {
    /// The state of webhooks.
    #[must_use]
    pub const fn webhooks(&self) -> &Book {
        &self.book
    }

    fn owned_endpoint(&self, owner: Owner, key: EndpointKey) -> Result<&Endpoint, Refusal> {
        self.book
            .endpoint(key)
            .filter(|endpoint| endpoint.owner == owner && endpoint.scope == Scope::Owner)
            .map(AsRef::as_ref)
            .ok_or(Refusal::NoSuchEndpoint)
    }

    fn new_endpoint(&self, new: &CreateEndpoint, now: Timestamp) -> Result<Endpoint, Refusal> {
        let count = self.book.endpoints_of(new.owner);
        if count >= book::ENDPOINTS_PER_OWNER_MAX {
            return Err(Refusal::TooManyEndpoints {
                limit: book::ENDPOINTS_PER_OWNER_MAX,
            });
        }
        let events = new
            .events
            .as_deref()
            .map_or(Ok(Events::ENDS), Events::parse);
        // Two that are made within a millisecond differ by how many there have been.
        let mut salt = count as u64;
        let key = loop {
            let owner = new.owner.0.to_le_bytes();
            let key = EndpointKey::of(now, &[&owner, new.url.as_bytes(), &salt.to_le_bytes()]);
            if self.book.endpoint(key).is_none() {
                break key;
            }
            salt += 1;
        };
        let secret = new
            .secret
            .clone()
            .unwrap_or_else(|| derived_secret(&self.book, self.luck(), key, 0));
        Ok(Endpoint {
            key,
            owner: new.owner,
            url: checked_url(&new.url)?,
            events: events.map_err(Refusal::Invalid)?,
            scope: Scope::Owner,
            dialect: Dialect::Standard,
            ordered: new.ordered,
            description: new.description.as_deref().map(checked_note).transpose()?,
            secret: Some(secret),
            old_secret: None,
            rotations: 0,
            created_at: now,
            updated_at: now,
            disabled: None,
            failing_since: None,
            failed_at: None,
            dropped: 0,
            is_orphan: false,
        })
    }

    fn changed_endpoint(
        &self,
        change: &ChangeEndpoint,
        now: Timestamp,
    ) -> Result<Endpoint, Refusal> {
        let mut endpoint = self.owned_endpoint(change.owner, change.endpoint)?.clone();
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
        let mut salt = self.book.deliveries().len() as u64;
        let key = loop {
            let words: [&[u8]; 3] = [
                b"test",
                &endpoint.key.as_u128().to_le_bytes(),
                &salt.to_le_bytes(),
            ];
            let key = DeliveryKey::of(now, &words);
            if self.book.delivery(key).is_none() {
                break key;
            }
            salt += 1;
        };
        Delivery {
            key,
            endpoint: endpoint.key,
            job: None,
            revision: 0,
            event: TEST_EVENT.into(),
            body: test_body(endpoint.key, now, endpoint.dialect),
            created_at: now,
            standing: Standing::Pending { due_at: now },
            steps: 0,
            made: 0,
            attempts: Vec::new(),
            fault: None,
            copies: 1,
        }
    }

    /// Registers in a classic dialect. Whoever comes too late for the end of the job is told of it at once: these dialects
    /// have nothing else to say, and their clients wait for nothing else.
    fn register(
        &self,
        dialect: Dialect,
        url: &str,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<EndpointKey, Refusal> {
        let key = classic_key(dialect, url);
        let endpoint = match self.book.endpoint(key) {
            // One that was disabled, or is registered anew, is called again.
            Some(known) if known.is_enabled() => known.as_ref().clone(),
            _ => Endpoint {
                key,
                owner: Owner::ANYONE,
                url: checked_url(url)?,
                events: Events::ENDS,
                scope: Scope::DefaultJob,
                dialect,
                ordered: false,
                description: None,
                secret: None,
                old_secret: None,
                rotations: 0,
                created_at: now,
                updated_at: now,
                disabled: None,
                failing_since: None,
                failed_at: None,
                dropped: 0,
                is_orphan: false,
            },
        };
        if self
            .book
            .endpoint(key)
            .is_none_or(|known| !known.is_enabled())
        {
            let classic = |known: &&Arc<Endpoint>| known.scope == Scope::DefaultJob;
            if self.book.endpoints().filter(classic).count() >= book::ENDPOINTS_PER_OWNER_MAX {
                return Err(Refusal::TooManyEndpoints {
                    limit: book::ENDPOINTS_PER_OWNER_MAX,
                });
            }
            let fact = Fact::Endpoint(Box::new(endpoint.clone()));
            entries.push(fact.into());
        }
        let job = self.default_job().and_then(|set| self.job(set.job));
        if let Some(job) = job.filter(|job| job.is_done())
            && !self.book.of_job(job.key).any(|told| told.endpoint == key)
            && let Some(body) = body_of(job, &event_of(job), dialect)
        {
            let mut late = self.delivery_of(job, &event_of(job), &endpoint, body, false);
            late.standing = Standing::Pending { due_at: now };
            entries.push(Fact::Announced(Box::new(late)).into());
        }
        Ok(key)
    }

    /// Decides what comes of an attempt.
    fn judge(&self, report: &ReportAttempt, now: Timestamp, entries: &mut Vec<Entry>) {
        let found = self.book.delivery(report.delivery);
        let known = found.and_then(|delivery| {
            let endpoint = self.book.endpoint(delivery.endpoint)?;
            Some((delivery, endpoint))
        });
        let Some((delivery, endpoint)) = known else {
            // Its endpoint was deleted meanwhile. The lane must still know that the exchange is over.
            Self::write_attempt(report, now, Next::GaveUp, None, entries);
            return;
        };
        if report.number <= delivery.made {
            return;
        }
        let was_taken = report
            .status
            .is_some_and(|status| (200..300).contains(&status));
        let is_gone = report.status == Some(410);
        let policy = &self.policy().webhooks;
        let luck = self.luck().unit(
            digest(&[&report.delivery.as_u128().to_le_bytes()]),
            "webhook retry",
            u64::from(report.number),
        );
        let next = if was_taken {
            Next::Delivered
        } else if is_gone {
            Next::GaveUp
        } else {
            let steps = delivery.steps.saturating_add(1);
            policy
                .after(steps, luck, report.retry_after)
                .map_or(Next::GaveUp, |pause| Next::RetryAt(now + pause))
        };
        let pause = report
            .retry_after
            .filter(|_| !was_taken)
            .map(|pause| pause.min(super::schedule::RETRY_AFTER_MAX));
        Self::write_attempt(report, now, next, pause, entries);
        let reason = if is_gone {
            Some(Reason::Gone)
        } else if !was_taken && policy.gives_up_on(endpoint, now) {
            Some(Reason::Failing)
        } else {
            None
        };
        if let Some(reason) = reason.filter(|_| endpoint.is_enabled()) {
            let fact = Fact::Disabled {
                endpoint: endpoint.key,
                disabled: Disabled { at: now, reason },
            };
            entries.push(fact.into());
        }
    }

    fn write_attempt(
        report: &ReportAttempt,
        now: Timestamp,
        next: Next,
        pause: Option<Duration>,
        entries: &mut Vec<Entry>,
    ) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let kept = &report.answer[..report.answer.len().min(ANSWER_BYTES_MAX)];
        let answer = String::from_utf8_lossy(kept);
        let attempted = Attempted {
            delivery: report.delivery,
            number: report.number,
            at: report.at,
            ended_at: now,
            took_ms: millis(report.took),
            status: report.status,
            error: report.error.as_deref().map(Arc::from),
            answer: (!answer.is_empty()).then(|| Arc::from(answer.as_ref())),
            truncated: report.truncated || kept.len() < report.answer.len(),
            pause_ms: pause.map(millis),
            next,
        };
        entries.push(Fact::Attempted(Box::new(attempted)).into());
    }
}

fn enabled(endpoint: &Endpoint) -> Result<(), Refusal> {
    match endpoint.disabled {
        None => Ok(()),
        Some(disabled) => Err(Refusal::EndpointDisabled { since: disabled.at }),
    }
}

fn checked_url(url: &str) -> Result<Arc<str>, Refusal> {
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

/// The name of a classic registration, which has none on the wire: it follows from what was registered.
fn classic_key(dialect: Dialect, url: &str) -> EndpointKey {
    let word: &[u8] = match dialect {
        Dialect::Standard => b"standard",
        Dialect::Result => b"result",
        Dialect::Status => b"status",
    };
    EndpointKey::of(
        Timestamp::from_millis(0),
        &[b"classic", word, url.as_bytes()],
    )
}

/// The secret of an endpoint that was given none: derived from the server's own, so that nothing need be drawn here.
///
/// Where the server has none yet it is derived from the seed, which is no secret; only tests get by with that.
pub(super) fn derived_secret(
    book: &Book,
    luck: Luck,
    endpoint: EndpointKey,
    rotations: u32,
) -> Secret {
    let label = format!("{endpoint}/{rotations}");
    match book.master() {
        Some(master) => master.derive(&label),
        None => Secret::generate(luck.rng(0, &label, 0).random()),
    }
}
