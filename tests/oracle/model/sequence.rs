//! The operations, and what is checked after each.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;
use torq_message_sink::{ErrorKind, Event, MessageSink, SinkError, WhenFull};

use super::any_sink::AnySink;
use super::choices::Choices;
use super::drive::{Woken, poll};
use super::log::Log;
use super::receiver::Receiver;
use super::stacks::Stack;
use super::world::World;

/// One sink, its receivers, and the truth.
pub(super) struct Sequence<'a> {
    pub(super) sink: AnySink,
    /// Whether attempts to connect can be used up.
    limited: bool,
    /// Whether links reconnect by themselves, and may have given up so unheard.
    pub(super) eager: bool,
    pub(super) deadline: Duration,
    pub(super) world: World<'a>,
    pub(super) woken: Arc<Woken>,
    pub(super) closed: bool,
    /// A disconnect was begun and dropped: the links may be on their way to sleep.
    pub(super) half_asleep: bool,
    pub(super) trace: bool,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(stack: Stack, choices: &'a mut dyn Choices, trace: bool) -> Self {
        let Stack { sink, logs, receivers, limited, eager, ledger } = stack;
        Self {
            deadline: sink.close_deadline(),
            sink,
            limited,
            eager,
            world: World { logs, receivers, choices, ledger },
            woken: Arc::default(),
            closed: false,
            half_asleep: false,
            trace,
        }
    }

    /// Runs `most` operations, or less where the sink ends before; answers how many.
    pub(super) async fn run(mut self, most: u64) -> u64 {
        for operation in 1..=most {
            self.operation().await;
            self.observe();
            if self.closed && self.world.choices.once_in(4) || self.world.choices.used_up() {
                self.finish().await;
                return operation;
            }
        }
        self.finish().await;
        most
    }

    pub(super) async fn operation(&mut self) {
        let choice = self.world.choices.below(64);
        if self.trace {
            println!("{choice:2} {:?} buffered {}", self.sink.state(), self.buffered());
        }
        match choice {
            0..=11 => self.try_feed(),
            12..=16 => self.feed().await,
            17..=19 => self.send().await,
            20..=21 => self.send_batch().await,
            22..=27 => drop(self.poll_flush()),
            28 => self.poll_connect(),
            29 => self.disconnect().await,
            30 if self.world.choices.once_in(4) => self.close().await,
            31 => self.ready_then_feed(),
            32 => self.rest_without_a_busy_loop().await,
            33 if self.world.choices.once_in(3) => self.quiet().await,
            34 if self.world.choices.once_in(3) => self.end_asleep(),
            35..=50 => self.world.peer_acts(),
            51..=56 => self.world.let_tasks_run().await,
            57..=60 => {
                let millis = self.world.choices.below(60);
                self.world.pass(Duration::from_millis(millis as u64)).await;
            }
            61 => self.sink.hurry(),
            62 => {
                let size = self.world.choices.below(self.world.longest() + 1);
                let _ = self.sink.room(size);
            }
            _ => {}
        }
    }

    pub(super) fn buffered(&self) -> u64 {
        self.sink.report().buffered_bytes()
    }

    pub(super) fn poll_flush(&mut self) -> Poll<()> {
        match poll(pin!(self.sink.flush()), &self.woken) {
            Poll::Ready(Ok(())) => {
                self.flushed();
                Poll::Ready(())
            }
            Poll::Ready(Err(error)) => {
                self.failed(&error, &[]);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    pub(super) fn poll_connect(&mut self) {
        match poll(pin!(self.sink.connect()), &self.woken) {
            Poll::Ready(Ok(())) => {
                assert!(self.sink.is_connected(), "connected is what it says");
                assert!(!self.closed);
            }
            Poll::Ready(Err(error)) => self.failed(&error, &[]),
            // It waits for an open circuit first.
            Poll::Pending => assert!(!self.closed || self.may_be_open()),
        }
    }

    /// Somebody who waits, and whom nothing new reaches, is not woken again and again.
    pub(super) async fn rest_without_a_busy_loop(&mut self) {
        self.world.receivers.iter_mut().for_each(|receiver| receiver.script.clear());
        for _ in 0..16 {
            let pending = self.poll_flush().is_pending();
            self.observe();
            self.woken.take();
            self.world.let_tasks_run().await;
            yield_now().await;
            if !pending || !self.woken.take() {
                return;
            }
        }
        panic!("a busy loop: {:?}", self.sink.report());
    }

    /// A flush or a shutdown has succeeded.
    pub(super) fn flushed(&mut self) {
        if let Some(ledger) = &self.world.ledger {
            return ledger.check_flushed(&self.sink.report());
        }
        for leaf in self.sink.report().leaves.iter().filter(|leaf| leaf.gates) {
            assert_eq!(leaf.buffered.bytes, 0, "flushed means everything");
        }
    }

    pub(super) fn failed(&self, error: &SinkError, payload: &[u8]) {
        match error.kind() {
            ErrorKind::Unreachable => assert!(self.may_fail(), "attempts go on for ever: {error}"),
            ErrorKind::TooLarge { .. } => {
                assert!(payload.len() > self.world.longest(), "{error}");
            }
            ErrorKind::InvalidMessage => assert!(!self.world.carries(payload), "{error}"),
            ErrorKind::Closed => assert!(self.closed, "{error}"),
            ErrorKind::Full => {
                let fails = |log: &Log| log.when_full == WhenFull::Error;
                assert!(self.world.logs.iter().any(fails), "{error}");
            }
            ErrorKind::CircuitOpen => assert!(self.may_be_open(), "{error}"),
            _ => panic!("no reason for {error:?}"),
        }
    }

    /// Whether there is a circuit.
    pub(super) fn may_be_open(&self) -> bool {
        self.world.ledger.as_ref().is_some_and(|ledger| ledger.promise.breaks)
    }

    /// Whether callers can get an error: attempts are used up, or one has panicked.
    pub(super) fn may_fail(&self) -> bool {
        self.limited || self.world.receivers.iter().any(|receiver| receiver.panics)
    }

    /// Takes in what happened to the connections.
    pub(super) fn settle(&mut self) {
        let World { logs, receivers, ledger, .. } = &mut self.world;
        receivers.iter_mut().for_each(Receiver::accept);
        self.sink.take_events(&mut |event| {
            match &event {
                Event::Switched { from, to, .. } => {
                    return assert_ne!(from, to, "a switch leads somewhere else");
                }
                Event::HighWater { .. } | Event::LowWater { .. } => return,
                // Where not everybody gets everything, the messages tell.
                _ if ledger.is_some() => return,
                _ => {}
            }
            let index = event.service().and_then(|name| name.parse::<usize>().ok());
            let receiver = &mut receivers[index.expect("links have names")];
            receiver.observe(&event, &logs[receiver.log]);
        });
        if ledger.is_none() {
            receivers.iter_mut().for_each(Receiver::locate);
        }
    }

    /// Checks everything that holds at any time.
    pub(super) fn observe(&mut self) {
        self.settle();
        assert_eq!(self.sink.accepted_bytes(), self.world.accepted_bytes());
        let World { logs, receivers, ledger, .. } = &mut self.world;
        let report = self.sink.report();
        assert_eq!(report.leaves.len(), receivers.len());
        if let Some(ledger) = ledger {
            return ledger.check(&report, receivers, logs);
        }
        for (receiver, leaf) in receivers.iter_mut().zip(&report.leaves) {
            let log = &logs[receiver.log];
            receiver.check(leaf, log);
            // And one frame, where a link has to finish what was left out under it.
            let longest = log.framing.frame_len(log.longest);
            let skips = !receiver.gates || log.when_full == WhenFull::DropOldest;
            let bound = (log.capacity + if skips { longest } else { 0 }) as u64;
            assert!(leaf.buffered.bytes <= bound, "memory is bounded");
        }
    }
}
