//! How long a test waits before it takes silence for an answer. Nothing here slows a test that passes.

use std::time::Duration;

/// Time after which something that should have happened is taken not to happen. `HOLDOVER_PATIENCE_SECS` sets it.
#[must_use]
pub fn patience() -> Duration {
    let seconds = std::env::var("HOLDOVER_PATIENCE_SECS").ok();
    Duration::from_secs(
        seconds
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(30),
    )
}

/// Waits for `done`.
///
/// # Panics
///
/// When it takes longer than [`patience`]; the text says for what.
#[expect(clippy::panic, reason = "a panic is how a test says no")]
pub async fn within<T>(what: &str, done: impl Future<Output = T>) -> T {
    match tokio::time::timeout(patience(), done).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: nothing happened in {:?}", patience()),
    }
}
