//! What clients and workers do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{Auto, LongPoll, Poll, Strategy, Stream, Webhook};
use abide::webhooks::NewEndpoint;
use abide::{Change, Client, Error, Job, JobHandle, JobId, NewJob, Simulate, Wait};
use abide_wire::{Stage, Timestamp, WebhookTarget};
use http::Method;
use serde_json::json;
use tokio::sync::watch;

use super::draw::Draw;
use super::history::{End, Event, History, View, Way as By};
use super::node::{KEYS, OWNERS, Wall};
use super::plan::{Act, CLIENTS, How, Plan};
use super::receivers::{RECEIVERS, Receivers, secret, url};
use super::transport::{SERVER, Way};

/// How long an actor waits for the job of another step.
const JOB_WAIT: Duration = Duration::from_secs(60);
/// How long a watch or a set goes on at most.
const WATCH_WAIT: Duration = Duration::from_secs(90);
/// How long a read is held.
const HOLD: Duration = Duration::from_secs(10);

/// Everyone outside the server, and what they know. Clones are the same.
#[derive(Clone)]
pub(super) struct Actors(Arc<Shared>);

struct Shared {
    plan: Plan,
    draw: Draw,
    history: History,
    wall: Wall,
    receivers: Receivers,
    ways: Vec<Way>,
    clients: Vec<Client>,
    /// The jobs that steps have made.
    jobs: Mutex<BTreeMap<usize, watch::Sender<Option<JobId>>>>,
}

/// The owner whose key a client has.
pub(super) fn owner_of(client: u64) -> usize {
    usize::from(client == CLIENTS - 1)
}

impl Actors {
    pub(super) fn new(
        plan: &Plan,
        draw: Draw,
        history: &History,
        wall: &Wall,
        receivers: &Receivers,
        net: &super::net::Net,
    ) -> Self {
        // One more for each owner, whose network never fails: it follows the feed, and works.
        let hosts = (0..CLIENTS).chain([CLIENTS, CLIENTS + 1]);
        let ways: Vec<_> = hosts
            .map(|host| {
                let owner = match host < CLIENTS {
                    true => owner_of(host),
                    false => usize::try_from(host - CLIENTS).unwrap_or_default(),
                };
                let is_lossy = plan.is_lossy && host < CLIENTS;
                Way::new(net, host, KEYS[owner], draw.named("way"), is_lossy)
            })
            .collect();
        let clients = ways.iter().zip(0..).map(|(way, host)| {
            // Machines' clocks differ, and some are wrong by hours.
            let skew = draw
                .named("skew")
                .of(host)
                .pick(&[0, 0, 3, -40, 900, 7_000_000]);
            let shown = Timestamp::from_millis(wall.now().as_millis() + skew);
            Client::builder(SERVER)
                .api_key(way.key())
                .seed(plan.seed.wrapping_mul(31).wrapping_add(host))
                .wall(shown)
                .transport(way.clone())
                .build()
                .expect("the server's address is one")
        });
        let clients = clients.collect();
        Self(Arc::new(Shared {
            plan: plan.clone(),
            draw,
            history: history.clone(),
            wall: wall.clone(),
            receivers: receivers.clone(),
            ways,
            clients,
            jobs: Mutex::default(),
        }))
    }

    /// The client whose network never fails, of that owner.
    fn safe(&self, owner: usize) -> (&Client, &Way) {
        let host = usize::try_from(CLIENTS).unwrap_or_default() + owner;
        (&self.0.clients[host], &self.0.ways[host])
    }

    fn client(&self, client: u64) -> (&Client, &Way) {
        let host = usize::try_from(client).unwrap_or_default();
        (&self.0.clients[host], &self.0.ways[host])
    }

    fn note(&self, who: impl Into<String>, event: Event) {
        self.0.history.note(who, event);
    }

    fn show(&self, who: impl Into<String>, way: By, job: &Job) {
        let view = View::of(job);
        self.note(who, Event::Shown { way, view });
    }

    fn slot(&self, step: usize) -> watch::Sender<Option<JobId>> {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.entry(step)
            .or_insert_with(|| watch::Sender::new(None))
            .clone()
    }

    /// The job of that step, once it is there; none if it never is.
    async fn job_of(&self, step: usize) -> Option<JobId> {
        let mut slot = self.slot(step).subscribe();
        let known = slot.wait_for(Option::is_some);
        tokio::time::timeout(JOB_WAIT, known)
            .await
            .ok()?
            .ok()?
            .clone()
    }

    /// Does a step.
    pub(super) async fn act(&self, step: usize, act: Act) {
        match act {
            Act::Create { client, key, wait } => self.create(step, client, key, wait).await,
            Act::Break(_) => {}
            Act::List { client } => self.list(client).await,
            Act::Set { client, up_to } => self.set(step, client, up_to).await,
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
            Act::Read { client, of } | Act::Cancel { client, of } => {
                let Some(job) = self.job_of(of).await else {
                    return;
                };
                let handle = self.client(client).0.job(job);
                let (way, answer) = match act {
                    Act::Read { .. } => (By::Read, handle.status().await),
                    _ => (By::Change, handle.cancel().await),
                };
                self.answered(step, client, way, answer);
            }
        }
    }

    /// Whether that client may see the jobs of that step.
    fn is_owner(&self, client: u64, of: usize) -> bool {
        let mut steps = self.0.plan.steps.iter();
        let made = steps.find_map(|step| match (&step.act, step.number == of) {
            (Act::Create { client, .. }, true) => Some(*client),
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
        let mut new = NewJob::new("world")
            .input(json!("x".repeat(plan.input_bytes)))
            .metadata(json!({"owner": OWNERS[owner], "key": name}));
        new = match plan.length {
            None => new.external(),
            Some(length) => {
                let mut simulate = Simulate::fixed(length);
                let stages = (0..plan.stages).map(|n| Stage {
                    name: format!("stage-{n}"),
                    share: 1.0,
                });
                simulate.stages = Some(stages.collect());
                new.simulate(simulate)
            }
        };
        if plan.has_webhook {
            new = new.webhook(WebhookTarget {
                url: url(owner, "job"),
                events: None,
                secret: Some(secret().expose()),
            });
        }
        let (api, _) = self.client(client);
        let handle = match api.create(new).idempotency_key(name).await {
            Ok(handle) => handle,
            Err(error) => return self.failed(step, client, &error),
        };
        let view = handle
            .snapshot()
            .map(View::of)
            .expect("a create shows its job");
        let accepted = Event::Accepted {
            step,
            ago_ms: self.0.wall.now().as_millis() - view.created_ms,
            view,
            bytes: plan.input_bytes,
            is_replayed: handle.is_replayed(),
        };
        self.note(who(client), accepted);
        self.slot(step).send_replace(Some(handle.id().clone()));
        if plan.length.is_none() && !handle.is_replayed() {
            let (actors, job) = (self.clone(), handle.id().clone());
            tokio::spawn(async move { actors.work(step, owner, &job).await });
        }
        if let Some((how, deadline)) = wait {
            self.wait(step, client, &handle, how, deadline).await;
        }
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
        let waiting = async {
            while let Some((_, outcome)) = set.join_next().await {
                match outcome {
                    Ok(finished) => self.show(format!("set {step}"), By::Wait, finished.job()),
                    Err(error) => self.failed(step, client, &error),
                }
            }
        };
        let _ = tokio::time::timeout(WATCH_WAIT, waiting).await;
    }

    /// Reads a job by held requests until its end.
    async fn hold(&self, step: usize, client: u64, job: &JobId, half_closes: bool) {
        let (_, way) = self.client(client);
        let mut after = 0;
        for _ in 0..40 {
            let path = format!("/v1/jobs/{job}?wait={}&after={after}", HOLD.as_secs());
            let began = self.0.history.age();
            let answer = match half_closes {
                true => way
                    .ask_and_end(&path, HOLD)
                    .await
                    .map_err(|error| error.to_string()),
                false => {
                    let asked = way.ask(Method::GET, &path, None, HOLD);
                    asked.await.map_err(|error| error.to_string())
                }
            };
            if answer.as_ref().is_ok_and(|answer| answer.status == 404) {
                let (job, host) = (job.as_str().to_owned(), client);
                return self.note(who(client), Event::Missing { job, host });
            }
            let held = answer.and_then(|answer| match answer.status {
                200 => serde_json::from_slice::<Job>(&answer.body).map_err(|it| it.to_string()),
                status => Err(format!("status {status}")),
            });
            let shown = match held {
                Ok(shown) => shown,
                Err(why) => {
                    let over = Event::Over {
                        job: job.as_str().to_owned(),
                        how: "hold",
                        host: client,
                        began,
                        deadline: None,
                        half_closed: half_closes,
                        after: Some(after),
                        end: End::Other(why),
                    };
                    self.note(format!("hold {step}"), over);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            };
            self.show(format!("hold {step}"), By::Hold, &shown);
            let over = Event::Over {
                job: job.as_str().to_owned(),
                how: "hold",
                host: client,
                began,
                deadline: Some(HOLD + HOLD / 16),
                half_closed: half_closes,
                after: Some(after),
                end: match shown.revision.0 > after {
                    true => End::Finished,
                    false => End::StillRunning,
                },
            };
            self.note(format!("hold {step}"), over);
            if shown.done {
                return;
            }
            after = shown.revision.0;
        }
    }

    async fn list(&self, client: u64) {
        let mut list = self.client(client).0.list().page_size(3);
        while let Ok(Some(page)) = list.next_page().await {
            for job in page {
                self.show(who(client), By::List, &job);
            }
        }
    }

    /// Works on an external job, and reports until the server has it.
    async fn work(&self, step: usize, owner: usize, job: &JobId) {
        let (_, way) = self.safe(owner);
        let draw = self.0.draw.named("work").of(step as u64);
        let reports = draw.named("reports").between(0, 4);
        for n in 0..=reports {
            tokio::time::sleep(draw.named("pause").of(n).span(20, 3_000)).await;
            let report = match n == reports {
                true => json!({"result": {"of": step}}),
                false => json!({"progress": {"percent": 100 * n / (reports + 1)}}),
            };
            for _ in 0..60 {
                let path = format!("/v1/jobs/{job}");
                let body = Some(report.to_string());
                match way.ask(Method::PATCH, &path, body, Duration::ZERO).await {
                    Ok(answer) if answer.status == 200 => {
                        if let Ok(job) = serde_json::from_slice::<Job>(&answer.body) {
                            self.show(format!("worker {step}"), By::Change, &job);
                        }
                        break;
                    }
                    // It has ended: this report was taken before, or the job was canceled.
                    Ok(answer) if answer.status == 409 => break,
                    _ => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            }
        }
    }

    /// Registers an endpoint for everything of an owner, until the server has it.
    pub(super) async fn subscribe(&self, owner: usize) {
        let is_ordered = owner == 0;
        let new = NewEndpoint {
            url: url(owner, "all"),
            events: Some(vec!["job.*".to_owned()]),
            secret: Some(secret().expose()),
            ordered: Some(is_ordered),
            ..NewEndpoint::default()
        };
        if self.safe(owner).0.webhooks().create(&new).await.is_ok() {
            let subscribed = Event::Subscribed {
                url: new.url,
                owner: OWNERS[owner],
                is_ordered,
            };
            self.note(format!("feed {}", OWNERS[owner]), subscribed);
        }
    }

    /// Follows the feed of an owner, for as long as the world lasts.
    pub(super) async fn follow(&self, owner: usize) {
        let name = format!("feed {}", OWNERS[owner]);
        let mut place = None;
        loop {
            let feed = self.safe(owner).0.feed();
            let mut feed = match place.clone() {
                Some(place) => feed.after(place),
                None => feed,
            };
            while let Some(Ok(change)) = feed.next().await {
                match change {
                    Change::Event(event) => self.show(name.as_str(), By::Feed, &event.data),
                    _ => self.note(name.as_str(), Event::Gap),
                }
                place = feed.place().cloned();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Reads every job of an owner that anyone knows of, and tries to read one as the other owner.
    pub(super) async fn audit(&self, owner: usize) {
        let (api, _) = self.safe(owner);
        let mut list = api.list();
        while let Ok(Some(page)) = list.next_page().await {
            for job in page {
                self.show(format!("audit {}", OWNERS[owner]), By::List, &job);
                let (_, other) = self.safe(RECEIVERS - 1 - owner);
                let path = format!("/v1/jobs/{}", job.id);
                if let Ok(answer) = other.ask(Method::GET, &path, None, Duration::ZERO).await {
                    let status = answer.status;
                    self.note("trespasser", Event::Trespassed { status });
                }
            }
        }
    }
}

fn who(client: u64) -> String {
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
