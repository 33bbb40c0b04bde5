//! Who asks: keys, owners and clients.

use std::net::{IpAddr, Ipv6Addr};

use abide_engine::Owner;
use http::{HeaderMap, header};

use super::error::ApiError;
use crate::attendance::{self, Agent};
use crate::config::Secret;

/// The API keys, and whose each one is.
#[derive(Debug)]
pub struct Access {
    keys: Vec<(Secret, Owner)>,
}

/// Who counts as one client for limits: a key, else an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The owner of that key.
    Key(Owner),
    /// A network address. Of an IPv6 address only the network part counts, because hosts change the rest as they like.
    Address(IpAddr),
}

/// Who asks, as handlers see it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Whose jobs are the caller's.
    pub owner: Owner,
    /// Who it counts as.
    pub client: Client,
    /// Where the request came from, where that is known.
    pub address: Option<IpAddr>,
    /// What program it says that it is.
    pub agent: Agent,
}

impl Access {
    /// Access by those keys, or for every client if there are none.
    #[must_use]
    pub fn new(keys: &[Secret]) -> Self {
        let keys = keys
            .iter()
            .map(|key| (key.clone(), Owner::of_api_key(key.reveal())));
        Self {
            keys: keys.collect(),
        }
    }

    /// Whether no key is needed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// The owner whose key is in these headers. Takes as long for one wrong key as for another.
    ///
    /// # Errors
    ///
    /// A key is needed, and none that we know was sent.
    pub fn owner(&self, headers: &HeaderMap) -> Result<Owner, ApiError> {
        if self.is_open() {
            return Ok(Owner::ANYONE);
        }
        let Some(sent) = headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::unauthorized(
                "send the header `Authorization: Bearer KEY`",
            ));
        };
        let sent = sent.to_str().ok().and_then(|sent| {
            let (scheme, key) = sent.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| key.trim().as_bytes())
        });
        let sent = sent.ok_or_else(|| {
            ApiError::unauthorized("the header must be `Authorization: Bearer KEY`")
        })?;
        // Every key is compared, whichever is the one.
        let found = self.keys.iter().fold(
            None,
            |found, (key, owner)| {
                if key.is(sent) { Some(*owner) } else { found }
            },
        );
        found.ok_or_else(|| ApiError::unauthorized("the server doesn't know this key"))
    }
}

impl Client {
    /// The client identity: the API key, or the address if there is none.
    #[must_use]
    pub fn new(owner: Owner, address: Option<IpAddr>) -> Self {
        if owner == Owner::ANYONE {
            Self::of_address(address)
        } else {
            Self::Key(owner)
        }
    }

    /// The client identity of an address, whatever key its requests have.
    #[must_use]
    pub fn of_address(address: Option<IpAddr>) -> Self {
        Self::Address(match address {
            // Nothing but a test has no address.
            None => Ipv6Addr::UNSPECIFIED.into(),
            Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => address.into(),
                None => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
            },
            Some(address) => address,
        })
    }
}

impl Caller {
    /// A client at that address that sent these headers, and may see that owner's jobs.
    pub(super) fn new(owner: Owner, address: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Self {
            owner,
            client: Client::new(owner, address),
            address,
            agent: Agent::new(agent.unwrap_or_default()),
        }
    }

    /// The client that its reads and creates are counted for.
    pub(super) const fn counted(&self) -> attendance::Client {
        attendance::Client {
            owner: self.owner,
            agent: self.agent,
            address: self.address,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_opens_its_own_jobs() {
        let access = Access::new(&[Secret::new("alpha"), Secret::new("beta")]);
        let owner = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            access.owner(&headers)
        };
        let (alpha, beta) = (
            owner("Bearer alpha").unwrap(),
            owner("bearer  beta").unwrap(),
        );
        assert_ne!(alpha, beta);
        assert_eq!(alpha, Owner::of_api_key("alpha"));
        for wrong in [
            "Bearer gamma",
            "Bearer alph",
            "Bearer",
            "Basic alpha",
            "alpha",
            "",
        ] {
            assert_eq!(owner(wrong).unwrap_err().problem().status, 401, "{wrong:?}");
        }
        assert!(access.owner(&HeaderMap::new()).is_err());
        assert_eq!(
            Access::new(&[]).owner(&HeaderMap::new()).unwrap(),
            Owner::ANYONE
        );
        assert!(!format!("{access:?}").contains("alpha"));
    }

    #[test]
    fn a_client_is_a_key_or_else_a_network() {
        let of = |text: &str| Client::new(Owner::ANYONE, Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
        assert_eq!(
            Client::new(Owner(7), Some("10.0.0.1".parse().unwrap())),
            Client::new(Owner(7), None)
        );
    }
}
