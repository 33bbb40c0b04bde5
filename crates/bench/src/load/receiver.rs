//! A receiver of webhooks on the load's core: as quick as one can be, and as bad.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_wire::Timestamp;
use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use serde::Deserialize;
use slab::Slab;

use crate::clock::{now, wall_ms};

const LISTENER: Token = Token(usize::MAX);
const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const MOVED: &[u8] = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
/// How far apart the bytes of an answer are that drips.
const DRIP: Duration = Duration::from_secs(1);
/// How much of an answer without end is sent at once, and how soon the next part follows: quick enough for a reader,
/// and no load for the core that the receiver shares.
static FLOOD: [u8; 32 * 1024] = [b'x'; 32 * 1024];
const FLOOD_EVERY: Duration = Duration::from_millis(20);

/// What it does with a request, by the first word of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Quick,
    Hangs,
    Drips,
    Endless,
    Moved,
}

/// What has arrived so far where it is quick.
#[derive(Debug, Default)]
struct Tally {
    count: usize,
    /// How long after the job's end each arrived, in milliseconds by the machine's clock, where that is asked for.
    late_ms: Vec<f64>,
    last: Option<Instant>,
}

/// A running receiver. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Caller {
    stream: TcpStream,
    inbox: Vec<u8>,
    manner: Manner,
}

#[derive(Deserialize)]
struct Told {
    data: Ended,
}

#[derive(Deserialize)]
struct Ended {
    finished_at: Option<Timestamp>,
}

impl Receiver {
    /// Starts one. With `dated` it reads when the jobs ended of which it is told, which costs it time.
    pub(crate) fn start(dated: bool) -> anyhow::Result<Self> {
        let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let tally: Arc<Mutex<Tally>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (shared, is_over) = (tally.clone(), stop.clone());
        // On the load's core, like the thread that starts it.
        tokio::runtime::Handle::current().spawn_blocking(move || {
            if let Err(error) = receive(poll, &listener, dated, &shared, &is_over) {
                crate::figures::say(&format!("the receiver failed: {error}"));
            }
        });
        Ok(Self {
            address,
            tally,
            stop,
        })
    }

    /// The URL of one that is quick, hangs, drips, answers without end or redirects.
    pub(crate) fn url(&self, manner: &str) -> String {
        format!("http://{}/{manner}", self.address)
    }

    /// How many have arrived where it is quick.
    pub(crate) fn count(&self) -> usize {
        self.tally().count
    }

    /// When the last of them did.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.tally().last
    }

    /// How late they were, and forgets it.
    pub(crate) fn take_late_ms(&self) -> Vec<f64> {
        std::mem::take(&mut self.tally().late_ms)
    }

    /// Waits until `count` have arrived.
    pub(crate) fn until(&self, count: usize, longest: Duration) -> anyhow::Result<()> {
        let begun = now();
        while self.count() < count {
            let so_far = self.count();
            if begun.elapsed() > longest {
                return Err(anyhow::anyhow!("{so_far} of {count} arrived"))
                    .context("deliveries are missing");
            }
            crate::clock::pause(Duration::from_millis(1));
        }
        Ok(())
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn receive(
    mut poll: Poll,
    listener: &TcpListener,
    dated: bool,
    tally: &Mutex<Tally>,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut callers: Slab<Caller> = Slab::new();
    let mut dripping: HashMap<usize, Instant> = HashMap::new();
    let mut flooding: HashMap<usize, Instant> = HashMap::new();
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; 64 * 1024];
    let both = Interest::READABLE | Interest::WRITABLE;
    while !stop.load(Ordering::Relaxed) {
        let pause = if flooding.is_empty() {
            Duration::from_millis(100)
        } else {
            FLOOD_EVERY
        };
        poll.poll(&mut events, Some(pause))?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = callers.vacant_entry();
                    poll.registry()
                        .register(&mut stream, Token(entry.key()), both)?;
                    entry.insert(Caller {
                        stream,
                        inbox: Vec::new(),
                        manner: Manner::Quick,
                    });
                }
                continue;
            }
            let place = event.token().0;
            let Some(caller) = callers.get_mut(place) else {
                continue;
            };
            let open = caller.turn(&mut buffer, dated, tally);
            let manner = caller.manner;
            if !open {
                dripping.remove(&place);
                flooding.remove(&place);
                callers.remove(place);
            } else if manner == Manner::Drips {
                dripping.entry(place).or_insert_with(now);
            } else if manner == Manner::Endless {
                flooding.entry(place).or_insert_with(now);
            }
        }
        let parts: [(_, &[u8], _); 2] = [
            (&mut dripping, b"x", DRIP),
            (&mut flooding, &FLOOD, FLOOD_EVERY),
        ];
        for (answers, part, every) in parts {
            for (place, last) in answers {
                if last.elapsed() >= every
                    && let Some(caller) = callers.get_mut(*place)
                {
                    *last = now();
                    // A closed connection is noticed when it is read.
                    let _ = caller.stream.write(part);
                }
            }
        }
    }
    Ok(())
}

impl Caller {
    /// Takes what has come and answers it; `false` where the other end has closed.
    fn turn(&mut self, buffer: &mut [u8], dated: bool, tally: &Mutex<Tally>) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => self.inbox.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        while let Some((head, end, manner)) = whole(&self.inbox) {
            self.manner = manner;
            let answer = match manner {
                Manner::Quick => {
                    note(&self.inbox[head..end], dated, tally);
                    TAKEN
                }
                Manner::Hangs => b"",
                Manner::Drips => b"H",
                // More follows, and more.
                Manner::Endless => ENDLESS,
                Manner::Moved => MOVED,
            };
            self.inbox.drain(..end);
            if self.stream.write_all(answer).is_err() {
                return false;
            }
        }
        true
    }
}

/// Where the head of the first request ends, where its body does, and how it is to be met; `None` while it isn't whole.
fn whole(bytes: &[u8]) -> Option<(usize, usize, Manner)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = request.parse(bytes) else {
        return None;
    };
    let manner = match request.path {
        Some("/hangs") => Manner::Hangs,
        Some("/drips") => Manner::Drips,
        Some("/endless") => Manner::Endless,
        Some("/moved") => Manner::Moved,
        _ => Manner::Quick,
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let end = head + length.unwrap_or(0_usize);
    (bytes.len() >= end).then_some((head, end, manner))
}

fn note(body: &[u8], dated: bool, tally: &Mutex<Tally>) {
    let came_ms = wall_ms();
    let ended = dated
        .then(|| serde_json::from_slice::<Told>(body).ok()?.data.finished_at)
        .flatten();
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.count += 1;
    tally.last = Some(now());
    if let Some(ended) = ended {
        tally.late_ms.push(came_ms - ended.as_millis() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_body_is_and_its_path_says_how_it_is_met() {
        let bytes = b"POST /drips HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /";
        for length in 0..45 {
            assert_eq!(whole(&bytes[..length]), None, "{length}");
        }
        let (head, end, manner) = whole(bytes).unwrap();
        assert_eq!((&bytes[head..end], manner), (&b"abc"[..], Manner::Drips));
    }
}
