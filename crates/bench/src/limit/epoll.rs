//! One epoll loop and a slab entry per socket: what the machine itself can do.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::{LimitArgs, body_of, say_where};

const LISTENER: Token = Token(usize::MAX);

pub(super) fn run(arguments: &LimitArgs) -> anyhow::Result<()> {
    let body = body_of(arguments);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    say_where(listener.local_addr()?);
    let readable = Interest::READABLE;
    poll.registry()
        .register(&mut listener, LISTENER, readable)?;
    let mut sockets: Slab<TcpStream> = Slab::new();
    let mut topics: HashMap<u64, Vec<u32>> = HashMap::new();
    let mut events = Events::with_capacity(1_024);
    let mut buffer = [0; 4_096];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = sockets.vacant_entry();
                    poll.registry()
                        .register(&mut stream, Token(entry.key()), readable)?;
                    entry.insert(stream);
                }
                continue;
            }
            let place = event.token().0;
            // A request of these fits into one segment, and only one is under way on a connection.
            let read = match sockets[place].read(&mut buffer) {
                Ok(0) => {
                    sockets.remove(place);
                    continue;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => {
                    sockets.remove(place);
                    continue;
                }
            };
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(&buffer[..read]);
            let path = parsed.ok().and(request.path).unwrap_or_default();
            let number = |rest: &str| rest.parse().unwrap_or(0);
            if let Some(rest) = path.strip_prefix("/wait/") {
                let waiting = topics.entry(number(rest)).or_default();
                waiting.push(u32::try_from(place)?);
                continue;
            }
            if let Some(rest) = path.strip_prefix("/end/") {
                for place in topics.remove(&number(rest)).unwrap_or_default() {
                    if let Some(socket) = sockets.get_mut(place as usize) {
                        // An answer fits into the socket's buffer; a reader that is gone is noticed when it is read
                        // from.
                        let _ = socket.write(answer.as_bytes());
                    }
                }
            }
            let _ = sockets[place].write(answer.as_bytes());
        }
    }
}
