//! The admin server.

use std::net::SocketAddr;

use crate::telemetry::Detail;
use crate::telemetry::event::event;
use crate::telemetry::label::label;

label! {
    /// What was asked for.
    AdminRoute as "route" {
        /// The list of what there is.
        Index = "index",
        /// Whether the process lives.
        Healthz = "healthz",
        /// Whether it takes clients.
        Readyz = "readyz",
        /// The metrics.
        Metrics = "metrics",
        /// The lookup service.
        Rooms = "rooms",
        /// Why something is decided as it is.
        Explain = "explain",
        /// The last decisions.
        Decisions = "decisions",
        /// The pools.
        Pools = "pools",
        /// What second pools answered.
        Shadow = "shadow",
        /// The configuration in use.
        Config = "config",
        /// A reload.
        Reload = "reload",
        /// Something that does not exist.
        Unknown = "unknown",
    }
}

event! {
    /// The admin server is open.
    AdminOpened {
        /// Its address.
        address: SocketAddr => address,
    }
    INFO "admin.opened", counted as "admin_opened";
    "The admin server takes requests. With port 0 in the configuration, this is how its port is learned."
}

event! {
    /// The admin server could not be started.
    AdminFailed {
        /// The system's error.
        error: Detail => error,
    }
    ERROR "admin.failed", counted as "admin_failures";
    "The system has no thread or no descriptor for the admin server. Clients are served without it."
}

event! {
    /// The admin server answered a request.
    AdminRequest {
        /// Who asked.
        peer: SocketAddr => admin.addr,
        /// What was asked for.
        route: AdminRoute => route,
        /// HTTP status of the answer.
        status: u16 => http.status,
    }
    DEBUG "admin.request", counted as "admin_requests" by route: AdminRoute;
    "Somebody asked the admin server something."
}
