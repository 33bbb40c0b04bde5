//! What clients do.

use std::sync::Arc;
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{Auto, LongPoll, Poll, Strategy, Stream, Webhook};
use abide::{Error, Job, JobHandle, JobId, NewJob, Simulate, Wait};
use abide_engine::JobKey;
use abide_wire::{Span, Stage, WebhookTarget};
use http::{Method, header};
use serde_json::json;

use super::cast::{Actors, owner_of};
use super::workers::CLAIMED;
use crate::world::history::{End, Event, View, Way as By};
use crate::world::node::OWNERS;
use crate::world::plan::{Act, How, JobPlan, SEVERAL};
use crate::world::receivers::{secret, url};

/// How long an actor waits for the job of another step.
pub(super) const JOB_WAIT: Duration = Duration::from_secs(60);
/// How long a watch or a set goes on at most.
const WATCH_WAIT: Duration = Duration::from_secs(90);

impl Actors {
    /// Does a step.
    pub(in crate::world) async fn act(&self, step: usize, act: Act) {
        match act {
            Act::Create { client, key, wait } => self.create(step, client, key, wait).await,
            Act::CreateAll { client, key } => self.create_all(step, client, key).await,
            Act::Break(_) => {}
            Act::List { client } => self.list(client).await,
            Act::Feed { client } => self.follow_late(step, client).await,
            Act::Set { client, up_to } => self.set(step, client, up_to).await,
            Act::Report { client, of } => {
                if let Some(job) = self.job_of(of).await {
                    self.remark(client, &job).await;
                }
            }
            Act::Watch { client, of, how } => {
                if let Some(job) = self.job_of(of).await {
                    self.watch(step, client, job, how).await;
                }
            }
            Act::Hold {
                client,
                of,
                half_closes,
            } => {
                if let Some(job) = self.job_of(of).await {
                    self.hold(step, client, &job, half_closes).await;
                }
            }
            Act::Delete { client, of } => {
                let job = self.job_of(of).await;
                if let Some(job) = job.filter(|_| self.is_owner(client, of)) {
                    self.delete(step, client, job).await;
                }
            }
            Act::Read { client, of } => {
                if let Some(job) = self.job_of(of).await {
                    let answer = self.client(client).0.job(job.clone()).status().await;
                    self.answered(step, client, By::Read, answer);
                    self.look_again(step, client, &job).await;
                    self.ask_oddly(step, client, &job).await;
                }
            }
            Act::Cancel { client, of } => {
                if let Some(job) = self.job_of(of).await {
                    let answer = self.client(client).0.job(job).cancel().await;
                    self.answered(step, client, By::Change, answer);
                }
            }
        }
    }

    /// Whether that client may see the jobs of that step.
    fn is_owner(&self, client: u64, of: usize) -> bool {
        let mut steps = self.0.plan.steps.iter();
        let made = steps.find_map(|step| match (&step.act, step.number == of) {
            (Act::Create { client, .. } | Act::CreateAll { client, .. }, true) => Some(*client),
            _ => None,
        });
        made.is_some_and(|made| owner_of(made) == owner_of(client))
    }

    fn answered(&self, step: usize, client: u64, way: By, answer: Result<Job, Error>) {
        match answer {
            Ok(job) => self.show(who(client), way, &job),
            Err(error) => self.failed(step, client, &error),
        }
    }

    fn failed(&self, step: usize, client: u64, error: &Error) {
        if let Some(job) = error.job_id().filter(|_| error.is_not_found()) {
            let job = job.as_str().to_owned();
            self.note(who(client), Event::Missing { job, host: client });
        }
        let why = error.to_string();
        self.note(who(client), Event::Failed { step, why });
    }

    async fn create(
        &self,
        step: usize,
        client: u64,
        key: u64,
        wait: Option<(How, Option<Duration>)>,
    ) {
        let owner = owner_of(client);
        let plan = self.0.plan.job(key);
        let name = format!("key-{key}");
        let new = new_job(&plan, owner, &name);
        let again = self.0.draw.named("again").of(step as u64).one_in(3);
        let again = again.then(|| {
            let other = new
                .clone()
                .metadata(json!({"owner": OWNERS[owner], "key": "another"}));
            let mark = match self.0.draw.named("mark").of(step as u64).one_in(2) {
                true => "\u{feff}",
                false => "",
            };
            (
                self.clone(),
                format!("{mark}{}", spelled_otherwise(&new)),
                spelled_otherwise(&other),
                name.clone(),
            )
        });
        let (sent, shown) = (self.0.history.age(), self.0.wall.now());
        let (api, _) = self.client(client);
        let handle = match api.create(new).idempotency_key(name).await {
            Ok(handle) => handle,
            Err(error) => return self.failed(step, client, &error),
        };
        let view = handle
            .snapshot()
            .map(View::of)
            .expect("a create shows its job");
        if let Some((actors, same, other, key)) = again {
            tokio::spawn(async move {
                actors.create_again(client, other, &key, false).await;
                actors.create_again(client, same, &key, true).await;
            });
        }
        let accepted = Event::Accepted {
            step,
            sent,
            ago_ms: shown.as_millis() - view.created_ms,
            view,
            bytes: plan.input_bytes,
            is_replayed: handle.is_replayed(),
        };
        self.note(who(client), accepted);
        self.slot(step).send_replace(Some(handle.id().clone()));
        let is_own = plan.length.is_none() && plan.attempts_max.is_none();
        if is_own && !handle.is_replayed() {
            let (actors, job) = (self.clone(), handle.id().clone());
            tokio::spawn(async move { actors.work(step, owner, &job).await });
        }
        if let Some((how, deadline)) = wait {
            self.wait(step, client, &handle, how, deadline).await;
        }
    }

    /// Makes several jobs by one request, and maybe asks once more for other ones under the same key.
    async fn create_all(&self, step: usize, client: u64, key: u64) {
        let (owner, several) = (OWNERS[owner_of(client)], self.0.plan.several(key));
        let mut languages: Vec<_> = (0..several.count)
            .map(|part| format!("{owner} {SEVERAL}{key}-{part}"))
            .collect();
        let (_, way) = self.client(client);
        let name = format!("{SEVERAL}{key}");
        let asks_again = self.0.draw.named("again").of(step as u64).one_in(3);
        for _ in 0..1 + u8::from(asks_again) {
            let asked = way.create_all(&name, several.length, &languages).await;
            let jobs = match asked {
                Ok(answer) if answer.status < 300 => ids_of(&answer.body),
                Ok(answer) => Err(format!("status {}", answer.status)),
                Err(error) => Err(error.to_string()),
            };
            let jobs = match jobs {
                Ok(jobs) => jobs,
                Err(why) => return self.note(who(client), Event::Failed { step, why }),
            };
            let first = jobs.first().map(|id| JobId::new(id.as_str()));
            self.note(who(client), Event::AcceptedAll { owner, key, jobs });
            self.slot(step).send_replace(first);
            languages = vec![format!("{owner} {SEVERAL}{key}-{}", several.count)];
        }
    }

    /// Sends a create once more, as a client does whose own language spells JSON in another way, or another one under
    /// the same key.
    async fn create_again(&self, client: u64, body: String, key: &str, is_same: bool) {
        let (_, way) = self.client(client);
        if let Ok(answer) = way.create(key, body).await {
            if let Ok(job) = serde_json::from_slice::<Job>(&answer.body) {
                self.show(who(client), By::Create, &job);
            }
            let repeated = Event::Repeated {
                key: key.to_owned(),
                is_same,
                status: answer.status,
            };
            self.note(who(client), repeated);
        }
    }

    /// Reports on a job without a lease, as a worker does that has missed its end.
    pub(super) async fn remark(&self, client: u64, job: &JobId) {
        let (_, way) = self.client(client);
        let sent = self.0.history.age();
        let (path, body) = (
            format!("/v1/jobs/{job}"),
            json!({"progress": {"percent": 1}}),
        );
        // It may believe to know the job, which has changed since.
        let draw = self.0.draw.named("believed").named(job.as_str());
        let revision = draw.of(client).below(4);
        let (method, body) = (Method::PATCH, Some(body.to_string()));
        let asked = match revision {
            0 => way.ask(method, &path, body, Duration::ZERO).await,
            _ => {
                way.ask_if(method, &path, (header::IF_MATCH, revision), body)
                    .await
            }
        };
        let remarked = Event::Remarked {
            job: job.as_str().to_owned(),
            sent,
            revision,
            status: asked.ok().map(|answer| answer.status),
        };
        self.note(who(client), remarked);
    }

    fn strategy(&self, how: How, owner: usize) -> Arc<dyn Strategy> {
        match how {
            How::Auto => Arc::new(Auto::new()),
            How::LongPoll => Arc::new(LongPoll::new()),
            How::Stream => Arc::new(Stream::new()),
            How::Poll => Arc::new(Poll::by(Fixed::new(Duration::from_millis(700)))),
            How::Webhook => Arc::new(Webhook::new(self.0.receivers.inbox(owner))),
        }
    }

    async fn wait(
        &self,
        step: usize,
        client: u64,
        job: &JobHandle,
        how: How,
        deadline: Option<Duration>,
    ) {
        let strategy = self.strategy(how, owner_of(client));
        let actors = self.clone();
        let waiter = format!("wait {step}");
        let mut wait: Wait = job
            .wait()
            .strategy(strategy)
            .on_update(move |job| actors.show(waiter.as_str(), By::Wait, job));
        if let Some(deadline) = deadline {
            wait = wait.deadline(deadline);
        }
        let began = self.0.history.age();
        let ended = tokio::time::timeout(WATCH_WAIT, wait.into_future()).await;
        let end = match ended {
            Ok(Ok(_)) => End::Finished,
            Ok(Err(error)) if error.is_still_running() => End::StillRunning,
            Ok(Err(error)) if error.is_unreachable() => End::Unreachable,
            Ok(Err(error)) => End::Other(error.to_string()),
            // This world has given it up, not the client.
            Err(_) => return,
        };
        let over = Event::Over {
            job: job.id().as_str().to_owned(),
            how: name(how),
            host: client,
            began,
            deadline,
            half_closed: false,
            after: None,
            end,
        };
        self.note(format!("wait {step}"), over);
    }

    async fn watch(&self, step: usize, client: u64, job: JobId, how: How) {
        let strategy = self.strategy(how, owner_of(client));
        let mut watch = self.client(client).0.job(job).watch().strategy(strategy);
        let watching = async {
            while let Some(next) = watch.next().await {
                match next {
                    Ok(job) => self.show(format!("watch {step}"), By::Wait, &job),
                    Err(error) => self.failed(step, client, &error),
                }
            }
        };
        let _ = tokio::time::timeout(WATCH_WAIT, watching).await;
    }

    async fn set(&self, step: usize, client: u64, up_to: usize) {
        let mut jobs = Vec::new();
        for of in (0..=up_to).filter(|of| self.is_owner(client, *of)) {
            let slot = self.slot(of);
            let known = slot.borrow().clone();
            jobs.extend(known.map(|id| self.client(client).0.job(id)));
        }
        let mut set = self.client(client).0.set(jobs);
        let began = self.0.history.age();
        let waiting = async {
            while let Some((_, outcome)) = set.join_next().await {
                match outcome {
                    Ok(finished) => {
                        self.show(format!("set {step}"), By::Wait, finished.job());
                        let over = Event::Over {
                            job: finished.job().id.as_str().to_owned(),
                            how: "set",
                            host: client,
                            began,
                            deadline: None,
                            half_closed: false,
                            after: None,
                            end: End::Finished,
                        };
                        self.note(format!("set {step}"), over);
                    }
                    Err(error) => self.failed(step, client, &error),
                }
            }
        };
        let _ = tokio::time::timeout(WATCH_WAIT, waiting).await;
    }

    async fn delete(&self, step: usize, client: u64, job: JobId) {
        let deleted = |is_certain| Event::Deleted {
            job: job.as_str().to_owned(),
            is_certain,
        };
        self.note(who(client), deleted(false));
        match self.client(client).0.job(job.clone()).delete().await {
            Ok(()) => self.note(who(client), deleted(true)),
            Err(error) => self.failed(step, client, &error),
        }
    }
}

/// What a create of that owner says.
fn new_job(plan: &JobPlan, owner: usize, key: &str) -> NewJob {
    let kind = plan.attempts_max.map_or("world", |_| CLAIMED);
    let mut new = NewJob::new(kind)
        .input(json!("x".repeat(plan.input_bytes)))
        .metadata(json!({"owner": OWNERS[owner], "key": key}));
    new = match (plan.length, plan.attempts_max) {
        (Some(length), _) => {
            let mut simulate = Simulate::fixed(length);
            let stages = (0..plan.stages).map(|n| Stage {
                name: format!("stage-{n}"),
                share: 1.0,
            });
            simulate.stages = Some(stages.collect());
            new.simulate(simulate)
        }
        (None, Some(attempts_max)) => new.external().retried(attempts_max),
        (None, None) => new.external(),
    };
    new.deadline_s = plan.deadline.map(Span::new);
    if plan.has_webhook {
        new = new.webhook(WebhookTarget {
            url: url(owner, "job"),
            events: None,
            secret: Some(secret().expose().into()),
        });
    }
    new
}

/// The same create with its members in another order, and with white space.
fn spelled_otherwise(new: &NewJob) -> String {
    let text = serde_json::to_string(new).unwrap_or_default();
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).unwrap_or_default();
    let members = members.iter().rev();
    let members: Vec<_> = members
        .map(|(name, value)| format!("{name:?} : {value:#}"))
        .collect();
    format!("{{ {} }}", members.join(" , "))
}

/// The ids of the jobs in the answer to a create of several, as everyone else spells them.
fn ids_of(body: &[u8]) -> Result<Vec<String>, String> {
    let answer: serde_json::Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let ids = answer["data"]["video_translation_ids"].as_array();
    let id = |id: &serde_json::Value| {
        let number = u128::from_str_radix(id.as_str()?, 16).ok()?;
        Some(JobKey::from_u128(number).to_string())
    };
    let ids = ids.and_then(|ids| ids.iter().map(id).collect());
    ids.ok_or_else(|| format!("no ids in {answer}"))
}

pub(super) fn who(client: u64) -> String {
    format!("client {client}")
}

const fn name(how: How) -> &'static str {
    match how {
        How::Auto => "auto",
        How::LongPoll => "long-poll",
        How::Stream => "stream",
        How::Poll => "poll",
        How::Webhook => "webhook",
    }
}
