//! The default transport against peers on real sockets that misbehave in ways that only a socket can.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use abide::{Client, NewJob, Remote, RetryPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a peer does with its n-th request.
type Manner = fn(usize) -> &'static [u8];

/// The end of a good answer, with its length before it.
macro_rules! job {
    ($head:literal) => {
        concat!(
            $head,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 160\r\n\r\n",
            r#"{"id":"a","status":"completed","done":true,"outcome":"completed","revision":2,   "#,
            r#""created_at":"2026-11-22T00:00:00Z","updated_at":"2026-11-22T00:00:09Z"}       "#,
        )
        .as_bytes()
    };
}

const GOOD: &[u8] = job!("");

/// Reads one request, without its body: there is none.
async fn request(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A peer that answers each request as its manner says, and then closes the connection if the answer ends in a cut.
async fn peer(manner: Manner, keeps: bool) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                while let Ok(true) = request(&mut stream).await {
                    let answer = manner(count.fetch_add(1, Ordering::SeqCst) + 1);
                    if stream.write_all(answer).await.is_err() || !keeps {
                        return;
                    }
                }
            });
        }
    });
    let retry = RetryPolicy::default().initial(Duration::from_millis(1));
    let client = Client::builder(format!("http://{address}"))
        .retry(retry)
        .build()
        .unwrap();
    (client, requests)
}

async fn ends_well(manner: Manner, keeps: bool) -> usize {
    let (client, requests) = peer(manner, keeps).await;
    let done = client
        .job("a")
        .wait()
        .deadline(Duration::from_secs(20))
        .await
        .unwrap();
    assert!(done.is_completed());
    requests.load(Ordering::SeqCst)
}

#[tokio::test]
async fn interim_answers_are_not_answers() {
    let manner: Manner =
        |_| job!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
    assert_eq!(ends_well(manner, true).await, 1);
}

#[tokio::test]
async fn whatever_a_socket_does_to_an_answer_it_is_asked_for_again() {
    let cuts: [Manner; 7] = [
        |n| if n > 1 { GOOD } else { b"" },
        |n| if n > 1 { GOOD } else { b"HTTP/1.1 200 O" },
        |n| {
            if n > 1 {
                GOOD
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":"
            }
        },
        |n| {
            if n > 1 {
                GOOD
            } else {
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFF\r\n{\"id\":\"a\""
            }
        },
        |n| {
            if n > 1 {
                GOOD
            } else {
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
            }
        },
        |n| {
            if n > 1 {
                GOOD
            } else {
                b"SSH-2.0-OpenSSH_9.2\r\n"
            }
        },
        |n| {
            if n > 1 {
                GOOD
            } else {
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
            }
        },
    ];
    for (n, manner) in cuts.into_iter().enumerate() {
        let requests = ends_well(manner, false).await;
        // A connection that was closed before anything came over it may have been tried again below us.
        assert!((2..=3).contains(&requests), "{n}: {requests}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    // The first answer doesn't announce that the connection will be closed.
    let (client, _) = peer(|_| GOOD, false).await;
    for _ in 0..5 {
        assert!(client.job("a").status().await.unwrap().done);
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = request(&mut stream).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n\"";
                if stream.write_all(head).await.is_ok() {
                    while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
                }
            });
        }
    });
    let client = Client::new(format!("http://{address}")).unwrap();
    let error = client.job("a").status().await.unwrap_err();
    assert!(
        error.is_garbled() && error.to_string().contains("larger than"),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_a_wait_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(format!("http://{address}")).unwrap();
    let wait = tokio::spawn(client.job("a").wait().into_future());
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(request(&mut stream).await.unwrap());
    wait.abort();
    // The other end is closed: what is read is the end.
    let end = stream.read(&mut [0; 16]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable_soon() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let client = Client::new(format!("http://127.0.0.1:{port}")).unwrap();
    let error = client.job("a").status().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
}

#[tokio::test]
async fn what_may_not_be_sent_twice_goes_out_on_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                // The body of a create here is `{}`.
                while let Ok(true) = request(&mut stream).await {
                    let mut body = [0; 2];
                    stream.read_exact(&mut body).await.unwrap();
                    let answer = "HTTP/1.1 201 Created\r\ncontent-length: 22\r\n\r\n{\"id\":1,\"state\":\"new\"}";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let remote = Remote::new("acme", "/renders/{id}", "/state")
        .create("/renders", "/id")
        .completed(["ready"]);
    for (keyed, expected) in [(false, 5), (true, 1)] {
        let remote = match keyed {
            true => remote.clone().idempotency_header("idempotency-key"),
            false => remote.clone(),
        };
        let client = Client::builder(format!("http://{address}")).remote(remote);
        let client = client.build().unwrap();
        let before = connections.load(Ordering::SeqCst);
        for _ in 0..5 {
            client.create(NewJob::default()).await.unwrap();
        }
        let made = connections.load(Ordering::SeqCst) - before;
        assert_eq!(made, expected, "with a key: {keyed}");
    }
}
