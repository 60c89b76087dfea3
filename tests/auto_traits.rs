//! What is `Send`, `Sync` and `Unpin`, and so can cross threads or be polled in place.

use std::cell::Cell;
use std::task::{Context, Poll};

use torq_message_sink::testing::{Scripted, ScriptedIo, ScriptedSink, SinkPeer};
use torq_message_sink::{
    Backoff, Buffered, Circuit, CircuitBreaker, Conflate, ConnectionEnd, Deadline, Encode,
    Endpoint, EndpointError, Event, Failover, Fanout, FrameError, Lanes, Lazy, LazyPolicy,
    LeafReport, LeastLoaded, LengthPrefixed, MemoryConnector, MemoryIo, MemoryPeer, MemorySink,
    MemoryStream, MessageSink, Rate, RateLimit, RegistryLoader, Report, RoundRobin, Shared,
    SinkError, TcpSink, TryFeedError, UnixSink, future, shared,
};

type Stack = Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>;

type Sinks = Lazy<Fanout<(Lazy<Buffered<TcpSink>>, Buffered<UnixSink>)>>;

macro_rules! all_are {
    ($traits:path: $($type:ty),* $(,)?) => {{
        fn is<T: ?Sized + $traits>() {}
        $(is::<$type>();)*
    }};
}

trait Everything: Send + Sync + Unpin + 'static {}
impl<T: Send + Sync + Unpin + 'static> Everything for T {}

trait SendUnpin: Send + Unpin {}
impl<T: Send + Unpin> SendUnpin for T {}

#[test]
fn sinks_and_links_are_send_sync_unpin() {
    all_are!(Everything: Stack, Buffered<TcpSink>, TcpSink, UnixSink, MemorySink, Fanout<Vec<TcpSink>>);
    all_are!(Everything: Sinks, Fanout<Vec<Sinks>>, Box<Sinks>);
    all_are!(Everything: Failover<Vec<TcpSink>>, Failover<[Buffered<TcpSink>; 2]>);
    all_are!(Everything: RoundRobin<Vec<TcpSink>>, RoundRobin<[Buffered<TcpSink>; 2]>);
    all_are!(Everything: RateLimit<Sinks>, CircuitBreaker<Sinks>, LeastLoaded<Vec<Sinks>>);
    all_are!(Everything: Deadline<Stack>, Conflate<Stack>, Lanes<Deadline<Stack>, 3>);
    all_are!(Everything: Shared<Stack>);
    all_are!(Everything: RegistryLoader<'static>);
    all_are!(Everything: MemoryConnector, MemoryIo, MemoryPeer, MemoryStream);
    all_are!(Everything: Scripted<MemoryConnector>, ScriptedIo<MemoryIo>, ScriptedSink, SinkPeer);
}

#[test]
fn data_is_send_sync_unpin() {
    all_are!(Everything: LazyPolicy, Backoff, LengthPrefixed, Endpoint, Event, ConnectionEnd);
    all_are!(Everything: Report, LeafReport, SinkError, TryFeedError, EndpointError, FrameError);
    all_are!(std::error::Error: SinkError, TryFeedError, EndpointError, FrameError);
    all_are!(Clone: Event, LeafReport, LazyPolicy, Endpoint);
    all_are!(Copy: Circuit, Rate);
    all_are!(Copy: TryFeedError, FrameError, LengthPrefixed);
}

#[test]
fn futures_are_send_and_all_but_shutdown_unpin() {
    all_are!(SendUnpin: future::Feed<'_, Stack, [u8]>, future::Feed<'_, Stack, str>);
    all_are!(SendUnpin: future::Send<'_, Stack, [u8]>, future::Flush<'_, Stack>);
    all_are!(SendUnpin: future::SendBatch<'_, Stack, std::vec::IntoIter<Vec<u8>>>);
    all_are!(SendUnpin: future::Connect<'_, Stack>);
    all_are!(SendUnpin: future::Feed<'_, Sinks, [u8]>, future::Send<'_, Sinks, str>);
    // It holds a timer.
    all_are!(Send: future::Shutdown<'_, Stack>, future::Shutdown<'_, Sinks>);
}

/// Also over a stack that is not `Sync`.
#[test]
fn shared_handles_and_their_futures_cross_threads() {
    /// Looks at no message, and counts them where only one thread may.
    struct Unshared(Cell<u64>);
    impl MessageSink for Unshared {
        fn try_feed<M: Encode + ?Sized>(&mut self, _: &M) -> Result<(), TryFeedError> {
            self.0.set(self.0.get() + 1);
            Ok(())
        }
        fn room(&self, _: usize) -> bool {
            true
        }
        fn poll_ready(&mut self, _: &mut Context<'_>, _: usize) -> Poll<Result<(), SinkError>> {
            Poll::Ready(Ok(()))
        }
        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
            Poll::Ready(Ok(()))
        }
    }
    all_are!(Clone: Shared<Unshared>);
    all_are!(Everything: Shared<Unshared>);
    all_are!(SendUnpin: shared::Feed<'_, Unshared, [u8]>, shared::Send<'_, Unshared, str>);
    all_are!(SendUnpin: shared::SendBatch<'_, Unshared, std::vec::IntoIter<Vec<u8>>>);
    all_are!(SendUnpin: shared::Flush<'_, Unshared>, shared::Connect<'_, Unshared>);
    all_are!(SendUnpin: shared::Shutdown<'_, Unshared>);
}

#[test]
fn errors_are_one_word() {
    assert_eq!(size_of::<Result<(), SinkError>>(), size_of::<usize>());
    assert!(size_of::<Result<(), TryFeedError>>() <= 1);
}
