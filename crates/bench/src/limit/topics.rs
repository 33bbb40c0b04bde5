//! What the waits of a limit wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Topics that end, by number. One is there from the first wait for it until its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics(Arc<Mutex<HashMap<u64, Arc<Notify>>>>);

impl Topics {
    /// What a wait for that topic sleeps on.
    pub(crate) fn bell(&self, topic: u64) -> Arc<Notify> {
        self.lock().entry(topic).or_default().clone()
    }

    /// Wakes everybody who waits for that topic.
    pub(crate) fn end(&self, topic: u64) {
        let bell = self.lock().remove(&topic);
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
