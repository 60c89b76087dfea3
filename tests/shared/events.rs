//! Listening: what happens is told to a task that waits for it, and to nobody else.

use std::time::Duration;

use torq_message_sink::{Backoff, Buffered, Event, Lazy, MemorySink, Shared, SinkError, SinkState};

fn state(event: Option<Event>) -> Option<SinkState> {
    event.as_ref().and_then(Event::state)
}

#[tokio::test(start_paused = true)]
async fn listener_is_told_of_a_peer_that_goes_without_asking() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let sink = Shared::new(Buffered::new(link));
    sink.send("a").await?;
    let mut events = sink.events();
    assert_eq!(state(events.next().await), Some(SinkState::Connecting), "what was before");
    assert_eq!(state(events.next().await), Some(SinkState::Connected));
    let told = tokio::spawn(async move { (state(events.next().await), events) });
    tokio::task::yield_now().await;
    assert!(!told.is_finished());
    drop(peer.accept());
    let (told, mut events) = told.await.expect("no panic");
    assert_eq!(told, Some(SinkState::Asleep));
    // The last handle of a stack that sleeps: nothing more will happen.
    let end =
        tokio::spawn(async move { events.next().await.is_none() && events.next().await.is_none() });
    tokio::task::yield_now().await;
    drop(sink);
    assert!(end.await.expect("no panic"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn listener_is_told_of_each_attempt_in_time() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    peer.refuse(true);
    let backoff = Backoff::new().with_initial(Duration::from_secs(5));
    let sink = Shared::new(Lazy::new(Buffered::new(link)).with_backoff(backoff));
    sink.feed("a").await?;
    let mut events = sink.events();
    for _ in 0..5 {
        assert_eq!(state(events.next().await), Some(SinkState::Connecting));
        let before = (tokio::time::Instant::now(), peer.attempts());
        let Some(Event::BackingOff { failures, delay, .. }) = events.next().await else {
            panic!("it was refused");
        };
        let late = before.0.elapsed();
        assert!(late <= Duration::from_millis(100), "{late:?}");
        if delay > Duration::from_millis(100) {
            assert_eq!(peer.attempts(), u64::from(failures));
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn close_is_the_last_that_a_listener_hears() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let sink = Shared::new(Buffered::new(link));
    let mut events = sink.events();
    sink.send("a").await?;
    drop(peer.accept());
    sink.feed("b").await?;
    drop(sink);
    let mut states = Vec::new();
    while let Some(event) = events.next().await {
        states.extend(event.state());
        drop(peer.accept());
    }
    assert_eq!(states.last(), Some(&SinkState::Closed), "{states:?}");
    assert!(events.next().await.is_none());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_a_listener_has_left_others_can_take() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let sink = Shared::new(Buffered::new(link));
    let (events, mut others) = (sink.events(), sink.events());
    sink.send("a").await?;
    drop(events);
    assert_eq!(state(others.next().await), Some(SinkState::Connecting));
    drop(others);
    let mut told = Vec::new();
    sink.take_events(&mut |event| told.extend(event.state()));
    assert_eq!(told, [SinkState::Connected]);
    drop(peer);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn events_that_a_slow_listener_has_no_room_for_are_counted() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let sink = Shared::new(Buffered::new(link));
    let mut events = sink.events();
    for _ in 0..1000 {
        sink.send("a").await?;
        drop(peer.accept());
        sink.disconnect().await?;
    }
    let lost = sink.report().leaves[0].events_lost;
    let mut told = 0;
    sink.close().await?;
    while events.next().await.is_some() {
        told += 1;
    }
    // Attempts went first, and they are not counted. The end may have pushed out one more.
    assert_eq!((told, lost), (1024, 2000 - 1024));
    Ok(())
}
