//! Ids in the vendors' forms.
//!
//! Each form is a bijection: an id is the 128 bits of a job's name, written otherwise. So no index is kept, and an id
//! that has another spelling names nothing.

use abide_engine::JobKey;
use uuid::Uuid;

/// How a vendor writes the ids of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// A prefix and 32 hexadecimal digits.
    Hex(&'static str),
    /// A UUID with hyphens.
    Uuid,
    /// 26 letters and digits, five bits each.
    Letters,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LETTERS: usize = 26;
/// The value of each letter of the [`ALPHABET`]; 32 for what is none.
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([32; 256], 0);
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl Id {
    /// The job's name in this form.
    pub(super) fn text(self, key: JobKey) -> String {
        let number = key.as_u128();
        match self {
            Self::Hex(prefix) => format!("{prefix}{number:032x}"),
            Self::Uuid => Uuid::from_u128(number).as_hyphenated().to_string(),
            Self::Letters => (0..LETTERS)
                .rev()
                .map(|place| char::from(ALPHABET[(number >> (5 * place)) as usize & 31]))
                .collect(),
        }
    }

    /// The name that has that text in this form, if one does.
    pub(super) fn key(self, text: &str) -> Option<JobKey> {
        let number = match self {
            // One name, one spelling.
            Self::Hex(prefix) => {
                let digits = text.strip_prefix(prefix)?;
                let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let is_one = digits.len() == 32 && digits.bytes().all(is_digit);
                u128::from_str_radix(digits, 16).ok().filter(|_| is_one)?
            }
            Self::Uuid => {
                let id = Uuid::parse_str(text).ok()?;
                let mut spelling = Uuid::encode_buffer();
                let is_one = *id.as_hyphenated().encode_lower(&mut spelling) == *text;
                Some(id.as_u128()).filter(|_| is_one)?
            }
            Self::Letters if text.len() == LETTERS => {
                text.bytes().try_fold(0_u128, |number, byte| {
                    let digit = VALUES[usize::from(byte)];
                    let number = number.checked_mul(32)?.checked_add(digit.into());
                    number.filter(|_| digit < 32)
                })?
            }
            Self::Letters => return None,
        };
        Some(JobKey::from_u128(number))
    }
}

/// What a job's id ends with in every form; what isn't the id of a job is itself.
pub(super) fn spellings(id: &str) -> Vec<String> {
    match id.parse() {
        Ok(key) => [Id::Hex(""), Id::Uuid, Id::Letters]
            .map(|form| form.text(key))
            .into(),
        Err(_) => vec![id.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_back_and_has_one_spelling() {
        for number in [
            0,
            1,
            31,
            32,
            u128::MAX,
            0x0199_0f3a_1b2c_7000_8000_0123_4567_89ab,
        ] {
            let key = JobKey::from_u128(number);
            for form in [Id::Hex("video_"), Id::Hex(""), Id::Uuid, Id::Letters] {
                let text = form.text(key);
                assert_eq!(form.key(&text), Some(key), "{form:?} {text}");
                for wrong in [
                    &text.to_uppercase(),
                    &format!("0{text}"),
                    &text[1..],
                    "",
                    "nothere",
                ] {
                    let is_same = wrong == text;
                    assert!(is_same || form.key(wrong).is_none(), "{form:?} {wrong}");
                }
            }
        }
        assert_eq!(Id::Letters.key("zzzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn a_job_is_known_by_its_id_in_every_form() {
        let key = JobKey::from_u128(0x01a2_205c_efb8_733c_b458_e05b_1a7e_6ac7);
        let known = spellings(&key.to_string());
        for form in [Id::Hex("job_"), Id::Hex("video_"), Id::Uuid, Id::Letters] {
            let text = form.text(key);
            assert!(known.iter().any(|end| text.ends_with(end)), "{text}");
        }
        assert_eq!(spellings("req_1"), ["req_1"]);
    }
}
