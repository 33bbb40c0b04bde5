//! From a name to addresses, behind a seam.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

/// The most addresses of one name that are looked at.
pub const ADDRESSES_MAX: usize = 16;
/// What a [`Resolve`] returns.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a host.
///
/// A seam, so that a test can answer with a public address first and with loopback next. Whatever it answers is
/// checked address by address before anything is dialled.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of that name, which is never an IP literal.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the question; a lookup that has begun ends by itself.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// The system's resolver, with its hosts file and its search domains. Ask it through [`Names`](super::Names): each
/// question takes a thread.
#[derive(Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found
                .map(|address| address.ip())
                .take(ADDRESSES_MAX)
                .collect())
        })
    }
}

/// A resolver of made-up names, for tests: each question to a name gets the next of its answers, the last one for ever.
#[derive(Debug, Default)]
pub struct ScriptedResolver {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
}

impl ScriptedResolver {
    /// Lets that name answer with each of these lists in turn.
    #[must_use]
    pub fn host(self, name: &str, answers: &[&[IpAddr]]) -> Self {
        let mut script: Vec<Vec<IpAddr>> = answers.iter().map(|list| list.to_vec()).collect();
        script.reverse();
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), script);
        self
    }
}

impl Resolve for ScriptedResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match answers.get_mut(host) {
            Some(script) if script.len() > 1 => script.pop(),
            Some(script) => script.last().cloned(),
            None => None,
        };
        Box::pin(async move {
            answer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such name"))
        })
    }
}
