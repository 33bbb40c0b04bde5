//! Whatever the server accepts our client reads, alone and among others.

use std::time::Duration;

use abide_testkit::{TestServer, lasting};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Texts and numbers that JSON's grammar allows, and a few that it doesn't.
const VALUES: [&str; 26] = [
    r#""\ud83d\ude00""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\\ud800""#,
    r#""\\\ud800""#,
    r#""\ud800\ud800\udc00""#,
    r#""a\u0000b\u2028\uffff""#,
    "\"\u{2028}\u{202e}\u{7f}\"",
    "1E400",
    "-1e309",
    "1e-400",
    "123456789012345678901234567890",
    "0.123456789012345678901234567890",
    "-0",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "[1, [2, {}], null, true]",
    r#"{"a": 1, "a": 2}"#,
    r#"{"\ud800": 1}"#,
    r#"{"": "", "\u0061": "x"}"#,
    "\t[\r\n]",
    "01",
    "nan",
    "'x'",
    r#""\x""#,
    "\"a\nb\"",
];

/// What the server answers to that body, and the id if it made a job.
async fn create(address: &str, body: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: /v1/jobs/"));
    (status, location.map(str::to_owned))
}

#[tokio::test]
async fn whatever_the_server_accepts_our_client_reads_alone_and_among_others() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let (client, url) = (server.client(), server.url());
    let address = url.strip_prefix("http://").unwrap();
    let members = [
        r#""input": VALUE"#,
        r#""input": {"deep": [VALUE]}"#,
        r#""metadata": {"note": VALUE}"#,
        r#""kind": VALUE"#,
        r#""simulate": {"key": VALUE}"#,
    ];
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for member in members {
        for value in VALUES {
            let member = member.replace("VALUE", value);
            let (status, id) = create(address, &format!("{{{member}}}")).await;
            match id {
                Some(id) if status == 202 => accepted.push((member, id)),
                _ => {
                    assert!(matches!(status, 400 | 422), "{member}: {status}");
                    refused += 1;
                }
            }
        }
    }
    assert!(
        accepted.len() > 40 && refused > 30,
        "{} {refused}",
        accepted.len()
    );
    for (member, id) in &accepted {
        let read = client.job(id.as_str()).status().await;
        assert!(read.is_ok(), "{member}: {read:?}");
    }
    let mut listed = 0;
    let mut list = client.list();
    while let Some(page) = list.next_page().await.unwrap() {
        listed += page.len();
    }
    assert!(listed >= accepted.len());
    // One that ends among them is told at once.
    let quick = client
        .create(lasting(Duration::from_millis(10)))
        .await
        .unwrap();
    let others = accepted.iter().map(|(_, id)| client.job(id.as_str()));
    let mut set = client.set(others.chain([quick.clone()]));
    let first = tokio::time::timeout(Duration::from_secs(5), set.join_next()).await;
    let (id, ended) = first.unwrap().unwrap();
    assert_eq!(id, *quick.id());
    assert!(ended.unwrap().is_completed());
    drop(set);
    server.stop().await.unwrap();
}
