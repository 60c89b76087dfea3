//! The errors: one word and `Copy` on the hot path, with names and causes on the cold one.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::framing::FrameError;

/// Why a message was refused. The sink did not take it: it is still the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TryFeedError {
    /// There is no room now, and the attempt to make some wrote too little.
    #[error("the buffer is full; wait for room with `feed`, or try again later")]
    Full,
    /// There is no room, no connection, and no attempt running: the last attempts were used up.
    #[error("not connected, and the attempts to connect are used up; feeding again starts anew")]
    NotConnected,
    /// The peer could not be reached too often; until it is tried again nothing is let in. See
    /// [`CircuitBreaker`](crate::CircuitBreaker).
    #[error("the circuit is open after repeated failures; the peer is tried again after a while")]
    CircuitOpen,
    /// The sink sleeps and cannot wake: the call was made outside a tokio runtime.
    #[error("cannot connect outside a tokio runtime; call it from a task or enter a runtime")]
    NoRuntime,
    /// The sink was closed, or is being closed.
    #[error("the sink is closed; build a new one")]
    Closed,
    /// The message can never fit: its frame is larger than the buffer or the framing allows.
    #[error("the message is larger than the buffer's capacity or the framing's `max_frame`")]
    TooLarge,
    /// The framing cannot carry this message (for example, a newline in newline-delimited text).
    #[error("the framing cannot carry this message")]
    Invalid,
}

impl TryFeedError {
    /// Whether trying again later can succeed without any other step.
    #[must_use]
    pub const fn is_full(self) -> bool {
        matches!(self, Self::Full)
    }

    /// Whether there is no connection and none is being made.
    #[must_use]
    pub const fn is_not_connected(self) -> bool {
        matches!(self, Self::NotConnected | Self::CircuitOpen | Self::NoRuntime)
    }

    /// Whether the sink was closed for good.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Whether the message is larger than this sink can ever take.
    #[must_use]
    pub const fn is_too_large(self) -> bool {
        matches!(self, Self::TooLarge)
    }
}

/// What went wrong, for control flow; words and context are [`SinkError`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection attempts allowed by the policy are used up; what was accepted is kept.
    Unreachable,
    /// A [`CircuitBreaker`](crate::CircuitBreaker) lets nothing through for now, after repeated
    /// failures; what was accepted is kept.
    CircuitOpen,
    /// An endpoint that is none: unparsable, or impossible on this system.
    InvalidEndpoint,
    /// Waking was tried outside a tokio runtime, or on one that is shutting down.
    NoRuntime,
    /// The sink was closed.
    Closed,
    /// The buffer is full.
    Full,
    /// A frame that can never fit.
    TooLarge {
        /// Bytes of the frame, header included; 0 where the error comes from a
        /// [`TryFeedError`], which has no numbers.
        requested: usize,
        /// Bytes that a frame may have here.
        available: usize,
    },
    /// The framing cannot carry the message.
    InvalidMessage,
    /// The memory for the buffer could not be had.
    OutOfMemory,
    /// The configuration is wrong.
    Config,
    /// No service of that name.
    UnknownService,
    /// The service of that name is taken out of service by `enabled = false`.
    DisabledService,
    /// The service does not lead to what the type is for that was asked for.
    Mismatch,
    /// Something outside this library failed, in a user's link or layer.
    Other,
}

impl ErrorKind {
    /// The refusal for an error that is met while feeding.
    pub(crate) fn refusal(self) -> TryFeedError {
        match self {
            Self::Closed => TryFeedError::Closed,
            Self::NoRuntime => TryFeedError::NoRuntime,
            Self::TooLarge { .. } => TryFeedError::TooLarge,
            Self::OutOfMemory => TryFeedError::Full,
            _ => TryFeedError::NotConnected,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => {
                "could not be reached; messages are kept, and feeding or flushing tries again: \
                 start the peer, or raise `max_attempts`"
            }
            Self::CircuitOpen => return TryFeedError::CircuitOpen.fmt(f),
            Self::InvalidEndpoint => "the endpoint is not valid",
            Self::NoRuntime => {
                "cannot connect outside a running tokio runtime with io and time enabled; call \
                 it from a task"
            }
            Self::Closed => "the sink is closed; build a new one",
            Self::Full => "the buffer is full; wait for room with `feed`, or try again later",
            // From a refusal, which is one byte and has no numbers.
            Self::TooLarge { requested: 0, .. } => return TryFeedError::TooLarge.fmt(f),
            Self::TooLarge { requested, available } => {
                return write!(
                    f,
                    "a frame of {requested} bytes does not fit {available}; raise the buffer's \
                     capacity or the framing's `max_frame`"
                );
            }
            Self::InvalidMessage => "the framing cannot carry this message",
            Self::OutOfMemory => "no memory for the buffer; lower its capacity",
            Self::Config => "the configuration is not valid",
            Self::UnknownService => "no such service",
            Self::DisabledService => "the service is disabled in the configuration",
            Self::Mismatch => "the service leads elsewhere than the type",
            Self::Other => "the sink failed",
        })
    }
}

/// An error with its context: which service, which endpoint, which attempt, and the cause.
///
/// One word wide; built on cold paths only.
#[derive(Clone)]
pub struct SinkError(Box<Context>);

#[derive(Clone, Debug)]
struct Context {
    kind: ErrorKind,
    service: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    attempt: u32,
    help: Option<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl SinkError {
    /// An error of `kind`, with nothing known about it yet.
    #[must_use]
    #[cold]
    pub fn new(kind: ErrorKind) -> Self {
        let (service, endpoint) = (None, None);
        Self(Box::new(Context { kind, service, endpoint, attempt: 0, help: None, source: None }))
    }

    /// Names the service that failed.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.0.service = Some(service.into());
        self
    }

    /// Names the endpoint that failed.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl fmt::Display) -> Self {
        self.0.endpoint = Some(endpoint.to_string().into());
        self
    }

    /// Says after how many connection attempts it failed.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.0.attempt = attempt;
        self
    }

    /// Adds what to do, where the kind alone does not say it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The service's name, where the sink was built by name or given one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.0.service.as_deref()
    }

    /// The endpoint, as it is written in a configuration.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// How many attempts to connect failed in a row; 0 where that is not the matter.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Whether the sink was closed for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind() == ErrorKind::Closed
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = &self.0.service {
            write!(f, "service `{service}`: ")?;
        }
        if let Some(endpoint) = &self.0.endpoint {
            write!(f, "{endpoint}: ")?;
        }
        write!(f, "{}", self.0.kind)?;
        if self.0.attempt > 0 {
            write!(f, " (after {} failed attempts)", self.0.attempt)?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkError")
            .field("kind", &self.0.kind)
            .field("service", &self.0.service)
            .field("endpoint", &self.0.endpoint)
            .field("attempt", &self.0.attempt)
            .field("help", &self.0.help)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<ErrorKind> for SinkError {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<TryFeedError> for SinkError {
    #[cold]
    fn from(refusal: TryFeedError) -> Self {
        Self::new(match refusal {
            TryFeedError::Full => ErrorKind::Full,
            TryFeedError::NotConnected => ErrorKind::Unreachable,
            TryFeedError::CircuitOpen => ErrorKind::CircuitOpen,
            TryFeedError::NoRuntime => ErrorKind::NoRuntime,
            TryFeedError::Closed => ErrorKind::Closed,
            // The numbers are not in the refusal, which is one byte; `poll_ready` has them.
            TryFeedError::TooLarge => ErrorKind::TooLarge { requested: 0, available: 0 },
            TryFeedError::Invalid => ErrorKind::InvalidMessage,
        })
    }
}

impl From<FrameError> for SinkError {
    #[cold]
    fn from(error: FrameError) -> Self {
        Self::new(ErrorKind::InvalidMessage).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_path_refusal_is_at_most_a_word() {
        assert!(size_of::<Result<(), TryFeedError>>() <= size_of::<usize>());
        assert_eq!(size_of::<SinkError>(), size_of::<usize>());
    }

    #[test]
    fn text_names_service_endpoint_and_attempts_but_not_the_source() {
        let error = SinkError::new(ErrorKind::Unreachable)
            .with_service("market_data")
            .with_endpoint("tcp://127.0.0.1:9001")
            .with_attempt(3)
            .with_source(std::io::Error::other("refused"));
        let text = error.to_string();
        assert!(
            text.starts_with("service `market_data`: tcp://127.0.0.1:9001: could not"),
            "{text}"
        );
        assert!(text.ends_with("(after 3 failed attempts)"), "{text}");
        assert!(!text.contains("refused"));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("refused"));
    }
}
