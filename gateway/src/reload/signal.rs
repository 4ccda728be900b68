//! SIGHUP: the oldest way to ask for a reload.

use std::io;

use tokio_util::sync::CancellationToken;

use super::Reloader;
use crate::audit::Who;

/// Reloads whenever SIGHUP comes, until `stop` is cancelled. From the moment this is called a SIGHUP does not end the program.
///
/// # Errors
///
/// The signal cannot be listened for.
#[cfg(unix)]
pub fn on_hangup(reloader: Reloader, stop: CancellationToken) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                came = hangup.recv() => if came.is_none() { return },
            }
            // What came of it is an event.
            let _told = reloader.reload(Who::Signal).await;
        }
    });
    Ok(())
}

/// There is no SIGHUP here.
///
/// # Errors
///
/// Never.
#[cfg(not(unix))]
pub fn on_hangup(_: Reloader, _: CancellationToken) -> io::Result<()> {
    Ok(())
}
