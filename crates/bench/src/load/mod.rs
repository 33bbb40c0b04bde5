//! The load: connections driven from one thread on the other core, so that it is never the load that is measured.

pub(crate) mod connection;
pub(crate) mod driver;
pub(crate) mod parked;
pub(crate) mod receiver;

pub(crate) use connection::Answer;
pub(crate) use driver::{Latencies, Source, drive};
pub(crate) use parked::Parked;
pub(crate) use receiver::Receiver;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// One request, answered; for setting things up.
///
/// # Errors
///
/// The server failed, too.
pub(crate) fn call(address: SocketAddr, request: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let (status, body) = ask(address, request)?;
    if status >= 500 {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok((status, body))
}

/// One request, answered in whatever way.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    struct Once<'a> {
        request: Option<&'a [u8]>,
        answer: Option<(u16, Vec<u8>)>,
    }
    impl Source for Once<'_> {
        fn next(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
            self.request
                .take()
                .map(|request| out.extend_from_slice(request))
                .is_some()
        }

        fn answered(&mut self, _: usize, answer: &Answer<'_>, _: Duration) {
            self.answer = Some((answer.status, answer.body.to_vec()));
        }
    }
    let mut once = Once {
        request: Some(request),
        answer: None,
    };
    drive(address, 1, &mut once, Duration::from_secs(60))?;
    once.answer.context("there was no answer")
}
