//! What rows of appends and flushes have in common: the loop that is counted, and what is not.

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;

use tokio::runtime::Builder;

use super::{Flush, Peers, TryFeed};

/// Runs `measured`; callgrind counts in here and nowhere else.
#[inline(never)]
pub(crate) fn collected<R>(measured: impl FnOnce() -> R) -> R {
    measured()
}

/// The loop that is counted.
#[inline(never)]
fn try_feed_loop<T: TryFeed<[u8]>>(sink: &mut T, msg: &[u8], count: usize) {
    for _ in 0..count {
        let msg = black_box(msg);
        if !sink.try_feed(msg) {
            sink.refused(msg);
        }
    }
}

/// Appends `count` messages from each of 16 places of a page, as `instr_send` does, and flushes them:
/// counts the one or the other. Each arrives `copies` times.
pub(crate) fn counted<T, F>(connect: F, copies: usize, count: usize, flushes: bool)
where
    T: TryFeed<[u8]> + Flush,
    F: AsyncFnOnce(&Peers) -> T,
{
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peers = Peers::listen();
    let mut sink = runtime.block_on(connect(&peers));
    let page = black_box(vec![b'm'; 64 + 4096]);
    let (rounds, messages) = if flushes { (count, 16) } else { (16, count) };
    for round in 0..rounds {
        let msg = &page[round % 16 * 256..][..64];
        if flushes {
            try_feed_loop(&mut sink, msg, messages);
        } else {
            collected(|| try_feed_loop(&mut sink, msg, messages));
        }
        runtime.block_on(async {
            let mut flush = pin!(sink.flush());
            let flushed = poll_fn(|cx| {
                if flushes {
                    collected(|| flush.as_mut().poll(cx))
                } else {
                    flush.as_mut().poll(cx)
                }
            });
            flushed.await.expect("the receivers read");
        });
        // The next write finds the sockets' buffers empty.
        peers.wait_for((copies * (round + 1) * messages * (4 + 64)) as u64);
    }
}

/// Messages per place, or flushes, of the two runs whose difference is reported.
pub(crate) const ONCE: usize = 16;
pub(crate) const TWICE: usize = 2 * ONCE;
