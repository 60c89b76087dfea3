//! Layers: sinks that wrap a sink or a link.

mod buffered;
mod lazy;
mod rate_limit;

pub use self::buffered::Buffered;
pub use self::lazy::Lazy;
pub use self::rate_limit::{Rate, RateLimit};
