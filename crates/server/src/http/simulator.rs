//! The simulator's defaults and the clock, read and changed while the server runs.

use std::time::Duration;

use axum::Json as Respond;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};

use abide_engine::model::Defaults;
use abide_engine::{ChangeDefaults, SetDefaults, SetSeed};
use abide_wire::{Code, DurationLaw, Fault, OutcomePlan, Simulate, Span, Stage, Timestamp};

use super::access::Caller;
use super::error::ApiError;
use super::extract::Json;
use super::state::AppState;
use crate::scenario::Scenario;

/// How jobs are played that don't say it themselves.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SimulatorSettings)]
pub(super) struct Settings {
    /// The scenario that was put on last; what was changed since is in the other members.
    scenario: Option<String>,
    /// What decides every draw.
    seed: u64,
    duration: DurationLaw,
    outcome: OutcomePlan,
    stages: Vec<Stage>,
    faults: Vec<Fault>,
}

/// What to change. Whatever isn't named stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SimulatorChange)]
pub(super) struct SettingsChange {
    /// The name of a scenario, which replaces all of the members below before they are changed; `null` for none.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    scenario: Option<Option<String>>,
    /// Begins all luck anew with this seed.
    seed: Option<u64>,
    duration: Option<DurationLaw>,
    outcome: Option<OutcomePlan>,
    #[schema(max_items = 50)]
    stages: Option<Vec<Stage>>,
    #[schema(max_items = 50)]
    faults: Option<Vec<Fault>>,
}

/// What can be put on by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Scenarios {
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
    outcome: Option<OutcomePlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Vec<Stage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<Vec<Fault>>,
}

/// What time it is for the server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Clock {
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
pub(super) struct Advance {
    /// A number of seconds, or a span such as `"75h"`, up to 366 days.
    seconds: Span,
}

/// `GET /v1/simulator`
#[utoipa::path(
    get,
    path = "/v1/simulator",
    tag = "Simulator",
    operation_id = "readSimulator",
    summary = "Read the simulator's defaults",
    responses(
        (status = 200, description = "The defaults.", body = Settings)
    )
)]
pub(super) async fn read(State(state): State<AppState>, _: Caller) -> Respond<Settings> {
    Respond(settings(&state))
}

/// `PATCH /v1/simulator`
#[utoipa::path(
    patch,
    path = "/v1/simulator",
    tag = "Simulator",
    operation_id = "changeSimulator",
    summary = "Change the simulator's defaults",
    description = "What isn't named stays. It is carried out whole or not at all.",
    request_body(content = SettingsChange),
    responses(
        (status = 200, description = "The defaults as they are now.", body = Settings)
    )
)]
pub(super) async fn change(
    State(state): State<AppState>,
    _: Caller,
    Json(change): Json<SettingsChange>,
) -> Result<Respond<Settings>, ApiError> {
    let own = Simulate {
        duration: change.duration,
        outcome: change.outcome,
        stages: change.stages,
        faults: change.faults,
        key: None,
    };
    // Checked before anything is changed, so that a request is carried out whole or not at all.
    own.validate().map_err(ApiError::invalid_member)?;
    if let Some(name) = change.scenario {
        let defaults = scenario(&state, name.as_deref())?.with(&own);
        state.commands.ask(SetDefaults(defaults)).await?;
    } else if own != Simulate::default() {
        state.commands.ask(ChangeDefaults(own)).await?;
    }
    if let Some(seed) = change.seed {
        state.commands.ask(SetSeed(seed)).await?;
    }
    Ok(Respond(settings(&state)))
}

/// `GET /v1/simulator/scenarios`
#[utoipa::path(
    get,
    path = "/v1/simulator/scenarios",
    tag = "Simulator",
    operation_id = "listScenarios",
    summary = "List scenarios",
    responses(
        (status = 200, description = "What can be put on by name.", body = Scenarios)
    )
)]
pub(super) async fn scenarios(State(state): State<AppState>, _: Caller) -> Respond<Scenarios> {
    let configured = state.config.scenario.clone();
    let mut scenarios: Vec<_> = Scenario::built_in().chain(configured).collect();
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    scenarios.dedup_by(|a, b| a.name == b.name);
    let scenarios = scenarios.into_iter().map(|scenario| ScenarioShown {
        name: scenario.name,
        description: scenario.description,
        duration: scenario.simulate.duration,
        outcome: scenario.simulate.outcome,
        stages: scenario.simulate.stages,
        faults: scenario.simulate.faults,
    });
    Respond(Scenarios {
        scenarios: scenarios.collect(),
    })
}

/// `GET /v1/clock`
#[utoipa::path(
    get,
    path = "/v1/clock",
    tag = "Simulator",
    operation_id = "readClock",
    summary = "Read the server's clock",
    responses(
        (status = 200, description = "What time it is.", body = Clock)
    )
)]
pub(super) async fn clock(State(state): State<AppState>, _: Caller) -> Respond<Clock> {
    Respond(show_clock(&state))
}

/// `POST /v1/clock/advance`
#[utoipa::path(
    post,
    path = "/v1/clock/advance",
    tag = "Simulator",
    operation_id = "advanceClock",
    summary = "Advance the manual clock",
    description = "Everything that is due on the way happens, in order, before the answer.",
    request_body(content = Advance),
    responses(
        (status = 200, description = "What time it is now.", body = Clock),
        (status = 409, description = "The clock runs by itself.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn advance(
    State(state): State<AppState>,
    _: Caller,
    Json(advance): Json<Advance>,
) -> Result<Respond<Clock>, ApiError> {
    if !state.clock.is_manual() {
        return Err(
            ApiError::of(409, Code::CONFLICT, "The clock runs by itself")
                .detail("start the server with `--clock manual` to advance it by hand"),
        );
    }
    let by: Duration = advance.seconds.get();
    state.commands.advance(by).await?;
    Ok(Respond(show_clock(&state)))
}

fn settings(state: &AppState) -> Settings {
    let (defaults, luck) = state.board.settings();
    Settings {
        scenario: defaults.scenario.clone(),
        seed: luck.seed(),
        duration: defaults.duration.clone(),
        outcome: OutcomePlan {
            error_chance: Some(defaults.error_chance),
            error: defaults.error.clone(),
        },
        stages: defaults.stages.to_vec(),
        faults: defaults.faults.to_vec(),
    }
}

/// The defaults of that scenario, or of none: those of the configuration, its own scenario aside, with what the scenario says.
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
