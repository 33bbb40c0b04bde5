//! The endpoints, and which of them are told of what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use abide_wire::EventKind;

use super::endpoint::{Endpoint, Scope};
use crate::hash::FastMap;
use crate::jobs::Job;
use crate::{EndpointKey, Owner};

/// The most endpoints of one owner, and of one name; those that jobs brought along don't count. One change of a job may
/// make as many deliveries.
pub const ENDPOINTS_PER_OWNER_MAX: usize = 1_000;

/// All endpoints.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    by_key: BTreeMap<EndpointKey, Arc<Endpoint>>,
    /// How many of its own each owner has.
    owned: FastMap<Owner, usize>,
    /// An owner's own, by the events that they are told of.
    listening: HashMap<(Owner, EventKind), BTreeSet<EndpointKey>>,
    /// Those of a name's jobs.
    named: HashMap<Arc<str>, BTreeSet<EndpointKey>>,
}

impl Endpoints {
    pub(super) fn get(&self, key: EndpointKey) -> Option<&Arc<Endpoint>> {
        self.by_key.get(&key)
    }

    /// All of them, in order of creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.by_key.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn count_of_owner(&self, owner: Owner) -> usize {
        self.owned.get(&owner).copied().unwrap_or(0)
    }

    /// How many endpoints of a name that owner has, and all together.
    pub(super) fn counts_of_name(&self, name: &str, owner: Owner) -> (usize, usize) {
        let all = self.named.get(name).into_iter().flatten();
        let owners = all.filter_map(|key| Some(self.get(*key)?.owner));
        owners.fold((0, 0), |(own, all), of| {
            (own + usize::from(of == owner), all + 1)
        })
    }

    /// The endpoints that are told of that event of the job; `is_early` tells all native ones, whatever their events.
    pub(super) fn listeners(
        &self,
        job: &Job,
        kind: &EventKind,
        name: Option<&str>,
        is_early: bool,
    ) -> Vec<Arc<Endpoint>> {
        let mut keys = BTreeSet::from([EndpointKey::of_job(job.key)]);
        let kinds = if is_early {
            &EventKind::ALL[..]
        } else {
            std::slice::from_ref(kind)
        };
        for kind in kinds {
            if let Some(listening) = self.listening.get(&(job.owner, kind.clone())) {
                keys.extend(listening);
            }
        }
        keys.extend(
            name.and_then(|name| self.named.get(name))
                .into_iter()
                .flatten(),
        );
        let is_told = |endpoint: &&Arc<Endpoint>| {
            let kinds = endpoint.kinds.as_deref();
            kinds.is_none_or(|begin| job.kind.starts_with(begin))
                && (endpoint.events.has(kind) || (is_early && endpoint.rendering.is_none()))
        };
        let found = keys.iter().filter_map(|key| self.get(*key));
        found.filter(is_told).cloned().collect()
    }

    /// Puts one in, and returns the one that it replaces.
    pub(super) fn insert(&mut self, endpoint: &Arc<Endpoint>) -> Option<Arc<Endpoint>> {
        let before = self.remove(endpoint.key);
        match &endpoint.scope {
            Scope::Owner => {
                *self.owned.entry(endpoint.owner).or_default() += 1;
                for kind in EventKind::ALL {
                    if endpoint.events.has(&kind) {
                        let listening = self.listening.entry((endpoint.owner, kind)).or_default();
                        listening.insert(endpoint.key);
                    }
                }
            }
            Scope::Named(name) => {
                self.named
                    .entry(name.clone())
                    .or_default()
                    .insert(endpoint.key);
            }
            // Found by its name, which is the job's.
            Scope::Job(_) => {}
        }
        self.by_key.insert(endpoint.key, endpoint.clone());
        before
    }

    /// Changes what an endpoint is found by in no way: its health, its counts, whether it is called.
    pub(super) fn change(
        &mut self,
        key: EndpointKey,
        change: impl FnOnce(&mut Endpoint),
    ) -> Option<Arc<Endpoint>> {
        let endpoint = self.by_key.get_mut(&key)?;
        change(Arc::make_mut(endpoint));
        Some(endpoint.clone())
    }

    pub(super) fn remove(&mut self, key: EndpointKey) -> Option<Arc<Endpoint>> {
        let endpoint = self.by_key.remove(&key)?;
        match &endpoint.scope {
            Scope::Owner => {
                if let Some(count) = self.owned.get_mut(&endpoint.owner) {
                    *count -= 1;
                    if *count == 0 {
                        self.owned.remove(&endpoint.owner);
                    }
                }
                for kind in EventKind::ALL {
                    remove_from(&mut self.listening, &(endpoint.owner, kind), &key);
                }
            }
            Scope::Named(name) => remove_from(&mut self.named, name, &key),
            Scope::Job(_) => {}
        }
        Some(endpoint)
    }
}

/// Removes a value from the set at that place, and the set with its last value.
fn remove_from<K: Eq + std::hash::Hash, V: Ord>(
    sets: &mut HashMap<K, BTreeSet<V>>,
    place: &K,
    value: &V,
) {
    if let Some(set) = sets.get_mut(place) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(place);
        }
    }
}
