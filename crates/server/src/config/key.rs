//! API keys: whose each one is, and what it may do.

use abide_engine::Owner;

use super::types::Secret;
use super::value::Value;

/// The fewest characters of a key: what can't be guessed at the pace that the server allows.
const SECRET_CHARS_MIN: usize = 20;
const SECRET_CHARS_MAX: usize = 256;
const NAME_CHARS_MAX: usize = 64;
/// What is shown in place of a secret.
const REDACTED: &str = "[redacted]";

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything: the simulator, the clock and the metrics too, which are everybody's.
    Admin,
    /// Whatever concerns its owner's jobs and webhooks.
    User,
    /// The same, by `GET` and `HEAD` only.
    Read,
}

/// An API key. Its owner is a name that several keys may have, so a key can be changed and the jobs stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    name: Option<String>,
    /// What it may do.
    pub role: Role,
    /// What a request must show.
    pub secret: Secret,
}

impl ApiKey {
    /// Whose jobs it opens.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match &self.name {
            Some(name) => Owner::named(name),
            None => Owner::of_api_key(self.secret.reveal()),
        }
    }

    /// Whether it has a name of its own.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.name.is_some()
    }
}

impl Value for ApiKey {
    /// `NAME:ROLE:SECRET` where the second field is a role; anything else is the secret of a user without a name.
    fn parse(text: &str) -> Result<Self, String> {
        let mut fields = text.splitn(3, ':');
        let fields = (fields.next(), fields.next(), fields.next());
        let (name, role, secret) = match fields {
            (Some(name), Some(role), Some(secret)) if Role::parse(role).is_ok() => {
                (Some(name.to_owned()), Role::parse(role)?, secret)
            }
            _ => (None, Role::User, text),
        };
        // Neither the name nor the secret is repeated: it may be most of a secret.
        let is_decent = |text: &str, min: usize, max: usize| {
            (min..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if secret == REDACTED {
            return Err(format!(
                "`{REDACTED}` is what `abide config` shows in place of a secret; write the secret itself"
            ));
        }
        if !is_decent(secret, SECRET_CHARS_MIN, SECRET_CHARS_MAX) {
            return Err(format!(
                "a key must be {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} printable ASCII characters without spaces"
            ));
        }
        if name
            .as_ref()
            .is_some_and(|name| !is_decent(name, 1, NAME_CHARS_MAX))
        {
            return Err(format!(
                "the name of a key must be 1 to {NAME_CHARS_MAX} printable ASCII characters without spaces"
            ));
        }
        Ok(Self {
            name,
            role,
            secret: Secret::new(secret),
        })
    }

    /// A key without a name is shown under the name that would have the same owner.
    fn show(&self) -> String {
        let digest = || format!("{:016x}", self.owner().0);
        let name = self.name.clone().unwrap_or_else(digest);
        format!("{name}:{}:{REDACTED}", self.role.show())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-secret-of-20-chars";

    #[test]
    fn a_key_has_three_fields_only_where_the_second_is_a_role() {
        for (text, role, secret) in [
            (
                format!("ann:admin:{SECRET}"),
                Role::Admin,
                SECRET.to_owned(),
            ),
            (
                format!("ann:read:{SECRET}:x"),
                Role::Read,
                format!("{SECRET}:x"),
            ),
            (SECRET.to_owned(), Role::User, SECRET.to_owned()),
            (
                format!("ann:odd:{SECRET}"),
                Role::User,
                format!("ann:odd:{SECRET}"),
            ),
        ] {
            let key = ApiKey::parse(&text).unwrap();
            assert_eq!(
                (key.role, key.secret.reveal()),
                (role, secret.as_str()),
                "{text}"
            );
            assert!(!key.show().contains("secret"), "{}", key.show());
        }
        let name = "n".repeat(65);
        for wrong in [
            "",
            "short",
            "ann:admin:short",
            "a key with white space",
            &format!(":user:{SECRET}"),
            &format!("{name}:user:{SECRET}"),
        ] {
            let error = ApiKey::parse(wrong).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_shown_of_a_key_is_none_and_says_so() {
        let shown = ApiKey::parse(&format!("ann:admin:{SECRET}"))
            .unwrap()
            .show();
        let error = ApiKey::parse(&shown).unwrap_err();
        assert!(error.contains("write the secret itself"), "{error}");
    }

    #[test]
    fn the_owner_is_the_name_and_a_key_without_one_has_the_name_that_is_shown() {
        let owner = |text: &str| ApiKey::parse(text).unwrap().owner();
        let ann = owner(&format!("ann:user:{SECRET}"));
        assert_eq!(ann, owner(&format!("ann:read:another-{SECRET}")));
        assert_ne!(ann, owner(&format!("bob:user:{SECRET}")));
        assert_eq!(owner(SECRET), Owner::of_api_key(SECRET));
        let shown = ApiKey::parse(SECRET).unwrap().show();
        let renewed = shown.replace(REDACTED, &format!("another-{SECRET}"));
        assert_eq!(owner(&renewed), owner(SECRET));
    }
}
