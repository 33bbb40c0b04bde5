//! `abide listen`

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use ::url::Url;
use abide::webhook::{self, Delivery, Secret, seconds_of, sign};
use abide::webhooks::{NewEndpoint, Webhooks};
use abide::{Http, Json, Receiver, Transport as _};
use abide_wire::{Span, headers};
use clap::Args;
use http::{Request, header};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::connect::{Common, block_on};
use crate::exit::{self, Failure, UNREACHABLE};
use crate::interrupt::Signals;
use crate::reach::Reach;
use crate::{output, secret, show, url};

/// How long the server, and the handler that deliveries are forwarded to, may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The most characters of a handler's answer that are shown, and the most bytes that are read of it.
const ANSWER_CHARS_MAX: usize = 200;
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How often a listener makes sure that the server knows it.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long the last answers may take to leave.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// The most deliveries that wait to be written or forwarded; the sender repeats what finds no place.
const WAITING_MAX: usize = 256;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide listen                                       every event of the server's jobs, until Ctrl-C
  abide listen --events job.failed --json | jq .body.data.error
  abide listen --forward-to http://127.0.0.1:3000/hook
  export ABIDE_WEBHOOK_SECRET=$(abide listen --print-secret)    a secret for you and the handler
  abide listen --no-register --secret whsec_...      for a sender that knows the address

Exit codes: 0 ended as asked, 3 refused or unreachable, 4 not --count deliveries within --timeout.";

/// What `abide listen` takes.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Signing secret, `whsec_…` [default: a new one]
    #[arg(
        long,
        env = "ABIDE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: Option<String>,
    /// Events to receive (repeatable)
    #[arg(long, value_name = "EVENT", default_value = "job.*")]
    events: Vec<String>,
    /// URL at which the server reaches this listener [default: the address it listens on]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Don't register with the server
    #[arg(long)]
    no_register: bool,
    /// Forward each delivery to this handler, signed with the same secret, and acknowledge it once the handler did
    #[arg(long, value_name = "URL", visible_alias = "forward")]
    forward_to: Option<String>,
    /// Print a secret, that of --secret or a new one, and exit
    #[arg(long)]
    print_secret: bool,
    /// Exit after this many deliveries
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Exit after this long
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
}

/// A delivery, and where its sender waits to hear whether it was taken.
type Arrived = (Delivery, oneshot::Sender<bool>);

/// Receives webhooks, verifies them and writes them until it is interrupted.
pub(crate) fn run(common: &Common, args: &ListenArgs) -> anyhow::Result<ExitCode> {
    let named = |flag, text: &Option<String>| {
        text.as_deref()
            .map(|text| url::read(flag, text))
            .transpose()
    };
    let public_url = named("--public-url", &args.public_url)?;
    let forward_to = named("--forward-to", &args.forward_to)?;
    block_on(async {
        // Before the endpoint is registered, so that an interrupt leaves no registration behind.
        let mut signals = Signals::listen()?;
        let (arrivals, mut arrived) = mpsc::channel::<Arrived>(WAITING_MAX);
        let receiver = open(args, arrivals).await?;
        if args.print_secret {
            output::line(&receiver.secret().expose())?;
            return Ok(ExitCode::SUCCESS);
        }
        let url = public_url.map_or_else(|| receiver.url(), String::from);
        let http = Http::new(ANSWER_MAX);
        let (client, reach) = common.client_with_memory(None)?;
        let registered = if args.no_register {
            None
        } else {
            common.check_listening().await?;
            let new = NewEndpoint {
                url: url.clone(),
                events: Some(args.events.clone()),
                secret: Some(receiver.secret().expose().into()),
                description: Some("abide listen".to_owned()),
                // For a reader, a job's events come in the order in which they happened.
                ordered: Some(true),
            };
            let made = client.webhooks().create(&new).await;
            let id = made.map_err(|error| common.failure(&error))?.id;
            Some(Registered {
                webhooks: client.webhooks(),
                new,
                id: RefCell::new(id),
            })
        };
        let ends = match &registered {
            Some(registered) => {
                format!(", registered as {}; Ctrl-C ends both", registered.id())
            }
            None => String::new(),
        };
        output::say(&format!("abide: listening at {url}{ends}"));
        output::say(&format!("abide: secret {}", receiver.secret().expose()));
        let result = tokio::select! {
            result = receive(common, args.count, forward_to.as_ref(), &http, receiver.secret(), &mut arrived) => result.map(|()| exit::COMPLETED),
            () = signals.heard() => Ok(if args.count.is_some() { exit::INTERRUPTED } else { exit::COMPLETED }),
            never = stay(registered.as_ref(), common, &reach) => match never {},
            () = over(args.timeout) => Ok(if args.count.is_some() { exit::STILL_RUNNING } else { exit::COMPLETED }),
        };
        // What else has come is refused, and what was taken is answered; no sender is kept waiting for the rest.
        drop(arrived);
        let _late = tokio::time::timeout(CLOSING_MAX, receiver.close()).await;
        if let Some(registered) = registered {
            common.unregister(&client, &registered.id()).await;
        }
        Ok(ExitCode::from(result?))
    })
}

/// A listener that the server tells of events.
struct Registered {
    webhooks: Webhooks,
    new: NewEndpoint,
    /// The endpoint's.
    id: RefCell<String>,
}

impl Registered {
    fn id(&self) -> String {
        self.id.borrow().clone()
    }

    /// Registers again if the server has forgotten the listener, as one that keeps nothing does over a restart.
    async fn renew(&self) {
        let known = self.webhooks.read(&self.id()).await;
        if !known.is_err_and(|error| error.is_not_found()) {
            return;
        }
        // What is wrong with a create that fails is told by the next one that doesn't, or by the silence.
        if let Ok(made) = self.webhooks.create(&self.new).await {
            output::say(&format!(
                "abide: the server had forgotten this listener; registered again as {}",
                made.id
            ));
            self.id.replace(made.id);
        }
    }
}

/// Keeps a listener registered, and says when the server falls silent and when it is back.
async fn stay(registered: Option<&Registered>, common: &Common, reach: &Reach) -> Infallible {
    let Some(registered) = registered else {
        return std::future::pending().await;
    };
    let renew = async {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            registered.renew().await;
        }
    };
    tokio::select! {
        never = renew => never,
        // Patient, it never ends.
        _ = reach.tell(common, true, output::say) => std::future::pending().await,
    }
}

async fn open(args: &ListenArgs, arrivals: mpsc::Sender<Arrived>) -> anyhow::Result<Receiver> {
    let mut builder = Receiver::builder().on_delivery(move |delivery| {
        let arrivals = arrivals.clone();
        async move {
            let (done, is_done) = oneshot::channel();
            // Full means that it can't be taken now; the sender will bring it again.
            arrivals.try_send((delivery, done)).is_ok() && is_done.await.unwrap_or(false)
        }
    });
    if let Some(secret) = &args.secret {
        builder = builder.secret(secret::read(secret)?);
    }
    let receiver = builder.bind(args.listen).await;
    Ok(receiver.map_err(|error| Failure::new(UNREACHABLE, error.to_string()))?)
}

async fn receive(
    common: &Common,
    count: Option<u64>,
    forward_to: Option<&Url>,
    http: &Http,
    secret: &Secret,
    arrived: &mut mpsc::Receiver<Arrived>,
) -> anyhow::Result<()> {
    let mut taken = 0;
    while let Some((delivery, done)) = arrived.recv().await {
        let forwarded = match forward_to {
            None => None,
            Some(to) => Some(forward(http, to, secret, &delivery).await),
        };
        let is_taken = forwarded.as_ref().is_none_or(Forwarded::is_taken);
        write(common, &delivery, forwarded.as_ref())?;
        // The sender may have given up; then it comes again and is forwarded again, under the same id.
        let _gone = done.send(is_taken);
        taken += u64::from(is_taken);
        if count.is_some_and(|count| taken >= count) {
            break;
        }
    }
    Ok(())
}

/// A delivery in a line.
#[derive(Serialize)]
struct Line<'a> {
    body: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<&'a Forwarded>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

/// What came of forwarding a delivery.
#[derive(Debug, Serialize)]
struct Forwarded {
    /// What the handler answered; `null` where it didn't.
    status: Option<u16>,
    took_ms: u64,
    /// The beginning of its answer, or why there was none.
    answer: String,
}

impl Forwarded {
    fn is_taken(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

fn write(
    common: &Common,
    delivery: &Delivery,
    forwarded: Option<&Forwarded>,
) -> anyhow::Result<()> {
    if common.json {
        // As it came: its numbers keep their digits.
        let body = serde_json::from_slice(&delivery.body)
            .unwrap_or_else(|_| Json::from(Value::from(String::from_utf8_lossy(&delivery.body))));
        output::json(&Line {
            body,
            forwarded,
            id: &delivery.id,
            kind: &delivery.kind,
        })?;
        return Ok(());
    }
    let what = delivery.job().map_or_else(
        || show::plain(&String::from_utf8_lossy(&delivery.body)).into_owned(),
        |job| show::line(&job),
    );
    let kind = show::styled(show::DIM, format!("{:<13}", show::plain(&delivery.kind)));
    let mut line = format!("{kind}  {what}");
    if let Some(forwarded) = forwarded {
        let took = show::duration(Duration::from_millis(forwarded.took_ms));
        line.push_str(&match forwarded.status {
            Some(status) if forwarded.is_taken() => {
                show::styled(show::GOOD, format!("  → {status} in {took}"))
            }
            Some(status) => show::styled(
                show::BAD,
                format!("  → {status} in {took}: {}", show::plain(&forwarded.answer)),
            ),
            None => show::styled(show::BAD, format!("  → {}", show::plain(&forwarded.answer))),
        });
    }
    output::line(&line)?;
    Ok(())
}

async fn forward(http: &Http, to: &Url, secret: &Secret, delivery: &Delivery) -> Forwarded {
    let begun = webhook::now();
    let exchange = tokio::time::timeout(ANSWER_MAX, post(http, to, secret, delivery));
    let (status, answer) = match exchange.await {
        Ok(Ok((status, answer))) => (Some(status), answer),
        Ok(Err(error)) => (None, error.to_string()),
        Err(_elapsed) => (None, format!("no answer in {}", show::duration(ANSWER_MAX))),
    };
    Forwarded {
        status,
        took_ms: u64::try_from(webhook::now().since(begun).as_millis()).unwrap_or(u64::MAX),
        answer: answer.chars().take(ANSWER_CHARS_MAX).collect(),
    }
}

async fn post(
    http: &Http,
    to: &Url,
    secret: &Secret,
    delivery: &Delivery,
) -> anyhow::Result<(u16, String)> {
    let now = webhook::now();
    let request = Request::post(to.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(headers::WEBHOOK_ID, &delivery.id)
        .header(headers::WEBHOOK_TIMESTAMP, seconds_of(now).to_string())
        .header(
            headers::WEBHOOK_SIGNATURE,
            sign([secret], &delivery.id, now, &delivery.body),
        )
        .body(delivery.body.clone())?;
    let answer = http.send(request).await?;
    let status = answer.status().as_u16();
    // What it says beside is of interest where it refuses, and its loss changes nothing.
    let body = answer.into_body().collect(ANSWER_BYTES_MAX).await;
    let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    Ok((status, body))
}

async fn over(timeout: Option<Span>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout.get()).await,
        None => std::future::pending().await,
    }
}
