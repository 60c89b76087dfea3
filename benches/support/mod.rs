//! What the benches share: receivers that read and discard, payloads, and the hand-written twins
//! that this library is compared with.

#![allow(dead_code, unused_imports, reason = "each bench uses its own part")]

/// Implements feeding for a twin that appends with one method and flushes when it is full.
macro_rules! twin {
    ($twin:ident<$($outlet:ident),+>, $message:ty, $append:ident) => {
        impl<$($outlet: Outlets),+> TryFeed<$message> for $twin<$($outlet),+> {
            #[inline(always)]
            fn try_feed(&mut self, msg: &$message) -> bool {
                self.$append(msg)
            }

            #[cold]
            #[inline(never)]
            fn refused(&mut self, msg: &$message) {
                spin(self.flush()).expect("the receivers read");
                assert!(self.$append(msg));
            }
        }

        impl<$($outlet: Outlets),+> Feed<$message> for $twin<$($outlet),+> {
            #[inline]
            async fn feed<'a>(&'a mut self, msg: &'a $message) -> io::Result<()> {
                if !self.$append(msg) {
                    self.flush().await?;
                    self.$append(msg);
                }
                Ok(())
            }
        }
    };
}

mod best;
mod by_hand;
mod channel;
mod composites;
mod counting;
mod decode;
mod idiomatic;
mod mutex;
mod payload;
mod peers;
mod picks;
mod stacks;
mod two;
mod vec;

pub(crate) use self::best::Best;
pub(crate) use self::by_hand::ByHand;
pub(crate) use self::channel::ByChannel;
pub(crate) use self::composites::{
    effort, failover, keys, least_loaded, lesser, one, quorum, round_robin, sharded, together,
    turns,
};
pub(crate) use self::counting::{ONCE, TWICE, collected, counted};
pub(crate) use self::decode::{ByCodec, ByLoop, CHUNK, Ours, PAYLOAD, Payloads, stream};
pub(crate) use self::idiomatic::Idiomatic;
pub(crate) use self::mutex::ByMutex;
pub(crate) use self::payload::{Payload, TICK, Tick};
pub(crate) use self::peers::{Outlets, Peers};
pub(crate) use self::picks::{ByKey, Lesser, Picks, Turns};
pub(crate) use self::stacks::{
    Fanned, Sink, WithKeys, breaker, by_tcp, by_unix, conflate, connected, dated, deadline,
    dropping, factory, keyed, lanes, limited, shared, sinks, typed, unix_fanout,
};
pub(crate) use self::two::Two;
pub(crate) use self::vec::ByVec;

use std::task::{Context, Poll};

/// Bytes that every twin buffers before it writes.
pub(crate) const CAPACITY: usize = 64 * 1024;

/// Accepts messages without waiting.
pub(crate) trait TryFeed<M: ?Sized> {
    /// Accepts `msg`, or has no room for it.
    fn try_feed(&mut self, msg: &M) -> bool;

    /// Waits until everything is written, then accepts `msg`.
    fn refused(&mut self, msg: &M);
}

/// Accepts messages, waiting for room.
pub(crate) trait Feed<M: ?Sized>: Flush {
    /// Accepts `msg`.
    fn feed<'a>(&'a mut self, msg: &'a M) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Writes out what was accepted.
pub(crate) trait Flush {
    /// What goes wrong.
    type Error: std::fmt::Debug;

    /// Waits until kernels have taken everything.
    fn flush(&mut self) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Polls a future that is ready at once.
#[inline]
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let future = std::pin::pin!(future);
    match future.poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("not ready at once"),
    }
}

/// Polls a future until it is ready, without a runtime.
pub(crate) fn spin<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}
