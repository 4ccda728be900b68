//! Work on large documents, off the threads that everybody else's messages need.

use std::num::NonZero;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use super::task::SessionInput;
use crate::pool::LegEvent;

/// The right to work on something large, which takes milliseconds: fewer at a time than there are processors, and not on the
/// threads that everybody else's messages need.
#[derive(Debug)]
pub struct Large(Semaphore);

impl Default for Large {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(Semaphore::new((processors / 2).max(1)))
    }
}

impl Large {
    /// Bytes of a document from which it counts as large: about a millisecond.
    const BYTES: usize = 64 * 1024;

    pub(super) fn is(input: &SessionInput) -> bool {
        let bytes = match input {
            SessionInput::Request(request) => request.body().len(),
            SessionInput::Leg(input) => match &input.event {
                LegEvent::Document(document) => document.len(),
                LegEvent::Receipt { .. } | LegEvent::Closed(_) => 0,
            },
            _ => 0,
        };
        bytes >= Self::BYTES
    }

    /// Does it, once it is its turn.
    pub(super) async fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        // It is never closed.
        let _turn = self.0.acquire().await;
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
            _ => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    /// With one thread for tasks, and one large piece of work that waits for a small one.
    #[test]
    fn large_work_holds_up_nobody() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let large = Arc::new(Large(Semaphore::new(1)));
        let (done, wait) = channel();
        let working = runtime.spawn(async move {
            let work = move || wait.recv().unwrap();
            large.run(work).await
        });
        runtime.spawn(async move { done.send(7).unwrap() });
        assert_eq!(runtime.block_on(working).unwrap(), 7);
    }
}
