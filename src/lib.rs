//! torq-message-sink
mod encode;
mod endpoint;
mod error;
mod framing;
mod policy;
mod registry;

pub use crate::encode::{Encode, InLane, Keyed, WithDeadline};
pub use crate::endpoint::{Endpoint, EndpointError};
pub use crate::error::{ErrorKind, SinkError, TryFeedError};
pub use crate::framing::{Decoder, FrameError, Frames, Framing, LengthPrefixed};
pub use crate::policy::{Backoff, LazyPolicy, Reconnect};
pub use crate::registry::{
    BufferConfig, ConfigError, Diagnostic, DiagnosticKind, Pattern, Registry, Role, Service,
    Target, TcpOptions, UnixOptions, WhenFull,
};
