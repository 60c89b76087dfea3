//! Whose turn it is, who is passed over, and what becomes of frames in between.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::advance;
use torq_message_sink::{
    Backoff, BestEffort, Buffered, ErrorKind, Event, Fanout, Lazy, LazyPolicy, Link, MemorySink,
    MessageSink, RoundRobin, SinkError, SinkState, WhenFull,
};

use crate::numbered::message;
use crate::receiver::Receiver;

/// Bytes of the frames here.
const FRAME: usize = 12;

fn links<const N: usize>(capacities: [usize; N]) -> ([MemorySink; N], [Receiver; N]) {
    let mut receivers = Vec::new();
    let links = capacities.map(|capacity| {
        let (link, receiver) = Receiver::link(capacity);
        receivers.push(receiver);
        link
    });
    (links, receivers.try_into().unwrap_or_else(|_| unreachable!("one for each link")))
}

/// A sink that tries again at once, and counts.
fn lazy<L: Link>(links: L) -> Lazy<Buffered<L>> {
    let backoff = Backoff::new().with_initial(Duration::ZERO).with_max(Duration::ZERO);
    let policy = LazyPolicy::new().with_backoff(backoff).with_counting(true);
    Lazy::with_policy(Buffered::with_capacity(links, 1 << 20), policy)
}

async fn flush(sink: &mut impl MessageSink) -> Poll<Result<(), SinkError>> {
    poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await
}

/// The attempts to connect come to something.
async fn turn() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

fn feed(sink: &mut impl MessageSink, number: usize) {
    sink.try_feed(&message(number, 0)).expect("room");
}

async fn send(sink: &mut impl MessageSink, numbers: std::ops::Range<usize>) {
    for number in numbers {
        sink.send(&message(number, 0)).await.expect("somebody takes it");
    }
}

/// Wakes all children, and gives them the time to connect.
async fn connect(sink: &mut impl MessageSink) {
    sink.connect().await.expect("one will do");
    turn().await;
}

fn numbers<const N: usize>(receivers: &mut [Receiver; N]) -> [Vec<usize>; N] {
    receivers.each_mut().map(|receiver| {
        receiver.read(usize::MAX);
        receiver.numbers()
    })
}

#[tokio::test(start_paused = true)]
async fn each_flush_is_a_turn_and_turns_go_round_in_order() {
    let (links, mut receivers) = links([1000; 3]);
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    send(&mut sink, 0..8).await;
    sink.send_batch((8..10).map(|number| message(number, 0))).await.expect("sent");
    assert_eq!(numbers(&mut receivers), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5, 8, 9]]);
    assert_eq!(sink.get_ref().get_ref().distribution(), [3, 3, 3]);
    let report = sink.report();
    let written: Vec<_> = report.leaves.iter().map(|leaf| leaf.written.messages).collect();
    assert_eq!(written, [Some(3), Some(3), Some(4)]);
    assert!(report.is_complete() && report.leaves.iter().all(|leaf| leaf.is_conserved()));
}

#[tokio::test(start_paused = true)]
async fn every_child_of_mixed_types_gets_its_share() {
    let ([first, second, third], mut receivers) = links([100_000; 3]);
    let mut sink = lazy(RoundRobin::new((first, BestEffort::new(second).with_gating(true), third)));
    connect(&mut sink).await;
    send(&mut sink, 0..300).await;
    assert_eq!(numbers(&mut receivers).map(|got| got.len()), [100, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn what_has_gathered_is_shared_out_in_writes() {
    let (links, mut receivers) = links([1 << 20; 3]);
    receivers.iter().for_each(Receiver::stall);
    let mut sink = lazy(RoundRobin::new(links));
    // More than twelve writes of 64 KiB.
    for number in 0..800 {
        sink.try_feed(&message(number, 1000)).expect("room");
    }
    receivers.iter_mut().for_each(Receiver::restart);
    connect(&mut sink).await;
    sink.flush().await.expect("flushed");
    let [first, second, third] = numbers(&mut receivers).map(|got| got.len());
    assert_eq!(first + second + third, 800);
    assert!([first, second, third].iter().all(|got| (192..=320).contains(got)));
}

#[tokio::test(start_paused = true)]
async fn child_whose_peer_is_away_is_passed_over_until_it_is_back() {
    let (links, mut receivers) = links([1000; 3]);
    receivers[1].kill(false);
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    send(&mut sink, 0..4).await;
    assert_eq!(numbers(&mut receivers), [vec![0, 2], vec![], vec![1, 3]]);
    receivers[1].restart();
    for number in 4..10 {
        turn().await;
        send(&mut sink, number..number + 1).await;
    }
    let [first, second, third] = numbers(&mut receivers).map(|got| got.len());
    assert_eq!((first + third, second), (8, 2), "it has its turns again");
}

#[tokio::test(start_paused = true)]
async fn full_socket_is_passed_over_until_it_is_read_from() {
    // Room for two frames and no more.
    let (links, mut receivers) = links([1000, 2 * FRAME, 1000]);
    receivers[1].is_stuck = true;
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    send(&mut sink, 0..20).await;
    receivers[1].is_stuck = false;
    assert_eq!(numbers(&mut receivers).map(|got| got.len()), [9, 2, 9]);
    send(&mut sink, 20..23).await;
    assert_eq!(numbers(&mut receivers).map(|got| got.len()), [10, 3, 10]);
}

#[tokio::test(start_paused = true)]
async fn frame_that_was_begun_is_finished_before_others_go_on() {
    let (links, mut receivers) = links([FRAME + 5, 1000]);
    let mut sink = lazy(RoundRobin::new(links).with_stall_timeout(None));
    connect(&mut sink).await;
    (0..4).for_each(|number| feed(&mut sink, number));
    assert!(flush(&mut sink).await.is_pending());
    advance(Duration::from_secs(3600)).await;
    assert!(flush(&mut sink).await.is_pending(), "there is no haste");
    receivers[1].read(usize::MAX);
    assert!(receivers[1].numbers().is_empty());
    let report = sink.report();
    assert!(report.leaves.iter().all(|leaf| leaf.is_conserved()));
    let leaf = &report.leaves[0];
    assert_eq!((leaf.written.messages, leaf.buffered.messages), (Some(1), Some(3)));
    receivers[0].read(1);
    assert!(flush(&mut sink).await.is_pending(), "one byte is not enough");
    receivers[0].read(usize::MAX);
    assert!(flush(&mut sink).await.is_ready());
    assert_eq!(numbers(&mut receivers), [vec![0, 1], vec![2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_stuck_in_mid_frame_costs_its_connection_and_no_frame() {
    let (links, mut receivers) = links([FRAME + 5, 100_000]);
    receivers[0].is_stuck = true;
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    (0..4).for_each(|number| feed(&mut sink, number));
    let begun = tokio::time::Instant::now();
    // Nobody but the sink's own timer calls.
    sink.flush().await.expect("the other goes on");
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
    send(&mut sink, 4..40).await;
    assert_eq!(begun.elapsed(), waited, "it is passed over");
    receivers[1].read(usize::MAX);
    assert_eq!(receivers[1].numbers(), Vec::from_iter(1..40));
    receivers[0].is_stuck = false;
    advance(Duration::from_secs(10)).await;
    for number in 40..44 {
        turn().await;
        send(&mut sink, number..number + 1).await;
        receivers[0].read(usize::MAX);
    }
    let [first, second] = numbers(&mut receivers);
    assert_eq!(first[0], 0);
    assert!(first.len() > 1, "its turn comes again: {first:?}");
    assert_eq!(first.len() + second.len(), 44);
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_stuck_is_waited_for_while_it_is_alone() {
    let (links, mut receivers) = links([FRAME + 5, 1000]);
    receivers[1].kill(false);
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    (0..3).for_each(|number| feed(&mut sink, number));
    for _ in 0..10 {
        assert!(flush(&mut sink).await.is_pending());
        advance(Duration::from_secs(1)).await;
        turn().await;
    }
    receivers[0].read(0);
    assert_eq!(receivers[0].connections(), 1);
    receivers[1].restart();
    sink.flush().await.expect("the other has come");
    receivers[0].read(usize::MAX);
    assert_eq!(numbers(&mut receivers), [vec![0], vec![1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_s_end_has_cut_off_goes_to_the_next_child() {
    for by_reset in [false, true] {
        let (links, mut receivers) = links([2 * FRAME + 5, 1000]);
        let mut sink = lazy(RoundRobin::new(links));
        connect(&mut sink).await;
        (0..6).for_each(|number| feed(&mut sink, number));
        assert!(flush(&mut sink).await.is_pending());
        receivers[0].kill(by_reset);
        sink.flush().await.expect("the other goes on");
        assert_eq!(numbers(&mut receivers), [vec![0, 1], vec![2, 3, 4, 5]]);
        let report = sink.report();
        assert!(report.is_complete(), "{report}");
        assert_eq!(report.leaves[0].rewritten_bytes, 0, "it has written nothing twice");
        let mut cut = None;
        sink.take_events(&mut |event| {
            if let Event::Ended(end) = event {
                cut = Some((end.end.bytes, end.cut_bytes));
            }
        });
        assert_eq!(cut, Some((2 * FRAME as u64, 5)));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_child_of_several_peers_is_ended_as_a_whole() {
    let ([one, other, second], mut receivers) = links([1000, 5, 1000]);
    let mut sink = lazy(RoundRobin::new((Fanout::new([one, other]), Fanout::new([second]))));
    connect(&mut sink).await;
    sink.flush().await.expect("nothing to do");
    feed(&mut sink, 0);
    feed(&mut sink, 1);
    assert!(flush(&mut sink).await.is_pending(), "one of the two is in mid-frame");
    receivers[1].kill(true);
    sink.flush().await.expect("the next child goes on");
    assert_eq!(numbers(&mut receivers), [vec![0, 1], vec![], vec![0, 1]]);
}

#[tokio::test(start_paused = true)]
async fn child_that_nobody_waits_for_misses_what_it_has_begun_and_holds_up_nobody() {
    let ([lags, first, second], mut receivers) = links([5, 1000, 1000]);
    let fanout = Fanout::new((BestEffort::new(lags), first));
    let mut sink = lazy(RoundRobin::new((fanout, second)));
    connect(&mut sink).await;
    sink.flush().await.expect("nothing to do");
    receivers[0].is_stuck = true;
    send(&mut sink, 0..6).await;
    let report = sink.report();
    assert!(report.leaves.iter().all(|leaf| leaf.is_conserved()), "{report}");
    assert_eq!(report.leaves[0].dropped.skipped.messages, Some(2), "{report}");
    receivers[0].is_stuck = false;
    for _ in 0..4 {
        receivers.iter_mut().for_each(|receiver| receiver.read(usize::MAX));
        sink.flush().await.expect("flushed");
    }
    let [lags, first, second] = numbers(&mut receivers);
    assert_eq!((first, second), (vec![0, 2, 4], vec![1, 3, 5]));
    assert_eq!(lags, [0], "what it had begun is finished");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_used_up_everywhere_are_an_error_and_cost_nothing() {
    let (links, mut receivers) = links([1000, 1000]);
    receivers.iter_mut().for_each(|receiver| receiver.kill(false));
    let mut sink = lazy(RoundRobin::new(links)).with_max_attempts(2);
    feed(&mut sink, 0);
    for _ in 0..3 {
        let error = sink.flush().await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(sink.state(), SinkState::Asleep);
    }
    receivers[1].restart();
    sink.flush().await.expect("one is there");
    assert_eq!(numbers(&mut receivers), [vec![], vec![0]]);
}

#[tokio::test(start_paused = true)]
async fn sink_sleeps_when_all_its_peers_have_gone_and_not_before() {
    let (links, mut receivers) = links([1000, 1000]);
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    send(&mut sink, 0..2).await;
    receivers[0].kill(false);
    sink.flush().await.expect("nothing to do");
    assert_eq!(sink.state(), SinkState::Connected);
    receivers[1].kill(false);
    sink.flush().await.expect("nothing to do");
    assert_eq!(sink.state(), SinkState::Asleep);
    receivers.iter_mut().for_each(Receiver::restart);
    send(&mut sink, 2..4).await;
    let report = sink.close().await.expect("closed");
    assert!(report.is_complete(), "{report}");
    let all: usize = numbers(&mut receivers).iter().map(Vec::len).sum();
    assert_eq!(all, 4);
}

#[tokio::test(start_paused = true)]
async fn close_says_goodbye_to_every_child() {
    let (links, mut receivers) = links([1000; 3]);
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    send(&mut sink, 0..3).await;
    feed(&mut sink, 3);
    receivers.iter_mut().for_each(|receiver| receiver.read(usize::MAX));
    sink.close().await.expect("closed");
    assert_eq!(numbers(&mut receivers), [vec![0, 3], vec![1], vec![2]]);
    assert!(receivers.iter().all(Receiver::has_ended), "nobody is left connected");
}

#[tokio::test(start_paused = true)]
async fn close_gives_up_what_nobody_takes_in_time_and_counts_it() {
    let (links, mut receivers) = links([FRAME + 5, 1000]);
    receivers.iter_mut().for_each(|receiver| receiver.kill(false));
    let mut sink = lazy(RoundRobin::new(links)).with_backoff(Backoff::new());
    (0..3).for_each(|number| feed(&mut sink, number));
    let report = sink.close().await.expect("closed");
    let closed: u64 = report.leaves.iter().filter_map(|leaf| leaf.dropped.closed.messages).sum();
    assert_eq!(closed, 3, "{report}");
    assert!(report.leaves.iter().all(|leaf| leaf.is_conserved()), "{report}");
}

#[tokio::test(start_paused = true)]
async fn round_robin_of_nobody_takes_everything_and_brings_it_nowhere() {
    let mut sink = lazy(RoundRobin::new(Vec::<MemorySink>::new()));
    send(&mut sink, 0..3).await;
    assert!(sink.close().await.expect("closed").leaves.is_empty());
}

#[tokio::test(start_paused = true)]
async fn child_without_peers_takes_its_share_and_no_more() {
    let (links, mut receivers) = links([1000]);
    let nobody = Fanout::new(Vec::<MemorySink>::new());
    let mut sink = lazy(RoundRobin::new((nobody, Fanout::new(links))));
    connect(&mut sink).await;
    send(&mut sink, 0..4).await;
    assert_eq!(numbers(&mut receivers), [vec![1, 3]]);
}

#[tokio::test(start_paused = true)]
async fn peer_that_was_passed_over_is_tried_again_though_nobody_calls() {
    let (links, mut receivers) = links([FRAME + 5, FRAME + 5]);
    receivers.iter_mut().for_each(|receiver| receiver.is_stuck = true);
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    (0..4).for_each(|number| feed(&mut sink, number));
    let begun = tokio::time::Instant::now();
    // The first is given up after a second, the second then, when the first is tried again.
    sink.flush().await.expect("each new connection has room for a frame");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    receivers.iter_mut().for_each(|receiver| receiver.is_stuck = false);
    let all: usize = numbers(&mut receivers).iter().map(Vec::len).sum();
    assert_eq!(all, 4);
}

#[tokio::test(start_paused = true)]
async fn peer_that_was_passed_over_finishes_what_it_begins_when_it_is_alone() {
    let (links, mut receivers) = links([FRAME + 5, 1000]);
    receivers[0].is_stuck = true;
    let mut sink = lazy(RoundRobin::new(links));
    connect(&mut sink).await;
    (0..3).for_each(|number| feed(&mut sink, number));
    sink.flush().await.expect("the other goes on");
    receivers[1].kill(false);
    (3..6).for_each(|number| feed(&mut sink, number));
    for _ in 0..4 {
        assert!(flush(&mut sink).await.is_pending());
        turn().await;
    }
    // It has the next two by now, the second in part, when the other comes back.
    receivers[1].restart();
    for _ in 0..4 {
        assert!(flush(&mut sink).await.is_pending(), "a frame that was begun is finished");
        turn().await;
    }
    receivers[0].is_stuck = false;
    receivers[0].read(usize::MAX);
    sink.flush().await.expect("there is room for all of it");
    assert_eq!(numbers(&mut receivers), [vec![0, 3, 4], vec![1, 2, 5]]);
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_the_rest_of_a_frame_that_was_dropped() {
    let (links, mut receivers) = links([FRAME + 5, 1000]);
    let links = RoundRobin::new(links).with_stall_timeout(None);
    let buffered = Buffered::with_capacity(links, 4 * FRAME).with_when_full(WhenFull::DropOldest);
    let mut sink = Lazy::new(buffered).with_counting(true);
    connect(&mut sink).await;
    (0..3).for_each(|number| feed(&mut sink, number));
    assert!(flush(&mut sink).await.is_pending());
    // The frame in the middle of which the first is has to make room.
    (3..8).for_each(|number| feed(&mut sink, number));
    assert!(flush(&mut sink).await.is_pending(), "its rest is still to come");
    let report = sink.report();
    assert!(report.leaves.iter().all(|leaf| leaf.is_conserved()), "{report}");
    receivers[1].read(usize::MAX);
    assert_eq!(receivers[1].numbers().last(), Some(&7), "the others are through");
    receivers[0].read(usize::MAX);
    assert!(flush(&mut sink).await.is_ready());
    assert_eq!(numbers(&mut receivers)[0], [0, 1]);
}
