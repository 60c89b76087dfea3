//! Composites: links over several links, and sinks over several sinks.

mod each;
mod fanout;
mod pick;
mod round_robin;
mod set;
mod sharded;

pub use self::fanout::Fanout;
pub use self::round_robin::RoundRobin;
pub use self::set::{LinkSet, SinkSet, VisitLink, VisitLinkMut, VisitSink, VisitSinkMut};
pub use self::sharded::Sharded;
