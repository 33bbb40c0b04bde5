//! Names of endpoints and deliveries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use abide_wire::Timestamp;

use crate::JobKey;
use crate::key::ParseKeyError;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What the name begins with on the wire.
            pub const PREFIX: &'static str = $prefix;

            /// The name with that number.
            #[must_use]
            pub const fn from_u128(number: u128) -> Self {
                Self(number)
            }

            /// The name as a number.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// The smallest name that something made at that time can have; for ranges.
            #[must_use]
            pub fn first_at(at: Timestamp) -> Self {
                Self((u128::from(millis(at)) & 0xffff_ffff_ffff) << 80)
            }

            /// The name of what was made at that time and is told from everything else by these words.
            #[must_use]
            pub fn of(at: Timestamp, words: &[&[u8]]) -> Self {
                let mut hash = Sha256::new();
                for word in words {
                    hash.update((word.len() as u64).to_le_bytes());
                    hash.update(word);
                }
                let mut luck = [0; 10];
                luck.copy_from_slice(&hash.finalize()[..10]);
                Self(
                    uuid::Builder::from_unix_timestamp_millis(millis(at), &luck)
                        .into_uuid()
                        .as_u128(),
                )
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseKeyError;

            fn from_str(text: &str) -> Result<Self, ParseKeyError> {
                let digits = text.strip_prefix($prefix).ok_or(ParseKeyError)?;
                // One name, one spelling.
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if digits.len() != 32 || !digits.bytes().all(is_digit) {
                    return Err(ParseKeyError);
                }
                u128::from_str_radix(digits, 16)
                    .map(Self)
                    .map_err(|_| ParseKeyError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

names! {
    /// An endpoint's name, `wh_…`.
    EndpointKey, "wh_"
}
names! {
    /// A delivery's name, `msg_…`: the `webhook-id` of all its attempts.
    DeliveryKey, "msg_"
}

impl EndpointKey {
    /// The endpoint that a job brought along.
    #[must_use]
    pub const fn of_job(job: JobKey) -> Self {
        Self(job.as_u128())
    }
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_say_what_they_are_and_have_one_spelling() {
        let early = DeliveryKey::of(Timestamp::from_millis(1_000), &[b"a"]);
        let late = DeliveryKey::of(Timestamp::from_millis(1_001), &[b"a"]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_ne!(
            late,
            DeliveryKey::of(Timestamp::from_millis(1_001), &[b"b"])
        );
        assert!(DeliveryKey::first_at(Timestamp::from_millis(1_001)) <= late);
        assert!(DeliveryKey::first_at(Timestamp::from_millis(1_001)) > early);
        let text = late.to_string();
        assert_eq!(text.parse(), Ok(late));
        for bad in [
            "msg_",
            &text[4..],
            &text.to_uppercase(),
            &format!("{text}0"),
        ] {
            assert_eq!(bad.parse::<DeliveryKey>(), Err(ParseKeyError), "{bad}");
        }
        assert!(text.parse::<EndpointKey>().is_err());
    }
}
