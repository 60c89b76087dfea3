//! What links tell the log, with the feature `tracing`; nothing without it.

#[cfg(feature = "tracing")]
pub(crate) use self::enabled::*;

#[cfg(feature = "tracing")]
mod enabled {
    use std::io;

    use crate::endpoint::Endpoint;
    use crate::link::description::Identity;
    use crate::sink::{ConnectionEnd, Count, EndCause};

    pub(crate) fn failed(endpoint: &Endpoint, failures: u32, error: &io::Error) {
        tracing::warn!(%endpoint, failures, %error, "could not connect");
    }

    pub(crate) fn connected(who: &Identity, connection: u32, first: Count, failures: u32) {
        tracing::info!(
            service = who.service.as_deref(),
            endpoint = %who.endpoint,
            connection,
            first_byte = first.bytes,
            failures,
            "connected"
        );
    }

    pub(crate) fn ended(end: &ConnectionEnd) {
        let service = end.service.as_deref();
        let (connection, end_byte) = (end.connection, end.end.bytes);
        let (endpoint, cut_bytes) = (&end.endpoint, end.cut_bytes);
        match end.cause {
            EndCause::Drained | EndCause::HungUp => {
                tracing::info!(service, %endpoint, connection, end_byte, cut_bytes, "disconnected");
            }
            EndCause::PeerClosed | EndCause::Failed(_) => {
                let cause = tracing::field::debug(end.cause);
                tracing::warn!(
                    service, %endpoint, connection, end_byte, cut_bytes, cause, "connection lost"
                );
            }
        }
    }

    pub(crate) fn dropped(who: &Identity, bytes: u64) {
        let service = who.service.as_deref();
        tracing::warn!(service, endpoint = %who.endpoint, bytes, "closed with frames unwritten");
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) use self::disabled::*;

#[cfg(not(feature = "tracing"))]
mod disabled {
    use std::io;

    use crate::endpoint::Endpoint;
    use crate::link::description::Identity;
    use crate::sink::{ConnectionEnd, Count};

    pub(crate) fn failed(_: &Endpoint, _: u32, _: &io::Error) {}

    pub(crate) fn connected(_: &Identity, _: u32, _: Count, _: u32) {}

    pub(crate) fn ended(_: &ConnectionEnd) {}

    pub(crate) fn dropped(_: &Identity, _: u64) {}
}
