//! The framing room through its public API.

mod decoder;
mod support;
mod tokio_codec;
