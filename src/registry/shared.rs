//! What the services of a file have in common, held once: names, policies, options.

use std::collections::HashSet;
use std::sync::Arc;

use crate::options::LinkOptions;
use crate::policy::LazyPolicy;

/// What has been read so far, for those that say the same.
pub(super) struct Shared {
    names: HashSet<Arc<str>>,
    pub(super) lazy: Values<LazyPolicy>,
    pub(super) links: Values<LinkOptions>,
}

/// Different values of one kind.
pub(super) struct Values<T>(Vec<Arc<T>>);

impl Shared {
    pub(super) fn new() -> Self {
        Self { names: HashSet::new(), lazy: Values(Vec::new()), links: Values(Vec::new()) }
    }

    /// The name, whether a service has it or a list of targets.
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }
}

impl<T: PartialEq> Values<T> {
    /// The value, or `default` where there is none of its own.
    pub(super) fn share(&mut self, value: Option<T>, default: &Arc<T>) -> Arc<T> {
        let Some(value) = value.filter(|value| *value != **default) else {
            return default.clone();
        };
        if let Some(known) = self.0.iter().find(|known| ***known == value) {
            return known.clone();
        }
        let value = Arc::new(value);
        if self.0.len() < MAX_VALUES {
            self.0.push(value.clone());
        }
        value
    }
}

/// Values that are compared with: in a file of nothing but different ones the time would grow with
/// the square of its size.
const MAX_VALUES: usize = 64;
