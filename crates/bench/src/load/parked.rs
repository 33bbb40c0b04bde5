//! Many connections, each with one request that is held.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::{Events, Poll};
use serde::Deserialize;

use abide_wire::Timestamp;

use super::connection::Connection;
use crate::clock::{now, wall_ms};

/// Requests that are held.
#[derive(Debug)]
pub(crate) struct Parked {
    poll: Poll,
    connections: Vec<Connection>,
    events: Events,
    buffer: Vec<u8>,
    /// When the answer came.
    answered: Vec<Option<Instant>>,
    count: usize,
    /// The bytes after which an answer counts; for a stream, what its last event has in it.
    marker: Option<&'static [u8]>,
    /// How long after the end of its job each answer came, in milliseconds, where that is wanted.
    late_ms: Option<Vec<f64>>,
}

/// As much of a job as says when it ended.
#[derive(Deserialize)]
struct Ended {
    finished_at: Option<Timestamp>,
}

impl Parked {
    /// Opens `count` connections and sends on each what `request` makes of its number. With a `marker` the answers are
    /// streams, and an answer counts once the marker has come; without one, when it has come whole.
    pub(crate) fn open(
        address: SocketAddr,
        count: usize,
        marker: Option<&'static [u8]>,
        mut request: impl FnMut(usize) -> Vec<u8>,
    ) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        for n in 0..count {
            let mut connection = Connection::open(address, poll.registry(), n)
                .with_context(|| format!("failed to make connection {n}"))?;
            connection.send(&request(n))?;
            connections.push(connection);
        }
        Ok(Self {
            poll,
            connections,
            events: Events::with_capacity(4_096),
            buffer: vec![0; 64 * 1024],
            answered: vec![None; count],
            count: 0,
            marker,
            late_ms: None,
        })
    }

    /// The same for waits for jobs, with a look at how long after the job's end its answer comes.
    pub(crate) fn open_reading(
        address: SocketAddr,
        count: usize,
        request: impl FnMut(usize) -> Vec<u8>,
    ) -> anyhow::Result<Self> {
        let mut parked = Self::open(address, count, None, request)?;
        parked.late_ms = Some(Vec::with_capacity(count));
        Ok(parked)
    }

    /// How long after the end of its job each answer came, in milliseconds.
    pub(crate) fn late_ms(&mut self) -> Vec<f64> {
        self.late_ms.take().unwrap_or_default()
    }

    /// Adds a connection that holds nothing yet.
    pub(crate) fn add(&mut self, address: SocketAddr, n: usize) -> anyhow::Result<()> {
        let connection = Connection::open(address, self.poll.registry(), n)?;
        self.connections.push(connection);
        self.answered.push(None);
        Ok(())
    }

    /// Sends a request on that connection.
    pub(crate) fn send(&mut self, n: usize, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.connections[n].send(request)?)
    }

    /// How many were answered.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// When that one was answered.
    pub(crate) fn answered_at(&self, n: usize) -> Option<Instant> {
        self.answered[n]
    }

    /// Takes what has come, waiting at most `wait` for the first.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.poll.poll(&mut self.events, Some(wait))?;
        for event in &self.events {
            let n = event.token().0;
            if event.is_writable() {
                self.connections[n].flush()?;
            }
            if !event.is_readable() {
                continue;
            }
            let mut came = false;
            let connection = &mut self.connections[n];
            let open = match self.marker {
                None => {
                    let mut status = 0;
                    let open = connection.receive(&mut self.buffer, |answer| {
                        came = true;
                        status = answer.status;
                        if let Some(late_ms) = &mut self.late_ms {
                            let came_ms = wall_ms();
                            let ended = serde_json::from_slice::<Ended>(answer.body).ok();
                            if let Some(at) = ended.and_then(|ended| ended.finished_at) {
                                late_ms.push(came_ms - at.as_millis() as f64);
                            }
                        }
                    })?;
                    if came && status != 200 {
                        bail!("a wait was answered with {status}");
                    }
                    open
                }
                Some(marker) => connection.receive_raw(&mut self.buffer, |bytes| {
                    came |= bytes.windows(marker.len()).any(|window| window == marker);
                })?,
            };
            if came && self.answered[n].is_none() {
                self.answered[n] = Some(now());
                self.count += 1;
            }
            if !open && self.answered[n].is_none() {
                bail!("the server closed a connection that it held");
            }
        }
        Ok(())
    }

    /// Takes answers until all have come, and says how long after `since` the last one did.
    pub(crate) fn all(&mut self, since: Instant) -> anyhow::Result<Duration> {
        while self.count < self.connections.len() {
            self.turn(Duration::from_millis(100))?;
            if since.elapsed() > Duration::from_secs(60) {
                bail!(
                    "after a minute only {} of {} waits were answered",
                    self.count,
                    self.connections.len()
                );
            }
        }
        let last = self.answered.iter().flatten().max().copied();
        Ok(last.map_or(Duration::ZERO, |last| last - since))
    }
}
