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

use crate::link::description::{Description, Identity};
use crate::link::{Connect, trace};
use crate::policy::LazyPolicy;
use crate::sink::{Event, EventQueue};

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
struct Progress {
    who: Identity,
    failures: AtomicU32,
    waiting: AtomicBool,
    log: Mutex<Log>,
}

/// What is told besides.
#[derive(Default)]
struct Log {
    /// Why the last attempt failed.
    error: Option<Arc<io::Error>>,
    events: EventQueue,
}

impl Progress {
    fn new(who: Identity, failures: u32, error: Option<Arc<io::Error>>) -> Self {
        let log = Mutex::new(Log { error, ..Log::default() });
        Self { who, failures: AtomicU32::new(failures), waiting: AtomicBool::new(false), log }
    }

    fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The next attempt begins.
    fn try_now(&self) {
        let Identity { service, endpoint } = self.who.clone();
        let attempt = self.failures().saturating_add(1);
        self.step(false, Event::Connecting { service, endpoint, attempt });
    }

    /// The next attempt comes after `delay`.
    fn back_off(&self, delay: Duration) {
        let Identity { service, endpoint } = self.who.clone();
        let (failures, error) = (self.failures(), lock(&self.log).error.clone());
        let error = error.map(|error| self.who.clone().unreachable(failures, error));
        self.step(true, Event::BackingOff { service, endpoint, failures, delay, error });
    }

    fn step(&self, waiting: bool, event: Event) {
        let mut log = lock(&self.log);
        self.waiting.store(waiting, Ordering::Relaxed);
        log.events.push(event);
    }

    /// An attempt has failed.
    fn fail(&self, error: Arc<io::Error>) {
        lock(&self.log).error = Some(error);
        self.failures.store(self.failures().saturating_add(1), Ordering::Relaxed);
    }
}

impl<Io: Send + 'static> Attempt<Io> {
    /// Starts to connect. `failures` is how many attempts in a row have failed before, `error` why
    /// the last one did: the wait for the first attempt follows from it, unless it is to be made
    /// `at_once`.
    pub(super) fn spawn<C: Connect<Io = Io>>(
        runtime: &Handle,
        to: &Description<C>,
        failures: u32,
        error: Option<Arc<io::Error>>,
        at_once: bool,
    ) -> Self {
        let progress = Arc::new(Progress::new(to.identity(), failures, error));
        let wait = match at_once {
            true => Duration::ZERO,
            false => to.policy.backoff.wait(failures, fastrand::f64()),
        };
        // From the start, not from the task's first turn: who closes before that hurries too.
        if wait.is_zero() {
            progress.try_now();
        } else {
            progress.back_off(wait);
        }
        let made = Arc::default();
        let dial = Box::new(Dialler { connector: to.connector.clone(), made: Arc::clone(&made) });
        let task = start(runtime, dial, to.policy.clone(), progress.clone(), wait);
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
        self.progress.failures()
    }

    /// Why the last attempt failed, if one has.
    pub(crate) fn error(&self) -> Option<Arc<io::Error>> {
        lock(&self.progress.log).error.clone()
    }

    /// Moves what has happened so far to `events`.
    pub(super) fn tell(&self, events: &mut EventQueue) {
        lock(&self.progress.log).events.take(&mut |event| events.push(event));
    }

    /// Whether it waits for its next attempt.
    pub(crate) fn is_waiting(&self) -> bool {
        self.progress.is_waiting()
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
}

/// Spawns the task. Knows no type of the caller's: what tokio makes of a task is compiled here, not
/// with each program.
fn start(
    runtime: &Handle,
    dial: Box<dyn Dial>,
    policy: Arc<LazyPolicy>,
    progress: Arc<Progress>,
    wait: Duration,
) -> JoinHandle<Outcome<()>> {
    runtime.spawn(establish(dial, policy, progress, wait))
}

/// Waits, connects, and tries again, until it succeeds or its attempts are used up.
async fn establish(
    dial: Box<dyn Dial>,
    policy: Arc<LazyPolicy>,
    progress: Arc<Progress>,
    mut wait: Duration,
) -> Outcome<()> {
    let mut tried = 0;
    loop {
        if !wait.is_zero() {
            time::sleep(wait).await;
        }
        // The first attempt may have begun when the task did.
        if progress.is_waiting() {
            progress.try_now();
        }
        let timeout = policy.connect_timeout;
        let error = match time::timeout(timeout, dial.dial(timeout)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {timeout:?}")),
        };
        let error = Arc::new(error);
        progress.fail(error.clone());
        trace::failed(&progress.who.endpoint, progress.failures(), &error);
        tried += 1;
        if policy.max_attempts != 0 && tried >= policy.max_attempts {
            return Err(error);
        }
        wait = policy.backoff.wait(progress.failures(), fastrand::f64());
        progress.back_off(wait);
        // A connector that fails without ever waiting must not keep others from running.
        tokio::task::consume_budget().await;
    }
}

/// Held for a moment at a time: to put something there, to copy it, or to take it.
fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
