//! Links over TCP, encrypted.
//!
//! A link carries commands and entries, and these carry secrets of webhooks. So it is never in the clear: both ends
//! prove that they know the cluster's key and agree on keys of their own, by the Noise protocol `NNpsk0`. The cluster's
//! key is made with the cluster and lies in its database, because a program that may read the log may be a node
//! anyway. So there are no certificates to issue and nothing to configure, and the keys of a link that has ended can't
//! be found from the cluster's.
//!
//! On the wire a link is a handshake of two messages and then sealed pieces, each behind its length in two bytes. Their
//! plaintext is a stream of frames, each behind its length in four. A batch has a binary form, the rest is JSON. The
//! numbers of pieces are the nonces, so none can be left out, repeated or moved.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snow::{Builder, HandshakeState, StatelessTransportState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frame::{Down, Up};
use super::network::{Inbound, Network, Upstream, pair};
use crate::driver::CommandText;
use crate::journal::{Batch, Leading, unpacked};

/// The protocol; the two ends must have the same.
const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// The form of the frames, in the handshake: nodes of another form don't link, and read the log.
const FORM: &[u8] = b"abide cluster link 4";
/// The longest sealed piece, in bytes.
const PIECE_MAX: usize = 65_535;
/// What sealing adds to a piece, in bytes.
const TAG: usize = 16;
/// The longest frame, in bytes. A longer batch is left out: its reader finds a hole, and reads the log.
const FRAME_MAX: usize = 64 * 1024 * 1024;
/// How long a connection and its handshake may take.
const DIAL_MAX: Duration = Duration::from_secs(2);
/// How long a follower hears nothing before its link counts as broken, and a write may take. A leader says something
/// ten times a second.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Connections that may be shaking hands at the same time, and links that may wait.
const ACCEPTING_MAX: usize = 64;
/// How many of those that shake hands may come from one address.
const ACCEPTING_PER_ADDRESS_MAX: usize = 16;
/// Bytes that one read takes along: many small pieces.
const READ_BYTES: usize = 64 * 1024;
/// Frames that one write takes along.
const AT_ONCE_MAX: usize = 256;

/// Links over TCP to the addresses of the nodes.
#[derive(Clone)]
pub struct TcpNetwork {
    key: [u8; 32],
}

impl std::fmt::Debug for TcpNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TcpNetwork")
    }
}

impl TcpNetwork {
    /// Links of the cluster that has that key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Accepts links at that listener, for as long as the returned receiver lives.
    #[must_use]
    pub fn accept(&self, listener: TcpListener) -> mpsc::Receiver<Inbound> {
        let (links, incoming) = mpsc::channel(ACCEPTING_MAX);
        tokio::spawn(accept(listener, self.key, links));
        incoming
    }
}

impl Network for TcpNetwork {
    fn dial(&self, leader: &Leading) -> BoxFuture<'static, io::Result<Upstream>> {
        let (key, address) = (self.key, leader.address.clone());
        Box::pin(async move {
            let dialed = timeout(DIAL_MAX, dial(&address, &key)).await;
            dialed.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

async fn dial(address: &str, key: &[u8; 32]) -> io::Result<Upstream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut hands = builder(key)
        .and_then(Builder::build_initiator)
        .map_err(noise)?;
    say(&mut stream, &mut hands).await?;
    hear(&mut stream, &mut hands).await?;
    let (mut reader, mut writer) = sealed(stream, hands)?;
    // What proves that this end has its own keys, and isn't a recording.
    writer.write(&[]).await?;
    let (upstream, Inbound { down, up }) = pair();
    tokio::spawn(async move {
        let mut up = up;
        let ended = tokio::select! {
            ended = bring(&mut reader, &down, read_down, Some(SILENCE_MAX)) => ended,
            ended = take(&mut writer, &mut up, write_up) => ended,
        };
        tracing::debug!(?ended, "the link to the leader is broken");
    });
    Ok(upstream)
}

async fn accept(listener: TcpListener, key: [u8; 32], links: mpsc::Sender<Inbound>) {
    let (mut greeting, mut serving) = (JoinSet::new(), JoinSet::new());
    let mut shaking: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut strangers = 0_u64;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let own = shaking.get(&from.ip()).copied().unwrap_or(0);
                    // What there is no room for is closed, and a node dials again.
                    if greeting.len() < ACCEPTING_MAX && own < ACCEPTING_PER_ADDRESS_MAX {
                        shaking.insert(from.ip(), own + 1);
                        greeting.spawn(async move {
                            (from, timeout(DIAL_MAX, greet(stream, &key)).await)
                        });
                    }
                }
                // The system has no room for another connection at the moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(Ok((from, greeted))) = greeting.join_next() => {
                match shaking.get_mut(&from.ip()) {
                    Some(own) if *own > 1 => *own -= 1,
                    _ => _ = shaking.remove(&from.ip()),
                }
                match greeted {
                    Ok(Ok(link)) => _ = serving.spawn(serve(link, from, links.clone())),
                    Ok(Err(error)) => {
                        strangers += 1;
                        // They may come as fast as they like, and must not fill the log.
                        if strangers.is_power_of_two() {
                            tracing::warn!(
                                %from, %error, strangers,
                                "a connection to the cluster's address is none of this cluster's nodes"
                            );
                        }
                    }
                    Err(_elapsed) => {}
                }
            }
            Some(_ended) = serving.join_next() => {}
            () = links.closed() => return,
        }
    }
}

async fn serve(
    (mut reader, mut writer): (Reader, Writer),
    from: SocketAddr,
    links: mpsc::Sender<Inbound>,
) {
    let (Upstream { up, mut down }, inbound) = pair();
    if links.send(inbound).await.is_err() {
        return;
    }
    let ended = tokio::select! {
        ended = bring(&mut reader, &up, read_up, None) => ended,
        ended = take(&mut writer, &mut down, write_down) => ended,
    };
    tracing::debug!(%from, ?ended, "a follower's link is broken");
}

async fn greet(mut stream: TcpStream, key: &[u8; 32]) -> io::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?;
    let mut hands = builder(key)
        .and_then(Builder::build_responder)
        .map_err(noise)?;
    hear(&mut stream, &mut hands).await?;
    say(&mut stream, &mut hands).await?;
    let (mut reader, writer) = sealed(stream, hands)?;
    reader.piece().await?;
    Ok((reader, writer))
}

fn builder(key: &[u8; 32]) -> Result<Builder<'_>, snow::Error> {
    Builder::new(NOISE.parse()?).prologue(FORM)?.psk(0, key)
}

fn noise(error: snow::Error) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, error)
}

async fn say(stream: &mut TcpStream, hands: &mut HandshakeState) -> io::Result<()> {
    let mut message = vec![0; PIECE_MAX];
    let length = hands.write_message(&[], &mut message).map_err(noise)?;
    stream.write_all(&prefix(length)).await?;
    stream.write_all(&message[..length]).await
}

async fn hear(stream: &mut TcpStream, hands: &mut HandshakeState) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).await?;
    let mut nothing = vec![0; message.len()];
    hands.read_message(&message, &mut nothing).map_err(noise)?;
    Ok(())
}

fn prefix(length: usize) -> [u8; 2] {
    let length = u16::try_from(length).expect("a piece is at most PIECE_MAX long");
    length.to_be_bytes()
}

/// What comes, opened.
struct Reader {
    half: BufReader<OwnedReadHalf>,
    keys: Arc<StatelessTransportState>,
    pieces: u64,
    /// The piece that was read last.
    sealed: Vec<u8>,
    /// What has been opened, of which the frames before `taken` have been taken.
    opened: Vec<u8>,
    taken: usize,
}

/// What goes, sealed.
struct Writer {
    half: OwnedWriteHalf,
    keys: Arc<StatelessTransportState>,
    pieces: u64,
    /// What is written next.
    sealed: Vec<u8>,
}

fn sealed(stream: TcpStream, hands: HandshakeState) -> io::Result<(Reader, Writer)> {
    let keys = Arc::new(hands.into_stateless_transport_mode().map_err(noise)?);
    let (read, write) = stream.into_split();
    let reader = Reader {
        half: BufReader::with_capacity(READ_BYTES, read),
        keys: keys.clone(),
        pieces: 0,
        sealed: Vec::new(),
        opened: Vec::new(),
        taken: 0,
    };
    let writer = Writer {
        half: write,
        keys,
        pieces: 0,
        sealed: Vec::new(),
    };
    Ok((reader, writer))
}

impl Reader {
    /// Opens the next piece.
    async fn piece(&mut self) -> io::Result<()> {
        self.opened.drain(..self.taken);
        self.taken = 0;
        let mut length = [0; 2];
        self.half.read_exact(&mut length).await?;
        let length = usize::from(u16::from_be_bytes(length));
        // Only what is new of it is cleared.
        self.sealed.resize(length.max(self.sealed.len()), 0);
        let sealed = &mut self.sealed[..length];
        self.half.read_exact(sealed).await?;
        let end = self.opened.len();
        self.opened.resize(end + length, 0);
        let opened = self
            .keys
            .read_message(self.pieces, sealed, &mut self.opened[end..])
            .map_err(noise)?;
        self.opened.truncate(end + opened);
        self.pieces += 1;
        Ok(())
    }

    /// The next frame. Dropping the future breaks the link.
    async fn frame(&mut self) -> io::Result<&[u8]> {
        while self.whole()?.is_none() {
            self.piece().await?;
        }
        let frame = self.taken()?;
        Ok(frame.expect("a frame is whole"))
    }

    /// The next frame, if it has come.
    fn taken(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(length) = self.whole()? else {
            return Ok(None);
        };
        let begin = self.taken + 4;
        self.taken = begin + length;
        Ok(Some(&self.opened[begin..self.taken]))
    }

    /// The length of the next frame, if it has come.
    fn whole(&self) -> io::Result<Option<usize>> {
        let left = &self.opened[self.taken..];
        let Some(length) = left.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(odd("a frame is too long"));
        }
        Ok((left.len() >= 4 + length).then_some(length))
    }
}

impl Writer {
    /// Seals bytes and writes them; nothing is a piece too.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        let mut end = 0;
        loop {
            let (piece, more) = rest.split_at(rest.len().min(PIECE_MAX - TAG));
            let (start, sealed) = (end + 2, end + 2 + piece.len() + TAG);
            self.sealed.resize(sealed.max(self.sealed.len()), 0);
            self.sealed[end..start].copy_from_slice(&prefix(piece.len() + TAG));
            self.keys
                .write_message(self.pieces, piece, &mut self.sealed[start..sealed])
                .map_err(noise)?;
            (self.pieces, end, rest) = (self.pieces + 1, sealed, more);
            if rest.is_empty() {
                break;
            }
        }
        let written = timeout(SILENCE_MAX, self.half.write_all(&self.sealed[..end])).await;
        // A large batch leaves no large buffer behind.
        self.sealed.truncate(PIECE_MAX);
        self.sealed.shrink_to(PIECE_MAX);
        written.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Brings what comes to that channel, until the link or the channel ends, or nothing comes for that span.
async fn bring<T>(
    reader: &mut Reader,
    to: &mpsc::Sender<T>,
    read: fn(&[u8]) -> io::Result<T>,
    silence: Option<Duration>,
) -> io::Result<()> {
    let mut come = Vec::new();
    loop {
        let frame = match silence {
            Some(silence) => timeout(silence, reader.frame())
                .await
                .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?,
            None => reader.frame().await?,
        };
        come.push(read(frame)?);
        // What has come at the same time goes on together.
        while come.len() < AT_ONCE_MAX
            && let Some(frame) = reader.taken()?
        {
            come.push(read(frame)?);
        }
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let places = to.reserve_many(come.len()).await.map_err(gone)?;
        places
            .zip(come.drain(..))
            .for_each(|(place, frame)| place.send(frame));
    }
}

/// Takes what comes by that channel to the link, until one of them ends.
async fn take<T>(
    writer: &mut Writer,
    from: &mut mpsc::Receiver<T>,
    write: fn(&T, &mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    while from.recv_many(&mut frames, AT_ONCE_MAX).await > 0 {
        // What is under way at the same time goes with one write.
        tokio::task::yield_now().await;
        while frames.len() < AT_ONCE_MAX
            && let Ok(frame) = from.try_recv()
        {
            frames.push(frame);
        }
        bytes.clear();
        for frame in frames.drain(..) {
            let start = bytes.len();
            bytes.extend([0; 4]);
            write(&frame, &mut bytes)?;
            let length = bytes.len() - start - 4;
            if length > FRAME_MAX {
                bytes.truncate(start);
                continue;
            }
            let length = u32::try_from(length).expect("FRAME_MAX is below 2^32");
            bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
        if !bytes.is_empty() {
            writer.write(&bytes).await?;
        }
        bytes.shrink_to(PIECE_MAX);
    }
    Ok(())
}

/// The first byte of a command; no JSON begins with it.
const OF_COMMAND: u8 = 0;

fn write_up(up: &Up, out: &mut Vec<u8>) -> io::Result<()> {
    let Up::Ask { id, command } = up else {
        return write_json(up, out);
    };
    out.push(OF_COMMAND);
    out.extend(id.to_be_bytes());
    out.extend_from_slice(&command.0);
    Ok(())
}

fn read_up(frame: &[u8]) -> io::Result<Up> {
    let Some((&OF_COMMAND, rest)) = frame.split_first() else {
        return read_json(frame);
    };
    let numbered = rest.split_first_chunk::<8>();
    let (id, text) = numbered.ok_or_else(|| odd("a command has no number"))?;
    Ok(Up::Ask {
        id: u64::from_be_bytes(*id),
        command: CommandText(Bytes::copy_from_slice(text)),
    })
}

/// The first byte of a batch, and of one whose entries are packed; no JSON begins with them.
const OF_BATCH: u8 = 0;
const OF_PACKED: u8 = 1;

fn write_down(down: &Down, out: &mut Vec<u8>) -> io::Result<()> {
    let Down::Batch(pushed) = down else {
        return write_json(down, out);
    };
    let batch = &pushed.batch;
    out.push(match pushed.packed {
        Some(_) => OF_PACKED,
        None => OF_BATCH,
    });
    for number in [
        batch.number,
        batch.term,
        batch.nonce,
        batch.before,
        batch.first,
    ] {
        out.extend(number.to_be_bytes());
    }
    if let Some((count, entries)) = &pushed.packed {
        out.extend((*count as u64).to_be_bytes());
        out.extend_from_slice(entries);
    }
    for entry in &batch.entries {
        let length = u32::try_from(entry.len()).map_err(|_| odd("an entry is too long"))?;
        out.extend(length.to_be_bytes());
        out.extend(entry);
    }
    Ok(())
}

fn read_down(frame: &[u8]) -> io::Result<Down> {
    let Some(form @ (OF_BATCH | OF_PACKED)) = frame.first().copied() else {
        return read_json(frame);
    };
    let short = || odd("a batch ends too early");
    let mut rest = &frame[1..];
    let mut number = || {
        let (number, more) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        rest = more;
        io::Result::Ok(u64::from_be_bytes(*number))
    };
    let mut batch = Batch {
        number: number()?,
        term: number()?,
        nonce: number()?,
        before: number()?,
        first: number()?,
        entries: Vec::new(),
    };
    if form == OF_PACKED {
        let count = usize::try_from(number()?).map_err(|_| short())?;
        batch.entries = unpacked(count, rest).ok_or_else(short)?;
        rest = &[];
    }
    while !rest.is_empty() {
        let (length, more) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (entry, more) = more.split_at_checked(length).ok_or_else(short)?;
        batch.entries.push(entry.to_vec());
        rest = more;
    }
    Ok(Down::Batch(batch.into()))
}

fn write_json<T: Serialize>(frame: &T, out: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(out, frame).map_err(io::Error::from)
}

fn read_json<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    serde_json::from_slice(frame).map_err(io::Error::from)
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::frame::Pushed;
    use crate::journal::packed;

    #[test]
    fn a_packed_batch_comes_out_as_it_was_and_a_part_of_one_is_none() {
        let entries = vec![vec![b'x'; 3_000], vec![], vec![0, 0xff]];
        let mut batch = Batch {
            number: 2,
            term: 3,
            nonce: u64::MAX,
            before: 5,
            first: 6,
            entries: Vec::new(),
        };
        let packed = packed(&entries).into();
        let pushed = Pushed::packed(batch.clone(), entries.len(), packed);
        let mut frame = Vec::new();
        write_down(&Down::Batch(pushed), &mut frame).unwrap();
        assert!(frame.len() < 200, "{}", frame.len());
        let Ok(Down::Batch(came)) = read_down(&frame) else {
            panic!("a batch")
        };
        batch.entries = entries;
        assert_eq!(*came.batch, batch);
        for end in 1..frame.len() {
            assert!(read_down(&frame[..end]).is_err(), "{end}");
        }
    }
}
