//! The simulator's defaults and the clock, read and changed while the server runs.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use abide_engine::{ChangeSimulator, Defaults, Reset};
use abide_wire::{Code, DurationLaw, Fault, OutcomePlan, Simulate, Span, Stage, Timestamp};

use super::answer::{Outcome, empty};
use super::call::Call;
use super::described::{Request, Response};
use super::door::Door;
use super::error::{ApiError, soon};
use super::json;
use super::route::Row;
use super::state::AppState;
use crate::config::JobStart;
use crate::scenario::Scenario;

/// How jobs are played that don't say it themselves.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SimulatorSettings)]
struct Settings {
    /// The scenario that was put on last; what was changed since is in the other members.
    scenario: Option<String>,
    /// What decides every draw.
    seed: u64,
    duration: DurationLaw,
    /// How long jobs wait before they begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<DurationLaw>,
    outcome: OutcomePlan,
    stages: Vec<Stage>,
    faults: Vec<Fault>,
}

/// What to change. Whatever isn't named stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SimulatorChange)]
struct SettingsChange {
    /// The name of a scenario, which replaces all of the members below before they are changed; `null` for none.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    scenario: Option<Option<String>>,
    /// The new seed of all random draws.
    seed: Option<u64>,
    duration: Option<DurationLaw>,
    queue: Option<DurationLaw>,
    outcome: Option<OutcomePlan>,
    #[schema(max_items = 50)]
    stages: Option<Vec<Stage>>,
    #[schema(max_items = 50)]
    faults: Option<Vec<Fault>>,
}

/// The scenarios, which are started by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Scenarios {
    scenarios: Vec<ScenarioShown>,
}

/// The simulator's defaults under a name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Scenario)]
struct ScenarioShown {
    name: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<DurationLaw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<DurationLaw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomePlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Vec<Stage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<Vec<Fault>>,
}

/// What time it is for the server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Clock {
    now: Timestamp,
    /// `real`, `scaled` or `manual`.
    sort: &'static str,
    /// How many times faster than real time it runs; 0 where it stands still.
    speed: u32,
}

/// How far to advance the manual clock.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClockAdvance)]
struct Advance {
    /// A number of seconds, or a span such as `"75h"`, up to 366 days.
    seconds: Span,
}

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row::get("/v1/simulator", read)
        .door(Door::Operator)
        .about(
            "Simulator",
            "readSimulator",
            "Read the simulator's defaults",
        )
        .answers(&[Response::json::<Settings>(200, "The defaults.")]),
    Row::patch("/v1/simulator", change)
        .door(Door::Operator)
        .about(
            "Simulator",
            "changeSimulator",
            "Change the simulator's defaults",
        )
        .text("What isn't named stays. It is carried out whole or not at all.")
        .body(Request::json::<SettingsChange>())
        .answers(&[Response::json::<Settings>(
            200,
            "The defaults as they are now.",
        )]),
    Row::get("/v1/simulator/scenarios", scenarios)
        .door(Door::Operator)
        .about("Simulator", "listScenarios", "List scenarios")
        .answers(&[Response::json::<Scenarios>(
            200,
            "The scenarios.",
        )]),
    Row::get("/v1/clock", clock)
        .door(Door::Operator)
        .about("Simulator", "readClock", "Read the server's clock")
        .answers(&[Response::json::<Clock>(200, "What time it is.")]),
    Row::post("/v1/clock/advance", advance)
        .door(Door::Operator)
        .about("Simulator", "advanceClock", "Advance the manual clock")
        .text("Everything that is due on the way happens, in order, before the answer.")
        .body(Request::json::<Advance>())
        .answers(&[
            Response::json::<Clock>(200, "What time it is now."),
            Response::problem(409, "The clock runs by itself."),
        ]),
    Row::post("/v1/reset", reset)
        .door(Door::Operator)
        .about("Simulator", "reset", "Forget everything")
        .text("For test suites, between two tests: all jobs, webhooks and deliveries, the report, what was learned and \
            what was changed of the simulator are gone. The clock stays. Only with `--ephemeral` or `--clock manual`.")
        .answers(&[
            Response::empty(204, "The server is as after its start."),
            Response::problem(409, "The server keeps its jobs, and its clock runs by itself."),
        ]),
];

/// `GET /v1/simulator`
fn read(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    Ok(json::ok(&settings(state)).into())
}

/// `PATCH /v1/simulator`
fn change(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let change: SettingsChange = call.json()?;
    let own = Simulate {
        duration: change.duration,
        queue: change.queue,
        outcome: change.outcome,
        stages: change.stages,
        faults: change.faults,
        key: None,
    };
    let scenario = change.scenario.map(|name| scenario(state, name.as_deref()));
    let change = ChangeSimulator {
        scenario: scenario.transpose()?,
        change: own,
        seed: change.seed,
    };
    state.ask(change, |state, ()| Ok(json::ok(&settings(state))))
}

/// `GET /v1/simulator/scenarios`
fn scenarios(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    let configured = state.config.scenario.clone();
    let mut scenarios: Vec<_> = Scenario::built_in().chain(configured).collect();
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    scenarios.dedup_by(|a, b| a.name == b.name);
    let scenarios = scenarios.into_iter().map(|scenario| ScenarioShown {
        name: scenario.name,
        description: scenario.description,
        duration: scenario.simulate.duration,
        queue: scenario.simulate.queue,
        outcome: scenario.simulate.outcome,
        stages: scenario.simulate.stages,
        faults: scenario.simulate.faults,
    });
    let scenarios = Scenarios {
        scenarios: scenarios.collect(),
    };
    Ok(json::ok(&scenarios).into())
}

/// `GET /v1/clock`
fn clock(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    Ok(json::ok(&show_clock(state)).into())
}

/// `POST /v1/clock/advance`
fn advance(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let advance: Advance = call.json()?;
    if !state.clock.is_manual() {
        return Err(
            ApiError::of(409, Code::CONFLICT, "The clock runs by itself")
                .detail("start the server with `--clock manual` to advance it by hand"),
        );
    }
    let by: Duration = advance.seconds.get();
    let state = state.clone();
    soon(async move {
        state.commands.advance(by).await?;
        Ok(json::ok(&show_clock(&state)))
    })
}

/// `POST /v1/reset`
fn reset(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    if !state.config.ephemeral && !state.clock.is_manual() {
        return Err(
            ApiError::of(409, Code::CONFLICT, "This server's jobs are kept").detail(
                "start it with `--ephemeral` or `--clock manual` to be able to forget everything",
            ),
        );
    }
    let reset = Reset {
        defaults: state.config.defaults(),
        seed: state.config.seed,
        default_job: (state.config.default_job_start == JobStart::Boot)
            .then(|| state.config.default_job(true)),
    };
    state.ask(reset, |state, ()| {
        state.forget_clients();
        Ok(empty(StatusCode::NO_CONTENT))
    })
}

fn settings(state: &AppState) -> Settings {
    let (defaults, rng) = state.board.settings();
    Settings {
        scenario: defaults.scenario.clone(),
        seed: rng.seed(),
        duration: defaults.duration.clone(),
        queue: defaults.queue.clone(),
        outcome: OutcomePlan {
            error_chance: Some(defaults.error_chance),
            error: defaults.error.clone(),
        },
        stages: defaults.stages.to_vec(),
        faults: defaults.faults.to_vec(),
    }
}

/// The defaults of that scenario, or of none: those of the configuration, its own scenario aside, with what the
/// scenario says.
fn scenario(state: &AppState, name: Option<&str>) -> Result<Defaults, ApiError> {
    let mut config = state.config.as_ref().clone();
    let configured = config.scenario.take();
    let bare = config.defaults();
    let Some(name) = name else {
        return Ok(bare);
    };
    let scenario = configured
        .filter(|scenario| scenario.name == name)
        .or_else(|| Scenario::named(name))
        .ok_or_else(|| {
            ApiError::invalid_member(
                "`scenario`: there is none of that name; `GET /v1/simulator/scenarios` lists them",
            )
        })?;
    Ok(Defaults {
        scenario: Some(scenario.name),
        ..bare.with(&scenario.simulate)
    })
}

fn show_clock(state: &AppState) -> Clock {
    let speed = state.clock.speed();
    Clock {
        now: state.clock.now(),
        sort: match speed {
            None => "manual",
            Some(1) => "real",
            Some(_) => "scaled",
        },
        speed: speed.unwrap_or(0),
    }
}

/// Tells `null` from a member that isn't there.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
