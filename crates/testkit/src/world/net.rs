//! The network: streams between hosts and the server, with latency, stalls, cuts and half-closes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use super::draw::Draw;
use super::history::now;

/// The least and the most that one way takes, in milliseconds.
const LATENCY_MS: (u64, u64) = (1, 8);
/// The most bytes on their way in one direction of one connection.
const WINDOWS: [usize; 4] = [4 * 1024, 16 * 1024, 64 * 1024, 64 * 1024];

/// A stream's end at the server, and where it comes from.
pub(super) type Arrival = (End, SocketAddr);

/// The network of one world. Clones are the same network.
#[derive(Clone, Debug)]
pub(super) struct Net(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    draw: Draw,
    hosts: BTreeMap<u64, Host>,
    /// Where connections arrive, while the server listens.
    listener: Option<mpsc::UnboundedSender<Arrival>>,
}

#[derive(Debug, Default)]
struct Host {
    opened: u64,
    link: Arc<Mutex<Link>>,
    wires: Vec<Weak<Mutex<Wire>>>,
}

/// What a host's connections have in common.
#[derive(Debug, Default)]
struct Link {
    /// Nothing arrives before that, either way.
    held_until: Option<Instant>,
    /// How much longer a way takes.
    slower: Duration,
}

/// One connection.
#[derive(Debug)]
struct Wire {
    draw: Draw,
    link: Arc<Mutex<Link>>,
    pipes: [Pipe; 2],
    is_reset: bool,
}

/// One direction of a connection.
#[derive(Debug)]
struct Pipe {
    /// What is on its way, and when it arrives. An empty chunk is the end.
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    window: usize,
    sent: u64,
    is_ended: bool,
    /// The end that reads has gone.
    is_unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    wire: Arc<Mutex<Wire>>,
    /// The pipe that it writes to; it reads from the other.
    side: usize,
    due: Option<Pin<Box<Sleep>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net {
    pub(super) fn new(draw: Draw) -> Self {
        Self(Arc::new(Mutex::new(State {
            draw,
            hosts: BTreeMap::new(),
            listener: None,
        })))
    }

    /// Lets the server listen.
    pub(super) fn listen(&self) -> mpsc::UnboundedReceiver<Arrival> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.0).listener = Some(sender);
        receiver
    }

    /// Nothing listens any more; what is open stays open.
    pub(super) fn close(&self) {
        lock(&self.0).listener = None;
    }

    /// Connects a host to the server.
    pub(super) async fn connect(&self, host: u64) -> io::Result<End> {
        let (draw, link) = {
            let mut state = lock(&self.0);
            let draw = state.draw.of(host);
            let host = state.hosts.entry(host).or_default();
            host.opened += 1;
            (draw.of(host.opened), host.link.clone())
        };
        let shake = Duration::from_millis(draw.named("shake").between(LATENCY_MS.0, LATENCY_MS.1));
        tokio::time::sleep(shake).await;
        let held_until = || lock(&link).held_until.filter(|until| *until > now());
        while let Some(until) = held_until() {
            sleep_until(until).await;
        }
        let mut state = lock(&self.0);
        let Some(listener) = state.listener.clone() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let pipe = |name| Pipe {
            chunks: VecDeque::new(),
            bytes: 0,
            window: draw.named(name).pick(&WINDOWS),
            sent: 0,
            is_ended: false,
            is_unread: false,
            reader: None,
            writer: None,
        };
        let wire = Arc::new(Mutex::new(Wire {
            draw,
            link,
            pipes: [pipe("up"), pipe("down")],
            is_reset: false,
        }));
        let host_state = state.hosts.entry(host).or_default();
        host_state.wires.retain(|wire| wire.strong_count() > 0);
        host_state.wires.push(Arc::downgrade(&wire));
        let port = u16::try_from(10_000 + host_state.opened % 50_000).unwrap_or(9_999);
        let address = IpAddr::from(Ipv4Addr::new(10, 0, 0, u8::try_from(host).unwrap_or(255)));
        let end = |side| End {
            wire: wire.clone(),
            side,
            due: None,
        };
        let arrival = (end(1), SocketAddr::new(address, port));
        listener
            .send(arrival)
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(end(0))
    }

    /// Lets nothing pass between that host and the server for that long. What is sent meanwhile arrives after it.
    pub(super) fn hold(&self, host: u64, length: Duration) {
        let mut state = lock(&self.0);
        let mut link = lock(&state.hosts.entry(host).or_default().link);
        link.held_until = Some(now() + length);
    }

    /// Makes every way to and from that host longer by that, from now on.
    pub(super) fn slow(&self, host: u64, by: Duration) {
        let mut state = lock(&self.0);
        lock(&state.hosts.entry(host).or_default().link).slower = by;
    }

    /// Resets all connections of that host, or of all hosts.
    pub(super) fn cut(&self, host: Option<u64>) {
        let wires: Vec<_> = {
            let state = lock(&self.0);
            let hosts = state.hosts.iter();
            let cut = hosts.filter(|(name, _)| host.is_none_or(|host| host == **name));
            cut.flat_map(|(_, host)| host.wires.iter().filter_map(Weak::upgrade))
                .collect()
        };
        for wire in wires {
            lock(&wire).reset();
        }
    }
}

impl Wire {
    fn reset(&mut self) {
        self.is_reset = true;
        self.pipes.iter_mut().for_each(Pipe::wake);
    }

    /// Puts a chunk on its way; an empty one is the end.
    fn send(&mut self, side: usize, chunk: Bytes) {
        let slower = lock(&self.link).slower;
        let pipe = &mut self.pipes[side];
        pipe.sent += 1;
        let draw = self.draw.of(side as u64).of(pipe.sent);
        let latency = Duration::from_millis(draw.between(LATENCY_MS.0, LATENCY_MS.1)) + slower;
        // A connection keeps its order, whatever a piece takes.
        let last = pipe.chunks.back().map(|(at, _)| *at);
        let at = (now() + latency).max(last.unwrap_or_else(now));
        pipe.bytes += chunk.len();
        pipe.chunks.push_back((at, chunk));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }

    fn end(&mut self, side: usize) {
        if !self.pipes[side].is_ended {
            self.pipes[side].is_ended = true;
            self.send(side, Bytes::new());
        }
    }
}

impl Pipe {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let at = {
                let mut wire = lock(&this.wire);
                if wire.is_reset {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                let held = lock(&wire.link).held_until;
                let pipe = &mut wire.pipes[1 - this.side];
                pipe.reader = Some(cx.waker().clone());
                let Some((at, chunk)) = pipe.chunks.front_mut() else {
                    return Poll::Pending;
                };
                let at = held.map_or(*at, |held| held.max(*at));
                if at <= now() {
                    // The end stays, for those who read again.
                    let length = chunk.len().min(buffer.remaining());
                    buffer.put_slice(&chunk[..length]);
                    chunk.advance(length);
                    if length > 0 && chunk.is_empty() {
                        pipe.chunks.pop_front();
                    }
                    pipe.bytes -= length;
                    if let Some(writer) = pipe.writer.take() {
                        writer.wake();
                    }
                    return Poll::Ready(Ok(()));
                }
                at
            };
            let due = this.due.get_or_insert_with(|| Box::pin(sleep_until(at)));
            due.as_mut().reset(at);
            ready!(due.as_mut().poll(cx));
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut wire = lock(&self.wire);
        let pipe = &mut wire.pipes[self.side];
        let (is_unread, room) = (pipe.is_unread, pipe.window.saturating_sub(pipe.bytes));
        if wire.is_reset || is_unread {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if room == 0 {
            wire.pipes[self.side].writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = bytes.len().min(room);
        if length > 0 {
            wire.send(self.side, Bytes::copy_from_slice(&bytes[..length]));
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        if wire.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        wire.end(self.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut wire = lock(&self.wire);
        wire.end(self.side);
        let unread = &mut wire.pipes[1 - self.side];
        unread.is_unread = true;
        unread.wake();
    }
}

impl Connection for End {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
