//! An answer that is a value, as the bytes that go out: what the HTTP library does for a request of HTTP/1.1.

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, response};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answers, Front, SEND_BYTES};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// There never is one.
    Nothing,
    /// By its length.
    Length(u64),
    /// By a last chunk.
    Chunked,
}

impl<I, A> Front<I, A>
where
    I: AsyncRead + AsyncWrite + Unpin,
    A: Answers,
{
    /// Sends the answer, as its body comes.
    ///
    /// # Errors
    ///
    /// The other end has gone, or the body broke off: then the connection must end, because that is how it is told.
    pub(super) fn reply(
        &mut self,
        response: Response,
        is_last: bool,
    ) -> impl Future<Output = io::Result<()>> {
        // The head is written before the future begins, which then has no room for it: a stream's may be there for long.
        let (parts, body) = response.into_parts();
        let frame = Frame::of(parts.status, &parts.headers, &body);
        let mut out = Vec::with_capacity(1024);
        write_head(&mut out, &parts, frame, is_last);
        self.send_answer(out, body, frame)
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would have room for its arguments twice, and a stream's is there for long"
    )]
    fn send_answer(
        &mut self,
        mut out: Vec<u8>,
        mut body: Body,
        frame: Frame,
    ) -> impl Future<Output = io::Result<()>> {
        async move {
            let mut left = match frame {
                Frame::Nothing => return self.send(out).await,
                Frame::Length(length) => length,
                Frame::Chunked => u64::MAX,
            };
            loop {
                // What is there at once goes out together with the head.
                let at_once = poll_fn(|cx| Poll::Ready(poll_data(&mut body, cx))).await;
                let next = match at_once {
                    Poll::Ready(next) => next,
                    Poll::Pending => {
                        self.send(std::mem::take(&mut out)).await?;
                        self.while_open(poll_fn(|cx| poll_data(&mut body, cx)))
                            .await?
                    }
                };
                let data = match next {
                    None => break,
                    Some(Ok(data)) => data,
                    Some(Err(error)) => {
                        self.send(out).await?;
                        return Err(error);
                    }
                };
                let length = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= length as u64;
                if frame == Frame::Chunked && length > 0 {
                    // Writing to memory doesn't fail.
                    let _ = write!(out, "{length:x}\r\n");
                    out.extend_from_slice(&data);
                    out.extend_from_slice(b"\r\n");
                } else {
                    out.extend_from_slice(&data[..length]);
                }
                if out.len() >= SEND_BYTES {
                    self.send(std::mem::take(&mut out)).await?;
                }
            }
            if frame == Frame::Chunked {
                out.extend_from_slice(b"0\r\n\r\n");
            }
            self.send(out).await?;
            match frame {
                Frame::Length(_) if left > 0 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => Ok(()),
            }
        }
    }
}

/// The next bytes of a body. Trailers are left out, and with them the room that a future would have for them.
fn poll_data(body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
    let next = ready!(Pin::new(body).poll_frame(cx));
    Poll::Ready(next.map(|frame| match frame {
        Ok(frame) => Ok(frame.into_data().unwrap_or_default()),
        Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    }))
}

impl Frame {
    fn of(status: StatusCode, headers: &HeaderMap, body: &Body) -> Self {
        let is_without = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_without {
            return Self::Nothing;
        }
        let announced = || {
            let length = headers.get(header::CONTENT_LENGTH)?;
            length.to_str().ok()?.parse().ok()
        };
        match body.size_hint().exact().or_else(announced) {
            Some(length) => Self::Length(length),
            None => Self::Chunked,
        }
    }
}

fn write_head(out: &mut Vec<u8>, parts: &response::Parts, frame: Frame, is_last: bool) {
    let status = parts.status;
    let reason = status.canonical_reason().unwrap_or("<none>");
    // Writing to memory doesn't fail.
    let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_str());
    for (name, value) in &parts.headers {
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let _ = match frame {
        Frame::Nothing => Ok(()),
        Frame::Length(length) => write!(out, "content-length: {length}\r\n"),
        Frame::Chunked => out.write_all(b"transfer-encoding: chunked\r\n"),
    };
    if is_last {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
