//! A service while the file is read.

use std::ops::Range;
use std::sync::Arc;

use super::reader::Named;
use super::service::{Isolation, Pattern, Service, Target};
use crate::endpoint::Endpoint;
use crate::policy::FailoverPolicy;

/// A service as far as it could be read: a broken one is still a target that exists.
pub(super) struct Draft {
    pub(super) name: Arc<str>,
    pub(super) span: Range<usize>,
    pub(super) service: Option<Service>,
    /// Not taken out of service. One that is, is checked as if it was not: putting it back brings no
    /// surprise.
    pub(super) is_enabled: bool,
    /// The place of its endpoint or of its targets: where it leads.
    pub(super) leads: Range<usize>,
    /// How a composite spreads messages, as far as it says.
    pub(super) pattern: Option<Pattern>,
    /// What a failover says of when to change its target.
    pub(super) failover: Option<FailoverPolicy>,
    /// The names in `targets`, where there is such a list.
    pub(super) targets: Option<Vec<Named>>,
    /// The key `isolation` and its place, where it is right.
    pub(super) isolation: Option<(Range<usize>, Isolation)>,
}

impl Draft {
    /// Where it leads, if it is right and leads to one place.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match &self.service.as_ref()?.target {
            Target::Endpoint { endpoint, .. } => Some(endpoint),
            Target::Composite { .. } => None,
        }
    }

    /// The names that it leads to, if it is a composite.
    pub(super) fn names(&self) -> &[Named] {
        self.targets.as_deref().unwrap_or_default()
    }

    /// What a slow target does to the others; of endpoints and failovers nothing.
    pub(super) fn isolation(&self) -> Isolation {
        self.isolation.as_ref().map_or(Isolation::All, |(_, isolation)| *isolation)
    }
}
