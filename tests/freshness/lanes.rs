//! What is urgent goes first, and nothing is lost or starved.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{Deadline, InLane, Lanes, MessageSink, SinkError};

use crate::model::{OnPanic, Rules, run, seeds};

const CAPACITY: usize = 1024;

#[tokio::test(start_paused = true)]
async fn every_message_arrives_in_the_order_of_its_lane() {
    for seed in seeds() {
        let _on_panic = OnPanic(seed);
        let rules = Rules {
            deadlines: 0,
            keys: 0,
            lanes: 4,
            max_age: None,
            capacity: 3 * CAPACITY,
            in_order: false,
        };
        let make = |below| {
            let lanes: Lanes<_, 3> = Lanes::with_capacity(below, CAPACITY);
            match seed % 3 {
                0 => lanes.strict(),
                1 => lanes.with_weights([3, 0, 1]),
                _ => lanes,
            }
        };
        run(seed, &rules, make, 200).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_late_is_sent_below_lanes() {
    for seed in seeds() {
        let _on_panic = OnPanic(seed);
        let rules = Rules {
            deadlines: 2,
            keys: 0,
            lanes: 4,
            max_age: None,
            capacity: 4 * CAPACITY,
            in_order: false,
        };
        let make = |below| -> Lanes<_, 3> {
            Lanes::with_capacity(Deadline::with_capacity(below, CAPACITY), CAPACITY)
        };
        run(seed, &rules, make, 200).await;
    }
}

/// Lanes 0 to 2 with four messages each, all of which wait; and the order in which they go.
async fn order(
    change: impl FnOnce(Lanes<ScriptedSink, 3>) -> Lanes<ScriptedSink, 3>,
) -> Result<Vec<u8>, SinkError> {
    let (inner, peer) = ScriptedSink::pair(0);
    let mut sink = change(Lanes::new(inner));
    for _ in 0..4 {
        for lane in 0..3 {
            sink.try_feed(&InLane(lane, [b'0' + lane]))?;
        }
    }
    peer.set_room(100);
    sink.flush().await?;
    Ok(peer.messages().concat())
}

#[tokio::test]
async fn shares_of_lanes_are_twice_those_below() -> Result<(), SinkError> {
    assert_eq!(order(|lanes| lanes).await?, b"222211011000");
    Ok(())
}

#[tokio::test]
async fn weights_are_messages_of_a_round() -> Result<(), SinkError> {
    // 0 is 1: nobody starves.
    assert_eq!(order(|lanes| lanes.with_weights([1, 2, 0])).await?, b"211021102020");
    Ok(())
}

#[tokio::test]
async fn strict_lanes_send_nothing_before_what_is_more_urgent() -> Result<(), SinkError> {
    assert_eq!(order(Lanes::strict).await?, b"222211110000");
    Ok(())
}

#[tokio::test]
async fn lane_that_is_not_there_is_the_most_urgent() -> Result<(), SinkError> {
    let (inner, peer) = ScriptedSink::pair(0);
    let mut sink: Lanes<_, 2> = Lanes::new(inner);
    sink.try_feed(&InLane(0, "calm"))?;
    sink.try_feed(&InLane(255, "urgent"))?;
    peer.set_room(2);
    sink.flush().await?;
    assert_eq!(peer.messages(), ["urgent".as_bytes(), b"calm"]);
    Ok(())
}

#[tokio::test]
async fn full_lane_shuts_no_other_out() -> Result<(), SinkError> {
    let (inner, _peer) = ScriptedSink::pair(0);
    let mut sink: Lanes<_, 2> = Lanes::with_capacity(inner, 1000);
    while sink.try_feed(&InLane(0, [0; 100])).is_ok() {}
    assert!(!sink.room(100), "not in every lane");
    let urgent = InLane(1, [1; 100]);
    let polled = pin!(sink.feed(&urgent)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(()))), "there is room in its lane");
    Ok(())
}
