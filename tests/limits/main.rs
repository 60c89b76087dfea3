//! The layers that spare a peer: the rate limit and the circuit breaker.

mod circuit_breaker;
mod rate_limit;
