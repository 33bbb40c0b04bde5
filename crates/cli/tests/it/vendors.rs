//! Other systems' jobs, by a preset or by a file.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::answers::answers_all_the_same;
use crate::bench::{Bench, Ran};

#[expect(
    clippy::disallowed_methods,
    reason = "a server that ends with the test's process"
)]
/// A server of predictions: each is done at its third read.
fn predictions() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n")
                && reader.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body =
                vec![0; length.map_or(0, |length| length.trim().parse().expect("a number"))];
            let _gone = reader.read_exact(&mut body);
            let Some(line) = head.lines().next() else {
                continue;
            };
            let mut seen = noted.lock().expect("a list");
            let reads = seen.iter().filter(|seen| seen.starts_with("GET")).count();
            let key = lower
                .lines()
                .find(|line| line.starts_with("authorization: "));
            seen.push(format!(
                "{line} {} {}",
                key.unwrap_or(""),
                String::from_utf8_lossy(&body)
            ));
            let status = if reads % 3 == 2 {
                "succeeded"
            } else {
                "processing"
            };
            let answer = format!(
                r#"{{"id": "p1", "status": "{status}", "output": {{"n": 12345678901234567890123}}, "state": "ready"}}"#
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    (url, seen)
}

#[test]
fn a_job_of_another_system_is_created_waited_for_and_shown() {
    let bench = Bench::new();
    let (url, seen) = predictions();
    let mut command = bench.command(&[
        "create",
        "--remote",
        "replicate",
        "--server",
        &url,
        "--input",
        r#"{"n": 12345678901234567890123}"#,
        "--wait",
        "--json",
        "--interval",
        "50ms",
    ]);
    command
        .env("ABIDE_REMOTE_KEY", "r8-key")
        .env("ABIDE_API_KEY", "none-of-theirs");
    let ran = Ran::of(&command.output().expect("the binary"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains(r#""result":{"n": 12345678901234567890123}"#),
        "{ran:?}"
    );
    let requests = seen.lock().expect("a list").clone();
    assert!(
        requests[0].starts_with("POST /v1/predictions ")
            && requests[0].ends_with(r#"{"n": 12345678901234567890123}"#),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .all(|request| request.contains("bearer r8-key")),
        "{requests:?}"
    );

    let ran = bench.run(&["status", "p1", "--remote", "replicate", "--server", &url]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("processing"), "{ran:?}");

    let file = bench.join("render.toml");
    let text = "name = \"render\"\nstatus = \"/renders/{id}\"\nstate = \"/state\"\ncompleted = [\"ready\"]\n";
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("text");
    let ran = bench.run(&["wait", "p1", "--remote", path, "--server", &url]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let requests = seen.lock().expect("a list");
    let last = requests.last().expect("requests");
    assert!(
        last.starts_with("GET /renders/p1 ") && !last.contains("bearer"),
        "{last}"
    );
}

#[test]
fn a_vendor_that_the_server_speaks_is_waited_for_as_if_it_were_the_vendor() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--duration", "100ms", "--error-chance", "0"]);
    let address = format!("{}/dialects/replicate", server.url);
    let mut command = bench.command(&[
        "create",
        "--remote",
        "replicate",
        "--server",
        &address,
        "--input",
        r#"{"version": "v", "input": {"prompt": "a cat"}}"#,
        "--wait",
        "--json",
        "--interval",
        "50ms",
    ]);
    command.env("ABIDE_REMOTE_KEY", "r8-key-of-twenty-characters");
    let ran = Ran::of(&command.output().expect("the binary"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["outcome"], "completed", "{ran:?}");
}

/// Each description: its name, where the server speaks that interface, the kind if a path has one, and a request with a
/// place for a directive.
const DESCRIBED: [(&str, &str, &str, &str); 18] = [
    (
        "heygen",
        "heygen",
        "",
        r#"{"video": {"type": "url", "url": "https://x.example/?SAID"}, "output_languages": ["German (Germany)"]}"#,
    ),
    (
        "heygen_video",
        "heygen",
        "",
        r#"{"type": "avatar", "script": "SAID"}"#,
    ),
    (
        "heygen_v2",
        "heygen",
        "",
        r#"{"video_url": "https://x.example/?SAID", "output_language": "German"}"#,
    ),
    (
        "replicate",
        "replicate",
        "",
        r#"{"version": "v", "input": {"prompt": "SAID"}}"#,
    ),
    (
        "runway",
        "runway",
        "image_to_video",
        r#"{"promptText": "SAID"}"#,
    ),
    ("fal", "fal", "fal-ai/flux", r#"{"prompt": "SAID"}"#),
    ("elevenlabs", "elevenlabs", "", r#"{"prompt": "SAID"}"#),
    (
        "openai_response",
        "openai",
        "",
        r#"{"model": "m", "input": "SAID", "background": true}"#,
    ),
    (
        "openai_batch",
        "openai",
        "",
        r#"{"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h", "metadata": {"note": "SAID"}}"#,
    ),
    ("openai_video", "openai", "", r#"{"prompt": "SAID"}"#),
    (
        "leonardo",
        "leonardo/api/rest/v1",
        "",
        r#"{"prompt": "SAID"}"#,
    ),
    ("luma", "luma/dream-machine/v1", "", r#"{"prompt": "SAID"}"#),
    (
        "assemblyai",
        "assemblyai",
        "",
        r#"{"audio_url": "https://x.example/?SAID"}"#,
    ),
    (
        "google_veo",
        "google",
        "veo-3",
        r#"{"instances": [{"prompt": "SAID"}]}"#,
    ),
    (
        "azure_document_translation",
        "azure",
        "",
        r#"{"inputs": [{"source": {"sourceUrl": "https://x.example/?SAID"}}]}"#,
    ),
    (
        "dashscope",
        "dashscope/api/v1",
        "",
        r#"{"model": "m", "input": {"prompt": "SAID"}}"#,
    ),
    ("xai", "xai/v1", "", r#"{"prompt": "SAID"}"#),
    (
        "sync",
        "syncso",
        "",
        r#"{"model": "m", "input": [{"type": "video", "url": "https://x.example/?SAID"}]}"#,
    ),
];

#[test]
fn every_description_fits_what_the_server_speaks() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let create = |(name, mount, kind, request): (&str, &str, &str, &str), said: &str| {
        let address = format!("{}/dialects/{mount}", server.url);
        let input = request.replace("SAID", said);
        let mut words = vec!["create", "--remote", name, "--server", &address];
        words.extend(["--input", &input, "--wait", "--json", "--interval", "50ms"]);
        if !kind.is_empty() {
            words.extend(["--kind", kind]);
        }
        let mut command = bench.command(&words);
        command.env("ABIDE_REMOTE_KEY", "a-key-of-the-vendors");
        Ran::of(&command.output().expect("the binary"))
    };
    for vendor in DESCRIBED {
        let name = vendor.0;
        let ran = create(vendor, "abide:duration=100ms");
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let ended = &ran.json()[0];
        assert_eq!(ended["outcome"], "completed", "{name}: {ran:?}");
        assert!(!ended["job"]["result"].is_null(), "{name}: {ran:?}");
        let ran = create(vendor, "abide:duration=100ms,error=boom");
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        // This one doesn't say why.
        let is_told = ran.out.contains("it was asked to fail: boom") || name == "leonardo";
        assert!(is_told, "{name}: {ran:?}");
    }
}

#[test]
fn what_goes_wrong_at_another_system_is_said_as_it_says_it() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--api-key", "ann-ann-ann-ann-ann-ann"]);
    let address = format!("{}/dialects/replicate", server.url);
    let run = |words: &[&str], key: &str, address: &str| {
        let mut command = bench.command(words);
        command.args(["--remote", "replicate", "--server", address]);
        command.env("ABIDE_REMOTE_KEY", key);
        Ran::of(&command.output().expect("the binary"))
    };
    let key = "ann-ann-ann-ann-ann-ann";
    let wait = ["wait", "gone"];
    let status = ["status", "gone"];
    let create = ["create", "--input", r#"{"version": "v"}"#];
    for words in [&wait[..], &status, &create] {
        // Nobody listens at that port.
        let ran = run(words, key, "http://127.0.0.1:9");
        assert_eq!(ran.code, 3, "{words:?}: {ran:?}");
        let said = "nothing answers at http://127.0.0.1:9; is it the address of replicate?";
        assert!(ran.err.contains(said), "{words:?}: {ran:?}");
        let ran = run(words, "bob-bob-bob-bob-bob-bob", &address);
        assert_eq!(ran.code, 3, "{words:?}: {ran:?}");
        let parts = ["the server doesn't know this key", "--remote-key"];
        let is_told = parts.iter().all(|part| ran.err.contains(part));
        assert!(is_told, "{words:?}: {ran:?}");
    }
    let ran = run(&status, key, &address);
    let said = "the server answered 404 Not Found: there is no such job; check the id";
    assert!(ran.err.contains(said), "{ran:?}");
    let ran = run(&create, key, &address);
    assert!(ran.err.contains("`input`: it is required"), "{ran:?}");
    // A word that the description doesn't know is a job that goes on.
    let said = r#"{"version": "v", "input": {"prompt": "abide:duration=300ms,fault=unknown_status,word=paused"}}"#;
    let create = ["create", "--input", said, "--wait", "--interval", "50ms"];
    let ran = run(&create, key, &address);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_kind_that_stands_in_another_systems_paths_is_said_and_told_again() {
    let bench = Bench::new();
    let (url, seen) = predictions();
    let fal = ["--remote", "fal", "--kind", "fal-ai/flux", "--server"];
    let ran = bench.run(&[&["status", "p1"], &fal[..], &[&url]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let asked = seen.lock().expect("a list")[0].clone();
    assert!(
        asked.starts_with("GET /fal-ai/flux/requests/p1/status "),
        "{asked}"
    );
    let url = answers_all_the_same("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    let ran = bench.run(&[&["wait", "p1", "--give-up", "0s"], &fal[..], &[&url]].concat());
    assert_eq!(ran.code, 3, "{ran:?}");
    let again = format!("abide wait p1 --server {url} --remote fal --kind fal-ai/flux");
    assert!(ran.err.contains(&again), "{ran:?}");
}

#[test]
fn what_another_system_cannot_do_is_said_before_anything_is_sent() {
    let bench = Bench::new();
    for (args, part) in [
        (&["wait", "x", "--remote", "acme"][..], "replicate"),
        (&["wait", "x", "--remote", "none.toml"], "none.toml"),
        (&["wait", "x", "--remote", "google_lro"], "--server"),
        (
            &["wait", "--kind", "k", "--remote", "replicate"],
            "needs ids",
        ),
        (&["wait", "x", "--kind", "k"], "--kind"),
        (
            &["create", "--remote", "replicate", "--duration", "1s"],
            "--duration",
        ),
        (
            &["create", "--remote", "replicate", "--idempotency-key", "k"],
            "idempotency key",
        ),
    ] {
        let ran = bench.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(part), "{args:?}: {ran:?}");
    }
}
