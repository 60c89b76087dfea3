//! The registry through its public API: what is read, what is refused, and with which words.

mod files;
mod hostile;
mod reading;
mod refusing;

/// The file that the demo and the documents use.
pub const SAMPLE: &str = include_str!("../../services.toml");
