//! Polling: futures are polled only when they were woken.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::task::yield_now;

use super::world::World;

/// Drives a future while the world does what it likes. Polls it only when it was woken.
pub(super) async fn drive<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    woken: &Arc<Woken>,
    world: &mut World<'_>,
    steps: usize,
) -> Option<T> {
    woken.set();
    for step in 0..steps {
        if woken.take()
            && let Poll::Ready(done) = poll(future.as_mut(), woken)
        {
            return Some(done);
        }
        if step < 40 {
            world.something_happens().await;
        } else {
            world.pass(Duration::from_millis(10)).await;
        }
    }
    None
}

/// Drives a future while all receivers behave and read everything. Polls it only when it was woken,
/// so a lost wake-up is found.
pub(super) async fn drive_kindly<T: Debug>(
    mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    woken: &Arc<Woken>,
    world: &mut World<'_>,
) -> T {
    woken.set();
    let (mut idle, mut steps) = (0, 0);
    let mut shuts = world.choices.below(3);
    while idle < 60 && steps < 50_000 {
        (idle, steps) = (idle + 1, steps + 1);
        if woken.take() {
            if let Poll::Ready(done) = poll(future.as_mut(), woken) {
                return done;
            }
            yield_now().await;
        }
        for receiver in &mut world.receivers {
            receiver.accept();
            if shuts > 0
                && world.choices.once_in(16)
                && let Some(stream) = receiver.open_stream(world.choices)
            {
                stream.shut();
                shuts -= 1;
            }
            if receiver.read_all_open() {
                idle = 0;
            }
        }
        if !woken.is_set() {
            world.pass(Duration::from_millis(10)).await;
        }
    }
    panic!("a wake-up was lost, or nothing moves");
}

pub(super) fn poll<T>(
    future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    woken: &Arc<Woken>,
) -> Poll<T> {
    future.poll(&mut Context::from_waker(&Waker::from(woken.clone())))
}

/// A waker that remembers.
#[derive(Default)]
pub(super) struct Woken(AtomicBool);

impl Woken {
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}
