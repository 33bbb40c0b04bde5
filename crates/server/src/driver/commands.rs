//! Commands on their way to the loop and back.

use std::fmt;
use std::marker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use abide_engine::{AnyCommand, Command, Engine, Json, Refusal, any};
use abide_wire::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::run::Batch;
use crate::clock::Clock;

/// The most commands that may wait for the loop, whatever its pace.
pub(super) const COMMANDS_MAX: usize = 65_536;
/// How many requests that change something there may be before the pace of the loop is known.
const PLACES_AT_FIRST: usize = 8_192;

/// The door to the loop. Clones are doors too; when the last one is dropped the loop writes what is left and ends.
#[derive(Clone, Debug)]
pub struct Commands {
    sender: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// What all doors know.
#[derive(Debug)]
struct Shared {
    /// Set while the journal can't write.
    failing: Arc<AtomicBool>,
    places: Arc<AtomicUsize>,
    clock: Clock,
}

/// What comes to the loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// To carry out a command.
    Command(Box<dyn Asked>),
    /// To advance the manual clock.
    Advance(Duration, oneshot::Sender<Result<Timestamp, Failure>>),
    /// To say when the board shows all that any node had acknowledged before this was asked.
    CatchUp(oneshot::Sender<Result<(), Failure>>),
}

/// A command on its way through the loop: asked, carried out, and answered once its entries are durable.
pub(crate) trait Asked: fmt::Debug + marker::Send {
    /// Since when it waits, by the machine's time.
    fn since(&self) -> Duration;
    /// Decides and applies it. The answer is kept for [`Asked::reply`].
    fn carry_out(&mut self, engine: &mut Engine, now: Timestamp, batch: &mut Batch);
    /// The command, for another process to carry it out, and whether it may be sent again where its outcome is unknown.
    fn text(&self) -> (CommandText, bool);
    /// Takes what another process answered. The answer is kept for [`Asked::reply`].
    fn carried_out(&mut self, engine: &Engine, key: Json);
    /// Tells the caller what came of it, or that failure.
    fn reply(self: Box<Self>, failure: Option<Failure>);
}

#[derive(Debug)]
struct Ask<C: Command, K> {
    command: C,
    since: Duration,
    answer: Result<C::Answer, Failure>,
    reply: oneshot::Sender<Result<C::Answer, Failure>>,
    /// What is kept until the command has been answered.
    _kept: K,
}

impl<C: Command, K: fmt::Debug + marker::Send> Asked for Ask<C, K> {
    fn since(&self) -> Duration {
        self.since
    }

    fn carry_out(&mut self, engine: &mut Engine, now: Timestamp, batch: &mut Batch) {
        let (entries, effects) = (&mut batch.entries, &mut batch.effects);
        let answer = engine.carry_out(&self.command, now, entries, effects);
        self.answer = answer.map_err(Failure::from);
    }

    fn text(&self) -> (CommandText, bool) {
        let command: AnyCommand = self.command.clone().into();
        (CommandText::from(&command), command.may_repeat())
    }

    fn carried_out(&mut self, engine: &Engine, key: Json) {
        self.answer = any::read::<C>(engine, &key).map_err(Failure::from);
    }

    fn reply(self: Box<Self>, failure: Option<Failure>) {
        // The caller may have gone; that is no reason to do anything else.
        let _gone = self.reply.send(failure.map_or(self.answer, Err));
    }
}

/// A command as one process sends it to another: the JSON of an [`AnyCommand`], which is read when it is carried out.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandText(pub(crate) Bytes);

impl From<&AnyCommand> for CommandText {
    fn from(command: &AnyCommand) -> Self {
        let text = serde_json::to_vec(command).expect("a command is plain data");
        Self(text.into())
    }
}

impl CommandText {
    /// The command.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] if this program knows no such command: a newer one may have sent it.
    pub fn read(&self) -> Result<AnyCommand, Refusal> {
        let unknown = |error| format!("the leader doesn't know this command: {error}");
        serde_json::from_slice(&self.0).map_err(|error| Refusal::Invalid(unknown(error)))
    }
}

impl fmt::Debug for CommandText {
    // It may have secrets in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandText({} bytes)", self.0.len())
    }
}

/// A command that another process asks for. It is answered with what names the answer.
#[derive(Debug)]
struct AskedElsewhere {
    id: u64,
    command: CommandText,
    since: Duration,
    key: Result<Json, Failure>,
    reply: mpsc::UnboundedSender<AnsweredElsewhere>,
}

/// What names the answer of a command that another process asks for, or why there is none, under that process's number
/// of it.
pub(crate) type AnsweredElsewhere = (u64, Result<Json, Failure>);

impl Asked for AskedElsewhere {
    fn since(&self) -> Duration {
        self.since
    }

    fn carry_out(&mut self, engine: &mut Engine, now: Timestamp, batch: &mut Batch) {
        let (entries, effects) = (&mut batch.entries, &mut batch.effects);
        // It is let go of before the next one is read.
        let key = self.command.read();
        let key = key.and_then(|command| command.carry_out(engine, now, entries, effects));
        self.key = key.map_err(Failure::from);
    }

    fn text(&self) -> (CommandText, bool) {
        let may_repeat = self
            .command
            .read()
            .is_ok_and(|command| command.may_repeat());
        (self.command.clone(), may_repeat)
    }

    fn carried_out(&mut self, _: &Engine, key: Json) {
        self.key = Ok(key);
    }

    fn reply(self: Box<Self>, failure: Option<Failure>) {
        let _gone = self.reply.send((self.id, failure.map_or(self.key, Err)));
    }
}

/// A door to the loop that doesn't keep it open.
#[derive(Clone, Debug)]
pub struct WeakCommands {
    sender: mpsc::WeakSender<Request>,
    shared: Arc<Shared>,
}

impl WeakCommands {
    /// The door, unless the last one has been dropped.
    #[must_use]
    pub fn upgrade(&self) -> Option<Commands> {
        let sender = self.sender.upgrade()?;
        let shared = self.shared.clone();
        Some(Commands { sender, shared })
    }

    /// See [`Commands::places`].
    #[must_use]
    pub fn places(&self) -> Arc<AtomicUsize> {
        self.shared.places.clone()
    }
}

/// Why a command came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The engine refused it. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal can't write. The command may have been taken and may be carried out once the journal can; asking
    /// again under the same idempotency key is safe.
    #[error("the server can't write at the moment; nothing that was acknowledged is lost")]
    Storage,
    /// Too many commands wait already. Nothing has changed.
    #[error("the server has more to do than it can at the moment")]
    Overloaded,
    /// No node of the cluster leads at the moment, or this one can't reach it. Nothing has changed.
    #[error(
        "no node of the cluster leads at the moment, or this one can't reach the one that does"
    )]
    NoLeader,
    /// The loop has ended.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Request {
    /// A command whose answer isn't waited for.
    pub(crate) fn of<C: Command>(command: C, since: Duration) -> Self {
        let (reply, _) = oneshot::channel();
        Self::Command(Box::new(Ask {
            command,
            since,
            answer: Err(Failure::ShuttingDown),
            reply,
            _kept: (),
        }))
    }
}

impl Commands {
    /// The door, and the loop's end of it. `failing` is set while the journal can't write.
    pub(super) fn open(failing: Arc<AtomicBool>, clock: Clock) -> (Self, mpsc::Receiver<Request>) {
        let (sender, requests) = mpsc::channel(COMMANDS_MAX);
        let shared = Arc::new(Shared {
            failing,
            places: Arc::new(AtomicUsize::new(PLACES_AT_FIRST)),
            clock,
        });
        (Self { sender, shared }, requests)
    }

    /// Runs the command and returns once its entries are durable.
    ///
    /// # Errors
    ///
    /// A [`Failure`]: the command was refused, or the loop can't carry it out.
    ///
    /// # Cancel safety
    ///
    /// The command is on its way when this returns; dropping the future drops the answer alone.
    pub fn ask<C: Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<C::Answer, Failure>> + marker::Send + use<C> {
        self.ask_keeping(command, ())
    }

    /// The same, and keeps that until the command has been carried out, whether or not its caller still waits.
    pub(crate) fn ask_keeping<C: Command, K: fmt::Debug + marker::Send + 'static>(
        &self,
        command: C,
        kept: K,
    ) -> impl Future<Output = Result<C::Answer, Failure>> + marker::Send + use<C, K> {
        let since = self.shared.clock.elapsed();
        self.asked(move |reply| {
            Request::Command(Box::new(Ask {
                command,
                since,
                answer: Err(Failure::ShuttingDown),
                reply,
                _kept: kept,
            }))
        })
    }

    /// The same for a command that another process asks for. Its answer goes to that channel, with many others'; none
    /// comes if the loop ends before.
    pub(crate) fn ask_elsewhere(
        &self,
        id: u64,
        command: CommandText,
        answers: &mpsc::UnboundedSender<AnsweredElsewhere>,
    ) {
        let asked = AskedElsewhere {
            id,
            command,
            since: self.shared.clock.elapsed(),
            key: Err(Failure::ShuttingDown),
            reply: answers.clone(),
        };
        if let Err(failure) = self.send(Request::Command(Box::new(asked))) {
            let _gone = answers.send((id, Err(failure)));
        }
    }

    /// Returns once the board shows all that any node of the cluster had acknowledged before this was called.
    ///
    /// # Errors
    ///
    /// [`Failure::NoLeader`] or that the loop has ended.
    pub(crate) fn catch_up(
        &self,
    ) -> impl Future<Output = Result<(), Failure>> + marker::Send + use<> {
        self.asked(Request::CatchUp)
    }

    /// A door that doesn't keep the loop from ending.
    #[must_use]
    pub fn downgrade(&self) -> WeakCommands {
        WeakCommands {
            sender: self.sender.downgrade(),
            shared: self.shared.clone(),
        }
    }

    /// How many requests that change something there may be at the same time, so that none waits for long: the loop
    /// sets it by its pace.
    #[must_use]
    pub fn places(&self) -> Arc<AtomicUsize> {
        self.shared.places.clone()
    }

    /// Advances the manual clock, from deadline to deadline. Returns what it shows once everything that was due on the
    /// way is durable.
    ///
    /// # Errors
    ///
    /// The loop has ended, has too much to do, or can't write at the moment.
    pub async fn advance(&self, by: Duration) -> Result<Timestamp, Failure> {
        self.asked(move |reply| Request::Advance(by, reply)).await
    }

    /// How many commands wait for the loop.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Why a command would come to nothing at the moment, if it would.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if self.sender.is_closed() {
            Some(Failure::ShuttingDown)
        } else if self.shared.failing.load(Ordering::Relaxed) {
            Some(Failure::Storage)
        } else {
            None
        }
    }

    /// Sends the request with one end of a channel, at once, and waits for what comes out of the other.
    fn asked<T, F: FnOnce(oneshot::Sender<Result<T, Failure>>) -> Request>(
        &self,
        request: F,
    ) -> impl Future<Output = Result<T, Failure>> + use<T, F> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(request(reply));
        async move {
            sent?;
            answer.await.unwrap_or(Err(Failure::ShuttingDown))
        }
    }

    fn send(&self, request: Request) -> Result<(), Failure> {
        self.sender.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Failure::ShuttingDown,
        })
    }
}
