//! A stack that is shared: several producers, each of which does one thing after the other, some of
//! which it gives up.
//!
//! Each producer is a lane of its own: its messages keep their order, those of others may come
//! between.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use torq_message_sink::{ErrorKind, Fanout, MessageSink, Shared, SinkError, TryFeedError};

use super::choices::Choices;
use super::drive::{Woken, drive_kindly, poll};
use super::framings::AnyFraming;
use super::ledger::{Ledger, Promise};
use super::log::CAPACITIES;
use super::message::Message;
use super::parts::Parts;
use super::receiver::Receiver;
use super::way::{Way, all, one};
use super::world::World;

/// Runs at most `most` operations on one of the stacks; answers how many.
pub(super) async fn run(choices: &mut dyn Choices, most: u64, trace: bool) -> u64 {
    let number = choices.below(4);
    let mut parts = Parts::new(choices);
    parts.framing = Some(AnyFraming::default_of(1000));
    parts.counting = true;
    let choices = &mut **parts.choices.get_mut();
    parts.small_writes = choices.once_in(2);
    parts.capacity = Some(choices.of(&CAPACITIES));
    match number {
        0 => run_on(parts.lazy_one(), Way::To(0), parts, most, trace).await,
        1 => {
            let failover = parts.failover((parts.link(), parts.link()));
            let stack = parts.lazy(parts.buffered(failover));
            run_on(stack, one([Way::To(0), Way::To(1)]), parts, most, trace).await
        }
        2 => {
            let stack = Fanout::new((parts.lazy_one(), parts.lazy_one()));
            run_on(stack, all([Way::To(0), Way::To(1)]), parts, most, trace).await
        }
        _ => {
            let stack = parts.lazy(parts.deadline(parts.one()));
            run_on(stack, Way::To(0), parts, most, trace).await
        }
    }
}

async fn run_on<S: MessageSink + Send + 'static>(
    stack: S,
    way: Way,
    parts: Parts<'_>,
    most: u64,
    trace: bool,
) -> u64 {
    let Parts { choices, logs, receivers, limited, promise, .. } = parts;
    let (logs, receivers) = (logs.into_inner(), receivers.into_inner());
    let choices = choices.into_inner();
    let capacity = 60 + choices.below(600);
    let mut promise = Promise { way, lanes: PRODUCERS as u8, ..promise.into_inner() };
    promise.waiting_bytes += 2 * capacity;
    promise.waiting = true;
    let ledger = Ledger::new(promise, &logs, &receivers);
    let world = World { logs, receivers, choices, ledger: Some(ledger) };
    if trace {
        println!("Shared<{}>", std::any::type_name::<S>());
    }
    let producers = std::array::from_fn(|_| Producer { call: None, woken: Arc::default() });
    let sink = Shared::with_capacity(stack, capacity);
    let limited = limited.get();
    Run { sink, producers, world, limited, closed: false, disconnected: false, trace }
        .run(most)
        .await
}

struct Run<'a, S: MessageSink + Send + 'static> {
    sink: Shared<S>,
    producers: [Producer; PRODUCERS],
    world: World<'a>,
    limited: bool,
    closed: bool,
    /// Nobody may be trying to bring away what a disconnect has left.
    disconnected: bool,
    trace: bool,
}

struct Producer {
    call: Option<Call>,
    woken: Arc<Woken>,
}

/// What a producer waits for.
struct Call {
    future: Pin<Box<dyn Future<Output = Result<(), SinkError>>>>,
    /// The messages that it feeds, of which so many are known to be accepted.
    messages: Rc<Vec<Message>>,
    noted: usize,
    accepted: Rc<Cell<usize>>,
    /// Whether all that was accepted before it began is flushed when it is done.
    flushes: bool,
}

impl<S: MessageSink + Send + 'static> Run<'_, S> {
    async fn run(mut self, most: u64) -> u64 {
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

    async fn operation(&mut self) {
        let choice = self.world.choices.below(64);
        if self.trace {
            println!("{choice:2} {:?} {:?}", self.sink.state(), self.sink);
        }
        let index = self.world.choices.below(PRODUCERS);
        match choice {
            0..=11 => self.try_feed(index),
            12..=15 => self.begin(index, 1, false),
            16..=19 => self.begin(index, 1, true),
            20..=21 => {
                let count = self.world.choices.below(6);
                self.begin(index, count, true);
            }
            22..=24 => self.begin(index, 0, true),
            25 => self.disconnect(index),
            26 if self.world.choices.once_in(8) => {
                self.closed = true;
                // Somebody else waits for it.
                drop(poll(pin!(self.sink.close()), &Arc::default()));
            }
            27 => self.producers[index].call = None,
            28..=35 => {
                let anyway = self.world.choices.once_in(8);
                self.poll(index, anyway);
            }
            36..=49 => self.world.peer_acts(),
            50..=57 => self.world.let_tasks_run().await,
            58..=61 => {
                let millis = self.world.choices.below(60);
                self.world.pass(Duration::from_millis(millis as u64)).await;
            }
            _ => {}
        }
    }

    /// The next message of a producer.
    fn message(&mut self, index: usize) -> Message {
        let World { logs, choices, ledger, .. } = &mut self.world;
        let ledger = ledger.as_mut().expect("there is one");
        Message { lane: index as u8, ..ledger.message(&mut **choices, logs) }
    }

    fn accept(&mut self, message: &Message) {
        assert!(!self.closed, "a closed sink accepts nothing");
        self.world.ledger.as_mut().expect("there is one").accept(message, 0);
    }

    fn try_feed(&mut self, index: usize) {
        if self.producers[index].call.is_some() {
            return;
        }
        let message = self.message(index);
        match self.sink.try_feed(&message) {
            Ok(()) => self.accept(&message),
            Err(TryFeedError::Full | TryFeedError::TooLarge) => {}
            Err(TryFeedError::Closed) => assert!(self.closed),
            Err(TryFeedError::NotConnected) => assert!(self.may_fail() || self.disconnected),
            Err(other) => panic!("no reason for {other:?}"),
        }
    }

    /// A producer, if it has nothing else to do, begins to feed so many messages and to wait for a
    /// flush.
    fn begin(&mut self, index: usize, count: usize, flushes: bool) {
        if self.producers[index].call.is_some() {
            return;
        }
        let messages = Rc::new((0..count).map(|_| self.message(index)).collect::<Vec<_>>());
        let accepted = Rc::new(Cell::new(0));
        let (sink, fed, told) = (self.sink.clone(), messages.clone(), accepted.clone());
        let future = Box::pin(async move {
            match &fed[..] {
                [] => sink.flush().await,
                [one] if !flushes => sink.feed(one).await.map(|()| told.set(1)),
                [one] => {
                    let mut send = pin!(sink.send(one));
                    poll_fn(|cx| {
                        let sent = send.as_mut().poll(cx);
                        told.set(usize::from(send.accepted()));
                        sent
                    })
                    .await
                }
                all => {
                    let mut send = pin!(sink.send_batch(all));
                    poll_fn(|cx| {
                        let sent = send.as_mut().poll(cx);
                        told.set(send.accepted());
                        sent
                    })
                    .await
                }
            }
        });
        self.call(index, Call { future, messages, noted: 0, accepted, flushes });
    }

    fn disconnect(&mut self, index: usize) {
        if self.producers[index].call.is_some() {
            return;
        }
        self.disconnected = true;
        let sink = self.sink.clone();
        let future = Box::pin(async move { sink.disconnect().await.map(drop) });
        let (messages, accepted) = (Rc::default(), Rc::default());
        self.call(index, Call { future, messages, noted: 0, accepted, flushes: false });
    }

    fn call(&mut self, index: usize, call: Call) {
        let producer = &mut self.producers[index];
        producer.call = Some(call);
        producer.woken.set();
        self.poll(index, false);
    }

    /// Polls what a producer waits for, if that was woken, or for no reason.
    fn poll(&mut self, index: usize, anyway: bool) {
        let Producer { call, woken } = &mut self.producers[index];
        let Some(mut waiting) = call.take() else { return };
        if !woken.take() && !anyway {
            *call = Some(waiting);
            return;
        }
        let polled = poll(waiting.future.as_mut(), woken);
        self.note_accepted(&waiting);
        waiting.noted = waiting.accepted.get();
        match polled {
            Poll::Pending => self.producers[index].call = Some(waiting),
            Poll::Ready(Ok(())) if waiting.flushes => self.flushed(index),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.failed(&error),
        }
    }

    fn note_accepted(&mut self, call: &Call) {
        for message in &call.messages[call.noted..call.accepted.get()] {
            self.accept(message);
        }
    }

    /// Everything of this producer was written.
    fn flushed(&mut self, index: usize) {
        let read = self.world.read_ledger();
        if let (Some(ledger), Some(read)) = (&self.world.ledger, read) {
            ledger.settle_lane(&read, &self.sink.report(), index as u64);
        }
    }

    fn failed(&self, error: &SinkError) {
        match error.kind() {
            ErrorKind::Unreachable => assert!(self.may_fail(), "attempts go on for ever: {error}"),
            ErrorKind::Closed => assert!(self.closed, "{error}"),
            ErrorKind::TooLarge { .. } => {}
            _ => panic!("no reason for {error:?}"),
        }
    }

    fn may_fail(&self) -> bool {
        self.limited || self.world.receivers.iter().any(|receiver| receiver.panics)
    }

    /// Checks everything that holds at any time.
    fn observe(&mut self) {
        self.world.receivers.iter_mut().for_each(Receiver::accept);
        let World { logs, receivers, ledger, .. } = &self.world;
        let report = self.sink.report();
        ledger.as_ref().expect("there is one").check(&report, receivers, logs);
        self.sink.take_events(&mut |_| {});
    }

    /// Everybody behaves, and who waits is polled only when it was woken: all that was accepted gets
    /// through.
    async fn finish(mut self) {
        self.world.receivers.iter_mut().for_each(Receiver::behave);
        let kind = self.world.choices.below(3);
        if self.trace {
            println!("finish {kind}");
        }
        if kind == 0 {
            // All together: room that one of them was given is not another's.
            let done = {
                let all = pin!(finish_all(&mut self.producers));
                drive_kindly(all, &Arc::default(), &mut self.world).await
            };
            for error in done.iter().filter_map(|done| done.as_ref().err()) {
                self.failed(error);
            }
        }
        for index in 0..PRODUCERS {
            if let Some(call) = self.producers[index].call.take() {
                self.note_accepted(&call);
            }
        }
        self.observe();
        let sink = self.sink.clone();
        let close = pin!(sink.close_within(Duration::from_secs(60)));
        let closed = drive_kindly(close, &Arc::default(), &mut self.world).await;
        let report = closed.expect("there is a runtime");
        let Some(ledger) = &self.world.ledger else { return };
        assert!(self.closed || ledger.is_in_full(&report), "delivers all: {report}");
        assert_eq!((report.unfed.bytes, report.buffered_bytes()), (0, 0), "nothing is left");
        self.closed = true;
        self.observe();
        assert_eq!(self.sink.try_feed("x"), Err(TryFeedError::Closed));
        let read = self.world.read_ledger();
        if let (Some(ledger), Some(read)) = (&self.world.ledger, read) {
            ledger.settle(&read, &report);
        }
    }
}

/// Waits for all producers.
async fn finish_all(producers: &mut [Producer]) -> Vec<Result<(), SinkError>> {
    let mut done: Vec<_> = producers.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (producer, done) in producers.iter_mut().zip(&mut done) {
            if let (Some(call), None) = (&mut producer.call, &done)
                && let Poll::Ready(result) = call.future.as_mut().poll(cx)
            {
                *done = Some(result);
            }
        }
        let waits = producers.iter().zip(&done).any(|(p, done)| p.call.is_some() && done.is_none());
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Who feeds at the same time.
const PRODUCERS: usize = 3;
