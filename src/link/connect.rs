//! Connecting: one readable async function, run as a task that the link holds.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time;

use crate::endpoint::Endpoint;
use crate::link::{Connect, trace};
use crate::policy::LazyPolicy;

/// A connection in the making. Dropped, it stops trying.
pub(crate) struct Attempt<Io> {
    task: JoinHandle<Outcome<()>>,
    progress: Arc<Progress>,
    /// The connection, once the task has ended well.
    made: Arc<Mutex<Option<Io>>>,
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
        let made = Arc::default();
        let dial = Box::new(Dialler { connector: connector.clone(), made: Arc::clone(&made) });
        let task = start(runtime, dial, policy.clone(), progress.clone(), at_once);
        Self { task, progress, made }
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
            Ok(Ok(())) => lock(&self.made).take().map(Ok),
            Ok(Err(error)) => Some(Err(error)),
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
        lock(&self.progress.error).clone()
    }

    /// Whether it waits for its next attempt.
    pub(crate) fn is_waiting(&self) -> bool {
        self.progress.waiting.load(Ordering::Relaxed)
    }
}

impl<Io> Drop for Attempt<Io> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connector without its type, so that one task, compiled with this crate, serves them all. A task
/// for each would add 18 KB per transport to a program, and 0.6 s to each of its release builds.
trait Dial: Send {
    /// Makes one connection and puts it where the attempt finds it.
    fn dial(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn endpoint(&self) -> Endpoint;
}

struct Dialler<C: Connect> {
    connector: C,
    made: Arc<Mutex<Option<C::Io>>>,
}

impl<C: Connect> Dial for Dialler<C> {
    fn dial(&self, timeout: Duration) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
        let (connecting, made) = (self.connector.connect(timeout), self.made.clone());
        Box::pin(async move {
            let io = connecting.await?;
            *lock(&made) = Some(io);
            Ok(())
        })
    }

    fn endpoint(&self) -> Endpoint {
        self.connector.endpoint()
    }
}

/// Spawns the task. Knows no type of the caller's: what tokio makes of a task is compiled here, not
/// with each program.
fn start(
    runtime: &Handle,
    dial: Box<dyn Dial>,
    policy: Arc<LazyPolicy>,
    progress: Arc<Progress>,
    at_once: bool,
) -> JoinHandle<Outcome<()>> {
    runtime.spawn(establish(dial, policy, progress, at_once))
}

/// Waits, connects, and tries again, until it succeeds or its attempts are used up.
async fn establish(
    dial: Box<dyn Dial>,
    policy: Arc<LazyPolicy>,
    progress: Arc<Progress>,
    mut at_once: bool,
) -> Outcome<()> {
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
        let error = match time::timeout(timeout, dial.dial(timeout)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {timeout:?}")),
        };
        trace::failed(&dial.endpoint(), failures.saturating_add(1), &error);
        let error = Arc::new(error);
        *lock(&progress.error) = Some(error.clone());
        progress.failures.store(failures.saturating_add(1), Ordering::Relaxed);
        tried += 1;
        if policy.max_attempts != 0 && tried >= policy.max_attempts {
            return Err(error);
        }
        // A connector that fails without ever waiting must not keep others from running.
        tokio::task::consume_budget().await;
    }
}

/// Held for a moment at a time: to put something there, to copy it, or to take it.
fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
