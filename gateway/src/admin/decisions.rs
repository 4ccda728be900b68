//! The last decisions, over HTTP.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use serde::Deserialize;

use super::AdminState;
use super::problem::Problem;
use crate::decision_log::{DecisionList, Filter, Shown};

/// How many decisions are shown if nobody says.
const LIMIT: usize = 100;

const HELP: &str = "ask for the last ones: `/v1/decisions`, if wanted with `user=ann@contoso.com`, `room=ma-chan://contoso.com/value` \
                    and `limit=100`";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    user: Option<String>,
    room: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn decisions(
    State(state): State<AdminState>,
    parameters: Result<QueryString<Parameters>, QueryRejection>,
) -> Result<Json<DecisionList>, Problem> {
    let QueryString(parameters) = parameters.map_err(|rejection| bad(rejection.body_text()))?;
    let user = parameters.user.as_deref().map(UserUri::parse).transpose();
    let room = parameters.room.as_deref().map(str::parse::<RoomUri>);
    let filter = Filter {
        user: user.map_err(|error| bad(format!("`user`: {error}")))?,
        room: room
            .transpose()
            .map_err(|error| bad(format!("`room`: {error}")))?,
    };
    let found = state
        .decided
        .last(&filter, parameters.limit.unwrap_or(LIMIT));
    let decisions = found.iter().map(|record| Shown::from(&**record)).collect();
    Ok(Json(DecisionList { decisions }))
}

fn bad(error: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error, HELP)
}
