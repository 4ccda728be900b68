//! Why something is decided as it is, over HTTP.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, State};
use axum::http::StatusCode;
use jiff::Timestamp;

use super::AdminState;
use super::problem::Problem;
use crate::routing::explain::{Explanation, Words};

const HELP: &str = "ask for one user: `/v1/explain?user=ann@contoso.com`, and if wanted `room`, `act`, `client`, `from_ip`, `listener` and \
                    `at`; write `%2B` for `+`, `%26` for `&` and `%25` for `%`";

/// Decides as sessions do, by what is in use now.
pub(super) async fn explain(
    State(state): State<AdminState>,
    words: Result<QueryString<Words>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    let QueryString(words) = words
        .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text(), HELP))?;
    let asked = words
        .read(Timestamp::now())
        .map_err(|bad| Problem::new(StatusCode::BAD_REQUEST, bad.to_string(), bad.help))?;
    Ok(Json(state.router.current().explain(&asked)))
}
