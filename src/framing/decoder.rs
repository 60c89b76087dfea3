//! The incremental decoder.
use crate::framing::Framing;
/// Stub.
#[derive(Debug)]
pub struct Decoder<F>(F);
/// Stub.
#[derive(Debug)]
pub struct Frames<'a, F>(&'a F);
impl<F: Framing> Decoder<F> {}
