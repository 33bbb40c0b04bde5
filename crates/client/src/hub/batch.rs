//! Putting a request for many together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use futures_util::future::{AbortHandle, AbortRegistration};

use abide_wire::{JobId, Revision, Span, Until, WaitItem, WaitRequest, limits};

use super::state::{Batch, Flight, State, Want};
use crate::rt::Instant;

/// The most bytes of ids in one request; it leaves room below the server's limit for a body.
const IDS_BYTES_MAX: usize = limits::BODY_BYTES_MAX / 2;
/// The bytes of a request's item beside its id, at most.
const ITEM_BYTES: usize = 40;

/// What a request asks for, and for whom.
#[derive(Default)]
struct Load {
    items: BTreeMap<JobId, Option<Revision>>,
    bytes: usize,
    members: Vec<u64>,
}

impl State {
    /// The next request of a lane: all that are pending, and those of smaller requests on their way, which it replaces.
    pub(super) fn batch(
        &mut self,
        want: Want,
        now: Instant,
    ) -> Option<(Batch, WaitRequest, AbortRegistration)> {
        let mut pending = std::mem::take(&mut self.lanes[want as usize].pending);
        if pending.is_empty() {
            return None;
        }
        self.swallow(want, &mut pending);
        let load = self.load(want, pending);
        let flight = self.name();
        let (abort, registration) = AbortHandle::new_pair();
        let share = 1.0 / load.members.len().max(1) as f64;
        for name in &load.members {
            if let Some(member) = self.members.get_mut(name) {
                member.flight = Some(flight);
                member.cost.requests += 1;
                member.cost.share += share;
            }
        }
        let aboard = Flight {
            want,
            members: load.members.len(),
            abort,
        };
        self.flights.insert(flight, aboard);
        if want != Want::Now {
            self.bucket.take();
        }
        let items = load.items.into_iter();
        let request = WaitRequest {
            jobs: items.map(|(id, after)| WaitItem { id, after }).collect(),
            wait: Span::default(),
            until: match want {
                Want::Done => Until::Done,
                Want::Now | Want::Any => Until::Any,
            },
        };
        let batch = Batch {
            flight,
            want,
            members: load.members,
            sent: now,
        };
        Some((batch, request, registration))
    }

    /// Gives up requests on their way that are so small that the next one may take their members over.
    fn swallow(&mut self, want: Want, pending: &mut Vec<u64>) {
        if want == Want::Now {
            return;
        }
        let of_lane = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.want == want);
        let mut small: Vec<(usize, u64)> = of_lane
            .map(|(name, flight)| (flight.members, *name))
            .collect();
        small.sort_unstable();
        let mut size = pending.len();
        for (members, name) in small {
            if members > 2 * size || size + members > limits::SET_JOBS_MAX {
                break;
            }
            size += members;
            if let Some(flight) = self.flights.remove(&name) {
                flight.abort.abort();
            }
            let aboard = self.members.iter();
            let aboard = aboard.filter(|(_, member)| member.flight == Some(name));
            pending.extend(aboard.map(|(member, _)| *member));
        }
    }

    /// Takes as many as one request may have; the others stay pending.
    fn load(&mut self, want: Want, pending: Vec<u64>) -> Load {
        let mut load = Load::default();
        for name in pending {
            let Some(member) = self.members.get(&name) else {
                continue;
            };
            let seen = member.after.filter(|_| want == Want::Any);
            let full = load.items.len() >= limits::SET_JOBS_MAX || load.bytes >= IDS_BYTES_MAX;
            match load.items.entry(member.id.clone()) {
                // Where two wait for one job the older knowledge counts; each is told only what is news to it.
                Entry::Occupied(mut item) => {
                    let older = seen.min(*item.get());
                    item.insert(older);
                }
                Entry::Vacant(_) if full => {
                    self.lanes[want as usize].pending.push(name);
                    continue;
                }
                Entry::Vacant(item) => {
                    load.bytes += member.id.as_str().len() + ITEM_BYTES;
                    item.insert(seen);
                }
            }
            load.members.push(name);
        }
        load
    }
}
