//! What a link is while it sleeps: where it leads, to which service, and by what policy it runs.

use std::io;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, SinkError};
use crate::link::Connect;
use crate::policy::LazyPolicy;

/// All that a link holds before it is woken for the first time.
pub(super) struct Description<C> {
    pub(super) connector: C,
    pub(super) service: Option<Arc<str>>,
    pub(super) policy: Arc<LazyPolicy>,
}

/// Who a link is, for its errors, reports, events and log lines.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) service: Option<Arc<str>>,
    pub(super) endpoint: Endpoint,
}

impl Identity {
    pub(super) fn error(self, kind: ErrorKind) -> SinkError {
        let error = SinkError::new(kind).with_endpoint(self.endpoint);
        match self.service {
            Some(service) => error.with_service(service),
            None => error,
        }
    }

    pub(super) fn unreachable(self, failures: u32, error: Arc<io::Error>) -> SinkError {
        self.error(ErrorKind::Unreachable).with_attempt(failures).with_source(error)
    }
}

impl<C: Connect> Description<C> {
    pub(super) fn identity(&self) -> Identity {
        Identity { service: self.service.clone(), endpoint: self.connector.endpoint() }
    }
}
