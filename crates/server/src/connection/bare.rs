//! What the HTTP library refuses by itself, said as everything else is refused: by a problem.
//!
//! A request that can't be read never reaches what answers requests, and the library's own answer to it has no body. That answer is
//! recognized on its way out, and another goes in its place.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use abide_wire::{Code, Problem, headers};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::{FIELDS_MAX, HEAD_BYTES_MAX};

/// A connection whose bare refusals are problems.
#[derive(Debug)]
pub(super) struct Bare<I> {
    io: I,
    /// What is still to be written in place of a refusal.
    instead: Vec<u8>,
}

impl<I> Bare<I> {
    pub(super) const fn new(io: I) -> Self {
        Self {
            io,
            instead: Vec::new(),
        }
    }
}

/// What is said in place of these bytes, if they are a refusal of the library's: a status of 4xx, without a body and without the
/// name that every answer of ours has.
fn instead_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let status = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let head = std::str::from_utf8(status).ok()?;
    if !head.ends_with("\r\n\r\n") || head.to_ascii_lowercase().contains(headers::REQUEST_ID) {
        return None;
    }
    let too_large = |title: &'static str, status, detail: String| {
        Problem::new(status, Code::TOO_LARGE, title).detail(detail)
    };
    let problem = match head.get(..2)? {
        "31" => too_large(
            "The head of the request is too large",
            431,
            format!("a head may have {HEAD_BYTES_MAX} bytes and {FIELDS_MAX} headers"),
        ),
        "14" => too_large(
            "The address of the request is too long",
            414,
            format!("a head may have {HEAD_BYTES_MAX} bytes"),
        ),
        _ => Problem::new(400, Code::new("invalid_request"), "This is not HTTP")
            .detail("the head of the request can't be read"),
    };
    let status = problem.status;
    let reason = http::StatusCode::from_u16(status)
        .ok()?
        .canonical_reason()?;
    let body = serde_json::to_string(&problem).expect("a problem has only text and numbers");
    let kind = headers::PROBLEM_JSON;
    let length = body.len();
    Some(
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
        .into(),
    )
}

impl<I: AsyncRead + Unpin> AsyncRead for Bare<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Bare<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_empty() {
            match instead_of(bytes) {
                Some(instead) => this.instead = instead,
                None => return Pin::new(&mut this.io).poll_write(cx, bytes),
            }
        }
        while !this.instead.is_empty() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, &this.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.instead.drain(..written);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match slices {
            // A refusal has a head and nothing else.
            [only] => Pin::new(this).poll_write(cx, only),
            _ => Pin::new(&mut this.io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_replaced() {
        let of = |text: &str| instead_of(text.as_bytes());
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let said = String::from_utf8(of(bare).unwrap()).unwrap();
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
        assert!(said.contains("\"code\":\"too_large\""), "{said}");
        assert!(of("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").is_some());
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 4",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
