//! From a wish to facts, or a refusal.

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
use crate::decide::{Decision, Refusal};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::luck::digest;
use crate::{DeliveryKey, EndpointKey, Luck, Owner};

/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// The longest answer that is kept of an attempt, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A wish about webhooks.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Derive secrets from this one, unless there is one already.
    Key(Secret),
    /// Tell somebody of jobs.
    Create(Box<NewEndpoint>),
    /// Change how somebody is told.
    Change(Box<EndpointChange>),
    /// Tell somebody no more.
    Delete {
        /// Who asks.
        owner: Owner,
        /// Whom.
        endpoint: EndpointKey,
    },
    /// Sign with another secret from now on; the old one signs too for a while.
    Rotate {
        /// Who asks.
        owner: Owner,
        /// For whom.
        endpoint: EndpointKey,
        /// The new secret; one is made where nothing is said.
        secret: Option<Secret>,
    },
    /// Send a test.
    Test {
        /// Who asks.
        owner: Owner,
        /// To whom.
        endpoint: EndpointKey,
    },
    /// Try a delivery now.
    Retry {
        /// Who asks.
        owner: Owner,
        /// Which.
        delivery: DeliveryKey,
    },
    /// Send again what was held or given up.
    Replay {
        /// Who asks.
        owner: Owner,
        /// To whom.
        endpoint: EndpointKey,
        /// Events from then on.
        since: Timestamp,
        /// Whether what was taken is sent again too.
        delivered: bool,
    },
    /// Tell somebody of the job of the routes that name none, in a classic dialect.
    Register {
        /// In which words.
        dialect: Dialect,
        /// Where to post.
        url: String,
    },
    /// Tell them no more, in whatever dialect.
    Unregister {
        /// Where was posted.
        url: String,
    },
    /// An exchange is over.
    Attempted(Box<AttemptReport>),
}

/// The wish to tell somebody of jobs.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Who asks, and whose jobs they are.
    pub owner: Owner,
    /// Where to post. The guard has let it through.
    pub url: String,
    /// Of which events; those of the end where nothing is said.
    pub events: Option<Vec<String>>,
    /// What to sign with; a secret is made where nothing is said.
    pub secret: Option<Secret>,
    /// What to note on it.
    pub description: Option<String>,
    /// Whether events of a job keep their order.
    pub ordered: bool,
}

/// The wish to change how somebody is told. What isn't said stays.
#[derive(Clone, Debug)]
pub struct EndpointChange {
    /// Who asks.
    pub owner: Owner,
    /// Whom.
    pub endpoint: EndpointKey,
    /// Where to post. The guard has let it through.
    pub url: Option<String>,
    /// Of which events.
    pub events: Option<Vec<String>>,
    /// What to note on it.
    pub description: Option<String>,
    /// Whether events of a job keep their order.
    pub ordered: Option<bool>,
    /// Whether it is called.
    pub enabled: Option<bool>,
}

/// What an exchange came to.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptReport {
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

impl Engine {
    /// What there is of webhooks.
    #[must_use]
    pub const fn webhooks(&self) -> &Book {
        &self.book
    }

    pub(crate) fn decide_wish(
        &self,
        wish: &Wish,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<Decision, Refusal> {
        let mut write = |fact| entries.push(Entry::Webhook(Box::new(fact)));
        match wish {
            Wish::Key(secret) => {
                if self.book.master().is_none() {
                    let secret = secret.clone();
                    write(Fact::Keyed { secret });
                }
                Ok(Decision::Done)
            }
            Wish::Create(new) => {
                let endpoint = self.new_endpoint(new, now)?;
                let key = endpoint.key;
                write(Fact::Endpoint(Box::new(endpoint)));
                Ok(Decision::Endpoint(key))
            }
            Wish::Change(change) => {
                let endpoint = self.changed_endpoint(change, now)?;
                write(Fact::Endpoint(Box::new(endpoint)));
                Ok(Decision::Endpoint(change.endpoint))
            }
            Wish::Delete { owner, endpoint } => {
                let endpoint = self.owned_endpoint(*owner, *endpoint)?.key;
                write(Fact::Deleted { endpoint });
                Ok(Decision::Done)
            }
            Wish::Rotate {
                owner,
                endpoint,
                secret,
            } => {
                let mut rotated = self.owned_endpoint(*owner, *endpoint)?.clone();
                rotated.rotations += 1;
                let fresh = secret.clone().unwrap_or_else(|| {
                    derived_secret(&self.book, self.luck(), *endpoint, rotated.rotations)
                });
                rotated.old_secret = rotated.secret.replace(fresh).map(|secret| OldSecret {
                    secret,
                    until: now + OLD_SECRET_SIGNS,
                });
                rotated.updated_at = now;
                write(Fact::Endpoint(Box::new(rotated)));
                Ok(Decision::Endpoint(*endpoint))
            }
            Wish::Test { owner, endpoint } => {
                let endpoint = self.owned_endpoint(*owner, *endpoint)?;
                enabled(endpoint)?;
                let test = self.test_of(endpoint, now);
                let key = test.key;
                write(Fact::Announced(Box::new(test)));
                Ok(Decision::Delivery(key))
            }
            Wish::Retry { owner, delivery } => {
                let found = self.book.delivery(*delivery);
                let found = found.ok_or(Refusal::NoSuchDelivery)?;
                let endpoint = self.book.endpoint(found.endpoint);
                let endpoint = endpoint
                    .filter(|endpoint| endpoint.owner == *owner)
                    .ok_or(Refusal::NoSuchDelivery)?;
                enabled(endpoint)?;
                write(Fact::Resent {
                    delivery: *delivery,
                    at: now,
                });
                Ok(Decision::Delivery(*delivery))
            }
            Wish::Replay {
                owner,
                endpoint,
                since,
                delivered,
            } => {
                let endpoint = self.owned_endpoint(*owner, *endpoint)?;
                enabled(endpoint)?;
                let replayed = Replayed {
                    endpoint: endpoint.key,
                    since: *since,
                    delivered: *delivered,
                    at: now,
                };
                let count = self.book.to_replay(&replayed).len();
                if count > 0 {
                    write(Fact::Replayed(Box::new(replayed)));
                }
                Ok(Decision::Count(count))
            }
            Wish::Register { dialect, url } => self.register(*dialect, url, now, entries),
            Wish::Unregister { url } => {
                for dialect in [Dialect::Result, Dialect::Status] {
                    let endpoint = classic_key(dialect, url);
                    if self.book.endpoint(endpoint).is_some() {
                        write(Fact::Deleted { endpoint });
                    }
                }
                Ok(Decision::Done)
            }
            Wish::Attempted(report) => {
                self.judge(report, now, entries);
                Ok(Decision::Done)
            }
        }
    }

    fn owned_endpoint(&self, owner: Owner, key: EndpointKey) -> Result<&Endpoint, Refusal> {
        self.book
            .endpoint(key)
            .filter(|endpoint| endpoint.owner == owner && endpoint.scope == Scope::Owner)
            .map(AsRef::as_ref)
            .ok_or(Refusal::NoSuchEndpoint)
    }

    fn new_endpoint(&self, new: &NewEndpoint, now: Timestamp) -> Result<Endpoint, Refusal> {
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
        change: &EndpointChange,
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
    ) -> Result<Decision, Refusal> {
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
            entries.push(Entry::Webhook(Box::new(fact)));
        }
        let job = self.default_job().and_then(|set| self.job(set.job));
        if let Some(job) = job.filter(|job| job.is_done())
            && !self.book.of_job(job.key).any(|told| told.endpoint == key)
            && let Some(body) = body_of(job, &event_of(job), dialect)
        {
            let mut late = self.delivery_of(job, &event_of(job), &endpoint, body, false);
            late.standing = Standing::Pending { due_at: now };
            entries.push(Entry::Webhook(Box::new(Fact::Announced(Box::new(late)))));
        }
        Ok(Decision::Endpoint(key))
    }

    /// Decides what comes of an attempt.
    fn judge(&self, report: &AttemptReport, now: Timestamp, entries: &mut Vec<Entry>) {
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
            entries.push(Entry::Webhook(Box::new(Fact::Disabled {
                endpoint: endpoint.key,
                disabled: Disabled { at: now, reason },
            })));
        }
    }

    fn write_attempt(
        report: &AttemptReport,
        now: Timestamp,
        next: Next,
        pause: Option<Duration>,
        entries: &mut Vec<Entry>,
    ) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let kept = &report.answer[..report.answer.len().min(ANSWER_BYTES_MAX)];
        let answer = String::from_utf8_lossy(kept);
        entries.push(Entry::Webhook(Box::new(Fact::Attempted(Box::new(
            Attempted {
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
            },
        )))));
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
