//! Who a link is, for its errors, reports, events and log lines.

use std::sync::Arc;

use crate::endpoint::Endpoint;

/// Who a link is, for its events and reports.
pub(crate) struct Identity<'a> {
    pub(crate) service: Option<&'a Arc<str>>,
    pub(crate) endpoint: Endpoint,
    pub(crate) counting: bool,
}
