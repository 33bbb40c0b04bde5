//! Who may ask for how much, and what an answer says when something is wrong.

use std::num::NonZeroU32;

use abide_server::clock::Clock;
use abide_server::http::answer::Body;
use abide_server::journal::MemoryJournal;
use abide_server::net::Reset;
use http::Request;
use serde_json::json;

use crate::common::{Answer, House, START};

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_is_a_problem() {
    let house = House::with(&[]).await;
    let table = [
        ("GET", "/nothing", None, 404, "not_found"),
        ("GET", "/v1/jobs/nonsense", None, 404, "not_found"),
        (
            "GET",
            "/v1/jobs/job_00000000000070008000000000000000",
            None,
            404,
            "not_found",
        ),
        ("PUT", "/v1/jobs", None, 405, "method_not_allowed"),
        ("DELETE", "/healthz", None, 405, "method_not_allowed"),
        (
            "POST",
            "/v1/jobs",
            Some(json!({"nonsense": 1})),
            422,
            "invalid_member",
        ),
        ("POST", "/v1/jobs", Some(json!([])), 422, "invalid_member"),
        (
            "POST",
            "/v1/jobs",
            Some(json!({"simulate": {"duration": {"fixed": -1}}})),
            422,
            "invalid_member",
        ),
        (
            "POST",
            "/v1/jobs",
            Some(json!({"input": "x".repeat(300_000)})),
            413,
            "too_large",
        ),
        ("POST", "/v1/jobs/wait", None, 415, "unsupported_type"),
        ("POST", "/v1/jobs/nonsense/cancel", None, 404, "not_found"),
        ("GET", "/v1/jobs/nonsense/events", None, 404, "not_found"),
        ("GET", "/v1/jobs/nonsense/watchers", None, 404, "not_found"),
    ];
    for (method, path, body, status, code) in table {
        let answer = house.ask(method, path, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{method} {path}"
        );
        assert_eq!(answer.json()["instance"], path.split('?').next().unwrap());
    }
    let wrong = house.ask("PUT", "/v1/jobs", None).await;
    assert_eq!(wrong.header("allow"), "POST,GET,HEAD");
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_name() {
    let house = House::with(&[]).await;
    let (one, two) = (house.get("/healthz").await, house.get("/nothing").await);
    assert!(one.header("x-request-id").starts_with("req_"));
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    let named = house
        .with_header("x-request-id", "mine-1")
        .get("/nothing")
        .await;
    assert_eq!(
        (named.header("x-request-id"), named.code().as_str()),
        ("mine-1", "not_found")
    );
    let long = "x".repeat(129);
    for odd in ["", "a b", &long] {
        let answer = house.with_header("x-request-id", odd).get("/healthz").await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_beyond_its_rate_is_told_when_to_come_back() {
    let house = House::with(&[("rate-limit", "5/min")]).await;
    for left in (0..5).rev() {
        let answer = house.get("/v1/jobs").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("ratelimit"),
            format!("\"requests\";r={left};t=12")
        );
        assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=5;w=60");
    }
    let refused = house.get("/v1/jobs").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limited")
    );
    assert_eq!(refused.header("retry-after"), "12");
    assert_eq!(refused.json()["retryable"], true);
    // Others, probes, and what is held are not concerned.
    assert_eq!(house.from("10.0.0.9").get("/v1/jobs").await.status, 200);
    assert_eq!(house.get("/healthz").await.status, 200);
    assert_eq!(house.get("/metrics").await.status, 200);
    let held = house.get("/v1/jobs/nonsense?wait=1").await;
    assert_eq!(
        (held.status, held.header("ratelimit")),
        (404, "\"holds\";r=4;t=12")
    );
    // The wait that was told is enough, and no shorter one is.
    house.pass(11_998).await;
    assert_eq!(house.get("/v1/jobs").await.status, 429);
    house.pass(3).await;
    assert_eq!(house.get("/v1/jobs").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_key_is_limited_by_address_and_not_by_what_clients_may_ask() {
    let house = House::with(&[("rate-limit", "1/min")]).await;
    let near = house.from("2001:db8::1");
    let paths = ["/healthz", "/openapi.json", "/readyz"];
    for n in 0..3_000 {
        let answer = near.get(paths[n % paths.len()]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("ratelimit"), "");
    }
    for path in ["/healthz", "/docs"] {
        for (address, status) in [("2001:db8::ffff", 429), ("2001:db8:0:1::1", 0)] {
            let answer = house.from(address).get(path).await;
            assert_eq!(answer.status == 429, status == 429, "{path} for {address}");
        }
    }
    let refused = near.get("/healthz").await;
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(near.get("/v1/jobs").await.status, 200);
    house.pass(2_000).await;
    assert_eq!(near.get("/healthz").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn under_default_limits_a_client_that_obeys_is_never_shut_out_by_any_clock() {
    let clocks = [
        Clock::running(START, NonZeroU32::MIN),
        Clock::running(START, NonZeroU32::new(100).unwrap()),
        Clock::manual(START),
    ];
    for clock in clocks {
        let journal = Box::new(MemoryJournal::new());
        let house = House::open(&[], clock, journal).await;
        let mut refused = 0;
        for _ in 0..3_200 {
            let answer = house.get("/v1/jobs").await;
            if answer.status == 429 {
                refused += 1;
                let wait: u64 = answer.header("retry-after").parse().unwrap();
                assert!(wait <= 60, "{wait} s");
                house.pass(wait * 1_000).await;
                assert_eq!(house.get("/v1/jobs").await.status, 200);
            }
        }
        assert!((1..100).contains(&refused), "{refused}");
        house.pass(1_000).await;
        let advance = json!({"seconds": 30});
        let advanced = house.post("/v1/clock/advance", advance).await;
        let expected = if house.clock.is_manual() { 200 } else { 409 };
        assert_eq!(advanced.status, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn held_requests_are_bounded_and_others_dont_notice() {
    let flags = [
        ("waits-per-client", "2"),
        ("waits-max", "3"),
        ("streams-per-client", "1"),
    ];
    let house = House::with(&flags).await;
    let id = house.job(30_000).await;
    house.pass(1).await;
    let wait = format!("/v1/jobs/{id}?wait=50&after=2");
    let refused = async |house: &House| {
        let answer = house.get(&wait).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "too_many_waits")
        );
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=5).contains(&seconds));
        let create = house
            .with_header("prefer", "wait=9")
            .post("/v1/jobs", json!({}))
            .await;
        assert_eq!(create.status, 503);
    };
    let (other, third) = (house.from("10.0.0.9"), house.from("10.0.0.10"));
    let held = async { tokio::join!(house.get(&wait), house.get(&wait), other.get(&wait)) };
    let meanwhile = async {
        house.pass(100).await;
        refused(&house).await;
        refused(&third).await;
        // A create that can't be held makes no job.
        assert_eq!(
            house.get("/v1/jobs").await.json()["jobs"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(house.get(&format!("/v1/jobs/{id}")).await.status, 200);
    };
    let ((a, b, c), ()) = tokio::join!(held, meanwhile);
    for answer in [a, b, c] {
        assert_eq!(answer.json()["done"], true);
    }
    assert!(house.state.waits.is_empty());

    let path = format!("/v1/jobs/{id}/events");
    let stream = house.events(&path).await;
    assert_eq!(house.get(&path).await.code(), "too_many_waits");
    drop(house.from("10.0.0.9").events("/v1/events").await);
    drop(stream);
    drop(house.events(&path).await);
}

#[tokio::test(start_paused = true)]
async fn jobs_are_seen_by_their_own_key_alone() {
    let house = House::with(&[
        ("api-key", "alpha-alpha-alpha-alpha"),
        ("api-key", "beta-beta-beta-beta-beta"),
    ])
    .await;
    let alpha = house.with_header("authorization", "Bearer alpha-alpha-alpha-alpha");
    let beta = house.with_header("authorization", "Bearer beta-beta-beta-beta-beta");
    let id = alpha.job(2_000).await;
    let path = format!("/v1/jobs/{id}");
    assert_eq!(alpha.get(&path).await.status, 200);
    assert_eq!(
        alpha.get("/v1/jobs").await.json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    assert_eq!(beta.get("/v1/jobs").await.json()["jobs"], json!([]));
    assert_eq!(
        beta.get(&format!("/v1/jobs?ids={id}")).await.json()["jobs"],
        json!([])
    );
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("GET", format!("{path}?wait=5"), None),
        ("GET", format!("{path}/events"), None),
        ("GET", format!("{path}/watchers"), None),
        ("POST", format!("{path}/cancel"), None),
        ("PATCH", path.clone(), Some(json!({"result": 1}))),
        ("DELETE", path.clone(), None),
    ] {
        let answer = beta.ask(method, &path, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    let set = beta
        .post("/v1/jobs/wait", json!({"jobs": [{"id": id}], "wait": 5}))
        .await;
    assert_eq!(set.json()["errors"][0]["error"]["code"], "not_found");

    // The same idempotency key of another caller is another key.
    let ask = async |house: &House| {
        let answer = house
            .with_header("idempotency-key", "k")
            .ask("POST", "/v1/jobs", None)
            .await;
        answer.json()["id"].clone()
    };
    assert_ne!(ask(&alpha).await, ask(&beta).await);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_nothing_but_probes_is_answered() {
    let key = "ops:admin:alpha-alpha-alpha-alpha";
    let house = House::with(&[("api-key", key), ("rate-limit", "3/min")]).await;
    for path in [
        "/v1/jobs",
        "/v1/jobs/x",
        "/v1/events",
        "/metrics",
        "/nothing",
    ] {
        let answer = house.from("10.1.1.1").get(path).await;
        // Guessing has its limit too.
        let expected = if path == "/nothing" { 429 } else { 401 };
        assert_eq!(answer.status, expected, "{path}");
        if expected == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert_eq!(answer.code(), "unauthorized");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
    let wrong = house
        .with_header("authorization", "Bearer alph")
        .get("/v1/jobs")
        .await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.text.contains("alph"));
    let right = house.with_header("authorization", "Bearer alpha-alpha-alpha-alpha");
    assert_eq!(right.get("/metrics").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_key_does_what_its_role_allows() {
    let keys = [
        "ann:admin:admin-admin-admin-admin",
        "ann:user:user-user-user-user-user",
        "ann:read:read-read-read-read-read",
    ];
    let house = House::with(&keys.map(|key| ("api-key", key))).await;
    let of = |secret: &str| house.with_header("authorization", &format!("Bearer {secret}"));
    let admin = of("admin-admin-admin-admin");
    let user = of("user-user-user-user-user");
    let read = of("read-read-read-read-read");
    // The owner is the name: what one of its keys makes, all of them see.
    let path = format!("/v1/jobs/{}", user.job(2_000).await);
    for keyed in [&admin, &user, &read] {
        assert_eq!(keyed.get(&path).await.status, 200);
        assert_eq!(keyed.ask("HEAD", &path, None).await.status, 200);
    }
    let refused = read.ask("DELETE", &path, None).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "forbidden")
    );
    for path in [
        "/metrics",
        "/v1/simulator",
        "/v1/simulator/scenarios",
        "/v1/clock",
    ] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
        for keyed in [&user, &read] {
            let refused = keyed.get(path).await;
            assert_eq!(refused.status, 403, "{path}");
            assert_eq!(refused.code(), "admin_key_needed");
        }
    }
    let bare = House::with(&[("api-key", "user-user-user-user-user")]).await;
    let bare = bare.with_header("authorization", "Bearer user-user-user-user-user");
    let refused = bare.post("/v1/clock/advance", json!({"seconds": 1})).await;
    assert_eq!(refused.code(), "admin_key_needed");
    assert!(
        refused.text.contains("NAME:admin:SECRET"),
        "{}",
        refused.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_site_changes_nothing() {
    let house = House::with(&[]).await;
    let foreign = house.with_header("sec-fetch-site", "cross-site");
    let answer = foreign.ask("POST", "/v1/jobs", None).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
    assert_eq!(foreign.get("/v1/jobs").await.json()["jobs"], json!([]));
    let own = house.with_header("sec-fetch-site", "same-origin");
    assert_eq!(own.ask("POST", "/v1/jobs", None).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_keys_answers_to_its_own_names_and_pages() {
    let flags = [
        ("allow-host", "abide.internal"),
        ("cors-origin", "https://app.example"),
    ];
    let house = House::with(&flags).await;
    let get = async |house: &House| house.get("/v1/jobs").await.status;
    for (host, status) in [
        ("localhost:8080", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("abide.internal", 200),
        ("evil.example:8080", 421),
        ("localhost.evil.example", 421),
        ("10.0.0.1", 421),
        ("a b", 400),
        ("u@localhost", 400),
        ("", 400),
    ] {
        assert_eq!(
            get(&house.with_header("host", host)).await,
            status,
            "{host:?}"
        );
    }
    let twice = house
        .with_header("host", "localhost")
        .with_header("host", "localhost");
    assert_eq!(get(&twice).await, 400);
    for (origin, status) in [
        ("http://localhost:3000", 200),
        ("https://abide.internal", 200),
        ("https://app.example", 200),
        ("https://app.example:444", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ] {
        assert_eq!(
            get(&house.with_header("origin", origin)).await,
            status,
            "{origin:?}"
        );
    }
    // Beyond loopback each address may be its own, whichever listener it is of.
    let listen = ("listen", "127.0.0.1:80,openai=0.0.0.0:81");
    let wide = House::with(&[listen, ("allow-anonymous", "true")]).await;
    assert_eq!(get(&wide.with_header("host", "10.0.0.1")).await, 200);
    assert_eq!(get(&wide.with_header("host", "evil.example")).await, 421);
    // Probes come under any name, and what has a key needs no other proof.
    let strange = house.with_header("host", "evil.example");
    assert_eq!(strange.get("/healthz").await.status, 200);
    let keyed = House::with(&[("api-key", "alpha-alpha-alpha-alpha")]).await;
    let keyed = keyed.with_header("authorization", "Bearer alpha-alpha-alpha-alpha");
    assert_eq!(get(&keyed.with_header("host", "evil.example")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_allowed_asks_first_without_a_key_and_may_read_the_answer() {
    let flags = [
        ("api-key", "alpha-alpha-alpha-alpha"),
        ("cors-origin", "https://app.example"),
    ];
    let house = House::with(&flags).await;
    let of = |origin| {
        house
            .with_header("origin", origin)
            .with_header("access-control-request-method", "POST")
    };
    let answer = of("https://app.example")
        .ask("OPTIONS", "/v1/jobs", None)
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    // So does the page of a vendor's SDK, with the vendor's methods and fields.
    let sdk = of("https://app.example").with_header(
        "access-control-request-headers",
        "ocp-apim-subscription-key,operation-id,x-sdk-version",
    );
    let path = "/dialects/azure/videotranslation/translations/a";
    let answer = sdk.ask("OPTIONS", path, None).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "ocp-apim-subscription-key,operation-id,x-sdk-version"
    );
    let methods = answer.header("access-control-allow-methods");
    assert_eq!(methods, "GET,HEAD, POST, PUT, PATCH, DELETE");
    let other = of("https://other.example")
        .ask("OPTIONS", "/v1/jobs", None)
        .await;
    assert_eq!(other.status, 401);
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    // The page reads even what is refused.
    let page = house.with_header("origin", "https://app.example");
    let refused = page.get("/v1/jobs").await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "https://app.example"
    );
    let page = page.with_header("authorization", "Bearer alpha-alpha-alpha-alpha");
    let answer = page.get("/v1/jobs").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("retry-after")
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_happened() {
    let house = House::with(&[]).await;
    let id = house.job(2_000).await;
    house.get(&format!("/v1/jobs/{id}?wait=10")).await;
    house.get(&format!("/v1/jobs/{id}")).await;
    house.get("/v1/jobs/nonsense").await;
    for (accept, kind, is_open) in [
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2",
            "application/openmetrics-text",
            true,
        ),
        ("*/*", "text/plain; version=0.0.4", false),
    ] {
        let answer = house.with_header("accept", accept).get("/metrics").await;
        assert!(answer.header("content-type").starts_with(kind), "{accept}");
        assert_eq!(answer.text.ends_with("# EOF\n"), is_open, "{accept}");
    }
    let answer = house.get("/metrics").await;
    for line in [
        concat!(
            r#"abide_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""} 1"#
        ),
        r#"abide_requests_total{route="/v1/jobs",method="POST",status="202"} 1"#,
        r#"abide_requests_total{route="/v1/jobs/{id}",method="GET",status="200"} 2"#,
        r#"abide_requests_total{route="/v1/jobs/{id}",method="GET",status="404"} 1"#,
        r#"abide_request_duration_seconds_count{route="/v1/jobs/{id}"} 2"#,
        r#"abide_end_to_wake_seconds_count{channel="long_poll"} 1"#,
        "abide_jobs 1",
        "abide_held_requests 0",
        "abide_commands_waiting 0",
    ] {
        assert!(answer.text.contains(line), "{line}\n{}", answer.text);
    }
    assert!(answer.text.contains("abide_journal_append_seconds_count"));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_another_limit_by_saying_that_they_come_from_elsewhere() {
    let house = House::with(&[("rate-limit", "2/min")]).await;
    let mut statuses = Vec::new();
    for n in 0..3 {
        let house = house
            .with_header("x-forwarded-for", &format!("10.0.0.{n}"))
            .with_header("forwarded", &format!("for=10.0.0.{n}"))
            .with_header("x-real-ip", &format!("10.0.0.{n}"));
        statuses.push(house.get("/v1/jobs").await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_a_hold_if_its_route_may_hold_and_the_wait_it_asks_for_is_understood() {
    let house = House::with(&[("rate-limit", "600/min")]).await;
    let id = house.job(60_000).await;
    let path = format!("/v1/jobs/{id}");
    let with = |name, value| house.with_header(name, value);
    let table = [
        // However it is spelled.
        (&house, format!("{path}?wait=1&after=0"), "holds"),
        (&house, format!("{path}?w%61it=1&after=0"), "holds"),
        // Not as a part of another word, and not if it can't be read.
        (&house, format!("{path}?after=0"), "requests"),
        (&house, format!("{path}?wait=soon"), "requests"),
        // Wherever nothing is held it is no use to ask for it.
        (&with("prefer", "wait=0"), "/v1/jobs".to_owned(), "requests"),
        (
            &with("prefer", "wait=1"),
            format!("{path}/looks"),
            "requests",
        ),
        (
            &house,
            "/v1/jobs?kind=a&metadata.b=wait=1".to_owned(),
            "requests",
        ),
        (&with("prefer", "wait=0"), path.clone(), "holds"),
    ];
    for (house, path, bucket) in &table {
        let answer = house.get(path).await;
        let told = answer.header("ratelimit");
        assert!(told.starts_with(&format!("\"{bucket}\"")), "{path}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn asking_to_be_held_gives_no_second_allowance_where_nothing_is_held() {
    let house = House::with(&[("rate-limit", "2/min")]).await;
    for status in [200, 200, 429] {
        assert_eq!(house.get("/v1/jobs").await.status, status);
    }
    let preferring = house.with_header("prefer", "wait=0");
    assert_eq!(preferring.get("/v1/jobs").await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn a_body_has_its_limits_however_it_comes() {
    let house = House::with(&[]).await;
    let send = async |path: &str, body: Body| {
        let request = http::Request::post(path).header("content-type", "application/json");
        let answer = house.send(request.body(body).unwrap()).await;
        Answer::read(answer).await
    };
    let pieces = |pieces: Vec<&'static [u8]>| {
        let pieces = pieces.into_iter().map(|piece| Ok(piece.into()));
        Body::stream(futures_util::stream::iter(pieces))
    };
    let blank: &'static [u8] = &[b' '; 100_000];
    let table = [
        ("/v1/jobs", pieces(vec![b"{\"kind\":", b"\"a\"}"]), 202),
        ("/v1/jobs", pieces(vec![]), 202),
        ("/v1/jobs", pieces(vec![blank, blank, b"{}"]), 202),
        ("/v1/jobs", pieces(vec![blank, blank, blank]), 413),
        ("/v1/jobs", Body::from(vec![b' '; 300_000]), 413),
        ("/register-webhook", pieces(vec![blank, blank, blank]), 413),
        (
            "/v1/jobs",
            Body::stream(futures_util::stream::pending()),
            408,
        ),
        // A route without a body doesn't wait for one.
        (
            "/v1/jobs/x/cancel",
            Body::stream(futures_util::stream::pending()),
            404,
        ),
    ];
    for (n, (path, body, status)) in table.into_iter().enumerate() {
        let answer = send(path, body).await;
        assert_eq!(answer.status, status, "{n}: {}", answer.text);
    }
}

/// What goes by a host, such as a cache before the server, must see the same one.
#[tokio::test(start_paused = true)]
async fn a_request_says_once_and_rightly_where_it_goes() {
    let house = House::with(&[]).await;
    for (hosts, expected) in [
        (&["localhost"][..], 200),
        (&["127.0.0.1:8080"], 200),
        (&["[::1]"], 200),
        (&[], 400),
        (&["localhost", "localhost"], 400),
        (&["localhost", "other.example"], 400),
        (&["a b"], 400),
        (&["a/b"], 400),
        (&["ann@localhost"], 400),
        (&[""], 400),
        (&["other.example"], 421),
    ] {
        let mut request = Request::get("/v1/jobs");
        for host in hosts {
            request = request.header("host", *host);
        }
        let gate = house.gate().with_reset(Reset::default());
        let outcome = gate.answer(request.body(Body::Empty).unwrap());
        let answer = Answer::read(outcome.answer().await).await;
        assert_eq!(answer.status, expected, "{hosts:?}: {}", answer.text);
    }
}

/// Another coding is where a proxy and a server find different ends of a body.
#[tokio::test(start_paused = true)]
async fn a_body_has_no_coding_but_chunked() {
    let house = House::with(&[]).await;
    for (codings, expected) in [
        (&["chunked"][..], 202),
        (&["Chunked"], 202),
        (&["gzip, chunked"], 501),
        (&["identity, chunked"], 501),
        (&["chunked, chunked"], 501),
        (&[",chunked"], 501),
        (&["gzip", "chunked"], 501),
        (&["chunked", "chunked"], 501),
    ] {
        let mut request = Request::post("/v1/jobs").header("content-type", "application/json");
        for coding in codings {
            request = request.header("transfer-encoding", *coding);
        }
        let answer = house.send(request.body(Body::from("{}")).unwrap()).await;
        let answer = Answer::read(answer).await;
        assert_eq!(answer.status, expected, "{codings:?}: {}", answer.text);
        assert_eq!(answer.headers.contains_key("connection"), expected == 501);
    }
}

/// Of two, a proxy or a cache may go by the other one.
#[tokio::test(start_paused = true)]
async fn what_is_said_twice_is_refused() {
    let house = House::with(&[]).await;
    let path = format!("/v1/jobs/{}", house.job(60_000).await);
    let made = house.post("/v1/jobs", json!({"worker": "external"})).await;
    let external = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    let events = format!("{path}/events");
    let lease = "lease_000000000000000a";
    for (name, values, method, path, body) in [
        (
            "idempotency-key",
            ["a", "b"],
            "POST",
            "/v1/jobs",
            Some(json!({})),
        ),
        (
            "idempotency-key",
            ["a", "a"],
            "POST",
            "/v1/jobs",
            Some(json!({})),
        ),
        (
            "lease-token",
            [lease, lease],
            "PATCH",
            &external,
            Some(json!({"result": 1})),
        ),
        ("last-event-id", ["1", "2"], "GET", &events, None),
        ("last-event-id", ["", "2"], "GET", &events, None),
        ("last-event-id", ["1", "2"], "GET", "/v1/events", None),
    ] {
        let twice = house
            .with_header(name, values[0])
            .with_header(name, values[1]);
        let refused = twice.ask(method, path, body).await;
        assert_eq!(refused.status, 422, "{name} for {path}: {}", refused.text);
        assert!(
            refused.text.contains(&format!("`{name}` only once")),
            "{}",
            refused.text
        );
    }
    for (query, status) in [
        ("limit=1&limit=2", 422),
        ("status=pending&status=running", 422),
        ("kind=a&k%69nd=b", 422),
        ("metadata.a=1&metadata.b=2", 200),
        ("limit=1&kind=a", 200),
    ] {
        let answer = house.get(&format!("/v1/jobs?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_of_clients_may_be_asked_for_often_but_not_without_end() {
    let house = House::with(&[("rate-limit", "1/min")]).await;
    for _ in 0..3_000 {
        let answer = house.get("/v1/report").await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""));
    }
    let refused = house.get("/v1/report").await;
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(house.ask("DELETE", "/v1/report", None).await.status, 429);
    // What it is limited by is its own.
    assert_eq!(house.get("/v1/jobs").await.status, 200);
    assert_eq!(house.from("10.0.0.9").get("/v1/report").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn queries_and_paths_are_read_strictly() {
    let house = House::with(&[]).await;
    let path = format!("/v1/jobs/{}", house.job(60_000).await);
    let table = [
        (format!("{path}?wait=-1"), 422, "wait"),
        (format!("{path}?wiat=1"), 422, "unknown field `wiat`"),
        (
            format!("{path}?wait=1&wait=2"),
            422,
            "duplicate field `wait`",
        ),
        ("/v1/jobs/%ff".to_owned(), 404, "Invalid UTF-8 in `id`"),
        (path.replacen('_', "%5f", 1), 200, "\"revision\""),
        (
            path.replacen("jobs", "%6aobs", 1),
            404,
            "there is nothing at this path",
        ),
        (format!("{path}/"), 404, "there is nothing at this path"),
    ];
    for (path, status, words) in table {
        let answer = house.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(words), "{path}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_is_answered_like_a_get_without_its_body() {
    let house = House::with(&[]).await;
    let path = format!("/v1/jobs/{}", house.job(60_000).await);
    for path in [
        path.as_str(),
        "/v1/jobs",
        "/healthz",
        "/v1/jobs/nonsense",
        "/nothing",
    ] {
        let (get, head) = (house.get(path).await, house.ask("HEAD", path, None).await);
        assert_eq!(
            (head.status, head.text.as_str()),
            (get.status, ""),
            "{path}"
        );
        let length = head.header("content-length").parse::<usize>().unwrap();
        // The request's id is another, and as long.
        assert_eq!(length, get.text.len(), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
    }
}
