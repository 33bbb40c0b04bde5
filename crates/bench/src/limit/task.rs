//! A bare tokio task per connection, with a parser of a few lines. While it waits it has no buffer: only the socket and
//! what it waits for.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::hyper::event;
use super::topics::Topics;
use super::{LimitArgs, body_of, say_where};

/// How long a request may be, in bytes.
const REQUEST: usize = 4 * 1024;

/// The answers, made once.
#[derive(Clone, Debug)]
struct Answers {
    read: Bytes,
    end: Bytes,
    stream: Bytes,
    event: Bytes,
}

enum Asked {
    Read,
    Wait(u64),
    Stream(u64),
    End(u64),
    Nothing,
}

pub(super) async fn run(arguments: &LimitArgs) -> anyhow::Result<()> {
    let body = Bytes::from(body_of(arguments));
    let answers = Answers {
        read: plain(&body),
        end: plain(&Bytes::from_static(b"{}")),
        stream: Bytes::from_static(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
        ),
        event: event(&body),
    };
    let topics = Topics::default();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    say_where(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (answers, topics) = (answers.clone(), topics.clone());
        tokio::spawn(async move {
            // A connection that ends in an error has ended.
            let _ended = serve(stream, &answers, &topics).await;
        });
    }
}

async fn serve(mut stream: TcpStream, answers: &Answers, topics: &Topics) -> io::Result<()> {
    loop {
        match ask(&mut stream).await? {
            Asked::Read => stream.write_all(&answers.read).await?,
            Asked::Wait(topic) => {
                let bell = topics.bell(topic);
                bell.notified().await;
                stream.write_all(&answers.read).await?;
            }
            Asked::Stream(topic) => {
                stream.write_all(&answers.stream).await?;
                let bell = topics.bell(topic);
                bell.notified().await;
                return stream.write_all(&answers.event).await;
            }
            Asked::End(topic) => {
                topics.end(topic);
                stream.write_all(&answers.end).await?;
            }
            Asked::Nothing => return Ok(()),
        }
    }
}

/// The next request. The buffer lives on the stack while bytes are read, and not in the task.
async fn ask(stream: &mut TcpStream) -> io::Result<Asked> {
    let mut kept = Vec::new();
    poll_fn(|cx| {
        loop {
            let mut buffer = [MaybeUninit::uninit(); REQUEST];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if kept.is_empty() && read.ends_with(b"\r\n\r\n") {
                return Poll::Ready(Ok(parse(read)));
            }
            kept.extend_from_slice(read);
            if kept.ends_with(b"\r\n\r\n") {
                return Poll::Ready(Ok(parse(&kept)));
            }
            if read.is_empty() || kept.len() > REQUEST {
                return Poll::Ready(Ok(Asked::Nothing));
            }
        }
    })
    .await
}

fn parse(head: &[u8]) -> Asked {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let path = match request.parse(head) {
        Ok(_) => request.path.unwrap_or_default(),
        Err(_) => return Asked::Nothing,
    };
    let number = |rest: &str| rest.parse().unwrap_or(0);
    if let Some(rest) = path.strip_prefix("/wait/") {
        Asked::Wait(number(rest))
    } else if let Some(rest) = path.strip_prefix("/stream/") {
        Asked::Stream(number(rest))
    } else if let Some(rest) = path.strip_prefix("/end/") {
        Asked::End(number(rest))
    } else {
        Asked::Read
    }
}

fn plain(body: &Bytes) -> Bytes {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer.into()
}
