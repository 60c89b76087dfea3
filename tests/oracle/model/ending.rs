//! The operations that put the sink to sleep or end it, and the end of a sequence.

use std::pin::pin;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;
use torq_message_sink::{End, MessageSink, Report, SinkError, SinkState, TryFeedError};

use super::drive::{drive, drive_kindly, poll};
use super::log::Log;
use super::message::Message;
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
                let left = report.unfed.bytes + report.buffered_bytes();
                if !self.closed && left == 0 {
                    let asleep = self.sink.state() == SinkState::Asleep || self.may_be_open();
                    assert!(asleep, "disconnected means asleep");
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
            match drive(close, &self.woken, &mut self.world, steps).await {
                Some(Ok(report)) => {
                    self.in_time(begin);
                    self.ended(&report);
                }
                Some(Err(error)) => self.failed(&error, &[]),
                None => assert!(steps < 1000, "a close ends at its deadline"),
            }
        } else if !self.may_be_open() {
            let report = self.sink.report();
            self.ended(&report);
        }
        self.observe();
    }

    /// Receivers whose link has something to write and waits for its next attempt, and how many
    /// attempts each has seen. None when the deadline would pass first.
    pub(super) fn attempts_that_should_hurry(&mut self) -> Vec<(usize, u64)> {
        let report = self.sink.report();
        if self.world.ledger.as_ref().is_some_and(|ledger| ledger.promise.way.has_targets()) {
            // It may be another one that gets what there is to write.
            return Vec::new();
        }
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
        assert_eq!(report.unfed.bytes, 0, "closed means nothing waits");
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
            assert!(self.sink.state() == SinkState::Asleep || self.may_be_open());
        }
    }

    /// Everybody behaves from now on, so everything that was accepted gets through, and who waits
    /// is polled only when it was woken.
    pub(super) async fn quiet(&mut self) {
        self.world.receivers.iter_mut().for_each(Receiver::behave);
        if self.world.ledger.is_some() {
            return self.quiet_by_ledger().await;
        }
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

    /// `quiet`, where not everybody gets everything. What comes last gets through, too.
    async fn quiet_by_ledger(&mut self) {
        let last = self.message();
        let (mut is_fed, mut is_flushed) = (self.closed || !self.carries(&last), false);
        for _ in 0..40 {
            if !is_fed {
                let feed = pin!(self.sink.feed(&last));
                let fed = drive_kindly(feed, &self.woken, &mut self.world).await;
                is_fed = self.came_to(fed);
                if is_fed {
                    self.accept(&last);
                }
            }
            let flush = pin!(self.sink.flush());
            let flushed = drive_kindly(flush, &self.woken, &mut self.world).await;
            is_flushed = self.came_to(flushed) && is_fed;
            self.observe();
            if is_flushed {
                break;
            }
            for receiver in &mut self.world.receivers {
                receiver.read_all_open();
            }
            self.world.pass(Duration::from_millis(20)).await;
        }
        assert!(is_flushed, "receivers that behave are reached: {}", self.sink.report());
        self.flushed();
        self.read_ledger(&self.sink.report());
    }

    fn came_to(&self, done: Result<(), SinkError>) -> bool {
        done.map_err(|error| self.failed(&error, &[])).is_ok()
    }

    fn carries(&self, message: &Message) -> bool {
        message.len() <= self.world.longest() && self.world.carries(&message.bytes)
    }

    /// Reads everything and settles the account, for which `report` was made.
    fn read_ledger(&mut self, report: &Report) {
        let read = self.world.read_ledger();
        if let (Some(ledger), Some(read)) = (&self.world.ledger, read) {
            ledger.settle(&read, report);
        }
    }

    /// Whether nothing was given up, and all that gate have everything.
    fn is_in_full(&self, report: &Report) -> bool {
        if let Some(ledger) = &self.world.ledger {
            return ledger.is_in_full(report);
        }
        let given_up = report.leaves.iter().any(|leaf| leaf.dropped.closed.bytes > 0);
        let mut leaves = report.leaves.iter().filter(|leaf| leaf.gates);
        let all = leaves.all(|leaf| leaf.accepted.bytes == leaf.written.bytes);
        let complete = all || self.world.logs.iter().any(Log::drops);
        let given_up = given_up && report.leaves.iter().all(|leaf| leaf.gates);
        complete && !given_up
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
                let was_closed = std::mem::replace(&mut self.closed, true);
                match done {
                    Ok(report) => {
                        assert!(was_closed || self.is_in_full(&report), "delivers all: {report}");
                        self.ended(&report);
                    }
                    // An open circuit below a layer that still has something.
                    Err(error) => {
                        self.failed(&error, &[]);
                        self.sink.end(End::Close);
                    }
                }
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
        let report = self.sink.report();
        let Self { sink, mut world, .. } = self;
        drop(sink);
        if let Some(read) = world.read_ledger() {
            // Dropped as it was, it has made one more attempt to write, which no report knows of.
            if let Some(ledger) = world.ledger.filter(|_| kind != 3) {
                ledger.settle(&read, &report);
            }
            return;
        }
        if kind != 3 {
            for receiver in &mut world.receivers {
                receiver.accept();
                receiver.check_end(&world.logs[receiver.log]);
            }
        }
    }
}
