use proptest::prelude::*;

use super::*;

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SENT: i64 = 1_614_265_330;

fn secret() -> Secret {
    SECRET.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn verify(signature: &str, timestamp: &str, now: i64) -> Result<(), VerifyError> {
    let signed = Signed {
        id: ID,
        timestamp,
        signature,
    };
    Verifier::new([secret()]).verify_at(signed, BODY, at(now))
}

/// The vectors of the specification's own libraries: JavaScript, Python and Go share the first, Rust has the second.
#[test]
fn the_official_vectors_come_out() {
    let table = [
        (
            SECRET,
            ID,
            SENT,
            BODY,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ];
    for (secret, id, sent, body, expected) in table {
        let secret: Secret = secret.parse().unwrap();
        assert_eq!(secret.sign(id, at(sent), body), expected, "{id}");
        let signed = Signed {
            id,
            timestamp: &sent.to_string(),
            signature: expected,
        };
        assert_eq!(
            Verifier::new([secret]).verify_at(signed, body, at(sent)),
            Ok(())
        );
    }
}

/// Every case of the official test suites, and those that their parsers let through.
#[test]
fn a_delivery_is_believed_only_if_all_of_it_is_right() {
    use VerifyError::{Signature, Timestamp, TooNew, TooOld};
    let good = secret().sign(ID, at(SENT), BODY);
    let other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let sent = SENT.to_string();
    let table: &[(&str, &str, i64, Result<(), VerifyError>)] = &[
        (&good, &sent, 0, Ok(())),
        (&good, &sent, 300, Ok(())),
        (&good, &sent, -300, Ok(())),
        (&good, &sent, 301, Err(TooOld)),
        (&good, &sent, -301, Err(TooNew)),
        (&good, "1614265331", 0, Err(Signature)),
        (&good, "hello", 0, Err(Timestamp)),
        (&good, "", 0, Err(Timestamp)),
        (&good, "+1614265330", 0, Err(Timestamp)),
        (&good, "1614265330.0", 0, Err(Timestamp)),
        (&good, " 1614265330", 0, Err(Timestamp)),
        (&good, "-1614265330", 0, Err(Timestamp)),
        (&good, "99999999999999999999999", 0, Err(Timestamp)),
        (&good, "01614265330", 0, Err(Signature)),
        (&format!("{other} {good}"), &sent, 0, Ok(())),
        (&format!("{good} {other}"), &sent, 0, Ok(())),
        (&format!("v2,{} {good}", &good[3..]), &sent, 0, Ok(())),
        (&format!("v2,{}", &good[3..]), &sent, 0, Err(Signature)),
        (&format!("v1a,{}", &good[3..]), &sent, 0, Err(Signature)),
        (&format!("{} {good}", other.repeat(200)), &sent, 0, Ok(())),
        (
            &format!("{}{good}", format!("{other} ").repeat(SIGNATURES_MAX)),
            &sent,
            0,
            Err(Signature),
        ),
        (other, &sent, 0, Err(Signature)),
        ("v1,dawfeoifkpqwoekfpqoekf", &sent, 0, Err(Signature)),
        (&good[..8], &sent, 0, Err(Signature)),
        ("v1,", &sent, 0, Err(Signature)),
        ("v1", &sent, 0, Err(Signature)),
        ("", &sent, 0, Err(Signature)),
        (&good[3..], &sent, 0, Err(Signature)),
        (&good.to_ascii_uppercase(), &sent, 0, Err(Signature)),
    ];
    for (signature, timestamp, after, expected) in table {
        assert_eq!(
            verify(signature, timestamp, SENT + after),
            *expected,
            "{signature:?} at {timestamp:?}, {after} s later"
        );
    }
}

#[test]
fn the_id_can_not_be_moved_into_the_timestamp() {
    // `a.5.body` signed for id `a` would verify for id `a.5` and another timestamp, were dots allowed.
    let signature = secret().sign("a", at(5), b"6.x");
    let signed = Signed {
        id: "a.5",
        timestamp: "6",
        signature: &signature,
    };
    let verifier = Verifier::new([secret()]);
    assert_eq!(
        verifier.verify_at(signed, b"x", at(6)),
        Err(VerifyError::Id)
    );
    let long = "x".repeat(ID_BYTES_MAX + 1);
    let signed = Signed {
        id: &long,
        ..signed
    };
    assert_eq!(
        verifier.verify_at(signed, b"x", at(6)),
        Err(VerifyError::Id)
    );
}

#[test]
fn a_secret_is_replaced_without_losing_a_delivery() {
    let old = Secret::generate([1; 32]);
    let new = Secret::generate([2; 32]);
    let both = sign([&new, &old], ID, at(SENT), BODY);
    let only_new = sign([&new], ID, at(SENT), BODY);
    let check = |secrets: Vec<Secret>, signature: &str| {
        let signed = Signed {
            id: ID,
            timestamp: "1614265330",
            signature,
        };
        Verifier::new(secrets)
            .verify_at(signed, BODY, at(SENT))
            .is_ok()
    };
    assert!(check(vec![old.clone()], &both));
    assert!(check(vec![new.clone()], &both));
    assert!(check(vec![old.clone(), new.clone()], &only_new));
    assert!(check(vec![new], &only_new));
    assert!(!check(vec![old], &only_new));
    assert!(!check(vec![], &both));
}

#[test]
fn missing_headers_are_named() {
    let all = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,x"),
    ];
    for missing in 0..all.len() {
        let find = |name| {
            let at = all.iter().position(|(known, _)| *known == name)?;
            (at != missing).then_some(all[at].1)
        };
        assert_eq!(
            Signed::read(find).unwrap_err(),
            VerifyError::Missing(all[missing].0)
        );
    }
}

#[test]
fn a_secret_has_bounds_and_hides_itself() {
    assert_eq!(format!("{:?}", secret()), "Secret(…)");
    assert_eq!(secret().expose(), SECRET);
    assert_eq!(SECRET[6..].parse::<Secret>().unwrap(), secret());
    assert_eq!("whsec_".parse::<Secret>(), Err(SecretError::Length(0)));
    assert_eq!("whsec_*".parse::<Secret>(), Err(SecretError::NotBase64));
    for (length, fits) in [(23, false), (24, true), (64, true), (65, false)] {
        assert_eq!(
            Secret::from_bytes(&vec![0; length]).is_ok(),
            fits,
            "{length}"
        );
    }
    let error = serde_json::from_str::<Secret>("\"whsec_c2hvcnQ=\"").unwrap_err();
    assert!(!error.to_string().contains("c2hvcnQ"), "{error}");
}

#[test]
fn the_replay_guard_takes_each_id_once_in_bounded_memory() {
    let mut guard = ReplayGuard::new(3);
    let now = at(1_000_000);
    for id in ["a", "b", "c"] {
        assert_eq!(guard.is_new(id, now), Ok(true));
        assert_eq!(guard.is_new(id, now), Ok(false));
    }
    guard.forget("b");
    assert_eq!(guard.is_new("b", now), Ok(true));
    let later = now + 3 * TOLERANCE;
    assert_eq!(
        guard.is_new("d", later),
        Ok(true),
        "it takes the oldest's place"
    );
    assert_eq!(guard.len(), 3);
    assert_eq!(guard.is_new("a", later), Ok(true));
    assert_eq!(guard.is_new("b", later), Ok(false));
}

/// Whatever passes the verifier is taken once, however many come: a captured delivery is good for twice the tolerance
/// at most.
#[test]
fn the_replay_guard_keeps_an_id_as_long_as_its_signature_is_good_and_refuses_when_full() {
    let mut guard = ReplayGuard::new(10);
    let begun = at(1_000_000);
    assert_eq!(guard.is_new("captured", begun), Ok(true));
    let full = 10 * REPLAY_GROWTH_MAX;
    for n in 1..full {
        let now = begun + Duration::from_secs(n as u64);
        assert_eq!(guard.is_new(&n.to_string(), now), Ok(true), "{n}");
        assert_eq!(guard.is_new("captured", now), Ok(false), "{n}");
    }
    let last = begun + 2 * TOLERANCE;
    assert_eq!(guard.is_new("more", last), Err(GuardFull));
    assert_eq!(guard.is_new("captured", last), Ok(false));
    assert_eq!(guard.len(), full);
    let over = last + Duration::from_secs(1);
    assert_eq!(guard.is_new("more", over), Ok(true));
    assert_eq!(guard.len(), full, "one went for it");

    let mut strict = ReplayGuard::new(1).tolerance(Duration::from_secs(1));
    assert_eq!(strict.is_new("a", begun), Ok(true));
    assert_eq!(strict.is_new("b", begun + Duration::from_secs(3)), Ok(true));
    assert_eq!(strict.len(), 1);
    let mut boundless = ReplayGuard::new(1).tolerance(Duration::MAX);
    for (id, second) in [("a", 0), ("b", 9_000)] {
        let then = begun + Duration::from_secs(second);
        assert_eq!(boundless.is_new(id, then), Ok(true));
    }
    assert_eq!(boundless.len(), 2);
}

/// The official crate reads the real clock when it verifies, so this one test does too.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the oracle reads the clock itself"
)]
fn the_official_crate_believes_us_and_we_believe_it() {
    let official = standardwebhooks::Webhook::new(SECRET).unwrap();
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = at(i64::try_from(since_epoch.as_secs()).unwrap());
    let sent = seconds_of(now).to_string();

    let ours = sign([&Secret::generate([1; 32]), &secret()], ID, now, BODY);
    let headers: http::HeaderMap = [
        (headers::WEBHOOK_ID, ID),
        (headers::WEBHOOK_TIMESTAMP, &sent),
        (headers::WEBHOOK_SIGNATURE, &ours),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
    .collect::<Vec<(http::HeaderName, http::HeaderValue)>>()
    .into_iter()
    .collect();
    assert!(official.verify(BODY, &headers).is_ok());
    assert!(official.verify(b"{}", &headers).is_err());

    let theirs = official.sign(ID, seconds_of(now), BODY).unwrap();
    let signed = Signed {
        id: ID,
        timestamp: &sent,
        signature: &theirs,
    };
    assert_eq!(
        Verifier::new([secret()]).verify_at(signed, BODY, now),
        Ok(())
    );
}

proptest! {
    #[test]
    fn any_body_and_secret_agree_with_the_official_crate(
        key in prop::collection::vec(any::<u8>(), SECRET_BYTES_MIN..=SECRET_BYTES_MAX),
        body in "\\PC{0,200}",
    ) {
        let secret = Secret::from_bytes(&key).unwrap();
        let official = standardwebhooks::Webhook::new(&secret.expose()).unwrap();
        let expected = official.sign(ID, SENT, body.as_bytes()).unwrap();
        prop_assert_eq!(secret.sign(ID, at(SENT), body.as_bytes()), expected);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(at_byte in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let good = secret().sign(ID, at(SENT), BODY);
        let mut body = BODY.to_vec();
        let at_byte = at_byte.index(body.len());
        body[at_byte] ^= 1 << bit;
        let signed = Signed { id: ID, timestamp: "1614265330", signature: &good };
        let verifier = Verifier::new([secret()]);
        prop_assert_eq!(verifier.verify_at(signed, &body, at(SENT)), Err(VerifyError::Signature));
        prop_assert_eq!(verifier.verify_at(signed, BODY, at(SENT)), Ok(()));
    }

    #[test]
    fn no_header_makes_the_verifier_panic(id in ".*", timestamp in ".*", signature in ".*", body: Vec<u8>) {
        let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature };
        prop_assert!(Verifier::new([secret()]).verify_at(signed, &body, at(SENT)).is_err());
    }
}
