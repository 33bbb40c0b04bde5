//! JSON in requests and answers.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::agreed::{self, Odd};
use super::answer::{Answer, Body, room};
use super::error::ApiError;
use super::strict::Strict;

/// How deep brackets may go in a body; most JSON parsers stand as much.
const DEPTH_MAX: usize = 120;

/// A `200` whose body is that JSON.
pub(super) fn written(body: impl Into<Body>) -> Answer {
    let mut answer = Answer::new(body.into());
    *answer.headers_mut() = room();
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// A `200` whose body is that value.
pub(super) fn ok(value: &impl Serialize) -> Answer {
    written(serde_json::to_vec(value).expect("what is answered has only text keys"))
}

/// The same with another status.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut answer = ok(value);
    *answer.status_mut() = status;
    answer
}

/// Reads JSON, and names the member that is wrong.
///
/// # Errors
///
/// It is no JSON (`400`), or it is and doesn't fit (`422`).
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Free-form members are kept as text and not looked into, so text that isn't UTF-8 would pass unseen.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::invalid_json(format!("the body is not UTF-8: {error}")))?;
    // Some editors and shells begin a file with a byte order mark, which says nothing here.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if depth(text) > DEPTH_MAX {
        return Err(ApiError::invalid_json(format!(
            "it is nested more than {DEPTH_MAX} deep"
        )));
    }
    // A body with nothing wrong needs no name for it, and keeping track of the way to each member costs as much as
    // reading it.
    let mut json = serde_json::Deserializer::from_str(text);
    if let Ok(value) = T::deserialize(Strict(&mut json))
        && json.end().is_ok()
    {
        return match agreed::odd(text) {
            None => Ok(value),
            Some(odd) => Err(not_agreed(&odd)),
        };
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok()
        && let Some(odd) = agreed::odd(text)
    {
        return Err(not_agreed(&odd));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return ApiError::invalid_json(inner.to_string());
        }
        match path.as_str() {
            "." => ApiError::invalid_member(inner.to_string()),
            path => ApiError::invalid_member(format!("`{path}`: {inner}")),
        }
    })?;
    json.end()
        .map_err(|error| ApiError::invalid_json(error.to_string()))?;
    Ok(value)
}

fn not_agreed(odd: &Odd<'_>) -> ApiError {
    let Odd {
        member,
        offset,
        text,
    } = odd;
    let why = if text.starts_with('\\') {
        "half of a surrogate pair, which is no text"
    } else {
        "beyond what a double can hold"
    };
    ApiError::invalid_member(format!(
        "`{member}`: at byte {offset}: `{text:.40}` is {why}"
    ))
}

/// An upper bound on the nesting depth; exact above [`DEPTH_MAX`]. Free-form members are passed on unread, so the
/// parser's own recursion limit doesn't see them, and the programs that read them in the end may not stand any depth.
fn depth(text: &str) -> usize {
    // Brackets can't go deeper than there are of them, and counting them is quick.
    let count = memchr::memchr2_iter(b'[', b'{', text.as_bytes()).count();
    if count <= DEPTH_MAX {
        return count;
    }
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A body must say that it is JSON. Among other things this keeps a page of a foreign site from posting here from its
/// visitor's browser, which may send forms and plain text anywhere, and JSON only if the server asks for it.
///
/// # Errors
///
/// The content type is another, or none (`415`).
pub(super) fn require(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = headers.get(header::CONTENT_TYPE);
    let text = found.and_then(|found| found.to_str().ok());
    let is_json = text.is_some_and(|found| {
        let essence = found.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json") || {
            let essence = essence.to_ascii_lowercase();
            essence.starts_with("application/") && essence.ends_with("+json")
        }
    });
    if is_json {
        Ok(())
    } else {
        Err(ApiError::unsupported_type(found))
    }
}

#[cfg(test)]
mod tests {
    use abide_wire::NewJob;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[expect(dead_code, reason = "read from requests only")]
        wait: Option<u32>,
    }

    type New = NewJob<Box<RawValue>>;

    /// The status and the words of the refusal, or `fine`.
    fn said<T: DeserializeOwned>(body: &[u8]) -> (u16, String) {
        match read::<T>(body) {
            Ok(_) => (200, "fine".to_owned()),
            Err(error) => {
                let problem = error.into_problem();
                (
                    problem.status,
                    format!("{} {:?}", problem.code, problem.detail),
                )
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        let table: &[(&str, u16, &str)] = &[
            (r#"{"kind":"a","input":{"b":[1]}}"#, 200, "fine"),
            ("{", 400, "invalid_json"),
            ("", 400, "EOF"),
            ("{} x", 400, "trailing"),
            (r#"{"input":{"a":}}"#, 400, "invalid_json"),
            (r#"{"knd":"a"}"#, 422, "unknown field `knd`"),
            (r#"{"kind":1}"#, 422, "`kind`: invalid type"),
            (r#"{"kind":"a","kind":"b"}"#, 422, "duplicate"),
            (
                r#"{"simulate":{"duration":{"uniform":{"min":-1,"max":2}}}}"#,
                422,
                "`simulate.duration.uniform.min`: a duration must not be negative",
            ),
            ("[]", 422, "expected an object"),
            (" null", 422, "expected an object"),
            ("nul", 400, "invalid_json"),
            ("\u{feff}{}", 200, "fine"),
            ("{\"kind\":\"\u{feff}\"}", 200, "fine"),
            (
                r#"{"input":{"t":["\ud800"]}}"#,
                422,
                "`input.t[0]`: at byte 16: `\\\\ud800` is half of a surrogate pair",
            ),
            (r#"{"kind":"\udc00"}"#, 422, "`kind`: at byte 9"),
            (
                r#"{"input":1E400}"#,
                422,
                "`input`: at byte 9: `1E400` is beyond",
            ),
            (r#"{"input":"\ud800}"#, 400, "invalid_json"),
        ];
        for (body, status, words) in table {
            let (got, text) = said::<New>(body.as_bytes());
            assert_eq!(got, *status, "{body}: {text}");
            assert!(text.contains(words), "{body}: {text}");
        }
        assert_eq!(said::<Asked>(br#"{"wait":1}"#).0, 200);
    }

    #[test]
    fn a_body_that_isnt_text_is_refused_even_in_members_that_are_passed_on() {
        let body = [&br#"{"input":""#[..], &[0xff, 0xfe], &br#""}"#[..]].concat();
        assert_eq!(said::<New>(&body).0, 400);
    }

    #[test]
    fn a_body_says_that_it_is_json() {
        let table = [
            (Some("application/json"), ""),
            (Some("Application/vnd.x+JSON; charset=utf-8"), ""),
            (Some("application/jsonlines"), "application/jsonlines"),
            (Some("text/plain"), "text/plain"),
            (None, "but is none"),
        ];
        for (found, words) in table {
            let mut headers = HeaderMap::new();
            if let Some(found) = found {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(found));
            }
            match require(&headers) {
                Ok(()) => assert_eq!(words, "", "{found:?}"),
                Err(error) => {
                    let problem = error.into_problem();
                    assert_eq!(problem.status, 415);
                    assert!(problem.detail.unwrap().contains(words), "{found:?}");
                }
            }
        }
    }

    #[test]
    fn brackets_go_only_so_deep() {
        let nested = |n: usize| format!(r#"{{"input":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        let quoted = format!(r#"{{"input":"\\\"{}"}}"#, "[".repeat(500));
        for (body, status) in [
            (nested(119), 200),
            (nested(120), 400),
            (nested(60_000), 400),
            (quoted, 200),
        ] {
            let (got, text) = said::<New>(body.as_bytes());
            assert_eq!(got, status, "{text}");
        }
    }
}
