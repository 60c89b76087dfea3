//! How much a rate limit lets in, and when.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, advance};
use torq_message_sink::testing::{ScriptedSink, SinkPeer};
use torq_message_sink::{
    Buffered, Encode, End, ErrorKind, MemorySink, MessageSink, Rate, RateLimit, TryFeedError,
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn unlimited() -> (RateLimit<ScriptedSink>, SinkPeer) {
    let (sink, peer) = ScriptedSink::pair(usize::MAX);
    (RateLimit::new(sink), peer)
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// How many of one byte go in at once.
fn burst(sink: &mut impl MessageSink) -> usize {
    (0..10_000).take_while(|_| sink.try_feed("m").is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn burst_passes_at_once_and_the_rest_at_the_rate() {
    let (sink, peer) = unlimited();
    let mut sink = sink.with_messages(Rate::per_second(100).with_burst(20));
    let begun = Instant::now();
    for number in 0..120_u8 {
        sink.feed(&[number]).await.expect("fed");
        let after = u64::from(number).saturating_sub(19) * 10;
        assert_eq!(begun.elapsed(), Duration::from_millis(after), "message {number}");
    }
    assert_eq!(peer.messages().concat(), (0..120).collect::<Vec<_>>(), "in order");
    assert!(!sink.is_limiting());
    assert_eq!(sink.times_limited(), 100, "each of them waited");
}

#[tokio::test(start_paused = true)]
async fn refusal_is_full_and_takes_no_token() {
    let (sink, peer) = unlimited();
    let mut sink = sink.with_messages(Rate::per_second(1000).with_burst(3));
    peer.set_room(0);
    for _ in 0..10 {
        assert_eq!(sink.try_feed("m"), Err(TryFeedError::Full), "the sink below is full");
    }
    assert!(!sink.is_limiting());
    peer.set_room(99);
    assert_eq!(burst(&mut sink), 3);
    for _ in 0..10 {
        assert_eq!(sink.try_feed("m"), Err(TryFeedError::Full));
        assert!(sink.is_limiting() && !sink.room(1) && !sink.fits(1));
        assert_eq!(sink.wait(1), MILLISECOND);
    }
    assert_eq!(sink.times_limited(), 1, "refused again is not limited again");
    advance(MILLISECOND).await;
    assert!(sink.room(1) && sink.wait(1).is_zero());
    assert_eq!(burst(&mut sink), 1);
}

/// What is left of a burst is part of the next one.
#[tokio::test(start_paused = true)]
async fn burst_after_idle_time_is_one_burst() {
    for before in 0..=64 {
        let (sink, _peer) = unlimited();
        let mut sink = sink.with_messages(Rate::per_second(1000).with_burst(64));
        for _ in 0..before {
            sink.try_feed("m").expect("within the burst");
        }
        advance(Duration::from_secs(3600)).await;
        let after = burst(&mut sink);
        // An eighth may be paid for already, and then it is either there or not.
        assert!((56..=64).contains(&after), "{after} after {before}");
    }
}

/// Any schedule: in no span is there more than the burst and what the rate allows.
#[tokio::test(start_paused = true)]
async fn no_span_has_more_than_the_burst_and_the_rate() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (rate, most) = (random.u64(1..20), random.u64(1..100));
        let (sink, _peer) = unlimited();
        let mut sink = match seed % 3 {
            0 => sink.with_messages(Rate::new(rate, MILLISECOND).with_burst(most)),
            _ => sink.with_bytes(Rate::new(rate, MILLISECOND).with_burst(most)),
        };
        let (begun, mut fed) = (Instant::now(), Vec::<(u64, u64)>::new());
        for _ in 0..300 {
            let len = random.usize(..=(most - most / 8).min(30) as usize);
            let accepted = match random.u8(..4) {
                0 => {
                    advance(Duration::from_micros(random.u64(..9000))).await;
                    false
                }
                1 => sink.feed(&vec![0; len]).await.is_ok(),
                _ => {
                    let room = sink.room(len);
                    let accepted = sink.try_feed(&vec![0; len]).is_ok();
                    assert_eq!(room, accepted, "room says what the limit does");
                    accepted
                }
            };
            if accepted {
                let cost = if seed % 3 == 0 { 1 } else { len as u64 };
                fed.push((begun.elapsed().as_micros() as u64, cost));
            }
        }
        for (first, &(from, _)) in fed.iter().enumerate() {
            let mut sum = 0;
            for &(to, cost) in &fed[first..] {
                sum += cost;
                let allowed = most + (to - from) * rate / 1000;
                assert!(sum <= allowed, "seed {seed}: {sum} > {allowed} from {from} to {to}");
            }
        }
        assert!(fed.len() > 50, "{}", fed.len());
    }
}

#[tokio::test(start_paused = true)]
async fn both_limits_hold_and_the_slower_one_decides() {
    let (sink, _peer) = unlimited();
    let mut sink = sink
        .with_messages(Rate::per_second(10).with_burst(1))
        .with_bytes(Rate::per_second(100).with_burst(50));
    let begun = Instant::now();
    sink.feed(&[0; 50]).await.expect("fed");
    sink.feed(&[0; 1]).await.expect("fed");
    assert_eq!(begun.elapsed(), Duration::from_millis(100), "as messages");
    sink.feed(&[0; 50]).await.expect("fed");
    assert_eq!(begun.elapsed(), Duration::from_millis(510), "as bytes");
}

#[tokio::test(start_paused = true)]
async fn message_above_the_burst_waits_for_all_of_it_and_is_paid_off_afterwards() {
    let (sink, _peer) = unlimited();
    let mut sink = sink.with_bytes(Rate::per_second(1000).with_burst(100));
    let begun = Instant::now();
    sink.try_feed(&[0; 500]).expect("nothing is owed");
    assert_eq!(sink.try_feed("m"), Err(TryFeedError::Full));
    assert_eq!(sink.try_feed(&[0; 0]), Ok(()), "nothing costs nothing");
    sink.feed("m").await.expect("fed");
    // 501 have passed, of which 100 are the burst.
    assert_eq!(begun.elapsed(), Duration::from_millis(401));
    sink.feed(&[0; 500]).await.expect("fed");
    assert_eq!(begun.elapsed(), Duration::from_millis(401 + 88), "when nothing is owed");
}

#[tokio::test(start_paused = true)]
async fn whoever_was_promised_room_has_it() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (sink, peer) = unlimited();
        let rate = Rate::new(random.u64(1..2000), MILLISECOND).with_burst(random.u64(1..300));
        let mut sink = sink.with_bytes(rate).with_messages(rate);
        for _ in 0..50 {
            peer.set_room(random.usize(1..4));
            let len = random.usize(..500);
            if random.bool() {
                std::future::poll_fn(|cx| sink.poll_ready(cx, len)).await.expect("ready");
            } else if sink.try_ready(len).is_err() {
                continue;
            }
            assert!(sink.room(len) && sink.fits(len));
            assert_eq!(sink.try_feed(&vec![0; random.usize(..=len)]), Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_feed_has_taken_nothing() {
    let (sink, peer) = unlimited();
    let mut sink = sink.with_messages(Rate::per_second(1).with_burst(1));
    sink.try_feed("first").expect("the burst");
    for _ in 0..10 {
        assert!(pin!(sink.feed("dropped")).poll(&mut cx()).is_pending());
    }
    advance(Duration::from_secs(1)).await;
    assert!(sink.poll_feed(&mut cx(), "second").is_ready(), "nobody has used the token");
    assert_eq!(peer.messages(), [b"first".as_slice(), b"second"]);
}

#[tokio::test(start_paused = true)]
async fn message_that_the_sink_below_refuses_costs_nothing() {
    let (link, _peer) = MemorySink::pair(10_000);
    let sink = Buffered::with_capacity(link, 256);
    let mut sink = RateLimit::new(sink).with_bytes(Rate::per_second(10).with_burst(10));
    for len in [10_000, 1 << 40, usize::MAX] {
        struct Claims(usize);
        impl Encode for Claims {
            fn encoded_len(&self) -> usize {
                self.0
            }
            fn encode(&self, _: &mut [u8]) {}
        }
        let error = sink.feed(&Claims(len)).await.expect_err("too large");
        assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }));
        assert!(sink.try_feed(&Claims(len)).is_err_and(TryFeedError::is_too_large));
    }
    assert_eq!(burst(&mut sink), 10, "the burst, as if nothing had been");
}

#[tokio::test(start_paused = true)]
async fn closed_sink_says_so_at_once() {
    let (sink, _peer) = unlimited();
    let mut sink = sink.with_messages(Rate::new(1, Duration::MAX));
    sink.try_feed("m").expect("the burst");
    assert!(sink.poll_feed(&mut cx(), "m").is_pending());
    sink.end(End::Close);
    assert_eq!(sink.try_feed("m"), Err(TryFeedError::Closed));
    for polled in [sink.poll_feed(&mut cx(), "m"), sink.poll_ready(&mut cx(), 1)] {
        assert!(matches!(polled, Poll::Ready(Err(error)) if error.is_closed()));
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_rates_neither_panic_nor_stop_everything() {
    let extremes = [0, 1, u64::MAX];
    for amount in extremes {
        for time in [Duration::ZERO, MILLISECOND, Duration::MAX] {
            for most in extremes {
                let (sink, _peer) = unlimited();
                let rate = Rate::new(amount, time).with_burst(most);
                let mut sink = sink.with_messages(rate).with_bytes(rate);
                assert_eq!(sink.try_feed("m"), Ok(()), "{rate:?}");
                let _ = (sink.try_feed("m"), sink.try_ready(usize::MAX), sink.wait(usize::MAX));
                let _ = (sink.poll_ready(&mut cx(), usize::MAX), sink.poll_feed(&mut cx(), "m"));
            }
        }
    }
}

#[test]
fn outside_a_runtime_waiting_is_a_typed_error() {
    let (sink, _peer) = unlimited();
    let mut sink = sink.with_messages(Rate::new(1, Duration::from_secs(3600)));
    assert_eq!(sink.try_feed("m"), Ok(()), "the burst needs no timer");
    assert_eq!(sink.try_feed("m"), Err(TryFeedError::Full));
    let polled = sink.poll_ready(&mut cx(), 1);
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.kind() == ErrorKind::NoRuntime));
}

#[test]
fn wait_goes_on_in_another_runtime() {
    let runtime = || Builder::new_current_thread().enable_all().start_paused(true).build();
    let (sink, _peer) = unlimited();
    let mut sink = sink.with_messages(Rate::new(1, Duration::from_secs(3600)));
    runtime().expect("a runtime").block_on(async {
        sink.feed("m").await.expect("the burst");
        assert!(sink.poll_feed(&mut cx(), "m").is_pending());
    });
    let another = runtime().expect("a runtime");
    another.block_on(sink.feed("m")).expect("after an hour of its time");
    drop(another);
    assert_eq!(sink.try_feed("m"), Err(TryFeedError::Full));
}

#[tokio::test(start_paused = true)]
async fn accepted_messages_are_flushed_without_a_limit() {
    let (link, peer) = MemorySink::pair(10_000);
    let mut sink = RateLimit::new(Buffered::new(link)).with_messages(Rate::per_second(1000));
    let begun = Instant::now();
    for _ in 0..1000 {
        sink.feed("m").await.expect("the burst");
    }
    sink.flush().await.expect("flushed");
    assert_eq!((begun.elapsed(), sink.outstanding_bytes()), (Duration::ZERO, 0));
    assert_eq!(peer.accept().expect("connected").read().len(), 5000);
}
