//! The configuration in use, and reloads, over HTTP.

use std::net::SocketAddr;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use holdover_config::Diagnostics;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AdminState;
use super::problem::Problem;
use crate::audit::Who;
use crate::reload::{Doubts, Report};

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What is in use, since when, by whom, and what was rejected since.
pub(super) async fn config(State(state): State<AdminState>) -> Result<Response, Problem> {
    let reloader = state.reloader.as_ref().ok_or_else(no_file)?;
    Ok(Json(&*reloader.status()).into_response())
}

/// How a reload is to be done.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct How {
    /// Say what would come of it, and apply nothing.
    dry_run: bool,
    /// Apply files that may be cut short.
    accept_fewer: bool,
}

/// Reads the configuration again. Returns when that is done.
pub(super) async fn reload(
    State(state): State<AdminState>,
    Extension(Peer(peer)): Extension<Peer>,
    how: Result<Query<How>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reloader = state.reloader.as_ref().ok_or_else(no_file)?;
    check_origin(&headers)?;
    let Query(how) = how.map_err(|error| {
        let status = StatusCode::BAD_REQUEST;
        let help = "use `dry_run=true` or `accept_fewer=true`, or nothing";
        Problem::new(status, error.body_text(), help)
    })?;
    let doubts = match how.accept_fewer {
        true => Doubts::Accepted,
        false => Doubts::Refused,
    };
    let report = match how.dry_run {
        true => reloader.try_out().await,
        false => reloader.reload_with(Who::Http { peer }, doubts).await,
    };
    let Some(report) = report else {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        if let Err(why) = reloader.troubles().of_reload() {
            let help = "its log says where the fault is";
            return Err(Problem::new(status, why, help));
        }
        let help = "the configuration is read at the next start";
        return Err(Problem::new(status, "the gateway is going down", help));
    };
    Ok(match report {
        Report::Applied {
            generation,
            hash,
            took,
        } => Json(json!({
            "result": if how.dry_run { "would apply" } else { "applied" },
            "generation": generation,
            "hash": hash.to_string(),
            "seconds": took.as_secs_f64(),
        }))
        .into_response(),
        Report::Unchanged { generation, hash } => Json(json!({
            "result": "unchanged",
            "generation": generation,
            "hash": hash.to_string(),
        }))
        .into_response(),
        Report::Failed { generation } => {
            let body = json!({
                "result": "failed",
                "generation": generation,
                "error": "a fault of the program ended the reload; what was in use goes on",
                "help": "its log says where; the next reload reads everything anew",
            });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
        Report::Rejected { generation, faults } => {
            let body = rejected(generation, &faults);
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    })
}

fn rejected(generation: u64, faults: &Diagnostics) -> Value {
    json!({
        "result": "rejected",
        "generation": generation,
        "error": format!("the configuration is at fault ({}); nothing changed", faults.summary()),
        "help": "`holdover check` shows the faults with their lines",
        "diagnostics": faults.to_json(),
    })
}

/// A page of another site can have a browser post here, but not as JSON: that the browser would ask about first, and be
/// refused.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_json = header(header::CONTENT_TYPE.as_str()).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a reload has to be asked for as JSON, so that no page of another site can ask for it",
            "curl -X POST -H 'Content-Type: application/json' …/v1/reload",
        ));
    }
    let is_foreign = match (
        header(header::ORIGIN.as_str()),
        header(header::HOST.as_str()),
    ) {
        (None, _) => false,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_none_or(|(_, own)| !own.eq_ignore_ascii_case(host)),
        (Some(_), None) => true,
    };
    if is_foreign {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a page of another site asks for a reload",
            "ask from this server's own address, or without a browser",
        ));
    }
    Ok(())
}

fn no_file() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "this gateway has no configuration file",
        "start it with `holdover run --config FILE`",
    )
}
