//! What the learned schedule spends over real sockets, beside what the simulation says that it spends.
//!
//! Time is virtual and passes only while no request is on its way, so that figures are the same on a busy machine.
//! `cargo test -p abide --all-features --test it learning -- --ignored --nocapture` does the same in real
//! time, which takes six minutes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use abide::schedule::{History, Learned};
use abide::strategy::Poll;
use abide::{Body, BoxFuture, Client, Http, Outcome, Transport, TransportError};
use abide_simulate::{Job, Observe, Population};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, header};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{advance, sleep};

use crate::world::{Fault, Manner, World, now};

const SECOND: Duration = Duration::from_secs(1);

/// By how much the virtual clock goes on at once.
const STEP: Duration = Duration::from_millis(5);

/// What a request is worth, in seconds of delay.
const PRICE: f64 = 0.5;

/// Batches that follow each other. The first is a cold start.
const BATCHES: u64 = 3;

/// The default transport, over a way that takes its time.
#[derive(Clone, Debug)]
struct Way {
    inner: Arc<Http>,
    rtt: Duration,
    /// Requests of which neither an answer nor an error has come out of the socket.
    open: Arc<AtomicUsize>,
}

impl Transport for Way {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            sleep(self.rtt / 2).await;
            self.open.fetch_add(1, Ordering::SeqCst);
            let answer = self.inner.send(request).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            sleep(self.rtt / 2).await;
            answer
        })
    }
}

/// A server that behaves as its world does, on a socket, and the way to it.
struct Wire {
    world: World,
    url: String,
    way: Way,
}

impl Wire {
    /// `is_virtual` says that the runtime's clock is paused.
    async fn new(rtt: Duration, is_virtual: bool) -> Self {
        let manner = Manner {
            rtt: Duration::ZERO,
            holds: false,
            sets: false,
            streams: false,
            ..Manner::default()
        };
        let world = World::with(manner, |_| Fault::None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let way = Way {
            inner: Arc::new(Http::new(Duration::from_secs(5))),
            rtt,
            open: Arc::default(),
        };
        tokio::spawn(serve(listener, world.clone()));
        if is_virtual {
            tokio::spawn(pass_time(Arc::clone(&way.open)));
        }
        Self { world, url, way }
    }

    fn client(&self, seed: u64) -> Client {
        Client::builder(&self.url)
            .transport(self.way.clone())
            .history(&History::new())
            .seed(seed)
            .build()
            .unwrap()
    }

    /// Waits for a job that begins now, and is waited for by its id from that age on. Returns the requests beside the
    /// first look, which tells the job's age, and by how many seconds the end was seen late.
    async fn wait(&self, client: &Client, id: &str, length: Duration, age: Duration) -> (f64, f64) {
        let ends = now() + length;
        let id = self
            .world
            .job(id, &[length.as_secs_f64()], Outcome::Completed);
        sleep(age).await;
        let done = client.job(id).wait().strategy(Poll::new()).await.unwrap();
        let late = now().saturating_duration_since(ends).as_secs_f64();
        (f64::from(done.report().requests - 1), late)
    }

    /// What a job costs on average, in batches of that size by one client.
    async fn batches(&self, population: &Population, size: usize, seed: u64) -> f64 {
        let client = self.client(seed);
        let mut cost = 0.0;
        for batch in 0..BATCHES {
            let jobs = population.draw(seed * BATCHES + batch, size);
            let waits = jobs.iter().enumerate().map(|(n, job)| {
                let id = format!("{seed}-{batch}-{n}");
                let client = &client;
                async move {
                    let waited = self.wait(client, &id, job.duration, Duration::ZERO);
                    let (requests, late) = waited.await;
                    PRICE * requests + late
                }
            });
            cost += join_all(waits).await.iter().sum::<f64>();
        }
        cost / (size as f64 * BATCHES as f64)
    }

    /// By how many seconds the ends of constant jobs of 5 s are seen late on average, from the 21st on, if the wait for
    /// each begins up to two seconds after it.
    async fn constant(&self, seed: u64) -> f64 {
        let client = self.client(seed);
        let (mut sum, jobs, first) = (0.0, 40, 20);
        for n in 0..jobs {
            let age = Duration::from_secs_f64(2.0 * (f64::from(n) * 0.618_034).fract());
            let id = format!("constant-{seed}-{n}");
            let (_, late) = self.wait(&client, &id, 5 * SECOND, age).await;
            if n >= first {
                sum += late;
            }
        }
        sum / f64::from(jobs - first)
    }
}

/// Has the paused clock go on whenever no request is on its way. By itself it would jump to the next timer as soon as
/// all tasks wait for sockets.
async fn pass_time(open: Arc<AtomicUsize>) {
    loop {
        // Tasks that the last step woke come first.
        yield_now().await;
        yield_now().await;
        if open.load(Ordering::SeqCst) == 0 {
            advance(STEP).await;
        }
    }
}

async fn serve(listener: TcpListener, world: World) {
    while let Ok((stream, _)) = listener.accept().await {
        let world = world.clone();
        tokio::spawn(async move {
            // A client that is done closes its connections.
            let _ = answer(stream, world).await;
        });
    }
}

/// Answers the requests of one connection by what the world says.
async fn answer(stream: TcpStream, world: World) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let mut request = Request::builder()
            .method(words.next().unwrap_or_default())
            .uri(words.next().unwrap_or_default());
        let mut length = 0;
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap();
            }
            request = request.header(name, value);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let answer = world.send(request.body(body.into()).unwrap()).await;
        let Ok(answer) = answer else { return Ok(()) };
        let (head, body) = answer.into_parts();
        let body = body.collect(usize::MAX).await.unwrap();
        let mut text = format!("HTTP/1.1 {}\r\n", head.status);
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        text += &format!("{}: {}\r\n\r\n", header::CONTENT_LENGTH, body.len());
        let bytes = [text.as_bytes(), &body].concat();
        stream.write_all(&bytes).await?;
    }
}

/// What the simulation says that a job of such batches costs.
fn simulated(population: &Population, size: usize, seed: u64, rtt: Duration) -> f64 {
    let world = abide_simulate::World::new()
        .rtt(rtt)
        .observe(Observe::Known);
    let schedule = Learned::new("simulated");
    let mut cost = 0.0;
    for batch in 0..BATCHES {
        let jobs = population.draw(seed * BATCHES + batch, size);
        let begun: Vec<(Duration, Job)> =
            jobs.into_iter().map(|job| (Duration::ZERO, job)).collect();
        let run = world.run_at(&schedule, &begun, seed * 1_000 + batch);
        cost += run.mean().cost_s(PRICE) / BATCHES as f64;
    }
    cost
}

fn population(law: &str) -> Population {
    Population::of(&law.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn batches_over_sockets_cost_what_the_simulation_says() {
    let rtt = Duration::from_millis(100);
    let wire = Wire::new(rtt, true).await;
    let law = population("lognormal:20s:0.5");
    for (size, histories) in [(60, 0..3), (200, 0..1)] {
        let (mut wired, mut expected) = (0.0, 0.0);
        for seed in histories {
            wired += wire.batches(&law, size, seed).await;
            expected += simulated(&law, size, seed, rtt);
        }
        let ratio = wired / expected;
        assert!((0.95..=1.10).contains(&ratio), "{size} at once: {ratio}");
    }
}

#[tokio::test(start_paused = true)]
async fn constant_jobs_that_are_waited_for_late_are_seen_in_time() {
    let wire = Wire::new(Duration::from_millis(100), true).await;
    let late = wire.constant(1).await;
    assert!(late <= 0.2, "{late}");
}

#[tokio::test]
#[ignore = "it takes six minutes of real time"]
async fn in_real_time_it_is_the_same() {
    // A round trip on this machine.
    let rtt = Duration::from_millis(1);
    let wire = Wire::new(Duration::ZERO, false).await;
    let law = population("lognormal:10s:0.5");
    let constant = join_all((0..8).map(|seed| wire.constant(seed)));
    let small = join_all((0..4).map(|seed| wire.batches(&law, 60, seed)));
    let (constant, small) = (constant.await, small.await);
    let large = join_all([wire.batches(&law, 200, 9)]).await;
    let late = constant.iter().sum::<f64>() / constant.len() as f64;
    println!("constant jobs of 5 s, begun 0 to 2 s later: {late:.3} s late");
    assert!(late <= 0.2);
    for (name, wired, seeds, size) in [("60", small, 0..4, 60), ("200", large, 9..10, 200)] {
        let simulated = seeds.map(|seed| simulated(&law, size, seed, rtt));
        let ratio = wired.iter().sum::<f64>() / simulated.sum::<f64>();
        println!("batches of {name}: cost / simulated {ratio:.3}");
        assert!((0.95..=1.10).contains(&ratio));
    }
}
