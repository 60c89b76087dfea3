//! Composites that bring each message to one of their children: in turn, by load, or by its key.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

use torq_message_sink::testing::{ScriptedSink, SinkPeer};
use torq_message_sink::{
    Backoff, Buffered, Encode, ErrorKind, Keyed, Lazy, LazyPolicy, LeastLoaded, MemoryPeer,
    MemorySink, MessageSink, RoundRobin, Sharded, SinkError, SinkState, TryFeedError,
};

fn scripted<const N: usize>(room: [usize; N]) -> ([ScriptedSink; N], [SinkPeer; N]) {
    let mut peers = Vec::new();
    let sinks = room.map(|room| {
        let (sink, peer) = ScriptedSink::pair(room);
        peers.push(peer);
        sink
    });
    (sinks, peers.try_into().unwrap_or_else(|_| unreachable!("one for each sink")))
}

fn numbers(peer: &SinkPeer) -> Vec<u8> {
    peer.messages().concat()
}

/// A sink with a buffer of its own, which tries again every hour when its peer is away.
fn lazy(capacity: usize, pipe: usize) -> (Lazy<Buffered<MemorySink>>, MemoryPeer) {
    let (link, peer) = MemorySink::pair(pipe);
    let hour = std::time::Duration::from_secs(3600);
    let policy = LazyPolicy::new().with_backoff(Backoff::new().with_initial(hour).with_max(hour));
    (Lazy::with_policy(Buffered::with_capacity(link, capacity), policy), peer)
}

/// All that came on all connections so far: messages of one byte.
fn received(peer: &MemoryPeer) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(stream) = peer.accept() {
        bytes.extend(stream.read());
    }
    bytes.chunks(5).map(|frame| frame[4]).collect()
}

#[test]
fn turns_go_round_in_order() {
    let (sinks, peers) = scripted([9, 9, 9]);
    let mut sink = RoundRobin::new(sinks);
    for number in 0..8_u8 {
        sink.try_feed(&[number]).expect("room");
    }
    assert_eq!(peers.each_ref().map(numbers), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    assert_eq!(sink.distribution(), [3, 3, 2]);
}

#[test]
fn full_child_is_passed_over_and_the_turn_goes_on_behind_it() {
    let (sinks, peers) = scripted([9, 1, 9]);
    let mut sink = RoundRobin::new(sinks);
    for number in 0..8_u8 {
        sink.try_feed(&[number]).expect("room");
    }
    assert_eq!(peers.each_ref().map(numbers), [vec![0, 3, 5, 7], vec![1], vec![2, 4, 6]]);
    peers[1].set_room(9);
    for number in 8..11_u8 {
        sink.try_feed(&[number]).expect("room");
    }
    assert_eq!(peers.each_ref().map(numbers)[1], [1, 8], "its turn comes again");
    assert_eq!(sink.distribution(), [5, 2, 4]);
}

#[test]
fn full_everywhere_is_full_and_waits_for_any() {
    let (sinks, peers) = scripted([1, 1]);
    let mut sink = RoundRobin::new(sinks);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sink.try_feed("a").is_ok() && sink.try_feed("b").is_ok());
    assert_eq!(sink.try_feed("c"), Err(TryFeedError::Full));
    assert!(!sink.room(1) && !sink.fits(1) && sink.try_ready(1) == Err(TryFeedError::Full));
    assert!(sink.poll_ready(&mut cx, 1).is_pending());
    peers[1].set_room(1);
    assert!(sink.poll_ready(&mut cx, 1).is_ready() && sink.room(1));
    assert_eq!(sink.try_feed("c"), Ok(()));
    assert_eq!((peers[0].messages().len(), peers[1].messages().len()), (1, 2));
}

#[test]
fn failing_child_is_passed_over_as_long_as_another_takes_messages() {
    let (sinks, peers) = scripted([9, 9]);
    let mut sink = RoundRobin::new(sinks);
    peers[0].fail(Some(ErrorKind::Unreachable));
    for number in 0..3_u8 {
        sink.try_feed(&[number]).expect("the other has room");
    }
    assert_eq!(numbers(&peers[1]), [0, 1, 2]);
    peers[1].fail(Some(ErrorKind::Unreachable));
    assert_eq!(sink.try_feed("x"), Err(TryFeedError::NotConnected));
    let mut cx = Context::from_waker(Waker::noop());
    let ready = sink.poll_ready(&mut cx, 1);
    assert!(matches!(ready, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn child_whose_peer_is_away_gets_nothing_until_it_is_back() {
    let ((first, first_peer), (second, second_peer)) = (lazy(200, 1000), lazy(200, 1000));
    first_peer.refuse(true);
    let mut sink = RoundRobin::new((first, second));
    // Nobody has looked yet, so each gets one.
    for number in 0..2_u8 {
        sink.feed(&[number]).await.expect("fed");
    }
    sink.connect().await.expect("one will do");
    while sink.get_ref().0.state() != SinkState::BackingOff {
        tokio::task::yield_now().await;
        let _ = sink.try_ready(1);
        let _ = step_of_flush(&mut sink);
    }
    assert_eq!((sink.state(), sink.is_connected()), (SinkState::Connected, true));
    for number in 2..20_u8 {
        sink.feed(&[number]).await.expect("fed");
    }
    assert_eq!(sink.distribution(), [1, 19]);

    first_peer.refuse(false);
    sink.flush().await.expect("after the back-off");
    for number in 20..24_u8 {
        sink.feed(&[number]).await.expect("fed");
    }
    sink.flush().await.expect("flushed");
    assert_eq!(received(&first_peer), [0, 20, 22]);
    assert_eq!(received(&second_peer), [(1..20).collect(), vec![21, 23]].concat());
}

/// One step of a flush.
fn step_of_flush<S: MessageSink>(sink: &mut S) -> bool {
    sink.poll_flush(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_a_peer_that_is_there_not_for_one_that_is_away() {
    let ((first, first_peer), (second, second_peer)) = (lazy(200, 1000), lazy(20, 5));
    first_peer.refuse(true);
    let mut sink = RoundRobin::new((first, second));
    sink.feed("0").await.expect("fed");
    sink.feed("1").await.expect("fed");
    while sink.get_ref().0.state() != SinkState::BackingOff || !sink.is_connected() {
        tokio::task::yield_now().await;
        let _ = step_of_flush(&mut sink);
    }
    let _stream = second_peer.accept().expect("connected, and reads nothing");
    let mut fed = 0;
    while sink.try_feed("2").is_ok() {
        fed += 1;
    }
    assert!(fed <= 5, "as many as the pipe and the buffer of the one that is there hold");
    assert!(!sink.room(1), "though the other has room");
    assert!(sink.poll_ready(&mut Context::from_waker(Waker::noop()), 1).is_pending());
    assert_eq!(sink.distribution()[0], 1);
}

/// Any schedule of room and refusals: nothing is lost or doubled, and each child's are in order.
macro_rules! each_message_is_at_one_child_in_order {
    ($($fact:ident: |$sinks:ident, $seed:ident| $make:expr;)*) => { $(
        #[test]
        fn $fact() {
            for $seed in 0..300 {
                let mut random = fastrand::Rng::with_seed($seed);
                let ($sinks, peers) = scripted([0, 0, 0, 0]);
                let mut sink = $make;
                let mut accepted = 0_u8;
                while accepted < 200 {
                    let peer = &peers[random.usize(..4)];
                    match random.u8(..6) {
                        0 => peer.set_room(random.usize(..3)),
                        1 => peer.fail((random.u8(..4) == 0).then_some(ErrorKind::Unreachable)),
                        2 => _ = step_of_flush(&mut sink),
                        3 => peer.hold(random.bool()),
                        _ => {
                            let (promised, fits) = (sink.room(1), sink.fits(1));
                            let fed = if fits {
                                sink.append(&[accepted], 1)
                            } else {
                                sink.try_feed(&[accepted]).is_ok()
                            };
                            assert!(fed || !(promised || fits), "room is a promise");
                            accepted += u8::from(fed);
                        }
                    }
                }
                let mut all: Vec<_> = peers.iter().flat_map(numbers).collect();
                for peer in &peers {
                    assert!(numbers(peer).is_sorted(), "in order");
                }
                let counts: Vec<_> = peers.iter().map(|peer| numbers(peer).len() as u64).collect();
                let counted = sink.distribution();
                assert_eq!(counted, &counts[..counted.len()]);
                all.sort_unstable();
                assert_eq!(all, (0..200).collect::<Vec<_>>(), "each once");
            }
        }
    )* };
}

each_message_is_at_one_child_in_order! {
    whatever_happens_each_message_takes_its_turn: |sinks, seed| RoundRobin::new(sinks);
    whatever_happens_each_message_is_somebodys_load:
        |sinks, seed| LeastLoaded::with_seed(sinks, seed);
}

#[test]
fn same_seed_and_loads_make_the_same_choices() {
    let choices = |seed| {
        let (sinks, peers) = scripted([99, 99, 99]);
        let mut sink = LeastLoaded::with_seed(sinks, seed);
        for number in 0..60_u8 {
            sink.try_feed(&[number]).expect("room");
        }
        peers.map(|peer| numbers(&peer))
    };
    assert_eq!(choices(7), choices(7));
    assert_ne!(choices(7), choices(8));
}

#[test]
fn loads_of_equal_children_stay_close_together() {
    for seed in 0..10 {
        let (sinks, _peers) = scripted([9999; 8]);
        let mut sink = LeastLoaded::with_seed(sinks, seed);
        for _ in 0..1000 {
            sink.try_feed("m").expect("room");
        }
        // With one choice instead of two the fullest would be some 30 above the least.
        let fed = sink.distribution();
        let (least, most) = (fed.iter().min().expect("8"), fed.iter().max().expect("8"));
        assert!(fed.len() == 8 && most - least <= 8, "{fed:?}");
    }
}

#[test]
fn child_that_writes_nothing_gets_less_than_its_share() {
    let (sinks, peers) = scripted([9999; 3]);
    let mut sink = LeastLoaded::with_seed(sinks, 1);
    peers[1].hold(true);
    for _ in 0..1000 {
        sink.try_feed("m").expect("room");
        let _ = step_of_flush(&mut sink);
    }
    // The others are empty after each flush: it gets a message only while it is so itself.
    assert!(sink.distribution()[1] <= 1, "{:?}", sink.distribution());
    peers[1].hold(false);
    for _ in 0..300 {
        let _ = step_of_flush(&mut sink);
        sink.try_feed("m").expect("room");
    }
    assert!(sink.distribution()[1] > 50, "{:?}", sink.distribution());
}

#[tokio::test(start_paused = true)]
async fn child_whose_peer_is_away_is_no_choice_though_it_has_least_to_write() {
    let ((first, first_peer), (second, second_peer)) = (lazy(9000, 1), lazy(9000, 1000));
    first_peer.refuse(true);
    let mut sink = LeastLoaded::with_seed((first, second), 3);
    while sink.get_ref().0.state() != SinkState::BackingOff || !sink.is_connected() {
        let _ = sink.poll_connect(&mut Context::from_waker(Waker::noop()));
        tokio::task::yield_now().await;
    }
    for number in 0..50_u8 {
        sink.feed(&[number]).await.expect("fed");
        assert_eq!(sink.outstanding_bytes(), 5 * (u64::from(number) + 1));
    }
    assert_eq!(sink.distribution(), [0, 50]);
    assert!(step_of_flush(&mut sink) && sink.outstanding_bytes() == 0);
    assert_eq!(received(&second_peer), (0..50).collect::<Vec<_>>());
}

#[test]
fn full_child_is_no_choice_and_full_everywhere_is_full() {
    let (sinks, peers) = scripted([0, 2, 0]);
    let mut sink = LeastLoaded::with_seed(sinks, 5);
    assert!(sink.try_feed("a").is_ok() && sink.try_feed("b").is_ok());
    assert_eq!(sink.try_feed("c"), Err(TryFeedError::Full));
    assert_eq!(peers[1].messages().len(), 2);
    assert!(!sink.room(1) && !sink.fits(1) && sink.try_ready(1) == Err(TryFeedError::Full));
}

#[tokio::test]
async fn key_stays_with_its_child_and_waits_for_it_alone() {
    let (sinks, peers) = scripted([9, 1, 9]);
    let mut sink = Sharded::new(sinks);
    for number in 0..6_u8 {
        let fed = sink.try_feed(&Keyed(number.into(), [number]));
        assert_eq!(fed.is_ok(), number != 4, "only the full child refuses");
    }
    assert_eq!(sink.try_feed(&Keyed(4, [4])), Err(TryFeedError::Full));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sink.poll_feed(&mut cx, &Keyed(4, [4])).is_pending(), "waits for its own child");
    assert!(sink.poll_feed(&mut cx, &Keyed(5, [55])).is_ready(), "which others do not");
    sink.feed("no key").await.expect("the first child's");
    peers[1].set_room(9);
    sink.feed(&Keyed(4, [4])).await.expect("room");
    assert_eq!(numbers(&peers[1]), [1, 4]);
    assert_eq!(numbers(&peers[2]), [2, 5, 55]);
    assert_eq!(peers[0].messages(), [vec![0], vec![3], b"no key".to_vec()]);
}

#[test]
fn composites_without_children_refuse() {
    let none = Vec::<ScriptedSink>::new;
    assert_eq!(Sharded::new(none()).try_feed("x"), Err(TryFeedError::NotConnected));
    let mut sink = RoundRobin::new(none());
    assert!(sink.try_feed("x").is_err() && !sink.room(1) && !sink.is_connected());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(sink.poll_ready(&mut cx, 1), Poll::Ready(Err(_))));
    let mut sink = LeastLoaded::new(none());
    assert!(sink.try_feed("x").is_err() && !sink.room(1) && !sink.fits(1));
    assert!(matches!(sink.poll_ready(&mut cx, 1), Poll::Ready(Err(_))));
}

/// A sink whose state is another one each time somebody looks, as those of links are that try to
/// connect in tasks of their own.
struct Flipping {
    looks: Cell<usize>,
    states: &'static [SinkState],
    has_room: bool,
    fed: usize,
}

impl Flipping {
    fn new(states: &'static [SinkState], has_room: bool, looks: usize) -> Self {
        Self { looks: Cell::new(looks), states, has_room, fed: 0 }
    }
}

impl MessageSink for Flipping {
    fn try_feed<M: Encode + ?Sized>(&mut self, _: &M) -> Result<(), TryFeedError> {
        self.fed += usize::from(self.has_room);
        if self.has_room { Ok(()) } else { Err(TryFeedError::Full) }
    }
    fn room(&self, _: usize) -> bool {
        self.has_room
    }
    fn poll_ready(&mut self, _: &mut Context<'_>, _: usize) -> Poll<Result<(), SinkError>> {
        if self.has_room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        Poll::Ready(Ok(()))
    }
    fn state(&self) -> SinkState {
        self.looks.set(self.looks.get() + 1);
        self.states[self.looks.get() % self.states.len()]
    }
}

#[test]
fn room_is_a_promise_whatever_peers_do_in_the_meantime() {
    use SinkState::{Asleep, BackingOff, Connecting};
    let mut cx = Context::from_waker(Waker::noop());
    for looks in 0..12 {
        let child = |states, has_room| Flipping::new(states, has_room, looks);
        // Both try on, and only one has room.
        let mut sink = RoundRobin::new([
            child(&[BackingOff, Connecting, Connecting], true),
            child(&[Connecting, BackingOff], false),
        ]);
        assert!(sink.room(1));
        assert_eq!(sink.try_feed("a"), Ok(()), "`room`, {looks}");
        assert_eq!((sink.try_ready(1), sink.try_feed("b")), (Ok(()), Ok(())), "{looks}");
        // One without room seems to be there, now and then.
        let mut sink = RoundRobin::new([
            child(&[BackingOff], true),
            child(&[BackingOff, BackingOff, Asleep], false),
        ]);
        if sink.poll_ready(&mut cx, 1).is_ready() {
            assert_eq!(sink.try_feed("c"), Ok(()), "`poll_ready`, {looks}");
        }
    }
}

#[test]
fn sharded_over_nothing_takes_nothing() {
    let mut sink = Sharded::new(Vec::<ScriptedSink>::new());
    assert!(!sink.room(1) && !sink.fits(1));
    assert_eq!(sink.try_ready(1), Err(TryFeedError::NotConnected));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(sink.poll_ready(&mut cx, 1), Poll::Ready(Err(_))));
    assert_eq!(sink.try_feed("a"), Err(TryFeedError::NotConnected));
}
