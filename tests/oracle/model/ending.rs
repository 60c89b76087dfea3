//! The operations that put the sink to sleep or end it, and the end of a sequence.

use std::pin::pin;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;
use torq_message_sink::{End, MessageSink, Report, SinkState, TryFeedError};

use super::drive::{drive, drive_kindly, poll};
use super::log::Log;
use super::receiver::Receiver;
use super::sequence::Sequence;

impl Sequence<'_> {
    /// Puts it to sleep, or gives up half-way.
    pub(super) async fn disconnect(&mut self) {
        let steps = self.world.choices.of(&[1, 2, 4, 1000]);
        let begin = Instant::now();
        let done = drive(pin!(self.sink.disconnect()), &self.woken, &mut self.world, steps).await;
        self.half_asleep = done.is_none();
        self.observe();
        match done {
            Some(Ok(report)) => {
                self.in_time(begin);
                if !self.closed && !report.leaves.iter().any(|leaf| leaf.buffered.bytes > 0) {
                    assert_eq!(self.sink.state(), SinkState::Asleep, "disconnected means asleep");
                }
            }
            Some(Err(error)) => self.failed(&error, &[]),
            None => assert!(steps < 1000, "a disconnect ends at its deadline"),
        }
    }

    /// Closes, or gives up half-way: closed it is in any case.
    pub(super) async fn close(&mut self) {
        let steps = self.world.choices.of(&[1, 2, 4, 1000]);
        let tried = self.attempts_that_should_hurry();
        let begin = Instant::now();
        self.closed = true;
        let mut close = pin!(self.sink.close());
        if poll(close.as_mut(), &self.woken).is_pending() {
            // One task's turn, and the attempt must have been made.
            yield_now().await;
            for (index, before) in tried {
                let attempts = self.world.receivers[index].peer.attempts();
                assert!(attempts > before, "a close cuts back-off short");
            }
            let done = drive(close, &self.woken, &mut self.world, steps).await;
            if let Some(done) = done {
                let report = done.expect("there is a runtime");
                self.in_time(begin);
                self.ended(&report);
            } else {
                assert!(steps < 1000, "a close ends at its deadline");
            }
        } else {
            let report = self.sink.report();
            self.ended(&report);
        }
        self.observe();
    }

    /// Receivers whose link has something to write and waits for its next attempt, and how many
    /// attempts each has seen. None when the deadline would pass first.
    pub(super) fn attempts_that_should_hurry(&mut self) -> Vec<(usize, u64)> {
        let report = self.sink.report();
        let receivers = self.world.receivers.iter().enumerate();
        receivers
            .zip(&report.leaves)
            .filter(|(_, leaf)| {
                let waits = matches!(leaf.state, SinkState::BackingOff);
                waits
                    && leaf.gates
                    && leaf.buffered.bytes > 0
                    && !self.deadline.is_zero()
                    && !self.closed
            })
            .filter(|((_, receiver), _)| receiver.is_well())
            .map(|((index, receiver), _)| (index, receiver.peer.attempts()))
            .collect()
    }

    pub(super) fn in_time(&self, begin: Instant) {
        let slack = Duration::from_millis(100);
        assert!(begin.elapsed() <= self.deadline + slack, "a shutdown is bounded");
    }

    pub(super) fn ended(&self, report: &Report) {
        for leaf in &report.leaves {
            assert_eq!(leaf.buffered.bytes, 0, "closed means nothing is left");
            assert_eq!(leaf.state, SinkState::Closed);
        }
    }

    pub(super) fn end_asleep(&mut self) {
        self.sink.end(End::Sleep);
        self.half_asleep = false;
        self.observe();
        if !self.closed {
            assert_eq!(self.sink.state(), SinkState::Asleep);
        }
    }

    /// Everybody behaves from now on, so everything that was accepted gets through, and who waits
    /// is polled only when it was woken.
    pub(super) async fn quiet(&mut self) {
        self.world.receivers.iter_mut().for_each(Receiver::behave);
        // What was in the making may still fail; each series of attempts costs one error.
        for _ in 0..20 {
            let flush = pin!(self.sink.flush());
            let done = drive_kindly(flush, &self.woken, &mut self.world).await;
            self.observe();
            match done {
                Ok(()) => {
                    self.flushed();
                    self.world.receivers.iter_mut().for_each(|receiver| {
                        receiver.read_all();
                    });
                    self.observe();
                    for receiver in &self.world.receivers {
                        let all = receiver.has_last_of(&self.world.logs[receiver.log]);
                        assert!(all || self.closed, "what is flushed arrives");
                    }
                    return;
                }
                Err(error) => self.failed(&error, &[]),
            }
        }
        panic!("receivers that behave are reached");
    }

    /// The end of the sink, in one of the ways there are.
    pub(super) async fn finish(mut self) {
        let kind = self.world.choices.below(4);
        if self.trace {
            println!("finish {kind}");
        }
        if kind < 2 && !self.closed {
            self.quiet().await;
        }
        match kind {
            0 => {
                self.world.receivers.iter_mut().for_each(Receiver::behave);
                let close = pin!(self.sink.close_within(Duration::from_secs(60)));
                let done = drive_kindly(close, &self.woken, &mut self.world).await;
                let report = done.expect("there is a runtime");
                let given_up = report.leaves.iter().any(|leaf| leaf.dropped.closed.bytes > 0);
                let mut leaves = report.leaves.iter().filter(|leaf| leaf.gates);
                let all = leaves.all(|leaf| leaf.accepted.bytes == leaf.written.bytes);
                let complete = all || self.world.logs.iter().any(Log::drops);
                let given_up = given_up && report.leaves.iter().all(|leaf| leaf.gates);
                assert!(self.closed || complete && !given_up, "a close delivers all: {report}");
                self.closed = true;
                self.ended(&report);
                self.observe();
            }
            1 | 2 => {
                self.closed = true;
                self.sink.end(End::Close);
                self.observe();
                self.ended(&self.sink.report());
                assert_eq!(self.sink.try_feed("x"), Err(TryFeedError::Closed));
            }
            _ => {}
        }
        self.observe();
        let Self { sink, mut world, .. } = self;
        drop(sink);
        if kind != 3 {
            for receiver in &mut world.receivers {
                receiver.accept();
                receiver.check_end(&world.logs[receiver.log]);
            }
        }
    }
}
