//! The operations that feed, and what they may come to.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use torq_message_sink::{LeafReport, MessageSink, SinkState, TryFeedError, WhenFull};

use super::drive::poll;
use super::log::Log;
use super::message::Message;
use super::receiver::Receiver;
use super::sequence::Sequence;
use super::world::World;

impl Sequence<'_> {
    pub(super) fn try_feed(&mut self) {
        let payload = self.message();
        let room = self.sink.room(payload.len());
        match self.sink.try_feed(&payload) {
            Ok(()) => {
                self.accept(&payload);
                self.is_awake();
            }
            Err(refusal) => {
                let invalid = !self.world.carries(&payload.bytes);
                assert!(!room || invalid, "room is a promise, but {refusal:?}");
                match refusal {
                    TryFeedError::Invalid => assert!(!self.world.carries(&payload.bytes)),
                    TryFeedError::TooLarge => assert!(payload.len() > self.world.longest()),
                    TryFeedError::Closed => assert!(self.closed),
                    TryFeedError::Full => {
                        assert!(self.is_full(payload.len()), "full means no room")
                    }
                    TryFeedError::CircuitOpen => assert!(self.may_be_open()),
                    TryFeedError::NotConnected => assert!(self.may_fail()),
                    other => panic!("no reason for {other:?}"),
                }
            }
        }
        let accepted = self.world.accepted_bytes();
        assert_eq!(self.sink.accepted_bytes(), accepted, "a refusal leaves no trace");
    }

    /// Data wakes every buffer. A link whose peer went while it waited for a sibling's connection
    /// comes back with the next push, as the sibling does; so does one that has begun to sleep for
    /// want of data while a sibling that nobody waits for has something left.
    fn is_awake(&self) {
        if self.world.ledger.is_some() {
            return;
        }
        let report = self.sink.report();
        let all_gate = report.leaves.iter().all(|leaf| leaf.gates);
        for (_, mut links) in self.world.buffers(&report.leaves) {
            let asleep = links.clone().map(|leaf| leaf.state).max() == Some(SinkState::Asleep);
            let lags = links.any(|leaf| leaf.buffered.bytes > 0);
            assert!(
                !asleep || !lags || self.half_asleep || self.eager || !all_gate,
                "data wakes the sink: {report}"
            );
        }
    }

    /// Whether one of the buffers has no room for a message of `len` bytes.
    fn is_full(&self, len: usize) -> bool {
        if self.world.ledger.is_some() {
            return true;
        }
        let report = self.sink.report();
        let mut gating = self.world.buffers(&report.leaves).filter(|(log, _)| !log.drops());
        gating.any(|(log, links)| {
            let held = links.map(|leaf| leaf.buffered.bytes).max().unwrap_or(0);
            log.capacity as u64 - held < log.framing.frame_len(len) as u64
        })
    }

    /// Polls a feed a few times, and drops it if it is not ready then.
    pub(super) async fn feed(&mut self) {
        let payload = self.message();
        for _ in 0..=self.world.choices.below(3) {
            match poll(pin!(self.sink.feed(&payload)), &self.woken) {
                Poll::Ready(Ok(())) => {
                    self.accept(&payload);
                    return;
                }
                Poll::Ready(Err(error)) => return self.failed(&error, &payload.bytes),
                Poll::Pending => {}
            }
            let len = self.world.accepted_bytes();
            assert_eq!(self.sink.accepted_bytes(), len, "a pending feed accepted nothing");
            self.observe();
            self.world.something_happens().await;
        }
    }

    pub(super) async fn send(&mut self) {
        if self.world.ledger.is_none() && self.world.logs.iter().any(Log::drops) {
            // What was dropped has to be seen before anything more is written.
            self.feed().await;
            let _ = self.poll_flush();
            return;
        }
        let payload = self.message();
        let mut send = pin!(self.sink.send(&payload));
        let mut outcome = Poll::Pending;
        for _ in 0..=self.world.choices.below(3) {
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
            Poll::Ready(Err(error)) if !accepted => self.failed(&error, &payload.bytes),
            Poll::Ready(Err(error)) => self.failed(&error, &[]),
            Poll::Pending => {}
        }
    }

    pub(super) async fn send_batch(&mut self) {
        if self.world.ledger.is_none() && self.world.logs.iter().any(Log::drops) {
            for _ in 0..self.world.choices.below(6) {
                self.feed().await;
            }
            let _ = self.poll_flush();
            return;
        }
        let payloads: Vec<_> = (0..self.world.choices.below(6)).map(|_| self.message()).collect();
        let mut send = pin!(self.sink.send_batch(&payloads));
        let mut outcome = Poll::Pending;
        for _ in 0..=self.world.choices.below(3) {
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
                self.failed(&error, payloads.get(accepted).map_or(&[], |next| &next.bytes));
            }
            Poll::Pending => {}
        }
    }

    pub(super) fn ready_then_feed(&mut self) {
        let payload = self.message();
        let longer = (payload.len() + self.world.choices.below(8)).min(self.world.longest());
        let mut cx = Context::from_waker(Waker::noop());
        match self.sink.poll_ready(&mut cx, longer.max(payload.len())) {
            Poll::Ready(Ok(())) => {
                assert!(self.sink.room(payload.len()), "ready means room");
                let fed = self.sink.try_feed(&payload);
                if self.world.carries(&payload.bytes) {
                    assert_eq!(fed, Ok(()), "ready is a promise");
                    self.accept(&payload);
                } else {
                    assert!(fed.is_err(), "no framing carries that");
                }
            }
            Poll::Ready(Err(error)) => self.failed(&error, &payload.bytes),
            Poll::Pending => {}
        }
    }

    pub(super) fn accept(&mut self, payload: &Message) {
        if let Some(ledger) = &mut self.world.ledger {
            assert!(!self.closed, "a closed sink accepts nothing");
            return ledger.accept(payload, self.sink.accepted_bytes());
        }
        assert!(payload.len() <= self.world.longest() && !self.closed, "accepts only what it may");
        if self.world.logs.iter().any(Log::drops) {
            self.settle();
            let report = self.sink.report();
            let World { logs, receivers, .. } = &mut self.world;
            for (index, log) in logs.iter_mut().enumerate() {
                let leaves = receivers.iter_mut().zip(&report.leaves);
                log_or_drop(
                    log,
                    &payload.bytes,
                    leaves.filter(|(receiver, _)| receiver.log == index),
                );
            }
        } else {
            self.world.logs.iter_mut().for_each(|log| log.push(&payload.bytes));
        }
        assert!(self.sink.accepted_bytes() >= self.world.accepted_bytes());
    }

    /// The next message.
    pub(super) fn message(&mut self) -> Message {
        let World { logs, choices, ledger, .. } = &mut self.world;
        match ledger {
            Some(ledger) => ledger.message(&mut **choices, logs),
            None => Message::plain(self.payload()),
        }
    }

    /// A number, a checksum of it, and noise that follows from both: but most are as long as chance
    /// will have it.
    fn payload(&mut self) -> Vec<u8> {
        let number = self.world.logs[0].ends.len() as u64;
        let longest = self.world.longest();
        let choices = &mut *self.world.choices;
        let len = match choices.below(16) {
            0 => 0,
            1 => longest + choices.below(3),
            2 | 3 => choices.below(longest + 1),
            _ => choices.below(24).min(longest),
        };
        let sum = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut noise = fastrand::Rng::with_seed(sum);
        let mut payload = [number.to_le_bytes(), sum.to_le_bytes()].concat();
        payload.resize_with(payload.len().max(len), || noise.u8(..));
        payload.truncate(len);
        if choices.once_in(32) {
            // Most likely nothing that tells its own length, and no line.
            payload.last_mut().into_iter().for_each(|last| *last = b'\n');
        } else {
            self.world.logs.iter().for_each(|log| log.framing.adapt(&mut payload));
        }
        payload
    }
}

/// Puts an accepted message in the log, if it was not dropped; before that it finds out what was,
/// for which of the receivers below, and whether that was called for.
fn log_or_drop<'a>(
    log: &mut Log,
    payload: &[u8],
    below: impl Iterator<Item = (&'a mut Receiver, &'a LeafReport)>,
) {
    let frame = log.framing.frame_len(payload.len()) as u64;
    let (mut held, mut newest, mut drops) = (0, Vec::new(), Vec::new());
    for (receiver, leaf) in below {
        held = held.max(leaf.buffered.bytes);
        let dropped = leaf.dropped.overflow.bytes - receiver.overflow(log).0;
        match log.when_full {
            WhenFull::DropOldest if dropped > 0 => drops.push(receiver.drop_oldest(dropped, log)),
            WhenFull::DropOldest => {}
            _ => newest.push(dropped),
        }
    }
    if let Some(to) = drops.first() {
        assert!(drops.iter().all(|other| other == to), "for all that have not written them yet");
        let longest = log.framing.frame_len(log.longest);
        let least = log.capacity - log.capacity / 16;
        assert!(held as usize + longest > least, "drops no more than it must");
    }
    if newest.iter().any(|dropped| *dropped > 0) {
        assert!(log.when_full == WhenFull::DropNewest, "drops only where that was chosen");
        assert!(newest.iter().all(|dropped| *dropped == frame), "for all, and this one alone");
        assert!(held + frame > log.capacity as u64, "drops only what does not fit");
        log.drop_newest(payload);
    } else {
        log.push(payload);
    }
}
