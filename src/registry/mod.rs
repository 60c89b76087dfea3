//! services.toml as plain data: parsed once into types that cannot be wrong. No runtime, no socket.

mod advice;
mod budget;
mod buffer;
mod defaults;
mod diagnostic;
mod draft;
mod files;
mod graph;
mod keys;
mod kind;
mod leaves;
mod limits;
mod load;
mod number;
mod options;
mod parse;
mod reader;
mod report;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod section;
mod service;
mod shared;
mod source;
mod spelling;
mod tree;
mod units;
mod variables;

pub use self::budget::{Budget, Cost, ServiceBudget};
pub use self::diagnostic::{ConfigError, Diagnostic};
pub use self::kind::DiagnosticKind;
pub use self::load::RegistryLoader;
pub use self::service::{BufferConfig, Isolation, Pattern, Priority, Role, Service, Target};
pub(crate) use self::spelling::nearest;

use std::path::Path;
use std::ptr;
use std::str::FromStr;
use std::sync::Arc;

use crate::policy::FailoverPolicy;

/// The services of one services.toml, checked as a whole.
///
/// Every name that a composite refers to exists, no service leads back to itself, every number is
/// within its limits: what is here can be built. docs/CONFIG.md lists all keys.
///
/// # Examples
///
/// ```
/// use torq_message_sink::Registry;
///
/// let registry = Registry::from_str(
///     r#"
///     [services.strategy_a]
///     type = "direct"
///     endpoint = "tcp://127.0.0.1:9001"
///     "#,
/// )?;
/// assert!(registry.get("strategy_a").is_some());
/// assert_eq!(registry.nearest("stratgy_a"), Some("strategy_a"));
///
/// let error = Registry::from_str("[services.a]\ntyp = 'direct'").unwrap_err();
/// assert_eq!(error.errors()[1].help(), Some("did you mean `type`?"));
/// # Ok::<(), torq_message_sink::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    /// Sorted by name.
    services: Box<[Service]>,
    /// What the file says of its failovers, sorted by name.
    failovers: Box<[(Arc<str>, FailoverPolicy)]>,
    /// Names with `enabled = false`, sorted.
    disabled: Box<[Arc<str>]>,
    warnings: Box<[Diagnostic]>,
}

impl Registry {
    /// Bytes of the largest configuration, all of its files together: 4 MiB. Its variables may add
    /// as much.
    pub const MAX_BYTES: usize = 4 << 20;

    /// Reads and checks a file, and those that it includes. With overlays above it:
    /// [`RegistryLoader`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong, as [`RegistryLoader::load`].
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        RegistryLoader::new().load(path)
    }

    /// Checks a text; errors name it `<string>`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong, as [`from_path`](Self::from_path).
    #[expect(clippy::should_implement_trait, reason = "it does; this one needs no import")]
    pub fn from_str(text: &str) -> Result<Self, ConfigError> {
        RegistryLoader::new().load_str(text)
    }

    /// The service of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Service> {
        let found = self.services.binary_search_by(|service| (*service.name).cmp(name));
        found.ok().map(|index| &self.services[index])
    }

    /// Whether there is a service of that name that is taken out of service by `enabled = false`:
    /// [`get`](Self::get) and [`services`](Self::services) do not know it, and no composite leads
    /// to it.
    #[must_use]
    pub fn is_disabled(&self, name: &str) -> bool {
        self.disabled.binary_search_by(|disabled| (**disabled).cmp(name)).is_ok()
    }

    /// All services, sorted by name.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.services.iter()
    }

    /// What makes `service` change its target; the defaults where the file says nothing of it.
    #[must_use]
    pub fn failover(&self, service: &Service) -> &FailoverPolicy {
        static DEFAULT: FailoverPolicy = FailoverPolicy::new();
        let found = self.failovers.binary_search_by(|(name, _)| name.cmp(&service.name));
        found.map_or(&DEFAULT, |index| &self.failovers[index].1)
    }

    /// What is probably not meant, though it can be built, by file and position: a composite over a
    /// single target, a target that is disabled, two services with one endpoint. At most 100.
    ///
    /// ```
    /// # use torq_message_sink::Registry;
    /// let registry = Registry::from_str(
    ///     r#"
    ///     services.a = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
    ///     services.b = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
    ///     "#,
    /// )?;
    /// for warning in registry.warnings() {
    ///     eprintln!("{warning:#}");
    /// }
    /// assert_eq!(registry.warnings()[0].message(), "`a` has the same endpoint");
    /// # Ok::<(), torq_message_sink::ConfigError>(())
    /// ```
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The name nearest to one that is not there, if one is near enough to have been meant.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.services.iter().map(|service| &*service.name))
    }

    /// The services with an endpoint that `service` leads to, in the order of the file's `targets`,
    /// nested composites flattened: at most 512, none twice. For an endpoint service it is that one
    /// alone.
    #[must_use]
    pub fn leaves<'r>(&'r self, service: &'r Service) -> Vec<&'r Service> {
        let mut leaves = Vec::new();
        let mut pending = vec![service];
        while let Some(service) = pending.pop() {
            match &service.target {
                Target::Endpoint { .. } => leaves.push(service),
                Target::Composite { targets, .. } => {
                    pending.extend(targets.iter().rev().filter_map(|name| self.get(name)));
                }
            }
        }
        leaves
    }

    /// The targets of a composite, those of nested composites that do the same as it in their
    /// place: a fan-out of fan-outs is a fan-out. With each, whether it gates: whether none of the
    /// composites that it has taken the place of takes its targets for best effort.
    pub(crate) fn branches<'r>(&'r self, service: &'r Service) -> Vec<(&'r Service, bool)> {
        let mut branches = Vec::new();
        let Target::Composite { pattern: outer, .. } = &service.target else { return branches };
        let mut pending = vec![(service, true)];
        while let Some((nested, gates)) = pending.pop() {
            match &nested.target {
                Target::Composite { targets, isolation, pattern }
                    if pattern == outer
                        && (ptr::eq(nested, service)
                            || !matches!(isolation, Isolation::Quorum(_))) =>
                {
                    let gates = gates && *isolation != Isolation::BestEffort;
                    let targets = targets.iter().rev().filter_map(|name| self.get(name));
                    pending.extend(targets.map(|target| (target, gates)));
                }
                _ => branches.push((nested, gates)),
            }
        }
        branches
    }
}

/// Whether both lead to the same places in the same way; warnings aside.
impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        self.services == other.services
            && self.failovers == other.failovers
            && self.disabled == other.disabled
    }
}

impl FromStr for Registry {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::from_str(text)
    }
}
