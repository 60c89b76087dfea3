//! Children that are whole sinks.

use std::time::Duration;

use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    BestEffort, Buffered, Fanout, Lazy, LazyPolicy, MemorySink, MessageSink, Quorum, SinkError,
    SinkState, TryFeedError,
};

use super::{FRAME, leaf, letters};

#[tokio::test]
async fn full_child_misses_the_message_and_the_others_get_it() -> Result<(), SinkError> {
    let ((all, left), (some, right)) = (ScriptedSink::pair(100), ScriptedSink::pair(2));
    let mut sink = Fanout::new((all, BestEffort::new(some)));
    for message in ["a", "b", "c", "d"] {
        sink.feed(message).await?;
    }
    sink.flush().await?;
    right.set_room(2);
    for message in ["e", "f"] {
        assert_eq!(sink.try_feed(message), Ok(()));
    }
    sink.flush().await?;
    assert_eq!(left.messages().concat(), b"abcdef");
    assert_eq!(right.messages().concat(), b"abef", "whole messages, in order");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_misses_is_in_the_report_of_its_leaves() -> Result<(), SinkError> {
    let ((all, reads), (some, nobody)) = (MemorySink::pair(640), MemorySink::pair(64));
    nobody.refuse(true);
    let policy = LazyPolicy::new().with_counting(true);
    let child =
        |link, capacity| Lazy::with_policy(Buffered::with_capacity(link, capacity), policy.clone());
    let mut sink = Fanout::new((child(all, 640), BestEffort::new(child(some, 2 * FRAME))));
    for message in ["a", "b", "c", "d"] {
        sink.send(message).await?;
    }
    assert!(sink.is_connected(), "who does not gate does not count");
    assert_eq!(letters(&reads), "abcd");
    let away = leaf(&sink, 1);
    assert_eq!((away.gates, away.accepted.messages), (false, Some(4)));
    assert_eq!((away.buffered.messages, away.dropped.skipped.messages), (Some(2), Some(2)));
    let report = sink.close_within(Duration::ZERO).await?;
    assert_eq!(report.leaves[1].dropped.total().messages, Some(4));
    assert_eq!(sink.try_feed("x"), Err(TryFeedError::Closed), "closed is closed");
    Ok(())
}

#[tokio::test]
async fn best_effort_alone_never_waits_and_never_refuses() -> Result<(), SinkError> {
    let (inner, peer) = ScriptedSink::pair(1);
    let mut sink = BestEffort::new(inner);
    peer.hold(true);
    for message in ["a", "b", "c"] {
        sink.send(message).await?;
    }
    peer.hold(false);
    sink.send("d").await?;
    assert_eq!(peer.messages().concat(), b"a", "one fits");
    peer.set_room(1);
    sink.send("e").await?;
    assert_eq!(peer.messages().concat(), b"ae");
    Ok(())
}

#[tokio::test]
async fn quorum_of_sinks_takes_what_enough_have_room_for() -> Result<(), SinkError> {
    let pairs: [_; 3] = std::array::from_fn(|index| ScriptedSink::pair(index + 1));
    let (sinks, peers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut sink = Quorum::new(2, sinks);
    assert_eq!(sink.try_feed("a"), Ok(()));
    assert_eq!(sink.try_feed("b"), Ok(()), "for the second and the third");
    assert_eq!(sink.try_feed("c"), Err(TryFeedError::Full), "the third alone");
    sink.flush().await?;
    peers.iter().for_each(|peer| peer.set_room(1));
    sink.send("d").await?;
    let got: Vec<_> = peers.iter().map(|peer| peer.messages().concat()).collect();
    assert_eq!(got, [b"ad".to_vec(), b"abd".to_vec(), b"abd".to_vec()]);
    Ok(())
}

#[tokio::test]
async fn quorum_of_sinks_needs_as_many_that_can_carry_it() {
    let pairs: [_; 3] = std::array::from_fn(|_| ScriptedSink::pair(9));
    let (sinks, peers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut sink = Quorum::new(2, sinks);
    peers[0].refuse(true);
    assert_eq!(sink.try_feed("a"), Ok(()));
    peers[1].refuse(true);
    assert_eq!(sink.try_feed("b"), Err(TryFeedError::Invalid));
    sink.flush().await.expect("nothing fails");
    assert_eq!(peers[2].messages().concat(), b"a", "a refusal leaves no trace");
    assert_eq!(sink.state(), SinkState::Connected);
}
