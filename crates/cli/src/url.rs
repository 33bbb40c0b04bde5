//! Addresses on the command line, read in one way.

use ::url::Url;

use crate::exit::{Failure, USAGE};

/// Reads the address that `flag` names.
///
/// # Errors
///
/// Anything but an `http` or `https` address without a user name and password. The message doesn't repeat an address
/// that may hold a password.
pub(crate) fn read(flag: &str, text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| Failure::new(USAGE, format!("{flag} {why}"));
    let text = text.trim();
    if !text.contains("://") {
        let guess = Url::parse(&format!("http://{text}"));
        let guess = guess.ok().filter(|url| url.has_host() && !has_user(url));
        return Err(match guess {
            Some(_) => wrong(&format!(
                "must begin with http:// or https://; did you mean http://{text}?"
            )),
            None => wrong("is not an address such as http://127.0.0.1:8080"),
        });
    }
    let url = Url::parse(text).map_err(|error| {
        wrong(&format!(
            "is not an address such as http://127.0.0.1:8080 or http://[::1]:8080: {error}"
        ))
    })?;
    if has_user(&url) {
        Err(wrong(
            "must not have a user name or a password in it, which nothing would send",
        ))
    } else if !matches!(url.scheme(), "http" | "https") {
        Err(wrong(&format!(
            "must begin with http:// or https://, not {}://",
            url.scheme()
        )))
    } else {
        Ok(url)
    }
}

/// Reads the address of a server. It ends without a slash, so that paths can be put behind it.
///
/// # Errors
///
/// Those of [`read`].
pub(crate) fn read_server(text: &str) -> Result<String, Failure> {
    let url = read("--server", text)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_what_would_be_right() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            (" http://127.0.0.1:8080/\n", Ok("http://127.0.0.1:8080")),
            ("HTTPS://Jobs.Example/a/", Ok("https://jobs.example/a")),
            ("http://[::1]:80/", Ok("http://[::1]")),
            ("localhost:8080", Err("did you mean http://localhost:8080?")),
            ("jobs.example/a", Err("did you mean http://jobs.example/a?")),
            ("::1", Err("is not an address")),
            ("http://::1:8080", Err("http://[::1]:8080")),
            ("http://", Err("is not an address")),
            ("http://h:99999", Err("port")),
            ("ftp://h", Err("not ftp://")),
            ("", Err("is not an address")),
            ("http://user:hunter2@h", Err("user name or a password")),
            ("http://hunter2@h", Err("user name or a password")),
            ("user:hunter2@h", Err("is not an address")),
            ("ftp://user:hunter2@h", Err("user name or a password")),
        ] {
            match (read_server(text), expected) {
                (Ok(server), Ok(expected)) => assert_eq!(server, expected, "{text}"),
                (Err(failure), Err(part)) => {
                    assert_eq!(failure.code, USAGE, "{text}");
                    assert!(failure.message.contains(part), "{text}: {failure}");
                    assert!(failure.message.starts_with("--server"), "{text}: {failure}");
                    assert!(!failure.message.contains("hunter2"), "{text}: {failure}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
