//! Host names resolved, one question at a time.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::Instant;

/// The lookups of one link; its clones, which the attempts have, share them.
#[derive(Clone, Default)]
pub(super) struct Lookup(Arc<Mutex<Option<Question>>>);

/// A question in progress.
struct Question {
    asked: Instant,
    /// The resolver works on it, on a thread of the runtime's, whether it is polled or not; a task
    /// around it would be code for one more kind of task.
    answer: Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>,
}

impl Lookup {
    /// Resolves the host. A resolver that takes longer than an attempt is not asked again
    /// meanwhile: each question holds a thread until it is answered.
    pub(super) async fn ask(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        // The answer to an old question may be older than what it is about.
        let asked = self.question().take().filter(|question| question.asked.elapsed() < STALE);
        let question = asked.unwrap_or_else(|| {
            // As a text, which is how programs name hosts to tokio themselves: the same code.
            let place = format!("{host}:{port}");
            let answer = Box::pin(async move { Ok(lookup_host(place).await?.collect()) });
            Question { asked: Instant::now(), answer }
        });
        let mut asking = Asking { lookup: self, question: Some(question) };
        let Some(question) = &mut asking.question else { return Ok(Vec::new()) };
        let answer = question.answer.as_mut().await;
        asking.question = None;
        answer
    }

    fn question(&self) -> MutexGuard<'_, Option<Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for an answer; dropped before, it leaves the question to the next attempt.
struct Asking<'a> {
    lookup: &'a Lookup,
    question: Option<Question>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(question) = self.question.take() {
            *self.lookup.question() = Some(question);
        }
    }
}

/// How old a question may be whose answer is waited for still. Resolvers give up sooner: after 30 s
/// by default (resolv.conf(5): three servers, two attempts of 5 s each).
const STALE: Duration = Duration::from_secs(60);

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}
