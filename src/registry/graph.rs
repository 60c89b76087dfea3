//! What composites lead to: every target exists, nothing is reached twice, no cycle, no deep nest.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::kind::DiagnosticKind as Kind;
use super::reader::Named;
use super::report::Report;
use super::service::{Isolation, Pattern, Service, Target};
use super::spelling;
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

    fn isolation(&self) -> Isolation {
        self.isolation.as_ref().map_or(Isolation::All, |(_, isolation)| *isolation)
    }
}

/// Reports what is wrong between services.
pub(super) fn check(drafts: &[Draft], report: &mut Report) {
    let index = drafts.iter().enumerate().map(|(at, draft)| (&*draft.name, at)).collect();
    let mut walk =
        Walk { drafts, index, state: vec![State::New; drafts.len()], path: Vec::new(), report };
    for at in 0..drafts.len() {
        walk.check_names(at);
    }
    for at in 0..drafts.len() {
        walk.visit(at);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    /// On the path from the service that is being visited.
    Open,
    /// Composites below and including it; `None` where that has no answer, or was reported.
    Done(Option<usize>),
}

struct Walk<'d, 'r> {
    drafts: &'d [Draft],
    index: HashMap<&'d str, usize>,
    state: Vec<State>,
    /// The services on the way down, each with the number of its targets that are done.
    path: Vec<(usize, usize)>,
    report: &'r mut Report,
}

impl Walk<'_, '_> {
    fn targets(&self, at: usize) -> &[Named] {
        self.drafts[at].targets.as_deref().unwrap_or_default()
    }

    fn check_names(&mut self, at: usize) {
        let drafts = self.drafts;
        let mut seen = HashSet::new();
        let targets = drafts[at].targets.as_deref().unwrap_or_default();
        let is_out = |(name, _): &Named| {
            self.index.get(&**name).is_some_and(|target| !drafts[*target].is_enabled)
        };
        if drafts[at].is_enabled && !targets.is_empty() && targets.iter().all(is_out) {
            let help = "disable it, too, or give it another target";
            self.report.error_with_help(drafts[at].leads.clone(), Kind::AllDisabled, Some(help));
        }
        for (target, span) in targets {
            if !self.index.contains_key(&**target) {
                let names = drafts.iter().map(|draft| &*draft.name);
                let hint = self.report.wants_hints();
                let near = if hint { spelling::nearest(target, names) } else { None };
                let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| {
                    let help = "a target is the name of a service, and that has the endpoint";
                    target.contains("://").then(|| help.to_owned())
                });
                let kind = Kind::UnknownTarget { target: target.clone() };
                self.report.error_with_help(span.clone(), kind, help);
            } else if !seen.insert(target) {
                let kind = Kind::DuplicateTarget { target: target.clone() };
                self.report.error(span.clone(), kind);
            } else {
                self.check_pattern(at, target, span);
            }
        }
    }

    /// A composite within another is flattened, so it must be of the same pattern.
    fn check_pattern(&mut self, at: usize, target: &Arc<str>, span: &Range<usize>) {
        let Some(&child) = self.index.get(&**target) else { return };
        let (within, pattern) = (self.drafts[at].pattern, self.drafts[child].pattern);
        if let (Some(within), Some(pattern)) = (within, pattern)
            && within != pattern
        {
            let kind = Kind::MixedPatterns { target: target.clone(), pattern, within };
            self.report.error(span.clone(), kind);
        }
    }

    /// Depth first, with a path of our own instead of recursion: a file may chain thousands.
    fn visit(&mut self, from: usize) {
        if self.state[from] != State::New {
            return;
        }
        self.path.push((from, 0));
        self.state[from] = State::Open;
        while let Some((at, next)) = self.path.last_mut() {
            let at = *at;
            let target = self.drafts[at].targets.as_deref().unwrap_or_default().get(*next);
            *next += 1;
            let Some((name, span)) = target else {
                self.state[at] = State::Done(self.depth(at));
                self.path.pop();
                continue;
            };
            let Some(&child) = self.index.get(&**name) else { continue };
            match self.state[child] {
                State::New => {
                    self.state[child] = State::Open;
                    self.path.push((child, 0));
                }
                State::Open => self.report_cycle(child, span.clone()),
                State::Done(_) => {}
            }
        }
    }

    fn report_cycle(&mut self, to: usize, span: Range<usize>) {
        let start = self.path.iter().position(|(at, _)| *at == to).unwrap_or(0);
        let cycle = self.path[start..].iter().take(MAX_PATH).map(|(at, _)| *at);
        let path = cycle.chain([to]).map(|at| self.drafts[at].name.clone()).collect();
        self.report.error(span, Kind::Cycle { path });
    }

    /// Composites from this one down, once all below it are done. Reports where it is one too many,
    /// and checks what it reaches otherwise.
    fn depth(&mut self, at: usize) -> Option<usize> {
        if self.drafts[at].targets.is_none() {
            return Some(0);
        }
        let mut deepest = 0;
        let mut through = None;
        for (name, span) in self.targets(at) {
            let Some(&child) = self.index.get(&**name) else { continue };
            let State::Done(depth) = self.state[child] else { return None };
            let depth = depth?;
            if depth > deepest {
                (deepest, through) = (depth, Some(span.clone()));
            }
        }
        let depth = deepest + 1;
        if let Some(span) = through.filter(|_| depth > MAX_DEPTH) {
            let kind = Kind::TooDeep { path: self.deepest_path(at), max: MAX_DEPTH };
            let help = "a composite within one of its own pattern can be listed target by target";
            self.report.error_with_help(span, kind, Some(help));
            return None;
        }
        self.check_leaves(at).then_some(depth)
    }

    /// From a composite down to the last one above an endpoint, where they are nested deepest.
    fn deepest_path(&self, at: usize) -> Vec<Arc<str>> {
        let depth_of = |at: usize| match self.state[at] {
            State::Done(depth) => depth.unwrap_or(0),
            _ => 0,
        };
        let mut path = vec![self.drafts[at].name.clone()];
        let mut next = at;
        while path.len() <= MAX_DEPTH {
            let below = self.targets(next).iter().filter_map(|(name, _)| self.index.get(&**name));
            // Of equally deep ones the first, as where the error points.
            let Some(&deepest) = below.rev().max_by_key(|at| depth_of(**at)) else { break };
            path.push(self.drafts[deepest].name.clone());
            next = deepest;
        }
        path
    }

    /// Below a composite of bounded depth: nothing twice, not too many endpoints, no quorum but its
    /// own, and enough for that.
    fn check_leaves(&mut self, at: usize) -> bool {
        let drafts = self.drafts;
        let mut direct = HashSet::new();
        let mut seen = HashSet::new();
        let mut places = HashMap::new();
        let (mut leaves, mut gating, mut all_known) = (0, 0, true);
        let gates =
            |at: usize| drafts[at].is_enabled && drafts[at].isolation() != Isolation::BestEffort;
        for (target, span) in drafts[at].targets.iter().flatten() {
            // A name that stands here twice is reported already.
            if !direct.insert(target) {
                all_known = false;
                continue;
            }
            let mut pending = vec![(target, gates(at))];
            while let Some((name, gated)) = pending.pop() {
                let Some(&child) = self.index.get(&**name) else {
                    all_known = false;
                    continue;
                };
                if !seen.insert(child) {
                    let help = if name == target {
                        format!("`{name}` is also within another of these targets")
                    } else {
                        format!("`{target}` leads to `{name}`, and so does another target")
                    };
                    let kind = Kind::DuplicateTarget { target: name.clone() };
                    self.report.error_with_help(span.clone(), kind, Some(help));
                    return false;
                }
                match &drafts[child].targets {
                    Some(_) if matches!(drafts[child].isolation(), Isolation::Quorum(_)) => {
                        let help = "list its targets here instead; a quorum is the whole stack's";
                        let kind = Kind::NestedQuorum { target: name.clone() };
                        self.report.error_with_help(span.clone(), kind, Some(help));
                        return false;
                    }
                    Some(targets) => {
                        let gated = gated && drafts[child].is_enabled && gates(child);
                        pending.extend(targets.iter().map(|(name, _)| (name, gated)));
                    }
                    None => {
                        let gated = gated && drafts[child].is_enabled;
                        (leaves, gating) = (leaves + 1, gating + usize::from(gated));
                        if let Some(other) =
                            same_place(&drafts[at], &drafts[child], target, &mut places)
                        {
                            let kind = Kind::SameEndpoint { target: name.clone(), other };
                            self.report.error(span.clone(), kind);
                            return false;
                        }
                    }
                }
                // Each composite below has an endpoint of its own, so there are at most two of them
                // for each; unless their targets are unknown, which is reported already.
                if leaves > MAX_LEAVES || seen.len() > MAX_LEAVES * MAX_DEPTH {
                    let kind = Kind::TooManyTargets { max: MAX_LEAVES };
                    self.report.error(drafts[at].span.clone(), kind);
                    return false;
                }
            }
        }
        if let Some((span, Isolation::Quorum(quorum))) = &drafts[at].isolation
            && usize::from(*quorum) > gating
            && all_known
        {
            let kind = Kind::QuorumTooLarge { quorum: *quorum, endpoints: gating };
            let help = "those that are disabled or below a `best_effort` do not gate";
            self.report.error_with_help(span.clone(), kind, Some(help));
            return false;
        }
        true
    }
}

/// The service that leads a fan-out to the endpoint of `leaf` already, by another target than
/// `through`. Where messages go to one of several, two names for one place are no mistake.
fn same_place<'d>(
    composite: &Draft,
    leaf: &'d Draft,
    through: &'d Arc<str>,
    places: &mut Places<'d>,
) -> Option<Arc<str>> {
    if composite.pattern != Some(Pattern::Fanout) {
        return None;
    }
    let (name, target) = places.entry(leaf.endpoint()?).or_insert((&leaf.name, through));
    (*target != through).then(|| name.clone())
}

/// The endpoints below a composite: for each, the service that has it and the target that leads
/// there.
type Places<'d> = HashMap<&'d Endpoint, (&'d Arc<str>, &'d Arc<str>)>;

/// Composites from the top of a stack down to an endpoint, at most.
const MAX_DEPTH: usize = 3;

/// Endpoints of one stack, at most: the usual limit of open files, 1024, is near.
const MAX_LEAVES: usize = 512;

/// Names of a cycle that are shown, beside the one that closes it.
const MAX_PATH: usize = 16;
