//! Every command in one type, so that one process can have another carry it out.
//!
//! A node that doesn't lead sends an [`AnyCommand`] to the one that does. It is answered with the [`Key`](Answer::Key)
//! of the command's answer, and [reads](Answer::read) the answer from its own state, once that has come as far. The
//! JSON is between the nodes of one cluster alone; a golden file holds it, because nodes of two versions may meet.

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use crate::Json;

use crate::command::{Answer, Command, Refusal};
use crate::delivery::{
    ChangeEndpoint, CreateEndpoint, DeleteEndpoint, NamedSecret, ReplayDeliveries, ReportAttempt,
    RetryDelivery, RotateSecret, SetMasterSecret, Subscribe, TestEndpoint, Unsubscribe,
};
use crate::effect::Effect;
use crate::engine::Engine;
use crate::entry::Entries;
use crate::jobs::{
    Cancel, ChangeSimulator, Claim, Create, CreateAll, CreateDigested, Delete, PlayNamed, Report,
    Reset, SetSeed, Work,
};
use crate::meta::Configure;

macro_rules! commands {
    ($($command:ident: $($safe:expr)?),+ $(,)?) => {
        /// A command of any sort.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum AnyCommand {
            $(
                #[doc = concat!("A [`", stringify!($command), "`].")]
                $command(Box<$command>),
            )+
        }

        $(impl From<$command> for AnyCommand {
            fn from(command: $command) -> Self {
                Self::$command(Box::new(command))
            }
        })+

        impl AnyCommand {
            /// Decides the command and applies its entries. Returns what names the answer, for
            /// [`Answer::read`] by the process that asked.
            ///
            /// # Errors
            ///
            /// A [`Refusal`] says why. Then nothing has changed.
            pub fn carry_out(
                &self,
                engine: &mut Engine,
                now: Timestamp,
                entries: &mut Entries,
                effects: &mut Vec<Effect>,
            ) -> Result<Json, Refusal> {
                match self {
                    $(Self::$command(command) => {
                        named(engine, command.as_ref(), now, entries, effects)
                    })+
                }
            }

            /// Whether carrying the command out a second time changes nothing, or nothing else than the first time did.
            #[must_use]
            pub fn may_repeat(&self) -> bool {
                match self {
                    $(Self::$command(command) => {
                        let may: fn(&$command) -> bool = commands!(@may $($safe)?);
                        may(command)
                    })+
                }
            }
        }
    };
    (@may $safe:expr) => { $safe };
    (@may) => { |_| false };
}

commands! {
    CreateDigested: |asked| asked.create.idempotency_key.is_some(),
    CreateAll: |create| create.idempotency_key.is_some(),
    Cancel: |_| true,
    Delete: |_| true,
    Claim: |claim| claim.token.is_some(),
    Report: |report| report.if_match.is_some() || report.work == Work::Heartbeat,
    PlayNamed: |play| !play.is_new,
    ChangeSimulator: |change| change.seed.is_none(),
    SetSeed: ,
    Reset: ,
    Configure: |_| true,
    SetMasterSecret: |_| true,
    CreateEndpoint: ,
    ChangeEndpoint: |_| true,
    DeleteEndpoint: ,
    RotateSecret: ,
    NamedSecret: |_| true,
    TestEndpoint: ,
    RetryDelivery: ,
    ReplayDeliveries: ,
    ReportAttempt: |_| true,
    Subscribe: |_| true,
    Unsubscribe: |_| true,
}

impl From<Create> for AnyCommand {
    /// The digest is computed here, because the process that carries commands out does so for all others.
    fn from(create: Create) -> Self {
        CreateDigested::from(create).into()
    }
}

fn named<C: Command>(
    engine: &mut Engine,
    command: &C,
    now: Timestamp,
    entries: &mut Entries,
    effects: &mut Vec<Effect>,
) -> Result<Json, Refusal> {
    let key = engine.decide_and_apply(command, now, entries, effects)?;
    let key = serde_json::value::to_raw_value(&key).expect("a key is plain data");
    Ok(key.into())
}

/// Reads the answer of a command that another process carried out.
///
/// # Errors
///
/// A [`Refusal`] if it isn't there any more, or if the key is none of such an answer.
pub fn read<C: Command>(engine: &Engine, key: &Json) -> Result<C::Answer, Refusal> {
    let key = key
        .parse()
        .map_err(|error| Refusal::Invalid(format!("the leader answered oddly: {error}")))?;
    C::Answer::read(engine, key)
}
