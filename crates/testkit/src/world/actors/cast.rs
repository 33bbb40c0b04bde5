//! Who there is, and what they know of each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use abide::{Client, FeedPlace, Job, JobId};
use abide_wire::Timestamp;
use tokio::sync::watch;

use super::clients::JOB_WAIT;
use crate::world::draw::Draw;
use crate::world::history::{Event, History, View, Way as By};
use crate::world::net::Net;
use crate::world::node::{KEYS, Wall};
use crate::world::plan::{CLIENTS, Plan};
use crate::world::receivers::Receivers;
use crate::world::transport::{SERVER, Way};

/// A place in a feed, and the change that was told there.
pub(super) type Seen = (FeedPlace, (String, u64));

/// Everyone outside the server, and what they know. Clones are the same.
#[derive(Clone)]
pub(in crate::world) struct Actors(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) draw: Draw,
    pub(super) history: History,
    pub(super) wall: Wall,
    pub(super) receivers: Receivers,
    pub(super) ways: Vec<Way>,
    pub(super) clients: Vec<Client>,
    /// The jobs that steps have made.
    jobs: Mutex<BTreeMap<usize, watch::Sender<Option<JobId>>>>,
    /// Where each owner's first follower of the feed has been, and the change that it was told there.
    pub(super) places: [Mutex<Vec<Seen>>; 2],
}

/// The owner whose key a client has.
pub(in crate::world) fn owner_of(client: u64) -> usize {
    usize::from(client == CLIENTS - 1)
}

impl Actors {
    pub(in crate::world) fn new(
        plan: &Plan,
        draw: Draw,
        history: &History,
        wall: &Wall,
        receivers: &Receivers,
        net: &Net,
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
            places: Default::default(),
        }))
    }

    /// The client whose network never fails, of that owner.
    pub(super) fn safe(&self, owner: usize) -> (&Client, &Way) {
        let host = usize::try_from(CLIENTS).unwrap_or_default() + owner;
        (&self.0.clients[host], &self.0.ways[host])
    }

    pub(super) fn client(&self, client: u64) -> (&Client, &Way) {
        let host = usize::try_from(client).unwrap_or_default();
        (&self.0.clients[host], &self.0.ways[host])
    }

    pub(super) fn note(&self, who: impl Into<String>, event: Event) {
        self.0.history.note(who, event);
    }

    pub(super) fn show(&self, who: impl Into<String>, way: By, job: &Job) {
        let view = View::of(job);
        self.note(who, Event::Shown { way, view });
    }

    pub(super) fn slot(&self, step: usize) -> watch::Sender<Option<JobId>> {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.entry(step)
            .or_insert_with(|| watch::Sender::new(None))
            .clone()
    }

    /// The job of that step, once it is there; none if it never is.
    pub(super) async fn job_of(&self, step: usize) -> Option<JobId> {
        let mut slot = self.slot(step).subscribe();
        let known = slot.wait_for(Option::is_some);
        tokio::time::timeout(JOB_WAIT, known)
            .await
            .ok()?
            .ok()?
            .clone()
    }
}
