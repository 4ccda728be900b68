//! Where legacy clients and front ends arrive, and the user agent server of each connection.

pub mod connection;
pub mod front_end;
mod lookup;
pub(crate) mod pump;
mod tell;
pub mod uas;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::ConnectionContext;
use front_end::FrontEndContext;
pub use pump::MessageLimits;
use tell::Teller;

use crate::peer::ConnectionNumber;
use crate::telemetry::Telemetry;
use crate::transport::{Arrival, Bound, Met, Occupancy};

/// Numbers the connections of this process, so that an answer goes to the connection its request came on.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// Who connects to a listener, and what all their connections share.
#[derive(Clone)]
pub enum Context {
    /// Legacy clients.
    Clients(Arc<ArcSwap<ConnectionContext>>),
    /// Front-end servers. The listener's acceptor asks for their certificates.
    FrontEnds(Arc<FrontEndContext>),
}

impl Context {
    fn shutdown(&self) -> CancellationToken {
        match self {
            Self::Clients(context) => context.load().shutdown.clone(),
            Self::FrontEnds(context) => context.shutdown().clone(),
        }
    }
}

/// Takes connections until `stop` is cancelled. They run on in `tracker`.
pub async fn accept(
    bound: Bound,
    context: Context,
    occupancy: Arc<Occupancy>,
    telemetry: Telemetry,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    let told = telemetry.clone();
    let arrived = |arrival| {
        let (context, telemetry) = (context.clone(), told.clone());
        tracker.spawn(serve(arrival, context, telemetry, tracker.clone()));
    };
    bound.accept(occupancy, telemetry, stop, arrived).await;
}

async fn serve(arrival: Arrival, context: Context, telemetry: Telemetry, tracker: TaskTracker) {
    let teller = Teller::new(telemetry.clone(), arrival.listener.clone(), arrival.peer);
    let Met {
        stream,
        local,
        name,
        mut permit,
    } = match arrival.meet(&context.shutdown(), &telemetry).await {
        Ok(met) => met,
        Err(end) => return teller.closed(end),
    };
    let number = ConnectionNumber(NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed));
    let local = local.to_string().into_boxed_str();
    // A task of its own: what was needed until here makes room.
    match context {
        Context::Clients(context) => {
            let context = context.load_full();
            let seed = rand::random();
            tracker.spawn(connection::serve(
                stream, context, number, seed, local, teller, permit,
            ));
        }
        Context::FrontEnds(context) => {
            permit.trust();
            let (name, seed) = (name.unwrap_or_default(), rand::random());
            tracker.spawn(async move {
                let serve = front_end::connection::serve(
                    stream, context, &name, number, seed, local, teller, permit,
                );
                serve.await;
            });
        }
    }
}
