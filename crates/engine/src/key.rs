//! Names: of jobs, and of those who own them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use abide_wire::{JobId, Timestamp};

/// A job's name inside the server: a UUID of version 7, so that names sort by time of creation.
///
/// On the wire it is `job_` and 32 hexadecimal digits, and opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    // Two halves rather than one number of 16 bytes, which would have to lie at a multiple of 16: sets of a million of
    // these with something beside them are a third smaller.
    high: u64,
    low: u64,
}

impl JobKey {
    /// The name of a job made at that time, with 80 bits of luck, of which the version and variant take six.
    #[must_use]
    pub fn new(at: Timestamp, luck: [u8; 10]) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &luck).into_uuid();
        Self::from_u128(uuid.as_u128())
    }

    /// The smallest name that a job made at that time can have; for ranges.
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

    /// The name on the wire.
    #[must_use]
    pub fn to_id(self) -> JobId {
        self.with_text(|text| JobId::new(text))
    }

    /// The text, put down without the formatting machinery: a create writes it a dozen times.
    fn with_text<T>(self, then: impl FnOnce(&str) -> T) -> T {
        const PREFIX: &[u8] = b"job_";
        let mut text = [0; PREFIX.len() + uuid::fmt::Simple::LENGTH];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        uuid::Uuid::from_u64_pair(self.high, self.low)
            .as_simple()
            .encode_lower(digits);
        then(std::str::from_utf8(&text).expect("these are letters and digits"))
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

/// The text is not a name that this server gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job id of this server")]
pub struct ParseKeyError;

impl FromStr for JobKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let digits = text.strip_prefix("job_").ok_or(ParseKeyError)?;
        // One name, one spelling: the hyphenated and upper-case forms of a UUID are not names of ours.
        if digits.len() != uuid::fmt::Simple::LENGTH
            || digits.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Err(ParseKeyError);
        }
        uuid::Uuid::try_parse(digits)
            .map(|uuid| Self::from_u128(uuid.as_u128()))
            .map_err(|_| ParseKeyError)
    }
}

impl Serialize for JobKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for JobKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Whose a job is: a digest of the API key that created it, so that the key itself is stored nowhere.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Owner(pub u64);

impl Owner {
    /// Everybody's, where the server asks for no key.
    pub const ANYONE: Self = Self(0);

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
    fn names_sort_by_time_and_have_one_spelling() {
        let early = JobKey::new(Timestamp::from_millis(1_000), [255; 10]);
        let late = JobKey::new(Timestamp::from_millis(1_001), [0; 10]);
        assert!(early < late);
        assert_eq!(late.made_at(), Timestamp::from_millis(1_001));
        assert!(early.to_string() < late.to_string());
        assert!(JobKey::first_at(Timestamp::from_millis(1_001)) <= late);
        assert!(JobKey::first_at(Timestamp::from_millis(1_001)) > early);
        let text = late.to_string();
        assert_eq!(text.parse::<JobKey>(), Ok(late));
        for bad in [
            "",
            "job_",
            &text[4..],
            &text.to_uppercase(),
            &format!("{text}0"),
            "job_00000000-0000-7000-8000-000000000000",
        ] {
            assert_eq!(bad.parse::<JobKey>(), Err(ParseKeyError), "{bad}");
        }
    }
}
