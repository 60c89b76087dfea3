//! Files of services that are right but for what chance makes wrong, so that it is known beforehand
//! whether they are accepted.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use arbitrary::Arbitrary;

use crate::values::{KEYS, PORTS, Scope};

/// The services of a file; their names are `s0`, `s1` and so on.
#[derive(Arbitrary, Debug)]
pub(crate) struct Plan {
    /// One that is not known, if it is the greatest number.
    version: u8,
    /// What all services inherit: which keys, and which value of each.
    defaults: Vec<(u8, u8)>,
    services: Vec<Service>,
}

#[derive(Arbitrary, Debug)]
struct Service {
    place: Place,
    /// Out of service, if it is one of the greatest numbers.
    disabled: u8,
    /// Texts are the defaults of variables that are not set.
    variables: bool,
    /// Which keys, and which value of each.
    keys: Vec<(u8, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Place {
    Tcp { port: u8 },
    Unix { path_len: u8 },
    Composite { pattern: Pattern, targets: Vec<u8> },
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Pattern {
    Fanout,
    RoundRobin,
    Failover,
}

impl Plan {
    pub(crate) fn text(&self) -> String {
        let version = if self.version == u8::MAX { 2 } else { 1 };
        let mut text = format!("version = {version}\n[defaults]\n");
        for (key, (value, _)) in self.defaults() {
            let _ = writeln!(text, "{key} = {value}");
        }
        text += "[services]\n";
        for (number, service) in self.services.iter().enumerate() {
            let _ = writeln!(text, "[services.s{number}]\nenabled = {}", service.is_enabled());
            let mut keys = self.place(&service.place);
            keys.extend(service.values().iter().map(|(key, (value, _))| (*key, value.to_string())));
            for (key, value) in keys {
                let value = if service.variables { variable(&value) } else { value };
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }

    fn place(&self, place: &Place) -> Vec<(&'static str, String)> {
        let (kind, more) = match place {
            Place::Tcp { .. } => ("'direct'", vec![("endpoint", endpoint(place))]),
            Place::Unix { .. } => ("'relay'", vec![("endpoint", endpoint(place))]),
            Place::Composite { pattern, targets } => {
                let names = targets.iter().map(|to| format!("'s{}'", self.at(*to)));
                let names = names.collect::<Vec<_>>().join(", ");
                let pattern = match pattern {
                    Pattern::Fanout => "'fanout'",
                    Pattern::RoundRobin => "'round_robin'",
                    Pattern::Failover => "'failover'",
                };
                let targets = ("targets", format!("[{names}]"));
                ("'composite'", vec![("pattern", pattern.to_owned()), targets])
            }
        };
        [("type", kind.to_owned())].into_iter().chain(more).collect()
    }

    /// The service that a target names: one of those there are, or the one behind the last.
    fn at(&self, target: u8) -> usize {
        usize::from(target) % (self.services.len() + 1)
    }

    /// The keys of tables: no others can be inherited. Those of the back-off limit each other, so
    /// that one that is right may be wrong above it.
    fn defaults(&self) -> BTreeMap<&'static str, (&'static str, bool)> {
        let keys = self.defaults.iter().map(|(key, value)| {
            let key = &KEYS[usize::from(*key) % KEYS.len()];
            (key.name, key.values.pick(*value))
        });
        keys.filter(|(name, _)| name.contains('.') && !name.contains("backoff")).collect()
    }

    /// Whether nothing is wrong with it.
    pub(crate) fn is_right(&self) -> bool {
        let defaults = self.defaults();
        let inherits = |key| defaults.get(key).is_some_and(|(value, _)| is_on(value));
        let rivals = RIVALS.map(inherits);
        let inherited = ["buffer.high_water", "buffer.max_delay"].map(inherits);
        self.version < u8::MAX
            && at_most_one(rivals)
            && defaults.values().all(|(_, right)| *right)
            && self.services.iter().enumerate().all(|(at, service)| {
                let depth = self.depth(at, &mut vec![at]);
                service.is_right(inherited, rivals)
                    && depth.is_some_and(|depth| depth <= 3)
                    && self.has_target(at)
                    && self.no_place_twice(at)
                    && self.quorum_fits(at)
            })
    }

    /// What the targets of a composite of limited depth are.
    fn targets(&self, at: usize) -> Vec<usize> {
        match &self.services[at].place {
            Place::Composite { targets, .. } => targets.iter().map(|to| self.at(*to)).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a composite that is in use has a target that is.
    fn has_target(&self, at: usize) -> bool {
        let service = &self.services[at];
        let targets = self.targets(at);
        let in_use = targets.iter().any(|to| self.services[*to].is_enabled());
        targets.is_empty() || in_use || !service.is_enabled()
    }

    /// Whether no two targets of a fan-out lead to the same place.
    fn no_place_twice(&self, at: usize) -> bool {
        if self.services[at].pattern() != Some(Pattern::Fanout) {
            return true;
        }
        let mut reached = HashMap::new();
        self.targets(at).into_iter().all(|target| {
            let places = self.places(target);
            places.into_iter().all(|place| *reached.entry(place).or_insert(target) == target)
        })
    }

    fn places(&self, at: usize) -> Vec<String> {
        match &self.services[at].place {
            Place::Composite { .. } => {
                self.targets(at).into_iter().flat_map(|to| self.places(to)).collect()
            }
            place => vec![endpoint(place)],
        }
    }

    /// Whether none of the fan-outs flattened into this one has a quorum, and a quorum of its own is
    /// not larger than what there is. To be asked of services of limited depth.
    fn quorum_fits(&self, at: usize) -> bool {
        if self.services[at].pattern() != Some(Pattern::Fanout) {
            return true;
        }
        let gating = self.targets(at).into_iter().map(|to| self.gating(to)).sum::<Option<usize>>();
        let quorum = self.services[at].quorum();
        gating.is_some_and(|gating| quorum.is_none_or(|quorum| quorum <= gating))
    }

    /// How many a target of a fan-out counts for that gate; none where it has a quorum.
    fn gating(&self, at: usize) -> Option<usize> {
        let service = &self.services[at];
        let below = match service.pattern() {
            Some(Pattern::Fanout) => {
                self.targets(at).into_iter().map(|to| self.gating(to)).sum::<Option<usize>>()?
            }
            _ => 1,
        };
        if service.quorum().is_some() && service.pattern() == Some(Pattern::Fanout) {
            return None;
        }
        let gates = service.is_enabled() && service.isolation() != "'best_effort'";
        Some(if gates { below } else { 0 })
    }

    /// Composites from this service down to an endpoint. None where a target does not exist or is
    /// reached for a second time, where there are none, and where an endpoint is no place.
    fn depth(&self, at: usize, reached: &mut Vec<usize>) -> Option<usize> {
        match &self.services.get(at)?.place {
            Place::Tcp { port } => PORTS.pick(*port).1.then_some(0),
            Place::Unix { path_len } => (*path_len <= 107).then_some(0),
            Place::Composite { targets, .. } => {
                let mut deepest = None;
                for below in targets.iter().map(|to| self.at(*to)) {
                    if reached.contains(&below) {
                        return None;
                    }
                    reached.push(below);
                    deepest = deepest.max(Some(self.depth(below, reached)?));
                }
                deepest.map(|depth| depth + 1)
            }
        }
    }
}

/// Where a service is that is no composite.
fn endpoint(place: &Place) -> String {
    match place {
        Place::Tcp { port } => format!("'tcp://host:{}'", PORTS.pick(*port).0),
        Place::Unix { path_len } => {
            format!("'unix:///{}'", "a".repeat(usize::from(*path_len).saturating_sub(1)))
        }
        Place::Composite { .. } => String::new(),
    }
}

/// Keys of which a buffer has one: the last where it does not wait.
const RIVALS: [&str; 3] = ["buffer.deadline", "buffer.priority", "buffer.when_full"];

fn is_on(value: &str) -> bool {
    !matches!(value, "'off'" | "'wait'")
}

fn at_most_one(rivals: [bool; 3]) -> bool {
    rivals.into_iter().filter(|is_on| *is_on).count() <= 1
}

/// A text as a variable that is not set, and that text by default.
fn variable(value: &str) -> String {
    match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        Some(text) => format!("'${{NOT_SET:-{text}}}'"),
        None => value.to_owned(),
    }
}

impl Service {
    fn is_enabled(&self) -> bool {
        self.disabled < 224
    }

    fn pattern(&self) -> Option<Pattern> {
        match &self.place {
            Place::Composite { pattern, .. } => Some(*pattern),
            _ => None,
        }
    }

    /// Whether its values are right, where it inherits a high mark and a delay, and rivals, or not.
    fn is_right(&self, inherited: [bool; 2], rivals: [bool; 3]) -> bool {
        let values = self.values();
        let rivals = [0, 1, 2].map(|at| values.get(RIVALS[at]).map_or(rivals[at], |v| is_on(v.0)));
        if !at_most_one(rivals) {
            return false;
        }
        let is_set = |key| values.contains_key(key);
        // Where the other one is turned off, these have no effect and are no mistake.
        let mark = !is_set("buffer.low_water") || is_set("buffer.high_water") || inherited[0];
        let delay = !is_set("buffer.flush_at") || is_set("buffer.max_delay") || inherited[1];
        mark && delay && values.into_values().all(|(_, right)| right)
    }

    fn isolation(&self) -> &'static str {
        self.values().get("isolation").map_or("'all'", |(value, _)| value)
    }

    fn quorum(&self) -> Option<usize> {
        self.isolation().strip_prefix("{ quorum = ")?.strip_suffix(" }")?.parse().ok()
    }

    /// Each key's value, and whether it is right here.
    fn values(&self) -> BTreeMap<&'static str, (&'static str, bool)> {
        let scope = match self.place {
            Place::Tcp { .. } => Scope::Tcp,
            Place::Unix { .. } => Scope::Unix,
            Place::Composite { pattern: Pattern::Fanout, .. } => Scope::Fanout,
            Place::Composite { pattern: Pattern::RoundRobin, .. } => Scope::RoundRobin,
            Place::Composite { pattern: Pattern::Failover, .. } => Scope::Failover,
        };
        let value = |&(key, value): &(u8, u8)| {
            let key = &KEYS[usize::from(key) % KEYS.len()];
            let (text, right) = key.values.pick(value);
            (key.name, (text, right && (key.scope == Scope::All || key.scope == scope)))
        };
        self.keys.iter().map(value).collect()
    }
}
