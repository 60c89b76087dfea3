//! What became of the messages, branch by branch, whatever a flush has come to as a whole.

use std::future::poll_fn;
use std::task::Poll;

use torq_message_sink::{
    BestEffort, BranchOutcome, Buffered, Count, ErrorKind, Fanout, Lazy, MemoryPeer, MemorySink,
    MessageSink, Quorum, Report, SinkError,
};

/// A frame of 12 bytes.
const MESSAGE: &[u8] = b"12345678";

fn link(name: &str, capacity: usize) -> (MemorySink, MemoryPeer) {
    let (link, peer) = MemorySink::pair(capacity);
    (link.with_service(name), peer)
}

/// What each branch says: its word, and the messages that it misses and that are left.
fn told(report: &Report) -> Vec<String> {
    told_since(report, &Report::default())
}

fn told_since(report: &Report, earlier: &Report) -> Vec<String> {
    let messages = |count: Count| count.messages.expect("they are counted");
    let branches = report.branches_since(earlier).map(|branch| {
        let name = branch.leaf.service.as_deref().expect("links have names");
        match branch.outcome {
            BranchOutcome::Delivered => format!("{name} delivered"),
            BranchOutcome::Behind { buffered, .. } => {
                format!("{name} behind {}", messages(buffered))
            }
            BranchOutcome::Missed { missed, buffered, .. } => {
                format!("{name} missed {} behind {}", messages(missed), messages(buffered))
            }
            BranchOutcome::Failed { error, missed, buffered, .. } => {
                assert_eq!((error.kind(), error.service()), (ErrorKind::Unreachable, Some(name)));
                format!("{name} failed missed {} behind {}", messages(missed), messages(buffered))
            }
            other => panic!("{other:?}"),
        }
    });
    branches.collect()
}

async fn try_flush(sink: &mut impl MessageSink) {
    let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
}

#[tokio::test(start_paused = true)]
async fn required_child_that_is_dead_is_named_beside_those_that_have_everything() {
    let ((a, at_a), (b, away), (c, late)) = (link("a", 64), link("b", 64), link("c", 64));
    away.refuse(true);
    late.stall(true);
    let mut sink = Lazy::new(Buffered::new(Fanout::new((a, b, BestEffort::new(c)))))
        .with_max_attempts(1)
        .with_counting(true);
    assert_eq!(told(&sink.report()), ["a delivered", "b delivered", "c delivered"], "nothing yet");
    assert!(sink.send(MESSAGE).await.is_err());
    let report = sink.report();
    assert_eq!(told(&report), ["a delivered", "b failed missed 0 behind 1", "c behind 1"]);
    let gating: Vec<_> = report.branches().map(|branch| branch.leaf.gates).collect();
    assert_eq!(gating, [true, true, false]);

    away.refuse(false);
    late.stall(false);
    sink.flush().await.expect("all are there");
    try_flush(&mut sink).await;
    assert_eq!(told(&sink.report()), ["a delivered", "b delivered", "c delivered"]);
    drop(at_a);
}

#[tokio::test(start_paused = true)]
async fn child_that_nobody_waits_for_says_what_it_misses_and_what_is_left() -> Result<(), SinkError>
{
    let ((a, at_a), (b, slow)) = (link("a", 4096), link("b", 16));
    let fanout = Fanout::new((a, BestEffort::new(b)));
    let mut sink = Lazy::new(Buffered::with_capacity(fanout, 48)).with_counting(true);
    sink.connect().await?;
    for _ in 0..40 {
        sink.send(MESSAGE).await?;
        tokio::task::yield_now().await;
    }
    let report = sink.report();
    let leaf = &report.leaves[1];
    let (missed, left) = (leaf.dropped.skipped.messages, leaf.buffered.messages);
    assert!(missed > Some(0) && left > Some(0), "{report}");
    let expected = format!("b missed {} behind {}", missed.unwrap(), left.unwrap());
    assert_eq!(
        told(&report),
        ["a delivered".to_owned(), expected],
        "flushes are done all the same"
    );

    // From here on it keeps up, and an earlier report tells old losses from new ones.
    let slow = slow.accept().expect("connected");
    while sink.report().leaves[1].buffered.bytes > 0 {
        let _ = slow.read();
        try_flush(&mut sink).await;
    }
    let _ = slow.read();
    sink.send(MESSAGE).await?;
    let now = sink.report();
    assert_eq!(told(&now)[1], format!("b missed {} behind 0", missed.unwrap()));
    assert_eq!(told_since(&now, &report), ["a delivered", "b delivered"]);
    drop(at_a);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn quorum_says_who_was_not_needed() -> Result<(), SinkError> {
    let [(a, at_a), (b, away), (c, at_c)] = ["a", "b", "c"].map(|name| link(name, 4096));
    away.refuse(true);
    let mut sink =
        Lazy::new(Buffered::with_capacity(Quorum::new(2, [a, b, c]), 48)).with_counting(true);
    for _ in 0..10 {
        sink.send(MESSAGE).await?;
    }
    let report = sink.report();
    let told_of = told(&report);
    assert_eq!((&*told_of[0], &*told_of[2]), ("a delivered", "c delivered"));
    let b = &report.leaves[1];
    let (missed, left) = (b.dropped.skipped.messages.unwrap(), b.buffered.messages.unwrap());
    assert_eq!(told_of[1], format!("b failed missed {missed} behind {left}"));
    assert_eq!(missed + left, 10);
    drop((at_a, at_c));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nested_sinks_and_links_are_branches_alike() -> Result<(), SinkError> {
    let ((a, at_a), (b, away), (c, slow)) = (link("a", 4096), link("b", 64), link("c", 64));
    away.refuse(true);
    slow.stall(true);
    let pair = Buffered::new(Fanout::new((a, BestEffort::new(b))));
    let monitor = BestEffort::new(Buffered::with_capacity(c, 24));
    let mut sink = Lazy::new(Fanout::new((pair, monitor))).with_counting(true);
    for _ in 0..4 {
        sink.send(MESSAGE).await?;
        tokio::task::yield_now().await;
    }
    let told = told(&sink.report());
    assert_eq!(told[0], "a delivered");
    assert!(told[1].starts_with("b failed missed "), "{told:?}");
    // Its buffer has room for two.
    assert_eq!(told[2], "c missed 2 behind 2");
    drop((at_a, slow));
    Ok(())
}
