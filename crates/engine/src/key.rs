//! Names: of jobs, endpoints and deliveries, and of those who own them.
//!
//! A name is a UUID of version 7, so that names sort by time of creation. On the wire it is a prefix that says what it
//! names and 32 hexadecimal digits, and opaque.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use abide_wire::{JobId, Timestamp};

use crate::intern::read_text;

/// How many digits follow the prefix.
const DIGITS: usize = uuid::fmt::Simple::LENGTH;

/// The text is not a name of that sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this server")]
pub struct ParseKeyError;

macro_rules! keys {
    ($($(#[$doc:meta])+ $name:ident, $prefix:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            // Two halves rather than one number of 16 bytes, which would have to lie at a multiple of 16: sets of a
            // million of these with something beside them are a third smaller.
            high: u64,
            low: u64,
        }

        impl $name {
            const PREFIX: &str = $prefix;

            /// The name of what was made at that time, with 80 random bits, of which the version and variant take six.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.as_millis()).unwrap_or(0);
                let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
                Self::from_u128(uuid.as_u128())
            }

            /// The name of what was made at that time and is told from everything else by these words.
            #[must_use]
            pub fn of(at: Timestamp, words: &[&[u8]]) -> Self {
                let mut hash = Sha256::new();
                for word in words {
                    hash.update((word.len() as u64).to_le_bytes());
                    hash.update(word);
                }
                let mut random = [0; 10];
                random.copy_from_slice(&hash.finalize()[..10]);
                Self::new(at, random)
            }

            /// The smallest name that something made at that time can have; for ranges.
            #[must_use]
            pub fn first_at(at: Timestamp) -> Self {
                let millis = u128::try_from(at.as_millis()).unwrap_or(0);
                Self::from_u128((millis & 0xffff_ffff_ffff) << 80)
            }

            /// When it was made.
            #[must_use]
            pub const fn made_at(self) -> Timestamp {
                Timestamp::from_millis((self.high >> 16) as i64)
            }

            /// The name as a number.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                ((self.high as u128) << 64) | self.low as u128
            }

            /// The name with that number.
            #[must_use]
            pub const fn from_u128(number: u128) -> Self {
                Self {
                    high: (number >> 64) as u64,
                    low: number as u64,
                }
            }

            /// The text, put down without the formatting machinery: a create writes it a dozen times.
            fn with_text<T>(self, then: impl FnOnce(&str) -> T) -> T {
                let mut text = [0; Self::PREFIX.len() + DIGITS];
                let (prefix, digits) = text.split_at_mut(Self::PREFIX.len());
                prefix.copy_from_slice(Self::PREFIX.as_bytes());
                uuid::Uuid::from_u64_pair(self.high, self.low)
                    .as_simple()
                    .encode_lower(digits);
                then(std::str::from_utf8(&text).expect("these are letters and digits"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.with_text(|text| f.write_str(text))
            }
        }

        impl FromStr for $name {
            type Err = ParseKeyError;

            fn from_str(text: &str) -> Result<Self, ParseKeyError> {
                let digits = text.strip_prefix(Self::PREFIX).ok_or(ParseKeyError)?;
                // One name, one spelling: the hyphenated and upper-case forms of a UUID are not names of ours.
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if digits.len() != DIGITS || !digits.bytes().all(is_digit) {
                    return Err(ParseKeyError);
                }
                uuid::Uuid::try_parse(digits)
                    .map(|uuid| Self::from_u128(uuid.as_u128()))
                    .map_err(|_| ParseKeyError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.with_text(|text| serializer.serialize_str(text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_text(deserializer, |text| text.parse::<Self>())
            }
        }
    )+};
}

keys! {
    /// A job's name, `job_…`.
    JobKey, "job_";
    /// An endpoint's name, `wh_…`.
    EndpointKey, "wh_";
    /// A delivery's name, `msg_…`: the `webhook-id` of all its attempts.
    DeliveryKey, "msg_";
}

impl JobKey {
    /// The name on the wire.
    #[must_use]
    pub fn to_id(self) -> JobId {
        self.with_text(|text| JobId::new(text))
    }
}

impl EndpointKey {
    /// The endpoint that a job brought along.
    #[must_use]
    pub const fn of_job(job: JobKey) -> Self {
        Self::from_u128(job.as_u128())
    }
}

/// Whose a job is: a digest of its owner's name, or of the API key that created it, which is itself stored nowhere.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Owner(pub u64);

impl Owner {
    /// The owner of all jobs while the server has no API keys.
    pub const ANYONE: Self = Self(0);

    /// Whether it is [`Owner::ANYONE`].
    #[must_use]
    pub const fn is_anyone(&self) -> bool {
        self.0 == Self::ANYONE.0
    }

    /// The owner of that name. Sixteen hex digits are the owner of that number: so an owner without a name can be
    /// named.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if name.len() == 16 && name.bytes().all(is_digit) {
            return Self(u64::from_str_radix(name, 16).map_or(1, |number| number.max(1)));
        }
        // No API key has a space in it, so none has a name's digest.
        Self::of_api_key(&format!("owner {name}"))
    }

    /// The owner with that API key.
    #[must_use]
    pub fn of_api_key(key: &str) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        Self(u64::from_le_bytes(bytes).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_say_what_they_are_and_have_one_spelling() {
        let (before, after) = [1_000, 1_001].map(Timestamp::from_millis).into();
        let (early, late) = (JobKey::new(before, [255; 10]), JobKey::new(after, [0; 10]));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.made_at(), after);
        assert!(JobKey::first_at(after) <= late && JobKey::first_at(after) > early);
        assert_ne!(JobKey::of(after, &[b"a"]), JobKey::of(after, &[b"b"]));
        let text = late.to_string();
        assert_eq!(text.parse(), Ok(late));
        assert!(text.parse::<DeliveryKey>().is_err());
        for bad in [
            "",
            "job_",
            &text[4..],
            &text.to_uppercase(),
            &format!("{text}0"),
            "job_00000000-0000-7000-8000-000000000000",
            "job_+0000000000000000000000000000000",
        ] {
            assert_eq!(bad.parse::<JobKey>(), Err(ParseKeyError), "{bad}");
        }
    }
}
