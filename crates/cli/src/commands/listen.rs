//! `abide listen`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use ::url::Url;
use abide::webhook::{self, Delivery, Secret, seconds_of, sign};
use abide::webhooks::NewEndpoint;
use abide::{Http, Receiver, Transport as _};
use abide_wire::{Span, headers};
use anyhow::Context as _;
use clap::Args;
use http::{Request, header};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::connect::{Common, block_on};
use crate::exit::{self, Failure, UNREACHABLE};
use crate::interrupt::Signals;
use crate::{output, show, url};

/// How long the server, and the handler that deliveries are forwarded to, may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long the last answers may take to leave.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// The most deliveries that wait to be written or forwarded; the sender repeats what finds no place.
const WAITING_MAX: usize = 256;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide listen                                       every event of the server's jobs, until Ctrl-C
  abide listen --events job.failed --json | jq .body.data.error
  abide listen --forward http://127.0.0.1:3000/hook  to a handler in the making
  abide listen --no-register --secret whsec_...      for a sender that knows the address

Exit codes: 0 ended as asked, 3 refused or unreachable, 4 not --count deliveries within --timeout.";

/// What `abide listen` takes.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The secret to believe, `whsec_…` [default: a new one]
    #[arg(
        long,
        env = "ABIDE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: Option<String>,
    /// Which events to ask the server for; may be repeated
    #[arg(long, value_name = "EVENT", default_value = "job.*")]
    events: Vec<String>,
    /// The address by which the server reaches this machine [default: the one that is listened at]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Only listens, without registering an endpoint
    #[arg(long)]
    no_register: bool,
    /// Passes each delivery on, signed anew with the same secret, and acknowledges it only once that was
    #[arg(long, value_name = "URL")]
    forward: Option<String>,
    /// Ends after so many deliveries
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Ends after so long
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
    let forward_to = named("--forward", &args.forward)?;
    block_on(async {
        // Before the endpoint is registered, so that an interrupt leaves no registration behind.
        let mut signals = Signals::listen()?;
        let (arrivals, mut arrived) = mpsc::channel::<Arrived>(WAITING_MAX);
        let receiver = open(args, arrivals).await?;
        let url = public_url.map_or_else(|| receiver.url(), String::from);
        let http = Http::new(ANSWER_MAX);
        let client = common.client()?;
        let registered = if args.no_register {
            None
        } else {
            common.check_listening().await?;
            // It finds what is wrong with the key.
            common.client()?;
            let new = NewEndpoint {
                url: url.clone(),
                events: Some(args.events.clone()),
                secret: Some(receiver.secret().expose()),
                description: Some("abide listen".to_owned()),
                // For a reader, a job's events come in the order in which they happened.
                ordered: Some(true),
            };
            let made = client.webhooks().create(&new).await;
            Some(made.map_err(|error| common.failure(&error))?.id)
        };
        match &registered {
            Some(id) => output::say(&format!(
                "abide: listening at {url}, registered as {id}; Ctrl-C ends both"
            )),
            // The secret is told only where nobody else can: the server has been told it.
            None => output::say(&format!(
                "abide: listening at {url}, secret {}",
                receiver.secret().expose()
            )),
        }
        let result = tokio::select! {
            result = receive(common, args.count, forward_to.as_ref(), &http, receiver.secret(), &mut arrived) => result.map(|()| exit::COMPLETED),
            () = signals.heard() => Ok(if args.count.is_some() { exit::INTERRUPTED } else { exit::COMPLETED }),
            () = over(args.timeout) => Ok(if args.count.is_some() { exit::STILL_RUNNING } else { exit::COMPLETED }),
        };
        // What else has come is refused, and what was taken is answered; no sender is kept waiting for the rest.
        drop(arrived);
        let _late = tokio::time::timeout(CLOSING_MAX, receiver.close()).await;
        if let Some(id) = registered {
            common.unregister(&client, &id).await;
        }
        Ok(ExitCode::from(result?))
    })
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
        let secret: Secret = secret
            .trim()
            .parse()
            .map_err(|error| Failure::new(exit::USAGE, format!("--secret: {error}")))?;
        builder = builder.secret(secret);
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
        let is_taken = match forward_to {
            None => true,
            Some(to) => match forward(http, to, secret, &delivery).await {
                Ok(()) => true,
                Err(error) => {
                    output::say(&format!(
                        "abide: {} was not forwarded: {error:#}",
                        delivery.id
                    ));
                    false
                }
            },
        };
        if is_taken {
            write(common, &delivery)?;
        }
        // The sender may have given up; then it comes again and is forwarded again, under the same id.
        let _gone = done.send(is_taken);
        taken += u64::from(is_taken);
        if count.is_some_and(|count| taken >= count) {
            break;
        }
    }
    Ok(())
}

fn write(common: &Common, delivery: &Delivery) -> anyhow::Result<()> {
    if common.json {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_else(|_| {
            Value::String(String::from_utf8_lossy(&delivery.body).into_owned())
        });
        output::json(&json!({"id": delivery.id, "type": delivery.kind, "body": body}))?;
        return Ok(());
    }
    let what = delivery.job().map_or_else(
        || show::plain(&String::from_utf8_lossy(&delivery.body)).into_owned(),
        |job| show::line(&job),
    );
    let kind = show::styled(show::DIM, format!("{:<13}", show::plain(&delivery.kind)));
    output::line(&format!("{kind}  {what}"))?;
    Ok(())
}

async fn forward(
    http: &Http,
    to: &Url,
    secret: &Secret,
    delivery: &Delivery,
) -> anyhow::Result<()> {
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
    let answer = tokio::time::timeout(ANSWER_MAX, http.send(request))
        .await
        .context("no answer in time")??;
    anyhow::ensure!(
        answer.status().is_success(),
        "it was answered {}",
        answer.status().as_u16()
    );
    Ok(())
}

async fn over(timeout: Option<Span>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout.get()).await,
        None => std::future::pending().await,
    }
}
