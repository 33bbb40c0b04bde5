//! What people and other programs write.

use std::io::Write as _;
use std::time::Duration;

use abide_server::config::Layers;
use abide_server::scenario::Scenario;
use abide_wire::webhook::{ID_BYTES_MAX, ReplayGuard, Secret, Signed, Verifier, seconds_of};
use abide_wire::{DurationLaw, Span, Timestamp};
use tempfile::NamedTempFile;

/// Points of a law that are drawn.
const POINTS: usize = 9;

/// Laws, lengths and moments: what is read is written so that it is read again.
pub(super) fn texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(law) = text.parse::<DurationLaw>() {
        let written = law.to_string();
        let again = written.parse::<DurationLaw>();
        assert_eq!(again.as_ref(), Ok(&law), "{text} {written}");
        if law.validate().is_ok() {
            let points = law.points(POINTS);
            let is_fine = |(at, share): &(f64, f64)| at.is_finite() && share.is_finite();
            assert!(points.iter().all(is_fine), "{text}: {points:?}");
        }
    }
    if let Ok(law) = serde_json::from_str::<DurationLaw>(&text) {
        let written = serde_json::to_string(&law).expect("a law can be written");
        let again = serde_json::from_str::<DurationLaw>(&written);
        assert_eq!(again.ok().as_ref(), Some(&law), "{text} {written}");
    }
    if let Ok(span) = text.parse::<Span>() {
        let written = span.to_string();
        assert_eq!(written.parse::<Span>().as_ref(), Ok(&span), "{text}");
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        let written = at.to_string();
        assert_eq!(written.parse::<Timestamp>().as_ref(), Ok(&at), "{text}");
        assert_eq!(at.since(at), Duration::ZERO);
    }
}

/// A delivery: id, timestamp and signature, one a line, and after them the body.
pub(super) fn webhook(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (id, timestamp, signature, body) = (part(), part(), part(), part());
    let secret = Secret::generate([9; 32]);
    let now = Timestamp::from_millis(1_800_000_000_000);
    let verifier = Verifier::new([secret.clone()]);
    let signed = |timestamp, signature| Signed {
        id,
        timestamp,
        signature,
    };
    let is_believed = verifier
        .verify_at(signed(timestamp, signature), body.as_bytes(), now)
        .is_ok();
    let ours = secret.sign(id, now, body.as_bytes());
    if is_believed {
        let at: i64 = timestamp.parse().expect("it was read as a number");
        let at = Timestamp::from_millis(at.saturating_mul(1_000));
        let its = secret.sign(id, at, body.as_bytes());
        // A number may have zeros before it, and then it is the text that is signed.
        let is_plain = timestamp == seconds_of(at).to_string();
        assert!(
            !is_plain || signature.split(' ').any(|one| one == its),
            "{text}"
        );
    }
    let seconds = seconds_of(now).to_string();
    let own = verifier.verify_at(signed(&seconds, &ours), body.as_bytes(), now);
    let is_id = !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains('.');
    assert!(own.is_ok() || !is_id, "our own signature: {own:?}");
    let other = verifier.verify_at(signed(&seconds, &ours), format!("{body} ").as_bytes(), now);
    assert!(other.is_err(), "another body was believed");
    let mut guard = ReplayGuard::new(2);
    assert_eq!(guard.is_new(id, now).ok(), Some(true));
    assert_eq!(guard.is_new(id, now).ok(), Some(false));
    if let Ok(secret) = signature.parse::<Secret>() {
        assert_eq!(secret.expose().parse::<Secret>().ok(), Some(secret));
    }
}

/// A file of a scenario.
pub(super) fn scenario(data: &[u8]) {
    let mut file = NamedTempFile::new().expect("a directory for temporary files");
    file.write_all(data).expect("it is new");
    let source = file.path().to_string_lossy().into_owned();
    let Ok(scenario) = Scenario::open(&source) else {
        return;
    };
    let simulate = scenario.simulate;
    assert_eq!(simulate.validate(), Ok(()));
    let json = serde_json::to_string(&simulate).expect("a scenario can be written");
    let again = serde_json::from_str(&json).map_err(|error: serde_json::Error| error.to_string());
    assert_eq!(again.as_ref(), Ok(&simulate), "{json}");
}

/// A configuration: after a first line that says which, a file, an `.env` or flags.
pub(super) fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Some settings name files, and devices have no end.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let (kind, rest) = text.split_once('\n').unwrap_or(("", &text));
    let layers = match kind {
        "env" => Layers::default().dotenv(".env", rest),
        "flags" => {
            let flags = rest.lines().filter_map(|line| line.split_once('='));
            flags.fold(Layers::default(), |layers, (name, value)| {
                layers.flag(name, value)
            })
        }
        "variables" => {
            let variables = rest.lines().filter_map(|line| line.split_once('='));
            variables.fold(Layers::default(), |layers, (name, value)| {
                layers.variable(name, value)
            })
        }
        _ => Layers::default().file("abide.toml", rest),
    };
    if let Ok(resolved) = layers.resolve() {
        // What it means to the engine can be stored.
        let configure = serde_json::to_string(&resolved.config.configure());
        assert!(configure.is_ok(), "{configure:?}");
    }
}
