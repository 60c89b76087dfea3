//! The framing room through its public API.

mod decoder;
mod each;
mod every;
mod support;
mod tokio_codec;
