//! The lookup service over HTTP.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use holdover_protocol::room::RoomUri;
use serde::{Deserialize, Serialize};

use super::AdminState;
use super::problem::Problem;
use crate::directory::{Answer, Explanation, Query};

const HELP: &str = "ask for one room: `/v1/rooms?legacy=ma-chan://contoso.com/value` or \
                    `/v1/rooms?migrated=…`, with `%2B` for `+`, `%26` for `&` and `%25` for `%` in the value";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    legacy: Option<String>,
    migrated: Option<String>,
}

/// An explanation that found nothing, with what a problem has.
#[derive(Serialize)]
struct Unlisted {
    error: &'static str,
    help: &'static str,
    #[serde(flatten)]
    explanation: Explanation,
}

pub(super) async fn rooms(
    State(state): State<AdminState>,
    parameters: Result<QueryString<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let QueryString(parameters) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let routing = state.router.current();
    let explanation = routing
        .directory
        .explain(&query(parameters)?, routing.generation);
    Ok(match explanation.answer {
        Answer::Listed | Answer::SameId => Json(explanation).into_response(),
        Answer::Unlisted => {
            let body = Unlisted {
                error: "the directory does not list this room",
                help: "check the spelling: values are compared exactly",
                explanation,
            };
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    })
}

fn query(parameters: Parameters) -> Result<Query, Problem> {
    let room = |text: String| {
        text.parse::<RoomUri>()
            .map_err(|error| bad(format!("this is not a room's identifier: {error}")))
    };
    match (parameters.legacy, parameters.migrated) {
        (Some(legacy), None) => room(legacy).map(Query::Legacy),
        (None, Some(migrated)) => room(migrated).map(Query::Migrated),
        (None, None) => Err(bad("no room is asked for")),
        (Some(_), Some(_)) => Err(bad("both `legacy` and `migrated` are given")),
    }
}

fn bad(error: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error, HELP)
}
