#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! - [Composition](composition): which stack for what, with pictures.
//! - [`MessageSink`]: feeding, flushing, closing; implemented by everything that takes messages.
//! - [`Lazy`], [`Buffered`], [`TcpSink`], [`UnixSink`]: what stacks are made of; [`Fanout`], [`Failover`],
//!   [`RoundRobin`], [`LeastLoaded`], [`Sharded`] where there are several peers; [`RateLimit`], [`CircuitBreaker`]
//!   to spare them.
//! - [`Deadline`], [`Conflate`], [`Lanes`]: which messages are still worth sending, and which first.
//! - [`SinkFactory`], [`Registry`]: stacks by name; [`known_stacks!`] for a set of one's own.
//! - [`Shared`]: one stack for many tasks and threads.
//! - [`Encode`], [`Framing`], [`Decoder`]: what a message is, how it stands on the wire
//!   ([`LengthPrefixed`], [`Prefixed`], [`NewlineDelimited`], [`SelfDelimiting`]), and reading it.
//! - [`Report`], [`Branch`], [`Event`]: what became of the messages, and of the links.
//! - [`Link`], [`Connect`], [`Io`]: links of one's own; [`forward_sink!`] for layers.

mod buffer;
mod composite;
#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/COMPOSITION.md")]
pub mod composition {}
mod encode;
mod endpoint;
mod error;
mod factory;
mod framing;
mod layer;
mod link;
mod options;
mod policy;
mod registry;
mod sink;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;

pub use crate::buffer::{Pending, WhenFull};
pub use crate::composite::{
    BestEffort, Failover, Fanout, HandBackSet, LeastLoaded, LinkSet, Quorum, RoundRobin, Sharded,
    SinkSet, VisitLink, VisitLinkMut, VisitSink, VisitSinkMut,
};
pub use crate::encode::{Encode, InLane, Keyed, WithDeadline};
pub use crate::endpoint::{Endpoint, EndpointError};
pub use crate::error::{ErrorKind, SinkError, TryFeedError};
#[doc(hidden)]
pub use crate::factory::known as __known;
pub use crate::factory::{FromService, SinkFactory, SinkStack};
pub use crate::framing::{
    Decoder, FrameError, Frames, Framing, LengthPrefixed, MAX_HEAD, NewlineDelimited, Prefixed,
    SelfDelimiting, prefix,
};
pub use crate::layer::{
    Buffered, CircuitBreaker, Conflate, Deadline, Lanes, Lazy, Rate, RateLimit, Shared, shared,
};
pub use crate::link::{
    Connect, Io, Link, MemoryConnector, MemoryIo, MemoryPeer, MemorySink, MemoryStream, Skip,
    StreamLink, TcpConnector, TcpIo, TcpSink, UnixConnector, UnixIo, UnixSink,
};
pub use crate::options::{TcpOptions, UnixOptions};
pub use crate::policy::{Backoff, FailoverPolicy, LazyPolicy, Reconnect};
pub use crate::registry::{
    Budget, BufferConfig, ConfigError, Cost, Diagnostic, DiagnosticKind, Isolation, Pattern,
    Priority, Registry, RegistryLoader, Role, Service, ServiceBudget, Target,
};
pub use crate::sink::{
    Branch, BranchOutcome, Circuit, ConnectionEnd, Count, DropReason, Dropped, End, EndCause,
    Event, HandBack, HandedBack, LeafReport, MessageSink, Report, SinkState, SwitchCause, future,
};
