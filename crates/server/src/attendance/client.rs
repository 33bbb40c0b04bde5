//! Who counts as one client.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use abide_engine::Owner;
use serde::{Deserialize, Serialize};

/// The longest name of a client's program that is kept, in bytes.
const AGENT_BYTES_MAX: usize = 47;

/// A client: a program at an address, or with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Client {
    /// Whose jobs it sees.
    pub owner: Owner,
    /// The program.
    pub agent: Agent,
    /// Where it runs; `None` if the server can't tell.
    pub address: Option<IpAddr>,
}

/// The name that a client's program gives itself: the first word of `User-Agent`, and its version if that is the
/// second. Held in place, because every request carries one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Agent {
    bytes: [u8; AGENT_BYTES_MAX],
    length: u8,
}

impl Agent {
    /// The first word of that text, and the second if that is the version that the first doesn't have, cut to 47 bytes;
    /// characters that aren't visible ASCII are left out, and so is what separates the first word from the next.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut words = text.split_ascii_whitespace();
        let word = words.next().unwrap_or_default();
        let word = word.trim_end_matches([';', ',']);
        let is_version = |word: &&str| word.starts_with(|sign: char| sign.is_ascii_digit());
        let has_version = word.contains(|sign: char| sign.is_ascii_digit());
        let version = words.next().filter(|word| !has_version && is_version(word));
        let version = version
            .into_iter()
            .flat_map(|word| [b' '].into_iter().chain(word.bytes()));
        let visible = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let mut agent = Self::default();
        let bytes = word.bytes().chain(version).filter(visible);
        for (place, byte) in agent.bytes.iter_mut().zip(bytes) {
            *place = byte;
            agent.length += 1;
        }
        agent
    }

    /// The word; empty if the client sent none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl From<String> for Agent {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Agent> for String {
    fn from(agent: Agent) -> Self {
        agent.as_str().to_owned()
    }
}

impl Hash for Agent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The rest is zeros, which each read would hash three times.
        self.bytes[..usize::from(self.length)].hash(state);
    }
}

impl Default for Agent {
    /// The one of a client that sent none.
    fn default() -> Self {
        Self {
            bytes: [0; AGENT_BYTES_MAX],
            length: 0,
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Client {
    /// The program and its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agent = self.agent.as_str();
        f.write_str(if agent.is_empty() { "unnamed" } else { agent })?;
        if let Some(address) = self.address {
            write!(f, " · {address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_first_word_of_its_user_agent() {
        let table = [
            ("curl/8.5.0", "curl/8.5.0"),
            ("Mozilla/5.0 (X11; Linux) Gecko", "Mozilla/5.0"),
            ("OpenAI/Python 3.57.0", "OpenAI/Python 3.57.0"),
            ("Runwayml/JS 4.20.1 (Node)", "Runwayml/JS 4.20.1"),
            ("a b", "a"),
            ("", ""),
            ("dashscope/2.0.2; python/3.11", "dashscope/2.0.2"),
            (
                "azsdk-python-ai-translation-document/2.0.0 Python/3.11.7",
                "azsdk-python-ai-translation-document/2.0.0",
            ),
            (
                "x123456789012345678901234567890123456789012345678901234567890",
                "x1234567890123456789012345678901234567890123456",
            ),
            ("naïve/1", "nave/1"),
        ];
        for (sent, kept) in table {
            assert_eq!(Agent::new(sent).as_str(), kept);
            assert_eq!(Agent::new(kept).as_str(), kept, "as another node reads it");
        }
    }
}
