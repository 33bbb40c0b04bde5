//! Requests one after the other on each of several connections: a closed loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::{Events, Poll};

use super::connection::{Answer, Connection};
use crate::clock::now;
use crate::contestant::get;
use crate::figures::quantile;

/// Connections that are each asked something as soon as they are made: the system keeps only some waiting to be
/// accepted and has one that finds no room there try again after a second, and a server closes what brings nothing for
/// ten.
const GREETED_MIN: usize = 1_000;

/// Where requests come from and answers go.
pub(crate) trait Source {
    /// Appends the next request for that connection; `false` where it has none at the moment.
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) -> bool;

    /// Takes the answer to the last request of that connection, and how long it took.
    fn answered(&mut self, connection: usize, answer: &Answer<'_>, took: Duration);

    /// Whether connections without a request should be asked again soon, because requests come by time.
    fn is_paced(&self) -> bool {
        false
    }
}

/// Drives `count` connections until `length` is over or, on every connection, there is no request any more. What is
/// under way at the end is left unanswered. Returns how long it took.
pub(crate) fn drive(
    address: SocketAddr,
    count: usize,
    source: &mut impl Source,
    length: Duration,
) -> anyhow::Result<Duration> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(count);
    for n in 0..count {
        let connection = Connection::open(address, poll.registry(), n);
        let mut connection = connection.context("failed to connect")?;
        if count >= GREETED_MIN {
            greet(&mut poll, &mut connection)?;
        }
        connections.push(connection);
    }
    let mut asked: Vec<Option<Instant>> = vec![None; count];
    let mut idle: Vec<usize> = (0..count).collect();
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; 64 * 1024];
    let mut request = Vec::new();
    let begun = now();
    loop {
        let mut still_idle = Vec::new();
        for n in idle.drain(..) {
            request.clear();
            if source.next(n, &mut request) {
                asked[n] = Some(now());
                connections[n].send(&request)?;
            } else {
                still_idle.push(n);
            }
        }
        idle = still_idle;
        let paced = source.is_paced();
        let took = begun.elapsed();
        if took >= length || (idle.len() == count && !paced) {
            return Ok(took);
        }
        // A paced source is asked again and again: this core has nothing else to do, and the timer is too coarse.
        let wait = if paced && !idle.is_empty() {
            Duration::ZERO
        } else {
            (length - took).min(Duration::from_millis(100))
        };
        poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let n = event.token().0;
            if event.is_writable() {
                connections[n].flush()?;
            }
            if !event.is_readable() {
                continue;
            }
            let open = connections[n].receive(&mut buffer, |answer| {
                if let Some(at) = asked[n].take() {
                    source.answered(n, answer, at.elapsed());
                    idle.push(n);
                }
            })?;
            if !open && asked[n].is_some() {
                bail!("the server closed a connection without an answer");
            }
        }
    }
}

/// Asks that connection for nothing in particular, and waits for the answer.
fn greet(poll: &mut Poll, connection: &mut Connection) -> anyhow::Result<()> {
    connection.send(&get("/healthz"))?;
    let (mut events, mut buffer) = (Events::with_capacity(16), [0; 4 * 1024]);
    let mut is_answered = false;
    while !is_answered {
        poll.poll(&mut events, None)?;
        if !connection.receive(&mut buffer, |_| is_answered = true)? {
            bail!("the server closed a connection that it had just accepted");
        }
    }
    Ok(())
}

/// How long answers took, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    /// Adds one.
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e6);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A quantile, in milliseconds.
    pub(crate) fn quantile_ms(&mut self, share: f64) -> f64 {
        quantile(&mut self.0, share) / 1e3
    }
}
