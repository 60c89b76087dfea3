//! What users rely on, as checks that any sink, layer or composite can be put through.
//!
//! Each check takes a function that makes a fresh sink together with its receivers, and panics with
//! the fact that does not hold. [`check_all`] runs them all; a layer is also put through
//! [`forwards_every_method`].
//!
//! The messages have 1 to 13 bytes: digits, then a full stop. So they can be carried as lines and as
//! payloads that tell their own end; [`check_all_but_empty`] is for framings that carry no message
//! of no bytes.
//!
//! # Examples
//!
//! ```
//! use torq_message_sink::testing::conformance::{MemoryReceivers, Subject, check_all};
//! use torq_message_sink::{Buffered, MemorySink};
//!
//! # tokio_test::block_on(
//! check_all(|| {
//!     let (link, peer) = MemorySink::pair(64);
//!     Subject {
//!         sink: Buffered::with_capacity(link, 256),
//!         receivers: MemoryReceivers::new([peer]),
//!         bound_bytes: 256 + 64,
//!     }
//! })
//! # );
//! ```

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

pub use super::receive::{MemoryReceivers, Receive};

use super::ScriptedSink;
use crate::policy::LazyPolicy;
use crate::sink::{End, MessageSink, SinkState};

/// A fresh sink and what stands at its other ends.
#[derive(Debug)]
pub struct Subject<S, R> {
    /// The sink.
    pub sink: S,
    /// Who gets its messages.
    pub receivers: R,
    /// The most bytes of frames that it may accept while nobody receives any.
    pub bound_bytes: u64,
}

/// Runs every check of this module that a sink can be put through. Needs a tokio runtime with time.
///
/// # Panics
///
/// With the fact that does not hold.
pub async fn check_all<S: MessageSink, R: Receive>(mut make: impl FnMut() -> Subject<S, R>) {
    empty_messages_arrive(make()).await;
    check_all_but_empty(make).await;
}

/// [`check_all`] for a sink whose framing refuses empty messages, as
/// [`SelfDelimiting`](crate::SelfDelimiting) does.
///
/// # Panics
///
/// With the fact that does not hold.
pub async fn check_all_but_empty<S: MessageSink, R: Receive>(
    mut make: impl FnMut() -> Subject<S, R>,
) {
    order_is_kept(make()).await;
    flushed_means_delivered(make()).await;
    refusal_leaves_no_trace(make()).await;
    room_is_a_promise(make()).await;
    fitting_is_a_promise(make()).await;
    memory_is_bounded(make()).await;
    dropped_feed_accepted_nothing(make()).await;
    full_sink_wakes_who_waits(make()).await;
    disconnected_sink_wakes_when_fed(make()).await;
    close_is_final(make()).await;
    ended_sink_is_closed(make());
}

/// Messages arrive as they were fed, once, at every receiver.
pub async fn order_is_kept<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    let messages: Vec<_> = (0..100).map(message).collect();
    for (index, chunk) in messages.chunks(10).enumerate() {
        match index % 3 {
            0 => finish(sink.send_batch(chunk), &mut receivers).await,
            1 => {
                for message in chunk {
                    finish(sink.feed(message), &mut receivers).await;
                }
            }
            _ => {
                for message in chunk {
                    finish(sink.send(message), &mut receivers).await;
                }
            }
        }
    }
    finish(sink.flush(), &mut receivers).await;
    for got in receivers.receive() {
        assert_eq!(got, messages, "messages arrive in order, whole, and once");
    }
}

/// Messages of no bytes are messages: there is room for them or not, and among others they arrive
/// in order, and once.
pub async fn empty_messages_arrive<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    let mut messages = Vec::new();
    for number in 0..LOTS {
        let message = if number % 3 == 0 { message(number) } else { Vec::new() };
        if !sink.room(message.len()) {
            let ready = poll_fn(|cx| sink.poll_ready(cx, message.len()));
            finish(ready, &mut receivers).await;
        }
        assert_eq!(sink.try_feed(&message), Ok(()), "room for an empty message is a promise");
        messages.push(message);
        tokio::task::yield_now().await;
    }
    finish(sink.send_batch([b"", b""]), &mut receivers).await;
    messages.extend([vec![], vec![]]);
    for got in receivers.receive() {
        assert_eq!(got, messages, "empty messages arrive in order and once");
    }
}

/// After a flush every receiver can have every message.
pub async fn flushed_means_delivered<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    for count in 1..20 {
        finish(sink.feed(&message(count)), &mut receivers).await;
        finish(sink.flush(), &mut receivers).await;
        for got in receivers.receive() {
            assert_eq!(got.len(), count, "flushed means delivered");
        }
    }
}

/// A message that was refused arrives nowhere and changes no count.
pub async fn refusal_leaves_no_trace<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    let mut accepted = Vec::new();
    for number in 0..LOTS {
        let before = sink.accepted_bytes();
        match sink.try_feed(&message(number)) {
            Ok(()) => accepted.push(message(number)),
            Err(_) => {
                assert_eq!(sink.accepted_bytes(), before, "a refusal changes no count");
                if number % 3 == 0 {
                    finish(sink.flush(), &mut receivers).await;
                }
            }
        }
        tokio::task::yield_now().await;
    }
    finish(sink.flush(), &mut receivers).await;
    for got in receivers.receive() {
        assert_eq!(got, accepted, "what was refused does not arrive");
    }
}

/// While `room` answers true, and after `poll_ready`, the next `try_feed` succeeds.
pub async fn room_is_a_promise<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    for number in 0..LOTS {
        let message = message(number);
        if sink.room(message.len()) {
            assert_eq!(sink.try_feed(&message), Ok(()), "`room` is a promise");
        } else {
            let ready = poll_fn(|cx| sink.poll_ready(cx, message.len()));
            finish(ready, &mut receivers).await;
            assert!(sink.room(message.len()), "a sink that is ready has room");
            assert_eq!(sink.try_feed(&message), Ok(()), "`poll_ready` is a promise");
        }
        tokio::task::yield_now().await;
    }
}

/// What fits is appended, and what is not appended leaves no trace.
pub async fn fitting_is_a_promise<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    let mut accepted = Vec::new();
    for number in 0..LOTS {
        let message = message(number);
        let (before, fits) = (sink.accepted_bytes(), sink.fits(message.len()));
        if sink.append(&message, message.len()) {
            accepted.push(message);
        } else {
            assert!(!fits, "what fits is appended");
            assert_eq!(sink.accepted_bytes(), before, "what is not appended changes no count");
            finish(poll_fn(|cx| sink.poll_ready(cx, message.len())), &mut receivers).await;
        }
        tokio::task::yield_now().await;
    }
    finish(sink.flush(), &mut receivers).await;
    for got in receivers.receive() {
        assert_eq!(got, accepted, "what was appended arrives, and nothing else");
    }
}

/// A sink whose receivers take nothing stops accepting.
pub async fn memory_is_bounded<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, bound_bytes, .. } = subject;
    for number in 0..100_000 {
        if sink.try_feed(&message(number)).is_err_and(|refusal| refusal.is_full()) && number > LOTS
        {
            break;
        }
        tokio::task::yield_now().await;
        assert!(sink.accepted_bytes() <= bound_bytes, "memory is bounded by the configuration");
        for leaf in sink.report().leaves {
            assert!(leaf.is_conserved(), "nothing disappears: {leaf:?}");
        }
    }
    assert!(sink.try_feed(&message(6)).is_err(), "a sink that nobody reads from fills up");
}

/// A feed that was dropped before it was ready has accepted nothing.
pub async fn dropped_feed_accepted_nothing<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    let mut accepted = Vec::new();
    for number in 0..LOTS {
        let message = message(number);
        let mut feed = pin!(sink.feed(&message));
        let polled = poll_fn(|cx| Poll::Ready(feed.as_mut().poll(cx))).await;
        if polled.is_ready() {
            accepted.push(message.clone());
        }
        if number % 7 == 0 {
            receivers.receive();
        }
        tokio::task::yield_now().await;
    }
    finish(sink.flush(), &mut receivers).await;
    for got in receivers.receive() {
        assert_eq!(got, accepted, "a dropped feed accepted nothing");
    }
}

/// Who waits for room is woken when there is some.
pub async fn full_sink_wakes_who_waits<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    fill(&mut sink).await;
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let message = message(6);
    for _ in 0..100_000 {
        let before = wakes.0.load(Ordering::SeqCst);
        if sink.poll_ready(&mut Context::from_waker(&waker), message.len()).is_ready() {
            return;
        }
        for _ in 0..100 {
            if wakes.0.load(Ordering::SeqCst) > before {
                break;
            }
            receivers.receive();
            tokio::task::yield_now().await;
        }
        assert!(wakes.0.load(Ordering::SeqCst) > before, "room wakes who waits for it");
    }
    panic!("a full sink whose receivers read on gets room");
}

/// A sink that was put to sleep has delivered everything, and wakes when it is fed.
pub async fn disconnected_sink_wakes_when_fed<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    for round in 1..4 {
        finish(sink.feed(&message(round)), &mut receivers).await;
        finish(sink.disconnect(), &mut receivers).await;
        for got in receivers.receive() {
            assert_eq!(got.len(), round, "a sink delivers before it sleeps, and wakes again");
        }
    }
}

/// A closed sink has delivered everything, and accepts nothing ever again.
pub async fn close_is_final<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, mut receivers, .. } = subject;
    finish(sink.feed(&message(3)), &mut receivers).await;
    let report = finish(sink.close(), &mut receivers).await;
    assert!(report.is_complete(), "a close with time enough delivers everything: {report}");
    for got in receivers.receive() {
        assert_eq!(got, [message(3)], "a close delivers what was accepted");
    }
    stays_closed(&mut sink);
    finish(sink.close(), &mut receivers).await;
    finish(sink.disconnect(), &mut receivers).await;
    stays_closed(&mut sink);
}

/// A sink that was ended by [`End::Close`] accepts nothing, and everything is accounted for.
pub fn ended_sink_is_closed<S: MessageSink, R: Receive>(subject: Subject<S, R>) {
    let Subject { mut sink, .. } = subject;
    let _ = sink.try_feed(&message(1));
    sink.end(End::Close);
    stays_closed(&mut sink);
    for leaf in sink.report().leaves {
        assert!(leaf.is_conserved(), "what is left at the end is counted: {leaf:?}");
        assert_eq!(leaf.buffered.bytes, 0, "a closed sink holds nothing");
    }
}

/// A layer forwards every method of [`MessageSink`] to the sink below, save for those of `except`:
/// a forgotten one is a silent slow path or a lost policy.
pub fn forwards_every_method<S: MessageSink>(
    wrap: impl FnOnce(ScriptedSink) -> S,
    except: &[&'static str],
) {
    let (inner, peer) = ScriptedSink::pair(8);
    let mut sink = wrap(inner);
    let mut cx = Context::from_waker(Waker::noop());
    let mut missing = BTreeSet::new();
    let mut called = |method: &'static str| {
        if !peer.take_calls().contains(method) && !except.contains(&method) {
            missing.insert(method);
        }
    };
    let _ = (sink.set_policy(&Arc::new(LazyPolicy::new())), called("set_policy"));
    let _ = (sink.due(), called("due"));
    let _ = (sink.close_deadline(), called("close_deadline"));
    let _ = (sink.room(1), called("room"));
    let _ = (sink.try_ready(1), called("try_ready"));
    let _ = (sink.try_feed("m"), called("try_feed"));
    let _ = (sink.append("m", 1), called("append"));
    let _ = (sink.fits(1), called("fits"));
    let _ = (sink.accepts("m", 1), called("accepts"));
    let _ = (sink.poll_feed(&mut cx, "m"), called("poll_feed"));
    let _ = (sink.is_connected(), called("is_connected"));
    let _ = (sink.poll_ready(&mut cx, 1), called("poll_ready"));
    let _ = (sink.poll_flush(&mut cx), called("poll_flush"));
    let _ = (sink.poll_connect(&mut cx), called("poll_connect"));
    let _ = (sink.state(), called("state"));
    let _ = (sink.accepted_bytes(), called("accepted_bytes"));
    let _ = (sink.outstanding_bytes(), called("outstanding_bytes"));
    let _ = (sink.report(), called("report_into"));
    let _ = (sink.take_events(&mut |_| {}), called("take_events"));
    let _ = (sink.hurry(), called("hurry"));
    let _ = (sink.poll_disconnect(&mut cx), called("poll_disconnect"));
    let _ = (sink.poll_close(&mut cx), called("poll_close"));
    let _ = (sink.end(End::Close), called("end"));
    assert!(missing.is_empty(), "a layer forwards every method; not forwarded: {missing:?}");
}

fn stays_closed<S: MessageSink>(sink: &mut S) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(!sink.room(1), "a closed sink has no room");
    assert!(sink.try_feed(&message(2)).is_err_and(|refusal| refusal.is_closed()));
    let ready = sink.poll_ready(&mut cx, 1);
    assert!(matches!(ready, Poll::Ready(Err(error)) if error.is_closed()), "closed is never ready");
    let connected = sink.poll_connect(&mut cx);
    assert!(matches!(connected, Poll::Ready(Err(error)) if error.is_closed()), "closed stays so");
    assert_eq!(sink.state(), SinkState::Closed);
}

/// Feeds until nothing more goes in, however often the sink's tasks have run.
async fn fill<S: MessageSink>(sink: &mut S) {
    let mut refused = 0;
    while refused < LOTS {
        refused = if sink.try_feed(&message(6)).is_ok() { 0 } else { refused + 1 };
        tokio::task::yield_now().await;
    }
}

/// Waits for `future` while the receivers read.
async fn finish<T, E: std::fmt::Debug, R: Receive>(
    future: impl Future<Output = Result<T, E>>,
    receivers: &mut R,
) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return done.expect("a call with receivers that read succeeds");
        }
        receivers.receive();
        tokio::task::yield_now().await;
    }
}

/// Messages of 1 to 13 bytes that tell their number and their end.
fn message(number: usize) -> Vec<u8> {
    let mut bytes = format!("{number:012}.").into_bytes();
    bytes.split_off(12 - number * 5 % 13)
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// More messages than the small sinks of tests hold.
const LOTS: usize = 200;
