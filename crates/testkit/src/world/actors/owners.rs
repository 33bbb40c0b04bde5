//! What each owner's own network does, which never fails.

use std::sync::PoisonError;
use std::time::Duration;

use abide::webhooks::NewEndpoint;
use abide::{Change, Client, FeedPlace, Job};
use http::Method;
use serde_json::{Value, json};

use super::cast::{Actors, owner_of};
use super::clients::who;
use crate::world::history::{Event, Way as By};
use crate::world::node::OWNERS;
use crate::world::plan::CLIENTS;
use crate::world::receivers::{RECEIVERS, secret, url};

impl Actors {
    /// Registers an endpoint for everything of an owner, until the server has it.
    pub(in crate::world) async fn subscribe(&self, owner: usize) {
        let is_ordered = owner == 0;
        let new = NewEndpoint {
            url: url(owner, "all"),
            events: Some(vec!["job.*".to_owned()]),
            secret: Some(secret().expose().into()),
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
    pub(in crate::world) async fn follow(&self, owner: usize) {
        let name = format!("feed {}", OWNERS[owner]);
        let seen = |place: &FeedPlace, job: &Job| {
            let change = (job.id.as_str().to_owned(), job.revision.0);
            let places = self.0.places[owner].lock();
            let mut places = places.unwrap_or_else(PoisonError::into_inner);
            places.push((place.clone(), change));
        };
        self.tell(self.safe(owner).0, &name, None, seen).await;
    }

    /// Notes what a feed tells, from that place on, whatever breaks meanwhile.
    pub(super) async fn tell(
        &self,
        client: &Client,
        name: &str,
        mut place: Option<FeedPlace>,
        seen: impl Fn(&FeedPlace, &Job),
    ) {
        loop {
            let feed = client.feed();
            let mut feed = match place.clone() {
                Some(place) => feed.after(place),
                None => feed,
            };
            while let Some(Ok(change)) = feed.next().await {
                place = feed.place().cloned();
                match change {
                    Change::Event(event) => {
                        self.show(name, By::Feed, &event.data);
                        if let Some(place) = &place {
                            seen(place, &event.data);
                        }
                    }
                    _ => self.note(name, Event::Gap),
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Reads every job of an owner that anyone knows of, and tries to read one as the other owner.
    pub(in crate::world) async fn audit(&self, owner: usize) {
        let (api, _) = self.safe(owner);
        let name = format!("audit {}", OWNERS[owner]);
        let sent = self.0.history.age();
        let (mut list, mut jobs) = (api.list(), Vec::new());
        while let Ok(page) = list.next_page().await {
            let Some(page) = page else {
                let owner = OWNERS[owner];
                self.note(name, Event::Listed { owner, sent, jobs });
                break;
            };
            for job in page {
                self.show(name.as_str(), By::List, &job);
                jobs.push(job.id.as_str().to_owned());
                let (_, other) = self.safe(RECEIVERS - 1 - owner);
                let path = format!("/v1/jobs/{}", job.id);
                if let Ok(answer) = other.ask(Method::GET, &path, None, Duration::ZERO).await {
                    let status = answer.status;
                    self.note("trespasser", Event::Trespassed { status });
                }
                let set = json!({"jobs": [{"id": job.id}], "wait": 0}).to_string();
                let asked = other.ask(Method::POST, "/v1/jobs/wait", Some(set), Duration::ZERO);
                if let Ok(answer) = asked.await {
                    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let has_told = told["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty());
                    let status = if has_told { answer.status } else { 404 };
                    self.note("trespasser", Event::Trespassed { status });
                }
                let path = format!("/v1/jobs/{}", job.id);
                let draw = self.0.draw.named("trespass").named(job.id.as_str());
                let progress = json!({"progress": {"percent": 1}}).to_string();
                let (method, path, body) = match draw.below(3) {
                    0 => (Method::POST, format!("{path}/cancel"), None),
                    1 => (Method::DELETE, path, None),
                    _ => (Method::PATCH, path, Some(progress)),
                };
                if let Ok(answer) = other.ask(method, &path, body, Duration::ZERO).await {
                    let status = answer.status;
                    self.note("trespasser", Event::Trespassed { status });
                }
            }
        }
        self.ask_for_deleted(owner).await;
    }

    /// Asks for every job that was deleted, one's own and others'.
    async fn ask_for_deleted(&self, owner: usize) {
        let (_, way) = self.safe(owner);
        for moment in self.0.history.moments() {
            let Event::Deleted {
                job,
                is_certain: true,
            } = moment.event
            else {
                continue;
            };
            let by = (0..CLIENTS).find(|client| moment.who == who(*client));
            let path = format!("/v1/jobs/{job}");
            if let Ok(answer) = way.ask(Method::GET, &path, None, Duration::ZERO).await {
                let gone = Event::Gone {
                    job,
                    is_owner: by.is_some_and(|client| owner_of(client) == owner),
                    status: answer.status,
                };
                self.note("auditor", gone);
            }
        }
    }
}
