//! Composites: links over several links, and sinks over several sinks.

mod best_effort;
mod each;
mod failover;
mod fanout;
mod least_loaded;
mod pick;
mod quorum;
mod round_robin;
mod set;
mod sharded;
mod visit;

pub use self::best_effort::BestEffort;
pub use self::failover::{Failover, HandBackSet};
pub use self::fanout::Fanout;
pub use self::least_loaded::LeastLoaded;
pub use self::quorum::Quorum;
pub use self::round_robin::RoundRobin;
pub use self::set::{LinkSet, SinkSet, VisitLink, VisitLinkMut, VisitSink, VisitSinkMut};
pub use self::sharded::Sharded;
