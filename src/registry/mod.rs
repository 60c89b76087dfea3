//! services.toml as plain data: parsed once into types that cannot be wrong. No runtime, no socket.

mod budget;
mod diagnostic;
mod graph;
mod keys;
mod kind;
mod limits;
mod number;
mod options;
mod parse;
mod report;
#[cfg(feature = "schema")]
mod schema;
mod section;
mod service;
mod shared;
mod source;
mod spelling;
mod units;

pub use self::budget::{Budget, Cost, ServiceBudget};
pub use self::diagnostic::{ConfigError, Diagnostic};
pub use self::kind::DiagnosticKind;
pub use self::service::{BufferConfig, Isolation, Pattern, Role, Service, Target};
pub(crate) use self::spelling::nearest;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::ptr;
use std::str::FromStr;
use std::sync::Arc;

use self::report::Report;
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
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Sorted by name.
    services: Box<[Service]>,
    /// What the file says of its failovers, sorted by name.
    failovers: Box<[(Arc<str>, FailoverPolicy)]>,
}

impl Registry {
    /// Bytes of the largest configuration: 1 MiB.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong, if it cannot be read, has more than
    /// [`MAX_BYTES`](Self::MAX_BYTES), is not UTF-8, not TOML, or does not say what it must. At
    /// most `MAX_BYTES + 1` bytes are read, whatever the file is.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file: Arc<str> = path.display().to_string().into();
        let bytes = read(path).map_err(|error| {
            let kind = DiagnosticKind::Unreadable { kind: error.kind(), reason: error.to_string() };
            whole_file(file.clone(), kind)
        })?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(whole_file(file, DiagnosticKind::TooLarge { max: Self::MAX_BYTES }));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(file, &text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                let mut report = Report::default();
                report.error(at..at + 1, DiagnosticKind::NotUtf8);
                Err(refusal(file, &text, report))
            }
        }
    }

    /// Checks a text; errors name it `<string>`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong, as [`from_path`](Self::from_path).
    #[expect(clippy::should_implement_trait, reason = "it does; this one needs no import")]
    pub fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse("<string>".into(), text)
    }

    /// The service of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Service> {
        let found = self.services.binary_search_by(|service| (*service.name).cmp(name));
        found.ok().map(|index| &self.services[index])
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

    fn parse(file: Arc<str>, text: &str) -> Result<Self, ConfigError> {
        if text.len() > Self::MAX_BYTES {
            return Err(whole_file(file, DiagnosticKind::TooLarge { max: Self::MAX_BYTES }));
        }
        // So that the columns of its first line are those that an editor shows.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut report = Report::default();
        let (services, failovers, limits) = parse::services(text, &mut report);
        let (mut services, mut failovers) =
            (services.into_boxed_slice(), failovers.into_boxed_slice());
        if report.count() > 0 {
            return Err(refusal(file, text, report));
        }
        services.sort_by(|left, right| left.name.cmp(&right.name));
        failovers.sort_by(|(left, _), (right, _)| left.cmp(right));
        let registry = Self { services, failovers };
        limits.check(&registry, &mut report);
        if report.count() > 0 { Err(refusal(file, text, report)) } else { Ok(registry) }
    }
}

impl FromStr for Registry {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::from_str(text)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // Opening a directory succeeds; say what it is instead of what reading it gives.
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(Registry::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cold]
fn whole_file(file: Arc<str>, kind: DiagnosticKind) -> ConfigError {
    let mut report = Report::default();
    report.error(0..0, kind);
    refusal(file, "", report)
}

#[cold]
fn refusal(file: Arc<str>, text: &str, report: Report) -> ConfigError {
    let (errors, omitted) = report.finish(text);
    ConfigError { file, text: text.into(), errors, omitted }
}
