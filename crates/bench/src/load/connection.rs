//! One connection of the load, and how much of an answer has come.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections from one source address; the system has about 28,000 ports for each.
const PER_ADDRESS: u32 = 12_000;

/// How many connections were ever made, so that each takes the next address and none waits for an old port.
static MADE: AtomicU32 = AtomicU32::new(0);

/// An answer that has come whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: &'a [u8],
    /// Whether it says when to try again.
    pub(crate) has_retry_after: bool,
}

/// A connection that has one request under way at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// What the system didn't take yet.
    outbox: Vec<u8>,
}

impl Connection {
    /// Connects, from an address of its own among 127.0.0.0/8, and has its events come under that token.
    pub(crate) fn open(address: SocketAddr, registry: &Registry, token: usize) -> io::Result<Self> {
        let made = MADE.fetch_add(1, Ordering::Relaxed) / PER_ADDRESS % 60_000;
        let [high, low] = u16::try_from(made).unwrap_or(0).to_be_bytes();
        let source = SocketAddrV4::new(Ipv4Addr::new(127, 1 + high, low, 1), 0);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::V4(source).into())?;
        socket.connect(&address.into())?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(socket.into());
        let interests = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(token), interests)?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
        })
    }

    /// Sends a request, as much of it as the system takes at once; the rest goes with [`flush`](Self::flush).
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let sent = match self.stream.write(request) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.outbox.extend_from_slice(&request[sent..]);
        Ok(())
    }

    /// Sends what is left of a request.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.outbox.is_empty() {
            let rest = std::mem::take(&mut self.outbox);
            self.send(&rest)?;
        }
        Ok(())
    }

    /// Reads what has come; `false` where the other end has closed. With a whole answer `each` is called.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&Answer<'_>),
    ) -> io::Result<bool> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            // The usual case: the answer came in one piece, and is never copied.
            if self.inbox.is_empty()
                && let Some((answer, length)) = whole(&buffer[..read])?
                && length == read
            {
                each(&answer);
            } else {
                self.inbox.extend_from_slice(&buffer[..read]);
                while let Some((answer, length)) = whole(&self.inbox)? {
                    each(&answer);
                    self.inbox.drain(..length);
                }
            }
            if read < buffer.len() {
                return Ok(true);
            }
        }
    }

    /// Reads what has come, as it is; `false` where the other end has closed.
    pub(crate) fn receive_raw(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => each(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The first answer in these bytes and how long it is, if it is there whole.
fn whole(bytes: &[u8]) -> io::Result<Option<(Answer<'_>, usize)>> {
    let broken = || io::Error::new(ErrorKind::InvalidData, "an answer that isn't HTTP");
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes).map_err(|_| broken())? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.ok_or_else(broken)?;
    let find = |name: &str| {
        let mut headers = response.headers.iter();
        headers.find(|header| header.name.eq_ignore_ascii_case(name))
    };
    let length = find("content-length")
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .unwrap_or(0_usize);
    let end = head + length;
    let Some(body) = bytes.get(head..end) else {
        return Ok(None);
    };
    let answer = Answer {
        status,
        body,
        has_retry_after: status >= 400 && find("retry-after").is_some(),
    };
    Ok(Some((answer, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let bytes = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 304";
        for length in 0..45 {
            assert!(whole(&bytes[..length]).unwrap().is_none(), "{length}");
        }
        let (answer, length) = whole(bytes).unwrap().unwrap();
        assert_eq!((answer.status, answer.body), (202, &b"abc"[..]));
        assert_eq!(&bytes[length..], b"HTTP/1.1 304");
    }
}
