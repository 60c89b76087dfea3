//! Files of services that are right but for what chance makes wrong, so that it is known beforehand
//! whether they are accepted.

use std::collections::BTreeMap;
use std::fmt::Write;

use arbitrary::Arbitrary;

use crate::values::{KEYS, PORTS, Scope};

/// The services of a file; their names are `s0`, `s1` and so on.
#[derive(Arbitrary, Debug)]
pub(crate) struct Plan {
    services: Vec<Service>,
}

#[derive(Arbitrary, Debug)]
struct Service {
    place: Place,
    /// Which keys, and which value of each.
    keys: Vec<(u8, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Place {
    Tcp { port: u8 },
    Unix { path_len: u8 },
    Composite { targets: Vec<u8> },
}

impl Plan {
    pub(crate) fn text(&self) -> String {
        let mut text = "[services]\n".to_owned();
        for (number, service) in self.services.iter().enumerate() {
            let _ = writeln!(text, "[services.s{number}]\n{}", self.place(&service.place));
            for (key, (value, _)) in service.values() {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }

    fn place(&self, place: &Place) -> String {
        match place {
            Place::Tcp { port } => {
                format!("type = 'direct'\nendpoint = 'tcp://host:{}'", PORTS.pick(*port).0)
            }
            Place::Unix { path_len } => {
                let rest = "a".repeat(usize::from(*path_len).saturating_sub(1));
                format!("type = 'relay'\nendpoint = 'unix:///{rest}'")
            }
            Place::Composite { targets } => {
                let names: Vec<_> =
                    targets.iter().map(|to| format!("'s{}'", self.at(*to))).collect();
                let names = names.join(", ");
                format!("type = 'composite'\npattern = 'fanout'\ntargets = [{names}]")
            }
        }
    }

    /// The service that a target names: one of those there are, or the one behind the last.
    fn at(&self, target: u8) -> usize {
        usize::from(target) % (self.services.len() + 1)
    }

    /// Whether nothing is wrong with it.
    pub(crate) fn is_right(&self) -> bool {
        self.services.iter().enumerate().all(|(at, service)| {
            let values = service.values();
            let beside = |key, other| !values.contains_key(key) || values.contains_key(other);
            let beside = beside("buffer.low_water", "buffer.high_water")
                && beside("buffer.flush_at", "buffer.max_delay");
            let values = beside && values.into_values().all(|(_, right)| right);
            let depth = self.depth(at, &mut vec![at]);
            values && depth.is_some_and(|depth| depth <= 3) && self.quorum_fits(at)
        })
    }

    /// Whether none of the composites below has a quorum, and a quorum of its own is not larger than
    /// what there is. To be asked of services of limited depth.
    fn quorum_fits(&self, at: usize) -> bool {
        let Place::Composite { targets } = &self.services[at].place else { return true };
        let gating = targets.iter().map(|to| self.gating(self.at(*to))).sum::<Option<usize>>();
        let quorum = self.services[at].quorum();
        gating.is_some_and(|gating| quorum.is_none_or(|quorum| quorum <= gating))
    }

    /// The endpoints below a target that gate; none where it has a quorum.
    fn gating(&self, at: usize) -> Option<usize> {
        let service = &self.services[at];
        let Place::Composite { targets } = &service.place else { return Some(1) };
        let below = targets.iter().map(|to| self.gating(self.at(*to))).sum::<Option<usize>>()?;
        match service.isolation() {
            "'best_effort'" => Some(0),
            _ if service.quorum().is_some() => None,
            _ => Some(below),
        }
    }

    /// Composites from this service down to an endpoint. None where a target does not exist or is
    /// reached for a second time, where there are none, and where an endpoint is no place.
    fn depth(&self, at: usize, reached: &mut Vec<usize>) -> Option<usize> {
        match &self.services.get(at)?.place {
            Place::Tcp { port } => PORTS.pick(*port).1.then_some(0),
            Place::Unix { path_len } => (*path_len <= 107).then_some(0),
            Place::Composite { targets } => {
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

impl Service {
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
            Place::Composite { .. } => Scope::Composite,
        };
        let value = |&(key, value): &(u8, u8)| {
            let key = &KEYS[usize::from(key) % KEYS.len()];
            let (text, right) = key.values.pick(value);
            (key.name, (text, right && (key.scope == Scope::All || key.scope == scope)))
        };
        self.keys.iter().map(value).collect()
    }
}
