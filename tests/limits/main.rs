//! The layers that spare a peer: the rate limit.

mod rate_limit;
