//! Connecting: one readable async function, run as a task that the link holds.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time;

use crate::link::{Connect, trace};
use crate::policy::LazyPolicy;

/// A connection in the making. Dropped, it stops trying.
pub(crate) struct Attempt<Io> {
    task: JoinHandle<Outcome<Io>>,
    progress: Arc<Progress>,
}

/// What comes of an attempt: a connection, or why the last try failed.
pub(crate) type Outcome<Io> = Result<Io, Arc<io::Error>>;

/// What the task tells while it runs.
#[derive(Default)]
struct Progress {
    failures: AtomicU32,
    waiting: AtomicBool,
    /// Why the last attempt failed.
    error: Mutex<Option<Arc<io::Error>>>,
}

impl<Io: Send + 'static> Attempt<Io> {
    /// Starts to connect. `failures` is how many attempts in a row have failed before: the wait
    /// for the first attempt follows from it, unless it is to be made `at_once`.
    pub(crate) fn spawn<C: Connect<Io = Io>>(
        runtime: &Handle,
        connector: &C,
        policy: &Arc<LazyPolicy>,
        failures: u32,
        at_once: bool,
    ) -> Self {
        let progress = Arc::new(Progress::default());
        progress.failures.store(failures, Ordering::Relaxed);
        // From the start, not from the task's first turn: who closes before that hurries too.
        progress.waiting.store(failures > 0 && !at_once, Ordering::Relaxed);
        let (connector, policy) = (connector.clone(), policy.clone());
        let task = runtime.spawn(establish(connector, policy, progress.clone(), at_once));
        Self { task, progress }
    }

    /// Waits for the outcome; none when the task's runtime has gone. Registers no waker when there
    /// is no `cx`.
    pub(crate) fn poll(&mut self, cx: Option<&mut Context<'_>>) -> Poll<Option<Outcome<Io>>> {
        let outcome = match cx {
            Some(cx) => ready!(Pin::new(&mut self.task).poll(cx)),
            // A finished task answers at once; polling an unfinished one would replace the waker
            // of whoever waits.
            None if self.task.is_finished() => {
                ready!(Pin::new(&mut self.task).poll(&mut Context::from_waker(Waker::noop())))
            }
            None => return Poll::Pending,
        };
        Poll::Ready(match outcome {
            Ok(outcome) => Some(outcome),
            Err(error) if error.is_cancelled() => None,
            // It panicked (a user's connector): a failed attempt like any other.
            Err(error) => {
                self.progress.failures.fetch_add(1, Ordering::Relaxed);
                Some(Err(Arc::new(io::Error::other(error))))
            }
        })
    }
}

impl<Io> Attempt<Io> {
    /// How many attempts in a row have failed so far.
    pub(crate) fn failures(&self) -> u32 {
        self.progress.failures.load(Ordering::Relaxed)
    }

    /// Why the last attempt failed, if one has.
    pub(crate) fn error(&self) -> Option<Arc<io::Error>> {
        self.progress.last_error().clone()
    }

    /// Whether it waits for its next attempt.
    pub(crate) fn is_waiting(&self) -> bool {
        self.progress.waiting.load(Ordering::Relaxed)
    }
}

impl Progress {
    /// Held for a moment at a time: to put an error there, or to copy it.
    fn last_error(&self) -> MutexGuard<'_, Option<Arc<io::Error>>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Io> Drop for Attempt<Io> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<Io> fmt::Debug for Attempt<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("failures", &self.failures()).finish_non_exhaustive()
    }
}

/// Waits, connects, and tries again, until it succeeds or its attempts are used up.
async fn establish<C: Connect>(
    connector: C,
    policy: Arc<LazyPolicy>,
    progress: Arc<Progress>,
    mut at_once: bool,
) -> Outcome<C::Io> {
    let mut tried = 0;
    loop {
        let failures = progress.failures.load(Ordering::Relaxed);
        let wait = policy.backoff.wait(failures, fastrand::f64());
        if !wait.is_zero() && !at_once {
            progress.waiting.store(true, Ordering::Relaxed);
            time::sleep(wait).await;
        }
        progress.waiting.store(false, Ordering::Relaxed);
        at_once = false;
        let timeout = policy.connect_timeout;
        let error = match time::timeout(timeout, connector.connect(timeout)).await {
            Ok(Ok(io)) => return Ok(io),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {timeout:?}")),
        };
        trace::failed(&connector.endpoint(), failures.saturating_add(1), &error);
        let error = Arc::new(error);
        *progress.last_error() = Some(error.clone());
        progress.failures.store(failures.saturating_add(1), Ordering::Relaxed);
        tried += 1;
        if policy.max_attempts != 0 && tried >= policy.max_attempts {
            return Err(error);
        }
        // A connector that fails without ever waiting must not keep others from running.
        tokio::task::consume_budget().await;
    }
}
