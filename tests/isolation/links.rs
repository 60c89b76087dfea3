//! Children below one buffer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;
use torq_message_sink::{
    BestEffort, ErrorKind, Failover, Fanout, HandBack, LeafReport, LinkSet, MemoryPeer, MemorySink,
    MessageSink, Quorum, SinkError, TryFeedError,
};

use super::{FRAME, counting, leaf, letters, pass, skipped};

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_was_there_holds_neither_memory_nor_the_producer() -> Result<(), SinkError>
{
    let ((there, peer), (away, nobody)) = (MemorySink::pair(64), MemorySink::pair(64));
    nobody.refuse(true);
    let mut sink = counting(Fanout::new((there, BestEffort::new(away))), 4 * FRAME);
    sink.connect().await?;
    assert!(sink.is_connected(), "who does not gate does not count");
    let stream = peer.accept().expect("connected");
    for message in b'a'..=b'z' {
        sink.send(&[message]).await?;
        assert_eq!(stream.read()[4], message);
        pass().await;
    }
    // The attempts fail while nothing is sent, so nothing was kept by the end of any flush.
    assert_eq!(sink.get_ref().buffered_bytes(), 0);
    let (there, away) = (leaf(&sink, 0), leaf(&sink, 1));
    assert_eq!((there.gates, there.written.messages), (true, Some(26)));
    assert_eq!((away.gates, away.written.messages), (false, Some(0)));
    assert_eq!(away.dropped.skipped.messages, Some(26), "all of it is counted");
    assert!(away.error.is_some(), "and the report says why");
    drop(stream);
    sink.close().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stuck_child_misses_what_there_is_no_room_for_and_catches_up() -> Result<(), SinkError> {
    let ((quick, reads), (slow, waits)) = (MemorySink::pair(64), MemorySink::pair(12));
    let mut sink = counting(Fanout::new((quick, BestEffort::new(slow))), 8 * FRAME);
    sink.connect().await?;
    pass().await;
    sink.send("a").await?;
    let (quick, slow) = (reads.accept().expect("connected"), waits.accept().expect("connected"));
    let mut got = String::new();
    for message in 'b'..='z' {
        sink.send(&[message as u8]).await?;
        got.push(char::from(*quick.read().last().expect("sent")));
    }
    assert_eq!(got, ('b'..='z').collect::<String>());
    // Two frames and the beginning of the third lie in the connection. The others it may have until
    // the room is needed, and then the third is finished from its tail.
    let behind = leaf(&sink, 1);
    assert!(behind.dropped.skipped.messages > Some(0) && behind.buffered.bytes <= 8 * 5);
    let mut bytes = Vec::new();
    for _ in 0..20 {
        bytes.extend(slow.read());
        sink.flush().await?;
    }
    sink.send("!").await?;
    bytes.extend(slow.read());
    let arrived: String = bytes.chunks(FRAME).map(|frame| char::from(frame[4])).collect();
    assert!(arrived.starts_with("abc") && arrived.ends_with('!'), "{arrived}");
    assert_eq!(arrived.len() as u64 + skipped(&sink, 1), 27, "{arrived} and what is counted");
    assert_eq!(leaf(&sink, 1).buffered.bytes, 0, "it has caught up");
    assert_eq!(leaf(&sink, 0).dropped.total().bytes, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn frame_in_which_the_connection_ends_is_skipped_too() -> Result<(), SinkError> {
    let ((quick, reads), (slow, waits)) = (MemorySink::pair(64), MemorySink::pair(7));
    let mut sink = counting(Fanout::new((quick, BestEffort::new(slow))), 4 * FRAME);
    sink.connect().await?;
    pass().await;
    sink.send("a").await?;
    let (quick, slow) = (reads.accept().expect("connected"), waits.accept().expect("connected"));
    for message in b'b'..=b'f' {
        sink.send(&[message]).await?;
        drop(quick.read());
    }
    slow.reset();
    waits.refuse(true);
    sink.send("g").await?;
    let leaf = leaf(&sink, 1);
    assert_eq!(leaf.written.messages, Some(1), "only `a` went whole");
    assert_eq!(leaf.dropped.skipped.messages, Some(6), "`b` was cut, the others never begun");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stuck_gating_child_stops_the_producer_at_the_bound_and_it_resumes() {
    let ((slow, waits), (quick, reads)) = (MemorySink::pair(2 * FRAME), MemorySink::pair(640));
    let mut sink = counting(Fanout::new((slow, BestEffort::new(quick))), 4 * FRAME);
    sink.connect().await.expect("both listen");
    pass().await;
    let (mut fed, mut full) = (0, 0);
    for _ in 0..50 {
        match sink.try_feed("x") {
            Ok(()) => fed += 1,
            Err(TryFeedError::Full) => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((fed, full), (2 + 4, 44), "the connection's and the buffer's");
    let slow = waits.accept().expect("connected");
    assert!(poll_once(sink.feed("y")).is_pending() && poll_once(sink.flush()).is_pending());
    assert_eq!(slow.read().len(), 2 * FRAME);
    sink.feed("y").await.expect("there is room again");
    for _ in 0..4 {
        let _ = poll_once(sink.flush());
        drop(slow.read());
    }
    sink.flush().await.expect("all of it is read");
    assert_eq!((leaf(&sink, 0).written.messages, skipped(&sink, 1)), (Some(7), 0));
    assert_eq!(reads.accept().expect("connected").read().len(), 7 * FRAME);
}

#[tokio::test(start_paused = true)]
async fn quorum_goes_on_without_the_others() -> Result<(), SinkError> {
    let links: [_; 3] = std::array::from_fn(|_| MemorySink::pair(640));
    let (links, peers): (Vec<_>, Vec<_>) = links.into_iter().unzip();
    peers[1].refuse(true);
    let mut sink = counting(Quorum::new(2, links), 4 * FRAME);
    sink.connect().await?;
    assert!(sink.is_connected(), "two are enough");
    for message in b'a'..=b'j' {
        sink.send(&[message]).await?;
        pass().await;
    }
    assert_eq!(
        (letters(&peers[0]), letters(&peers[2])),
        ("abcdefghij".into(), "abcdefghij".into())
    );
    assert_eq!(skipped(&sink, 1), 10);
    peers[1].refuse(false);
    pass().await;
    sink.send("k").await?;
    pass().await;
    sink.send("l").await?;
    assert!(letters(&peers[1]).ends_with('l'), "it has caught up");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn too_few_for_a_quorum_hold_the_producer() {
    let links: [_; 3] = std::array::from_fn(|_| MemorySink::pair(640));
    let (links, peers): (Vec<_>, Vec<_>) = links.into_iter().unzip();
    peers[0].refuse(true);
    peers[1].refuse(true);
    let mut sink = counting(Quorum::new(2, links), 4 * FRAME);
    let fed = (0..50).filter(|_| sink.try_feed("x").is_ok()).count();
    assert_eq!(fed, 4);
    assert!(poll_once(sink.flush()).is_pending());
    assert_eq!((0..3).map(|index| skipped(&sink, index)).sum::<u64>(), 0, "nothing is given up");
    peers[1].refuse(false);
    pass().await;
    sink.flush().await.expect("two are there");
    assert_eq!((letters(&peers[1]), letters(&peers[2])), ("xxxx".into(), "xxxx".into()));
}

#[tokio::test(start_paused = true)]
async fn quorum_fails_when_it_cannot_be_reached() {
    let links: [_; 3] = std::array::from_fn(|_| MemorySink::pair(640));
    let (links, peers): (Vec<_>, Vec<_>) = links.into_iter().unzip();
    let mut sink = counting(Quorum::new(2, links), 4 * FRAME).with_max_attempts(1);
    peers[0].refuse(true);
    sink.send("a").await.expect("two are there");
    let mut sink = {
        let links: [_; 3] = std::array::from_fn(|_| MemorySink::pair(640));
        let (links, peers): (Vec<_>, Vec<_>) = links.into_iter().unzip();
        peers.iter().take(2).for_each(|peer| peer.refuse(true));
        counting(Quorum::new(2, links), 4 * FRAME).with_max_attempts(1)
    };
    let error = sink.send("a").await.expect_err("one is there");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(leaf(&sink, 0).buffered.messages, Some(1), "it is kept");
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_who_is_there_and_not_for_who_is_away() -> Result<(), SinkError> {
    let ((quick, reads), (slow, waits)) = (MemorySink::pair(640), MemorySink::pair(640));
    waits.refuse(true);
    let mut sink = counting(Fanout::new((quick, BestEffort::new(slow))), 64 * FRAME);
    sink.send("a").await?;
    pass().await;
    sink.feed("b").await?;
    let stream = reads.accept().expect("connected");
    let begin = Instant::now();
    let mut close = pin!(sink.close_within(Duration::from_secs(3600)));
    let report = poll_fn(|cx| {
        let closed = close.as_mut().poll(cx);
        if stream.is_finished() {
            stream.shut();
        }
        closed
    })
    .await?;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(report.leaves[0].written.messages, Some(2));
    assert_eq!(report.leaves[1].dropped.skipped.messages, Some(2));
    assert!(report.leaves.iter().all(LeafReport::is_conserved));

    // A peer that is there, if it was a little late, gets all of it.
    let (link, peer) = MemorySink::pair(640);
    let mut sink = counting(BestEffort::new(link), 64 * FRAME);
    sink.send("c").await?;
    let report = sink.close().await?;
    assert_eq!((report.is_complete(), letters(&peer)), (true, "c".into()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sleep_keeps_no_memory_for_best_effort() -> Result<(), SinkError> {
    let ((quick, reads), (slow, waits)) = (MemorySink::pair(640), MemorySink::pair(FRAME));
    let mut sink = counting(Fanout::new((quick, BestEffort::new(slow))), 64 * FRAME);
    sink.connect().await?;
    pass().await;
    sink.send_batch(["a", "b", "c"]).await?;
    assert_eq!(sink.get_ref().buffered_bytes(), 2 * FRAME, "kept while there is room");
    let slow = waits.accept().expect("connected");
    sink.disconnect().await?;
    assert_eq!(sink.get_ref().buffered_bytes(), 0);
    assert_eq!((skipped(&sink, 1), slow.read().len()), (2, FRAME));
    assert_eq!(letters(&reads), "abc");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sixty_four_children_in_any_kind_of_set() -> Result<(), SinkError> {
    async fn check<T: LinkSet>(children: T, peers: Vec<MemoryPeer>) -> Result<(), SinkError> {
        let mut sink = counting(Fanout::new(children), 1024);
        for message in ["a", "b", "c"] {
            sink.send(message).await?;
            pass().await;
        }
        sink.flush().await?;
        let got: Vec<_> = peers.iter().map(letters).collect();
        assert_eq!(got, vec!["abc"; 64]);
        Ok(())
    }
    fn children<C>(make: impl Fn(MemorySink) -> C) -> (Vec<C>, Vec<MemoryPeer>) {
        let pair = |_| MemorySink::pair(64);
        let (links, peers): (Vec<_>, Vec<_>) = (0..64).map(pair).unzip();
        (links.into_iter().map(make).collect(), peers)
    }
    let (links, peers) = children(|link| link);
    check(links, peers).await?;
    let (links, peers) = children(BestEffort::new);
    check(links, peers).await?;
    let (links, peers) = children(|link| BestEffort::new(link).with_gating(true));
    check(<[_; 64]>::try_from(links).expect("64"), peers).await?;
    let (links, peers) = children(BestEffort::new);
    check(SmallVec::<[_; 4]>::from_vec(links), peers).await?;
    let (links, peers) = children(|link| link);
    check([Quorum::new(33, links)], peers).await
}

#[tokio::test(start_paused = true)]
async fn lagging_child_of_a_failovers_target_holds_up_nobody() -> Result<(), SinkError> {
    let ((quick, reads), (slow, waits)) = (MemorySink::pair(640), MemorySink::pair(FRAME));
    let (second, spare) = MemorySink::pair(640);
    let first = Fanout::new((quick, BestEffort::new(slow)));
    let mut sink = counting(Failover::new((first, second)), 8 * FRAME);
    sink.connect().await?;
    pass().await;
    let messages: Vec<_> = ('a'..='z').map(String::from).collect();
    sink.send_batch(&messages).await?;
    assert_eq!(letters(&reads), messages.concat());
    assert_eq!(waits.accept().expect("connected").read().len(), FRAME);
    assert!(spare.accept().is_none(), "no reason to leave the first target");
    assert!(skipped(&sink, 1) > 0);
    assert!(sink.report().leaves.iter().all(LeafReport::is_conserved));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failover_is_flushed_when_those_of_its_target_are_that_gate() -> Result<(), SinkError> {
    let ((quick, reads), (slow, _waits)) = (MemorySink::pair(640), MemorySink::pair(FRAME));
    let first = Fanout::new((quick, BestEffort::new(slow)));
    let mut sink = counting(Failover::new((first, MemorySink::pair(640).0)), 64 * FRAME);
    sink.connect().await?;
    pass().await;
    for message in ["a", "b", "c"] {
        sink.feed(message).await?;
    }
    // One look is enough: what lags has room in the buffer.
    let flushed = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "{flushed:?}");
    assert_eq!(letters(&reads), "abc");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn target_that_nobody_waits_for_is_left_when_it_is_away() -> Result<(), SinkError> {
    let ((first, away), (second, there)) = (MemorySink::pair(640), MemorySink::pair(640));
    away.refuse(true);
    let first = Fanout::new([BestEffort::new(first)]);
    let mut sink = counting(Failover::new((first, second)), 64 * FRAME);
    sink.send("a").await?;
    assert_eq!(letters(&there), "a");
    let leaves = sink.report().leaves;
    assert_eq!(leaves[0].dropped.total().messages, Some(0), "the next one had it");
    assert!(leaves.iter().all(LeafReport::is_conserved));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_one_link_of_a_former_target_has_taken_is_not_handed_back() -> Result<(), SinkError> {
    let ((a, at_a), (b, at_b)) = (MemorySink::pair(640), MemorySink::pair(3));
    let (c, away) = MemorySink::pair(640);
    let mut sink = counting(Failover::new((Fanout::new((a, b)), c)), 64 * FRAME);
    sink.connect().await?;
    pass().await;
    away.refuse(true);
    for message in ["a", "b"] {
        sink.feed(message).await?;
    }
    let mut flush = async || poll_fn(|cx| Poll::Ready(sink.poll_flush(cx).is_pending())).await;
    assert!(flush().await, "b is stuck in the first frame");
    assert_eq!(letters(&at_a), "ab");
    at_b.refuse(true);
    drop(at_b.accept());
    for _ in 0..20 {
        pass().await;
        flush().await;
    }
    let mut handed_back = 0;
    sink.hand_back(&mut |_| handed_back += 1);
    assert_eq!(handed_back, 0, "a has seen both");
    Ok(())
}
