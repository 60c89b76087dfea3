//! The operations that feed, and what they may come to.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use torq_message_sink::{MessageSink, SinkState, TryFeedError};

use super::drive::poll;
use super::sequence::Sequence;

impl<S: MessageSink> Sequence<'_, S> {
    pub(super) fn try_feed(&mut self) {
        let payload = self.payload();
        let fits = payload.len() <= self.longest;
        let room = self.sink.room(payload.len());
        match self.sink.try_feed(&payload) {
            Ok(()) => {
                self.accept(&payload);
                // A child whose peer went while it waited for a sibling's connection comes back
                // with the next push, as the sibling does.
                let sleeps = self.sink.state() == SinkState::Asleep;
                assert!(
                    !sleeps || self.half_asleep || self.eager,
                    "data wakes the sink: {}",
                    self.sink.report()
                );
            }
            Err(refusal) => {
                assert!(!room, "room is a promise, but {refusal:?}");
                match refusal {
                    TryFeedError::TooLarge => assert!(!fits),
                    TryFeedError::Closed => assert!(self.closed),
                    TryFeedError::Full => {
                        let left = self.capacity as u64 - self.buffered();
                        assert!(left < payload.len() as u64 + 4, "full means no room");
                    }
                    TryFeedError::NotConnected => assert!(self.may_fail()),
                    other => panic!("no reason for {other:?}"),
                }
            }
        }
        assert_eq!(self.sink.accepted_bytes(), self.world.log.len(), "a refusal leaves no trace");
    }

    /// Polls a feed a few times, and drops it if it is not ready then.
    pub(super) async fn feed(&mut self) {
        let payload = self.payload();
        for _ in 0..self.world.rng.u8(1..4) {
            match poll(pin!(self.sink.feed(&payload)), &self.woken) {
                Poll::Ready(Ok(())) => {
                    self.accept(&payload);
                    return;
                }
                Poll::Ready(Err(error)) => return self.failed(&error, payload.len()),
                Poll::Pending => {}
            }
            let len = self.world.log.len();
            assert_eq!(self.sink.accepted_bytes(), len, "a pending feed accepted nothing");
            self.observe();
            self.world.something_happens().await;
        }
    }

    pub(super) async fn send(&mut self) {
        let payload = self.payload();
        let mut send = pin!(self.sink.send(&payload));
        let mut outcome = Poll::Pending;
        for _ in 0..self.world.rng.u8(1..4) {
            outcome = poll(send.as_mut(), &self.woken);
            if outcome.is_ready() {
                break;
            }
            self.world.something_happens().await;
        }
        let accepted = send.accepted();
        if accepted {
            self.accept(&payload);
        }
        match outcome {
            Poll::Ready(Ok(())) => self.flushed(),
            Poll::Ready(Err(error)) if !accepted => self.failed(&error, payload.len()),
            Poll::Ready(Err(error)) => self.failed(&error, 0),
            Poll::Pending => {}
        }
    }

    pub(super) async fn send_batch(&mut self) {
        let payloads: Vec<_> = (0..self.world.rng.usize(..6)).map(|_| self.payload()).collect();
        let mut send = pin!(self.sink.send_batch(&payloads));
        let mut outcome = Poll::Pending;
        for _ in 0..self.world.rng.u8(1..4) {
            outcome = poll(send.as_mut(), &self.woken);
            if outcome.is_ready() {
                break;
            }
            self.world.something_happens().await;
        }
        let accepted = send.accepted();
        for payload in &payloads[..accepted] {
            self.accept(payload);
        }
        match outcome {
            Poll::Ready(Ok(())) => {
                assert_eq!(accepted, payloads.len());
                self.flushed();
            }
            Poll::Ready(Err(error)) => {
                self.failed(&error, payloads.get(accepted).map_or(0, Vec::len));
            }
            Poll::Pending => {}
        }
    }

    pub(super) fn ready_then_feed(&mut self) {
        let payload = self.payload();
        let longer = (payload.len() + self.world.rng.usize(..8)).min(self.longest);
        let mut cx = Context::from_waker(Waker::noop());
        match self.sink.poll_ready(&mut cx, longer.max(payload.len())) {
            Poll::Ready(Ok(())) => {
                assert!(self.sink.room(payload.len()), "ready means room");
                assert_eq!(self.sink.try_feed(&payload), Ok(()), "ready is a promise");
                self.accept(&payload);
            }
            Poll::Ready(Err(error)) => self.failed(&error, payload.len()),
            Poll::Pending => {}
        }
    }

    pub(super) fn accept(&mut self, payload: &[u8]) {
        assert!(payload.len() <= self.longest && !self.closed, "accepts only what it may");
        self.world.log.push(payload);
        assert!(self.sink.accepted_bytes() >= self.world.log.len());
    }

    /// A number, a checksum of it, and noise: but most are as long as chance will have it.
    pub(super) fn payload(&mut self) -> Vec<u8> {
        let rng = &mut self.world.rng;
        let len = match rng.u8(..16) {
            0 => 0,
            1 => self.longest + rng.usize(..3),
            2 | 3 => rng.usize(..=self.longest),
            _ => rng.usize(..24).min(self.longest),
        };
        let number = self.world.log.ends.len() as u64;
        let sum = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut payload: Vec<_> =
            number.to_le_bytes().into_iter().chain(sum.to_le_bytes()).collect();
        payload.resize_with(payload.len().max(len), || rng.u8(..));
        payload.truncate(len);
        payload
    }
}
