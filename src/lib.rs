//! torq-message-sink
mod buffer;
mod composite;
mod encode;
mod endpoint;
mod error;
mod framing;
mod layer;
mod link;
mod policy;
mod sink;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::buffer::Pending;
pub use crate::composite::{Fanout, LinkSet, VisitLink, VisitLinkMut};
pub use crate::encode::{Encode, InLane, Keyed, WithDeadline};
pub use crate::endpoint::{Endpoint, EndpointError};
pub use crate::error::{ErrorKind, SinkError, TryFeedError};
pub use crate::framing::{Decoder, FrameError, Frames, Framing, LengthPrefixed};
pub use crate::layer::{Buffered, Lazy};
pub use crate::link::{
    Connect, Io, Link, MemoryConnector, MemoryIo, MemoryPeer, MemorySink, MemoryStream, StreamLink,
    TcpConnector, TcpIo, TcpSink, UnixConnector, UnixIo, UnixSink,
};
pub use crate::policy::{Backoff, LazyPolicy, Reconnect};
pub use crate::sink::{
    ConnectionEnd, Count, End, EndCause, Event, LeafReport, MessageSink, Report, SinkState, future,
};
