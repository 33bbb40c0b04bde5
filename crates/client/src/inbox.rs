//! Where pushes arrive, and where waits listen for them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use abide_wire::{Job, JobId};

/// How many jobs without a waiter an inbox remembers. A push may come before the create's answer.
const REMEMBERED_MAX: usize = 1_024;

/// A place for pushed jobs: whatever receives and verifies webhooks [delivers](Self::deliver) to it, and waits with
/// the [`Webhook`](crate::strategy::Webhook) strategy listen.
///
/// Cloning gives another handle to the same inbox. Pushes may come doubled, late, out of order and early: only a newer
/// revision is news, an ended job never changes, and the latest state of jobs without a wait yet is remembered
/// for up to 1,024 of them.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, watch::Sender<Option<Arc<Job>>>>,
    /// The jobs in the order in which they came, for forgetting the oldest.
    order: VecDeque<JobId>,
}

impl Inbox {
    /// An empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a job as a *verified* push told it. Returns whether it was news; one that contradicts itself, such as a
    /// job that is done without an outcome, is none.
    pub fn deliver(&self, job: Job) -> bool {
        // No wait would believe it, and it would take the place of the end.
        if job.done != job.outcome.is_some() {
            return false;
        }
        self.with(|state| {
            let entry = state.entry(&job.id);
            entry.send_if_modified(|known| {
                let news = known
                    .as_ref()
                    .is_none_or(|known| !known.done && job.revision > known.revision);
                if news {
                    *known = Some(Arc::new(job));
                }
                news
            })
        })
    }

    /// Listens for a job.
    pub(crate) fn subscribe(&self, id: &JobId) -> Subscription {
        Subscription(self.with(|state| {
            let mut listener = state.entry(id).subscribe();
            // What came before is news to a new waiter.
            listener.mark_changed();
            listener
        }))
    }

    /// How many waits are listening.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.with(|state| state.jobs.values().map(watch::Sender::receiver_count).sum())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn entry(&mut self, id: &JobId) -> &watch::Sender<Option<Arc<Job>>> {
        if !self.jobs.contains_key(id) {
            self.forget();
            self.order.push_back(id.clone());
        }
        self.jobs
            .entry(id.clone())
            .or_insert_with(|| watch::channel(None).0)
    }

    /// Makes room for one more. Jobs with a waiter are kept, however many they are.
    fn forget(&mut self) {
        // A few tries are enough: what is waited for now is seldom at the front.
        for _ in 0..self.order.len().min(64) {
            if self.jobs.len() < REMEMBERED_MAX {
                return;
            }
            let Some(id) = self.order.pop_front() else {
                return;
            };
            if self
                .jobs
                .get(&id)
                .is_some_and(|job| job.receiver_count() > 0)
            {
                self.order.push_back(id);
            } else {
                self.jobs.remove(&id);
            }
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("listeners", &self.listeners())
            .finish_non_exhaustive()
    }
}

/// One wait's ear.
#[derive(Debug)]
pub(crate) struct Subscription(watch::Receiver<Option<Arc<Job>>>);

impl Subscription {
    /// The next news. Never returns where the inbox is gone: no news will come.
    pub(crate) async fn news(&mut self) -> Arc<Job> {
        loop {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(job) = self.0.borrow_and_update().clone() {
                return job;
            }
        }
    }
}

impl Subscription {
    /// Does the work, unless the job's end is told before it is done. News that isn't the end is left to be heard.
    ///
    /// # Cancel safety
    ///
    /// What was told is not lost by dropping the future.
    pub(crate) async fn unless_ended<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Arc<Job>> {
        // An ear of its own, so that ours still hears what this one has let pass.
        let mut ear = self.0.clone();
        let end = async {
            match ear
                .wait_for(|job| job.as_ref().is_some_and(|job| job.done))
                .await
            {
                Ok(job) => job.clone(),
                Err(_) => None,
            }
        };
        tokio::select! {
            biased;
            Some(job) = end => Err(job),
            done = work => Ok(done),
        }
    }

    /// Whether the job's end has been told.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|job| job.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job;

    #[tokio::test]
    async fn only_a_newer_revision_is_news_and_an_end_is_the_last() {
        let inbox = Inbox::new();
        assert!(inbox.deliver(job("a").revision(2).build()));
        assert!(!inbox.deliver(job("a").revision(2).build()));
        assert!(!inbox.deliver(job("a").revision(1).build()));
        assert!(inbox.deliver(job("a").revision(4).completed().build()));
        assert!(!inbox.deliver(job("a").revision(9).build()));
        let mut ear = inbox.subscribe(&JobId::new("a"));
        assert!(ear.news().await.done);
    }

    #[test]
    fn a_job_that_contradicts_itself_is_no_news_and_keeps_none_away() {
        let inbox = Inbox::new();
        let ended = job("a").revision(4).completed().build();
        let mut without = ended.clone();
        without.outcome = None;
        let mut running = ended.clone();
        running.done = false;
        for wrong in [without, running] {
            assert!(!inbox.deliver(wrong));
        }
        assert!(inbox.deliver(ended));
    }

    #[tokio::test]
    async fn a_push_before_the_wait_is_not_lost() {
        let inbox = Inbox::new();
        inbox.deliver(job("early").completed().build());
        let mut ear = inbox.subscribe(&JobId::new("early"));
        assert_eq!(ear.news().await.id.as_str(), "early");
    }

    #[tokio::test]
    async fn an_end_interrupts_and_other_news_does_not() {
        let inbox = Inbox::new();
        let mut ear = inbox.subscribe(&JobId::new("a"));
        inbox.deliver(job("a").revision(2).build());
        let work = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(ear.unless_ended(work).await.unwrap(), 7);
        assert_eq!(ear.news().await.revision.0, 2, "it is still news");
        inbox.deliver(job("a").revision(3).completed().build());
        let told = ear.unless_ended(std::future::pending::<()>()).await;
        assert!(told.unwrap_err().done && ear.has_ended());
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten_in_the_end_and_nothing_else() {
        let inbox = Inbox::new();
        let ear = inbox.subscribe(&JobId::new("waited"));
        for n in 0..3 * REMEMBERED_MAX {
            inbox.deliver(job(&n.to_string()).build());
        }
        assert_eq!(inbox.with(|state| state.jobs.len()), REMEMBERED_MAX);
        assert!(inbox.with(|state| state.jobs.contains_key(&JobId::new("waited"))));
        assert_eq!(inbox.listeners(), 1);
        drop(ear);
        assert_eq!(inbox.listeners(), 0);
    }
}
