//! Links over real sockets.

use abide_engine::{AnyCommand, Cancel, JobKey, Json, Owner};
use abide_server::cluster::tcp::TcpNetwork;
use abide_server::cluster::{Down, Network, Up};
use abide_server::driver::{CommandText, Failure};
use abide_server::journal::{Batch, Leading, Position};
use abide_wire::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

async fn listening() -> (TcpListener, Leading) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let leading = Leading {
        address,
        ..Leading::default()
    };
    (listener, leading)
}

fn cancel() -> CommandText {
    let job = JobKey::new(Timestamp::from_millis(1), [7; 10]);
    let cancel = AnyCommand::from(Cancel {
        owner: Owner(3),
        job,
    });
    CommandText::from(&cancel)
}

#[tokio::test]
async fn frames_of_every_sort_and_size_come_as_they_went() {
    let (listener, leading) = listening().await;
    let network = TcpNetwork::new([7; 32]);
    let mut incoming = network.accept(listener);
    let mut upstream = network.dial(&leading).await.unwrap();
    let mut inbound = incoming.recv().await.unwrap();

    for id in 0..3 {
        let command = cancel();
        upstream.up.send(Up::Ask { id, command }).await.unwrap();
    }
    for n in 0..3 {
        let Some(Up::Ask { id, command }) = inbound.up.recv().await else {
            panic!("a command")
        };
        assert_eq!((id, command), (n, cancel()));
    }
    let at = Position {
        batch: 1,
        nonce: u64::MAX,
        seq: 9,
    };
    // Longer than a sealed piece, empty, and any bytes.
    let batch = Batch {
        number: 2,
        term: 3,
        nonce: u64::MAX,
        before: 5,
        first: 6,
        entries: vec![vec![b'x'; 300_000], vec![], vec![0, 0xff]],
    };
    let answers = vec![
        (1, Ok(Json::from(serde_json::json!("key")))),
        (7, Err(Failure::Overloaded)),
    ];
    let pushed = Down::Batch(batch.clone().into());
    inbound.down.send(pushed).await.unwrap();
    inbound
        .down
        .send(Down::Answered {
            answers: answers.clone(),
            at,
        })
        .await
        .unwrap();
    let Some(Down::Batch(came)) = upstream.down.recv().await else {
        panic!("a batch")
    };
    assert_eq!(*came.batch, batch);
    let Some(Down::Answered {
        answers: came,
        at: place,
    }) = upstream.down.recv().await
    else {
        panic!("answers")
    };
    assert_eq!((came, place), (answers, at));
    // One end goes, and the other hears of it.
    drop(upstream);
    assert!(inbound.up.recv().await.is_none());
}

#[tokio::test]
async fn a_link_is_refused_to_those_without_the_clusters_key_and_is_never_in_the_clear() {
    let (listener, leading) = listening().await;
    let mut incoming = TcpNetwork::new([7; 32]).accept(listener);
    let stranger = TcpNetwork::new([8; 32]).dial(&leading).await;
    assert!(stranger.is_err());
    let mut rude = TcpStream::connect(&leading.address).await.unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    rude.shutdown().await.unwrap();
    let mut answer = Vec::new();
    rude.read_to_end(&mut answer).await.unwrap_or_default();
    assert!(answer.is_empty(), "{answer:?}");

    // A node of the cluster, through something that listens.
    let (tap, tapped) = listening().await;
    let heard = tokio::spawn(async move {
        let (mut from, _) = tap.accept().await.unwrap();
        let mut to = TcpStream::connect(&leading.address).await.unwrap();
        let mut heard = Vec::new();
        let (mut from_read, mut from_write) = from.split();
        let (mut to_read, mut to_write) = to.split();
        let up = async {
            let mut buffer = [0; 4_096];
            while let Ok(n @ 1..) = from_read.read(&mut buffer).await {
                heard.extend(&buffer[..n]);
                to_write.write_all(&buffer[..n]).await.unwrap();
            }
        };
        tokio::select! {
            () = up => {}
            _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
        }
        heard
    });
    let upstream = TcpNetwork::new([7; 32]).dial(&tapped).await.unwrap();
    let mut inbound = incoming.recv().await.unwrap();
    let command = cancel();
    upstream.up.send(Up::Ask { id: 1, command }).await.unwrap();
    assert!(inbound.up.recv().await.is_some());
    drop(upstream);
    let heard = heard.await.unwrap();
    assert!(heard.len() > 100);
    let text = String::from_utf8_lossy(&heard);
    assert!(
        !text.contains("cancel") && !text.contains("owner"),
        "{text}"
    );
}

#[tokio::test]
async fn an_address_that_shakes_no_hands_takes_few_places_and_a_node_links_beside_it() {
    let (listener, leading) = listening().await;
    let mut incoming = TcpNetwork::new([7; 32]).accept(listener);
    let mut strangers = Vec::new();
    for _ in 0..40 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let address = leading.address.parse().unwrap();
        strangers.push(socket.connect(address).await.unwrap());
    }
    let upstream = TcpNetwork::new([7; 32]).dial(&leading).await;
    assert!(upstream.is_ok() && incoming.recv().await.is_some());
    // Whatever was accepted before the node's, those without a place are closed.
    let mut closed = 0;
    for stranger in &mut strangers {
        closed += usize::from(matches!(stranger.try_read(&mut [0]), Ok(0)));
    }
    assert!(closed >= 40 - 16, "{closed}");
}
