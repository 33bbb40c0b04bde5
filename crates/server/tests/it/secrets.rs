//! What nobody may read: keys and secrets, in no log, no error and no debugging output.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::common::House;

const KEY: &str = "the-key-of-the-kingdom";
const SECRET: &str = "whsec_c3dvcmRmaXNoc3dvcmRmaXNoc3dvcmRmaXNo";

/// Everything that is logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_and_no_secret_is_in_a_log_an_error_or_debugging_output() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::TRACE)
        .finish();
    // While a process has one subscriber only, a place in the code that another test comes to first asks that test's
    // thread whether it is listened to, and then stays silent for all.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _logging = tracing::subscriber::set_default(subscriber);

    let house = House::with(&[
        ("api-key", &format!("ann:admin:{KEY}")),
        ("webhook-allow", "127.0.0.0/8"),
    ])
    .await;
    let keyed = house.with_header("authorization", &format!("Bearer {KEY}"));
    let endpoint = json!({"url": "http://127.0.0.1:9/", "secret": SECRET});
    let made = keyed.post("/v1/webhooks", endpoint.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let job = json!({"webhook": endpoint, "simulate": {"duration": {"fixed": "1s"}}});
    assert_eq!(keyed.post("/v1/jobs", job).await.status, 202);
    keyed.pass(5_000).await;

    let wrong = house.with_header("authorization", &format!("Bearer {KEY}x"));
    let basic = house.with_header("authorization", &format!("Basic {KEY}"));
    let mut told = Vec::new();
    for house in [&keyed, &wrong, &basic] {
        for path in [
            "/v1/jobs",
            "/v1/jobs?odd=1",
            "/v1/webhooks",
            &format!("/v1/webhooks/{id}"),
            &format!("/v1/webhooks/{id}/deliveries"),
            "/v1/report",
            "/metrics",
        ] {
            told.push(house.get(path).await.text);
        }
    }
    // A secret that can't be one is not repeated either.
    let odd = json!({"url": "http://127.0.0.1:9/", "secret": format!("{SECRET}!")});
    told.push(keyed.post("/v1/webhooks", odd).await.text);
    told.push(format!("{:?}", house.state));
    told.push(format!("{:?}", house.state.config));
    told.push(String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(
        told.last().unwrap().contains("answered"),
        "nothing was logged"
    );

    let bare = SECRET.strip_prefix("whsec_").unwrap();
    for text in told {
        for secret in [KEY, bare, "swordfish"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
