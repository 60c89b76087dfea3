//! Layers: sinks that wrap a sink or a link.

mod buffered;
mod lazy;

pub use self::buffered::Buffered;
pub use self::lazy::Lazy;
