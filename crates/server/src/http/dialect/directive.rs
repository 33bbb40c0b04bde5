//! Directives: how a request to a vendor's interface says what shall happen to its job.
//!
//! ```text
//! directive = KEY=VALUE *("," KEY=VALUE)        of [A-Za-z0-9=_.,-], so that it lives in URLs, headers and JSON alike
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `duration=1s` | how long the job runs: `1s`, `500ms`, `20` |
//! | `queue=5s` | how long it waits before it begins |
//! | `error=CODE` | it fails with that code |
//! | `fault=NAME` | a fault of the simulator's; may be repeated |
//! | `first`, `nth`, `every`, `chance`, `delay`, `status`, `retry_after`, `word`, `on` | of the fault before it |
//! | `key=NAME` | the name under which its draws are made |
//! | `scenario=NAME` | one of the built-in scenarios |
//! | `result=data` | its result is a `data:` URL |
//!
//! There are four doors. Of a key that comes through several the strongest one's value counts: the header
//! `Abide-Simulate`, then `abide:DIRECTIVE` anywhere in the path, the query or the body, then `/with/DIRECTIVE/` in the
//! base URL, then the server's defaults. A job whose request has a directive succeeds unless that says otherwise, so
//! that a test is told what it gets.

use abide_wire::{Code, DurationLaw, Fault, FaultTarget, OutcomePlan, Problem, Simulate, Span};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::config::Directives;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::scenario::Scenario;

const HEADER: &str = "abide-simulate";
const UNDERSTOOD: HeaderName = HeaderName::from_static("abide-simulate-understood");
/// What a directive inside a request begins with.
const INLINE: &[u8] = b"abide";
/// How much of a body is looked through, in bytes: it may be a file.
const BODY_LOOKED_AT_MAX: usize = 64 * 1024;

/// What a request says of its job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Directive {
    /// The whole, as it was understood; empty if nothing was said.
    text: String,
    simulate: Simulate,
    error: Option<String>,
    /// The form of its result.
    pub result: Option<String>,
}

impl Directive {
    /// What the request says, through all doors.
    ///
    /// # Errors
    ///
    /// It says something that isn't understood.
    pub(super) fn of(state: &AppState, call: &Call) -> Result<Self, ApiError> {
        let mut directive = Self::default();
        if state.config.directives == Directives::Off {
            return Ok(directive);
        }
        let path = call.uri.path();
        let (base, rest) = path.split_at(call.mount.base);
        let decoded = percent_decode_str(&base[call.mount.directives.clone()]).decode_utf8_lossy();
        let query = call.uri.query().unwrap_or_default().as_bytes();
        let body = &call.body[..call.body.len().min(BODY_LOOKED_AT_MAX)];
        let inline = [rest.as_bytes(), query, body].into_iter().find_map(inline);
        let header = call
            .field(HEADER)
            .map(|text| text.strip_prefix("abide:").unwrap_or(text));
        // The strongest door last.
        for door in [Some(&*decoded), inline.as_deref(), header]
            .into_iter()
            .flatten()
        {
            directive.read(door).map_err(|detail| {
                ApiError::invalid_member(format!("the directive `{door}`: {detail}"))
            })?;
        }
        Ok(directive)
    }

    /// Takes what a door says, over what weaker ones have said.
    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut faults: Vec<Fault> = Vec::new();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair:?} is not KEY=VALUE"))?;
            let simulate = &mut self.simulate;
            match key {
                "duration" => simulate.duration = Some(law(value)?),
                "queue" => simulate.queue = Some(law(value)?),
                "error" => self.error = Some(value.to_owned()),
                "key" => simulate.key = Some(value.to_owned()),
                "result" if value == "data" => self.result = Some(value.to_owned()),
                "scenario" => {
                    let scenario = Scenario::named(value);
                    let scenario =
                        scenario.ok_or_else(|| format!("no scenario is named {value:?}"))?;
                    // What is said beside it counts more.
                    let said = std::mem::replace(simulate, scenario.simulate);
                    *simulate = Simulate {
                        duration: said.duration.or_else(|| simulate.duration.take()),
                        queue: said.queue.or_else(|| simulate.queue.take()),
                        key: said.key,
                        ..std::mem::take(simulate)
                    };
                }
                "fault" => faults.push(Fault::new(word(key, value)?)),
                _ => {
                    let fault = faults.last_mut();
                    let fault = fault.ok_or_else(|| {
                        format!(
                            "`{key}={value}` is none of duration, queue, error, fault, key, scenario, result=data, nor \
                                follows a fault"
                        )
                    })?;
                    of_fault(fault, key, value)?;
                }
            }
        }
        if !faults.is_empty() {
            self.simulate.faults = Some(faults);
        }
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(text);
        self.simulate.validate()
    }

    /// How the simulator is to play the job; `None` leaves it to the server's defaults.
    pub(super) fn simulate(&self) -> Option<Simulate> {
        if self.text.is_empty() {
            return None;
        }
        let mut simulate = self.simulate.clone();
        if let Some(code) = &self.error {
            let mut error = Problem::new(500, Code::new(code.clone()), "The job failed")
                .detail(format!("it was asked to fail: {code}"));
            error.retryable = false;
            simulate.outcome = Some(OutcomePlan {
                error_chance: Some(1.0),
                error: Some(error),
            });
        }
        simulate.outcome.get_or_insert(OutcomePlan {
            error_chance: Some(0.0),
            error: None,
        });
        Some(simulate)
    }

    /// Says what was understood, because a mistyped directive would go unnoticed.
    pub(super) fn tell(&self, out: &mut HeaderMap) {
        if !self.text.is_empty()
            && let Ok(text) = HeaderValue::from_str(&self.text)
        {
            out.insert(UNDERSTOOD, text);
        }
    }
}

/// A law that is a fixed length: others have signs that a directive can't have.
fn law(value: &str) -> Result<DurationLaw, String> {
    let span: Span = value
        .parse()
        .map_err(|error| format!("{value:?}: {error}"))?;
    Ok(DurationLaw::Fixed(span))
}

/// A value of a closed list of words.
fn word<T: DeserializeOwned>(key: &str, value: &str) -> Result<T, String> {
    serde_json::from_value(value.into()).map_err(|error| format!("`{key}`: {error}"))
}

/// A number, as the member of a fault has it.
fn number<T: DeserializeOwned>(key: &str, value: &str) -> Result<T, String> {
    serde_json::from_str(value).map_err(|_| format!("`{key}` can't be {value:?}"))
}

fn of_fault(fault: &mut Fault, key: &str, value: &str) -> Result<(), String> {
    match key {
        "first" => fault.first = Some(number(key, value)?),
        "nth" => fault.nth.get_or_insert_default().push(number(key, value)?),
        "every" => fault.every = Some(number(key, value)?),
        "chance" => fault.chance = Some(number(key, value)?),
        "status" => fault.status = Some(number(key, value)?),
        "delay" => {
            let span = value.parse::<Span>();
            fault.delay = Some(span.map_err(|error| format!("`{key}`: {error}"))?);
        }
        "word" => fault.word = Some(value.to_owned()),
        "retry_after" => fault.retry_after = Some(value.to_owned()),
        "on" => fault.on = Some(word::<FaultTarget>(key, value)?),
        _ => return Err(format!("a fault has no `{key}`")),
    }
    Ok(())
}

/// The first directive in that text, which may be percent-encoded.
pub(super) fn inline(text: &[u8]) -> Option<String> {
    memchr::memmem::find_iter(text, INLINE).find_map(|at| {
        let rest = &text[at + INLINE.len()..];
        let colon = [&b":"[..], b"%3A", b"%3a"];
        let rest = colon
            .into_iter()
            .find_map(|colon| rest.strip_prefix(colon))?;
        let length = rest
            .iter()
            .position(|byte| !is_sign(*byte) && *byte != b'%');
        let encoded = str::from_utf8(&rest[..length.unwrap_or(rest.len())]).ok()?;
        let decoded = percent_decode_str(encoded).decode_utf8_lossy();
        let length = decoded.bytes().position(|byte| !is_sign(byte));
        // A sentence may go on after it.
        let text = decoded[..length.unwrap_or(decoded.len())].trim_end_matches(['.', ',', '-']);
        let (key, _) = text.split_once('=')?;
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
        is_key.then(|| text.to_owned())
    })
}

const fn is_sign(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'.' | b',' | b'-')
}

#[cfg(test)]
mod tests {
    use abide_wire::FaultKind;

    use super::*;

    fn read(doors: &[&str]) -> Result<Directive, String> {
        let mut directive = Directive::default();
        doors.iter().try_for_each(|door| directive.read(door))?;
        Ok(directive)
    }

    #[test]
    fn a_directive_inside_a_request_is_found_in_every_coat() {
        for (text, expected) in [
            (
                r#"{"prompt":"a corgi abide:duration=1s,error=boom"}"#,
                Some("duration=1s,error=boom"),
            ),
            ("Wait, abide:duration=1s. Then go.", Some("duration=1s")),
            (
                "u=https%3A%2F%2Fx%2F%3Fabide%3Aduration%3D500ms%2Cerror%3Da%26b",
                Some("duration=500ms,error=a"),
            ),
            ("/x?abide%3aqueue=5s", Some("queue=5s")),
            ("we abide: nothing. abide:key=a", Some("key=a")),
            ("abide:by the rules", None),
            ("abide", None),
        ] {
            assert_eq!(inline(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_stronger_door_counts_key_by_key() {
        let directive = read(&[
            "duration=1h,queue=5s,fault=error,first=2,status=429,retry_after=7",
            "duration=1s",
        ]);
        let simulate = directive.unwrap().simulate().unwrap();
        let fixed =
            |seconds| DurationLaw::Fixed(Span::new(std::time::Duration::from_secs(seconds)));
        assert_eq!(simulate.duration, Some(fixed(1)));
        assert_eq!(simulate.queue, Some(fixed(5)));
        let fault = Fault {
            first: Some(2),
            status: Some(429),
            retry_after: Some("7".to_owned()),
            ..Fault::new(FaultKind::Error)
        };
        assert_eq!(simulate.faults, Some(vec![fault]));
        assert_eq!(simulate.outcome.unwrap().error_chance, Some(0.0));
        assert_eq!(read(&[]).unwrap().simulate(), None);
        let fails = read(&["error=boom"])
            .unwrap()
            .simulate()
            .unwrap()
            .outcome
            .unwrap();
        assert_eq!(fails.error.unwrap().code.as_str(), "boom");
        let simulate = read(&["duration=1s,scenario=flaky"])
            .unwrap()
            .simulate()
            .unwrap();
        assert_eq!(simulate.duration, Some(fixed(1)));
        assert!(simulate.faults.is_some());
    }

    #[test]
    fn what_isnt_understood_is_named() {
        for (text, why) in [
            ("duration=soon", "soon"),
            ("durration=1s", "durration"),
            ("fault=odd", "odd"),
            ("fault=error,first=x", "first"),
            ("fault=error,status=99", "status"),
            ("scenario=odd", "odd"),
            ("result=film", "result"),
            ("first=1", "follows a fault"),
            ("duration", "KEY=VALUE"),
        ] {
            let error = read(&[text]).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
