//! Host names resolved, one question at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::lookup_host;
use tokio::task::JoinHandle;

/// The lookups of one link; its clones, which the attempts have, share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup(Arc<Mutex<Option<Question>>>);

/// A question in progress.
type Question = JoinHandle<io::Result<Vec<SocketAddr>>>;

impl Lookup {
    /// Resolves the host. A resolver that takes longer than an attempt is not asked again
    /// meanwhile: each question holds a thread until it is answered.
    pub(super) async fn ask(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let asked = self.question().take();
        let task = asked.unwrap_or_else(|| {
            let place = (host.to_owned(), port);
            tokio::spawn(async move { Ok(lookup_host(place).await?.collect()) })
        });
        let mut asking = Asking { lookup: self, task: Some(task) };
        let Some(task) = &mut asking.task else { return Ok(Vec::new()) };
        let answer = task.await;
        asking.task = None;
        answer.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn question(&self) -> MutexGuard<'_, Option<Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for an answer; dropped before, it leaves the question to the next attempt.
struct Asking<'a> {
    lookup: &'a Lookup,
    task: Option<Question>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            *self.lookup.question() = Some(task);
        }
    }
}
