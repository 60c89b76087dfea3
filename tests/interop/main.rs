//! Receivers that are not ours read what a sink writes, and miss nothing when they come back.
//!
//! Some are processes: Python, socat and netcat. Where one is not installed its test is left out,
//! unless `INTEROP_RECEIVERS=all` says that all of them are there.

mod codec;
mod message;
mod process;
mod program;
mod sender;
