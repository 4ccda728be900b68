//! The admin server: health, metrics and the lookup service over HTTP.
//!
//! One request per connection and a time limit on each: whoever asks slowly, or not at all, costs little. It runs on threads
//! of its own, and answers probes first.

mod config;
mod decisions;
mod explain;
mod host;
mod problem;
mod readiness;
mod rooms;
mod server;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

pub use host::Hosts;
pub use readiness::{Condition, Named, Readiness, Status};
pub use server::AdminServer;

use crate::decision_log::DecisionLog;
use crate::pool::Pools;
use crate::reload::Reloader;
use crate::routing;
use crate::shadow::ShadowReport;
use crate::telemetry::events::admin::AdminRoute;
use crate::telemetry::{Format, Telemetry};
use problem::Problem;

/// Path, what it answers, and its label.
const ENDPOINTS: &[(&str, &str, AdminRoute)] = &[
    ("/", "this page", AdminRoute::Index),
    (
        "/healthz",
        "200 while the process lives",
        AdminRoute::Healthz,
    ),
    (
        "/readyz",
        "200 while new clients are taken, else 503; names what is missing",
        AdminRoute::Readyz,
    ),
    ("/metrics", "metrics for Prometheus", AdminRoute::Metrics),
    (
        "/v1/rooms",
        "the lookup service: <code>?legacy=</code> or <code>?migrated=</code> and a room's identifier",
        AdminRoute::Rooms,
    ),
    (
        "/v1/explain",
        "what is decided for a user, and why: <code>?user=</code> and if wanted <code>room</code>, <code>act</code>, \
         <code>client</code>, <code>from_ip</code>, <code>listener</code>, <code>at</code>",
        AdminRoute::Explain,
    ),
    (
        "/v1/decisions",
        "the last decisions, of a <code>?user=</code> or in a <code>?room=</code>, at most <code>limit</code>",
        AdminRoute::Decisions,
    ),
    (
        "/v1/config",
        "the configuration in use, since when, by whom, and what was rejected since",
        AdminRoute::Config,
    ),
    (
        "/v1/reload",
        "POST as JSON: reads the configuration again and takes it into use, if it is right",
        AdminRoute::Reload,
    ),
    (
        "/v1/pools",
        "the pools, and how their servers are",
        AdminRoute::Pools,
    ),
    (
        "/v1/shadow",
        "what rules with <code>shadow</code> found: how often two pools answered alike, and the last differences",
        AdminRoute::Shadow,
    ),
];

/// What the admin server tells about.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// The names under which the server is asked.
    pub hosts: Hosts,
    /// Counters, and where requests are told.
    pub telemetry: Telemetry,
    /// Whether the gateway takes clients.
    pub readiness: Readiness,
    /// The lookup service.
    pub router: Arc<routing::Router>,
    /// The pools.
    pub pools: Arc<Pools>,
    /// Reads the configuration again; none without a file.
    pub reloader: Option<Reloader>,
    /// What came of asking second pools.
    pub shadow: Arc<ShadowReport>,
    /// The last decisions.
    pub decided: Arc<DecisionLog>,
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/v1/shadow", get(shadow))
        .route("/metrics", get(metrics))
        .route("/v1/config", get(config::config))
        .route(
            "/v1/reload",
            post(config::reload).fallback(async || {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Problem::new(status, "a reload changes something", "use POST")
            }),
        )
        .route("/v1/rooms", get(rooms::rooms))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/decisions", get(decisions::decisions))
        .route("/v1/pools", get(pools))
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing here",
                "`/` lists what there is",
            )
        })
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(status, "this can only be read", "use GET")
        })
        .with_state(state)
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let status = state.readiness.status();
    let code = if status.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(status)).into_response()
}

async fn pools(State(state): State<AdminState>) -> impl IntoResponse {
    Json(state.pools.states())
}

async fn shadow(State(state): State<AdminState>) -> impl IntoResponse {
    /// More than people read, and less than would be in the way.
    const DIFFERENCES: usize = 100;
    Json(state.shadow.summary(DIFFERENCES))
}

async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get_all(header::ACCEPT).iter();
    let format = Format::accepted(accept.filter_map(|accept| accept.to_str().ok()));
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, header::ACCEPT.as_str()),
    ];
    (headers, state.telemetry.exposition_as(format))
}

async fn index() -> impl IntoResponse {
    const HEADERS: [(HeaderName, &str); 2] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut rows = String::new();
    for (path, what, _) in ENDPOINTS {
        // Writing to a `String` cannot fail.
        let _written = write!(
            rows,
            "<tr><td><a href=\"{path}\"><code>{path}</code></a><td>{what}"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Holdover</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:3em auto;padding:0 1em}}\
         td{{padding:.2em 1.5em .2em 0;vertical-align:top}}</style>\
         <h1>Holdover</h1><p>Version {version}.<table>{rows}</table></html>\n"
    );
    (HEADERS, Html(page))
}
