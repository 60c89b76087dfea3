//! Layers: sinks that wrap a sink or a link.

mod buffered;
mod circuit_breaker;
mod conflate;
mod deadline;
mod hold;
mod lanes;
mod lazy;
mod rate_limit;
pub mod shared;

pub use self::buffered::Buffered;
pub use self::circuit_breaker::CircuitBreaker;
pub use self::conflate::Conflate;
pub use self::deadline::Deadline;
pub use self::lanes::Lanes;
pub use self::lazy::Lazy;
pub use self::rate_limit::{Rate, RateLimit};
pub use self::shared::Shared;
