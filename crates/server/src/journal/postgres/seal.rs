//! Sealed bodies: AES-256-GCM, so that dumps, replicas and backups of the database show neither jobs nor secrets.
//!
//! Each process seals under a key of its own, which is derived from the file's key and 16 random bytes, and counts its
//! nonces: so no nonce is used twice under a key, however many bodies are written. A sealed body is the 16 bytes, the
//! counter in 8, the ciphertext and the tag. What the body belongs to is authenticated with it.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;

const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const COUNTER_BYTES: usize = 8;

/// The key of a file, and what this process seals with.
pub struct SealKey {
    master: hmac::Key,
    salt: [u8; SALT_BYTES],
    own: LessSafeKey,
    sealed: AtomicU64,
    /// The key that was last opened with; most bodies next to each other are of one process.
    last: Mutex<([u8; SALT_BYTES], LessSafeKey)>,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// The key in a file: 32 bytes, or 64 hexadecimal digits. `salt` is random and never used by two processes.
    ///
    /// `None` if the file is neither.
    #[must_use]
    pub fn new(file: &[u8], salt: [u8; SALT_BYTES]) -> Option<Self> {
        let bytes = match file.len() {
            KEY_BYTES => file.to_vec(),
            _ => of_hex(file.trim_ascii())?,
        };
        let master = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Some(Self {
            own: derived(&master, salt),
            last: Mutex::new((salt, derived(&master, salt))),
            master,
            salt,
            sealed: AtomicU64::new(0),
        })
    }

    /// The body sealed, as belonging to `of`.
    pub(super) fn seal(&self, of: &[u8], body: Vec<u8>) -> Vec<u8> {
        let counter = self.sealed.fetch_add(1, Ordering::Relaxed);
        let mut text = body;
        self.own
            .seal_in_place_append_tag(nonce(counter), Aad::from(of), &mut text)
            .expect("a body is shorter than 64 GiB");
        [&self.salt[..], &counter.to_le_bytes(), &text].concat()
    }

    /// The body opened; `None` if it was sealed with another key, belongs to something else or isn't what was written.
    pub(super) fn open(&self, of: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, rest) = sealed.split_first_chunk::<SALT_BYTES>()?;
        let (counter, text) = rest.split_first_chunk::<COUNTER_BYTES>()?;
        let nonce = nonce(u64::from_le_bytes(*counter));
        let mut text = text.to_vec();
        // Whatever panicked while it held the lock left a whole key there.
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.0 != *salt {
            *last = (*salt, derived(&self.master, *salt));
        }
        let length = last
            .1
            .open_in_place(nonce, Aad::from(of), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }
}

fn derived(master: &hmac::Key, salt: [u8; SALT_BYTES]) -> LessSafeKey {
    let tag = hmac::sign(master, &[b"abide seal ", &salt[..]].concat());
    let key = UnboundKey::new(&AES_256_GCM, tag.as_ref()).expect("SHA-256 gives 32 bytes");
    LessSafeKey::new(key)
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..COUNTER_BYTES].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn of_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes: Option<Vec<_>> = pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() == KEY_BYTES && rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, salt: u8) -> SealKey {
        SealKey::new(&[byte; KEY_BYTES], [salt; SALT_BYTES]).unwrap()
    }

    #[test]
    fn a_sealed_body_opens_for_every_process_with_the_key_and_for_nobody_else() {
        let (one, other) = (key(1, 1), key(1, 2));
        let sealed = one.seal(b"job/1", b"secret".to_vec());
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(other.open(b"job/1", &sealed).unwrap(), b"secret");
        assert_eq!(one.open(b"job/1", &sealed).unwrap(), b"secret");
        assert_eq!(one.open(b"job/2", &sealed), None);
        assert_eq!(key(2, 1).open(b"job/1", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(one.open(b"job/1", &changed), None, "byte {at}");
        }
        assert_eq!(one.open(b"job/1", &sealed[..20]), None);
        assert_ne!(sealed, one.seal(b"job/1", b"secret".to_vec()));
    }

    #[test]
    fn a_key_file_has_32_bytes_or_64_digits() {
        let hex = "01".repeat(KEY_BYTES) + "\n";
        let of_hex = SealKey::new(hex.as_bytes(), [3; SALT_BYTES]).unwrap();
        let sealed = of_hex.seal(b"", b"x".to_vec());
        assert_eq!(key(1, 1).open(b"", &sealed).unwrap(), b"x");
        for wrong in ["", "short", &"0x".repeat(32), &"01".repeat(31)] {
            assert!(
                SealKey::new(wrong.as_bytes(), [3; SALT_BYTES]).is_none(),
                "{wrong}"
            );
        }
    }
}
