//! Each key's newest message arrives, within bounded memory.

use torq_message_sink::testing::{ScriptedSink, SinkPeer};
use torq_message_sink::{Buffered, Conflate, Keyed, MemorySink, MessageSink, SinkError};

use crate::model::{OnPanic, Rules, flush_once, run, seeds};

const CAPACITY: usize = 1024;

#[tokio::test(start_paused = true)]
async fn newest_of_each_key_arrives() {
    for seed in seeds() {
        let _on_panic = OnPanic(seed);
        let rules = Rules {
            deadlines: 0,
            keys: [2, 5, 30][seed as usize % 3],
            lanes: 0,
            max_age: None,
            capacity: CAPACITY,
            in_order: false,
        };
        run(seed, &rules, |below| Conflate::with_capacity(below, CAPACITY), 200).await;
    }
}

/// Sinks over a sink without room, and what arrives once it has some.
fn stalled() -> (Conflate<ScriptedSink>, SinkPeer) {
    let (inner, peer) = ScriptedSink::pair(0);
    (Conflate::new(inner), peer)
}

#[tokio::test]
async fn keys_arrive_in_the_order_in_which_they_first_came() -> Result<(), SinkError> {
    let (mut sink, peer) = stalled();
    for (key, message) in
        [(3, "3a"), (1, "1a"), (2, "2a"), (1, "1b is longer"), (3, "3"), (1, "1c")]
    {
        sink.try_feed(&Keyed(key, message))?;
    }
    peer.set_room(9);
    sink.flush().await?;
    assert_eq!(peer.messages(), ["3".as_bytes(), b"1c", b"2a"]);
    let conflated = sink.report().dropped.conflated;
    assert_eq!((conflated.messages, conflated.bytes), (Some(3), 2 + 2 + 12 + 3 * 4));
    Ok(())
}

#[tokio::test]
async fn messages_without_a_key_are_never_conflated() -> Result<(), SinkError> {
    let (mut sink, peer) = stalled();
    sink.try_feed("a")?;
    sink.try_feed(&Keyed(0, "k"))?;
    sink.try_feed("a")?;
    sink.try_feed(&Keyed(0, "l"))?;
    peer.set_room(9);
    sink.flush().await?;
    assert_eq!(peer.messages(), [b"a", b"l", b"a"]);
    Ok(())
}

#[tokio::test]
async fn nothing_is_conflated_without_pressure() -> Result<(), SinkError> {
    let (inner, peer) = ScriptedSink::pair(9);
    let mut sink = Conflate::new(inner);
    sink.try_feed(&Keyed(0, "a"))?;
    sink.try_feed(&Keyed(0, "b"))?;
    assert_eq!(peer.messages(), [b"a", b"b"]);
    Ok(())
}

#[tokio::test]
async fn known_key_finds_room_where_no_other_does() -> Result<(), SinkError> {
    let (inner, peer) = ScriptedSink::pair(0);
    let mut sink = Conflate::with_capacity(inner, 1000);
    let mut keys = 0;
    while sink.try_feed(&Keyed(keys, [0; 20])).is_ok() {
        keys += 1;
    }
    assert!(!sink.room(20));
    assert!(sink.try_feed(&[0; 20]).is_err_and(|refusal| refusal.is_full()));
    sink.try_feed(&Keyed(0, [1; 20]))?;
    sink.feed(&Keyed(keys - 1, [2; 19])).await?;
    let far_longer = sink.try_feed(&Keyed(1, [3; 200]));
    assert!(far_longer.is_err_and(|refusal| refusal.is_full()), "as long as others wait");
    peer.set_room(100);
    sink.flush().await?;
    let messages = peer.messages();
    assert_eq!(messages.len() as u64, keys);
    assert_eq!(messages[0], [1; 20]);
    assert_eq!(messages[1], [0; 20], "what was refused has replaced nothing");
    assert_eq!(messages.last().map(Vec::as_slice), Some([2; 19].as_slice()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_the_buffer_holds_is_conflated_too() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(1024);
    peer.refuse(true);
    let mut sink = Conflate::new(Buffered::new(link));
    sink.try_feed(&Keyed(1, "1a"))?;
    sink.try_feed("other")?;
    sink.try_feed(&Keyed(2, "2a"))?;
    sink.try_feed(&Keyed(1, "1b"))?;
    assert!(!flush_once(&mut sink).await, "the peer is away");
    sink.try_feed(&Keyed(2, "2b"))?;
    peer.refuse(false);
    sink.flush().await?;
    let arrived = peer.accept().expect("connected").read();
    assert_eq!(arrived, b"\0\0\0\x021b\0\0\0\x05other\0\0\0\x022b");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn feeding_alone_moves_on_once_the_peer_does() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Conflate::new(Buffered::with_capacity(link, 64));
    sink.connect().await?;
    let stream = peer.accept().expect("connected");
    for number in 0_u64..1000 {
        sink.try_feed(&Keyed(number % 3, number.to_be_bytes()))?;
    }
    let before = stream.read().len();
    for number in 1000_u64..1100 {
        sink.try_feed(&Keyed(number % 3, number.to_be_bytes()))?;
        tokio::task::yield_now().await;
    }
    assert!(before > 0 && !stream.read().is_empty(), "nobody has flushed");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_the_end_is_counted() -> Result<(), SinkError> {
    let (mut sink, peer) = stalled();
    for (key, message) in [(1, "one"), (2, "two"), (1, "three")] {
        sink.try_feed(&Keyed(key, message))?;
    }
    let report = sink.report();
    assert_eq!((report.unfed.bytes, report.unfed.messages), (16, Some(2)));
    assert!(!report.is_complete());
    let report = sink.close().await?;
    assert_eq!(report.dropped.closed.messages, Some(2), "{report}");
    assert_eq!((report.unfed.bytes, sink.accepted_bytes()), (0, report.dropped.total().bytes));
    assert!(peer.messages().is_empty() && peer.is_closed());
    Ok(())
}

#[tokio::test]
async fn dropped_sink_leaves_what_it_can_to_the_one_below() -> Result<(), SinkError> {
    let (mut sink, peer) = stalled();
    sink.try_feed(&Keyed(1, "one"))?;
    sink.try_feed("two")?;
    peer.set_room(1);
    drop(sink);
    assert_eq!(peer.messages(), [b"one"]);
    Ok(())
}
