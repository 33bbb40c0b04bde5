//! Where webhooks arrive: one receiver for each owner.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide::{Event as JobEvent, Inbox};
use abide_server::courier::send::{Carrying, EXCHANGE_MAX};
use abide_server::courier::{Answered, Carrier, Post, SendError};
use abide_wire::webhook::{Secret, Signed, Verifier};
use tokio::time::Instant;

use super::draw::Draw;
use super::history::{Event, History, View, now};
use super::node::Wall;
use super::plan::Mood;

/// How many receivers there are.
pub(super) const RECEIVERS: usize = 2;

/// All receivers. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Receivers(Arc<Shared>);

struct Shared {
    history: History,
    wall: Wall,
    draw: Draw,
    posts: AtomicU64,
    moods: Mutex<[Option<(Mood, Instant)>; RECEIVERS]>,
    inboxes: [Inbox; RECEIVERS],
}

/// Carries webhooks for one life of the server.
pub(super) struct Courier {
    receivers: Receivers,
    lives: Arc<AtomicBool>,
}

/// The secret that everything is signed with.
pub(super) fn secret() -> Secret {
    Secret::generate([3; 32])
}

/// Where a receiver takes what its endpoint or a job's own webhook is told.
pub(super) fn url(receiver: usize, of: &str) -> String {
    format!("http://receiver-{receiver}.test/{of}")
}

impl Receivers {
    pub(super) fn new(history: &History, wall: &Wall, draw: Draw) -> Self {
        Self(Arc::new(Shared {
            history: history.clone(),
            wall: wall.clone(),
            draw,
            posts: AtomicU64::new(0),
            moods: Mutex::default(),
            inboxes: [Inbox::new(), Inbox::new()],
        }))
    }

    /// The inbox of that receiver, for waits.
    pub(super) fn inbox(&self, receiver: usize) -> &Inbox {
        &self.0.inboxes[receiver]
    }

    /// Lets a receiver behave so for that long.
    pub(super) fn mood(&self, receiver: u64, mood: Mood, length: Duration) {
        let mut moods = self.0.moods.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = usize::try_from(receiver).unwrap_or_default() % RECEIVERS;
        moods[receiver] = Some((mood, now() + length));
    }

    fn mood_of(&self, receiver: usize) -> Option<Mood> {
        let moods = self.0.moods.lock().unwrap_or_else(PoisonError::into_inner);
        moods[receiver]
            .filter(|(_, until)| *until > now())
            .map(|(mood, _)| mood)
    }

    /// What carries webhooks to them until `lives` is false.
    pub(super) fn courier(&self, lives: &Arc<AtomicBool>) -> Courier {
        Courier {
            receivers: self.clone(),
            lives: lives.clone(),
        }
    }

    /// Takes a post in, and says with which status it is answered.
    fn take(&self, receiver: usize, post: &Post, is_taken: bool) -> u16 {
        let header = |name| post.headers.get(name)?.to_str().ok();
        let signed = Signed::read(header);
        let id = signed.as_ref().map(|signed| signed.id.to_owned());
        let is_verified = signed.is_ok_and(|signed| {
            let verifier = Verifier::new([secret()]);
            verifier
                .verify_at(signed, &post.body, self.0.wall.now())
                .is_ok()
        });
        let Ok(event) = serde_json::from_slice::<JobEvent>(&post.body) else {
            return 400;
        };
        let delivered = Event::Delivered {
            url: post.url.clone(),
            id: id.unwrap_or_default(),
            view: View::of(&event.data),
            is_verified,
            is_taken,
        };
        self.0
            .history
            .note(format!("receiver {receiver}"), delivered);
        if is_taken && is_verified {
            self.0.inboxes[receiver].deliver(event.data);
        }
        if is_taken { 204 } else { 503 }
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Courier")
    }
}

impl Carrier for Courier {
    fn post(&self, post: Post) -> Carrying<'_> {
        let receivers = self.receivers.clone();
        let lives = self.lives.clone();
        Box::pin(async move {
            let receiver = usize::from(post.url.contains("receiver-1"));
            let n = receivers.0.posts.fetch_add(1, Ordering::Relaxed);
            let way = Duration::from_millis(receivers.0.draw.of(n).between(1, 9));
            tokio::time::sleep(way).await;
            if !lives.load(Ordering::Relaxed) {
                // The process that sent it is no more; nothing of it hears an answer.
                return std::future::pending().await;
            }
            let status = match receivers.mood_of(receiver) {
                None => receivers.take(receiver, &post, true),
                Some(Mood::Refuses) => 503,
                Some(Mood::Forgets) => receivers.take(receiver, &post, false),
                Some(Mood::Hangs) => {
                    tokio::time::sleep(EXCHANGE_MAX).await;
                    return Err(SendError::Timeout(EXCHANGE_MAX));
                }
                Some(Mood::Away) => return Err(SendError::Connect("refused".to_owned())),
            };
            tokio::time::sleep(way).await;
            Ok(Answered {
                status,
                retry_after: None,
                body: Vec::new(),
                truncated: false,
            })
        })
    }
}
