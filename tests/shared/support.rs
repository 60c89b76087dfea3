//! What the tests share: futures polled by hand, and frames read back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;
use torq_message_sink::MemoryStream;

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Polls once, by a waker that counts.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    let waker = Waker::from(wakes.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Polls once, by the task's waker.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Lets all tasks run until none has anything to do. On a runtime of one thread each yield lets
/// every task that is ready run once.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// The messages among `bytes`, which end with a whole one.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<4>() {
        let (payload, rest) = rest.split_at(u32::from_be_bytes(*header) as usize);
        messages.push(String::from_utf8(payload.to_vec()).expect("text"));
        bytes = rest;
    }
    messages
}

/// Everything that can be read from `stream` until nothing more comes.
pub(crate) async fn read_all(stream: &MemoryStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        settle().await;
        let more = stream.read();
        if more.is_empty() {
            return bytes;
        }
        bytes.extend(more);
    }
}
