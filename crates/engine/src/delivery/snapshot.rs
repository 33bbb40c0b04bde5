//! The deliveries' parts of a checkpoint.

use std::sync::Arc;

use super::state::Deliveries;
use crate::due::DueSet;
use crate::snapshot::{Part, PartKey, RestoreError, Stored};
use crate::{Job, Owner};

impl Deliveries {
    /// The names of all parts.
    pub(crate) fn part_keys(&self) -> impl Iterator<Item = PartKey> + '_ {
        let endpoints = self.endpoints().map(|found| PartKey::Endpoint(found.key));
        endpoints
            .chain(self.iter().map(|found| PartKey::Delivery(found.key)))
            .chain(self.kept.keys().copied().map(PartKey::Kept))
            .chain([PartKey::WebhookMaster])
    }

    /// A part as it is now, if it is one of the deliveries'.
    pub(crate) fn part(&self, key: &PartKey) -> Option<Part> {
        match key {
            PartKey::WebhookMaster => self.master.clone().map(Part::WebhookMaster),
            PartKey::Endpoint(key) => self.endpoint(*key).cloned().map(Part::Endpoint),
            PartKey::Kept(key) => self.kept.get(key).cloned().map(Part::Job),
            PartKey::Delivery(key) => self.get(*key).cloned().map(Part::Delivery),
            _ => None,
        }
    }

    /// Puts a stored part back. `false` if it is none of the deliveries'.
    pub(crate) fn restore(
        &mut self,
        stored: &Stored<'_>,
        due: &mut DueSet,
    ) -> Result<bool, RestoreError> {
        match stored.sort {
            "webhook-master" => self.master = Some(stored.read()?),
            "endpoint" => {
                self.endpoints.insert(&Arc::new(stored.read()?));
            }
            "kept" => {
                let job: Job = stored.read()?;
                self.kept.insert(job.key, Arc::new(job));
            }
            // Whose it is follows from the endpoints, at the end.
            "delivery" => {
                let delivery = Arc::new(stored.read()?);
                self.queue.insert(delivery, Owner::ANYONE, due);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
