//! What a composite reaches: nothing twice, not too many endpoints, and enough for its quorum.

use std::collections::HashMap;

use super::draft::Draft;
use super::graph::MAX_DEPTH;
use super::kind::DiagnosticKind as Kind;
use super::report::Report;
use super::service::{Isolation, Pattern};

/// Looks below one composite after the other. What it has seen it marks with the number of the
/// round, so that the marks of all services are made once, not once per composite.
pub(super) struct Leaves<'d> {
    drafts: &'d [Draft],
    /// What the targets of each draft are, where they are known.
    children: &'d [Vec<Option<usize>>],
    round: usize,
    seen: Vec<usize>,
    /// For each service with an endpoint the first one that has the same.
    places: Vec<usize>,
    /// For each of these the service that led there in a round, and through which target.
    reached: Vec<(usize, usize, usize)>,
}

/// A service on the way down from a composite.
struct Step {
    at: usize,
    /// Which target of the composite leads there.
    through: usize,
    /// Whether it counts as the composite's own: all between is of its pattern.
    is_flat: bool,
    /// Whether none of those between takes it for best effort.
    gates: bool,
}

impl<'d> Leaves<'d> {
    pub(super) fn new(drafts: &'d [Draft], children: &'d [Vec<Option<usize>>]) -> Self {
        let mut first = HashMap::new();
        let place = |(at, draft): (usize, &'d Draft)| match draft.endpoint() {
            Some(endpoint) => *first.entry(endpoint).or_insert(at),
            None => at,
        };
        let places = drafts.iter().enumerate().map(place).collect();
        let (seen, reached) = (vec![0; drafts.len()], vec![(0, 0, 0); drafts.len()]);
        Self { drafts, children, round: 0, seen, places, reached }
    }

    /// Begins a round: nothing is seen.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// Whether it has not been seen in this round; now it has.
    pub(super) fn is_new(&mut self, at: usize) -> bool {
        std::mem::replace(&mut self.seen[at], self.round) != self.round
    }

    /// Below a composite of bounded depth: nothing twice, not too many endpoints, no quorum but its
    /// own, and enough for that. Whether nothing is wrong.
    pub(super) fn check(&mut self, at: usize, report: &mut Report) -> bool {
        let (drafts, children) = (self.drafts, self.children);
        // A name that stands here twice is reported already.
        self.begin();
        let own = children[at].iter().enumerate();
        let own = own.filter_map(|(through, child)| Some((through, (*child)?)));
        let own: Vec<_> = own.filter(|(_, child)| self.is_new(*child)).collect();
        let mut all_known = own.len() == children[at].len();
        self.begin();
        let (mut seen, mut leaves, mut gating) = (0, 0, 0);
        for (through, child) in own {
            let below = &drafts[child];
            let gates = is_gate(&drafts[at]) && below.is_enabled && is_gate(below);
            let mut pending = vec![Step { at: child, through, is_flat: true, gates }];
            while let Some(step) = pending.pop() {
                if let Err((kind, help)) = self.take(at, &step) {
                    let span = drafts[at].names()[through].1.clone();
                    report.error_with_help(span, kind, help);
                    return false;
                }
                let is_leaf = drafts[step.at].targets.is_none();
                let is_nest = !is_leaf && self.is_nest(at, &step);
                seen += 1;
                leaves += usize::from(is_leaf);
                gating += usize::from(step.is_flat && !is_nest && step.gates);
                for child in &children[step.at] {
                    let Some(child) = *child else {
                        all_known = false;
                        continue;
                    };
                    let below = &drafts[child];
                    let gates = step.gates && below.is_enabled && is_gate(below);
                    pending.push(Step { at: child, through, is_flat: is_nest, gates });
                }
                // Each composite below has an endpoint of its own, so there are at most two of them
                // for each; unless their targets are unknown, which is reported already.
                if leaves > MAX_LEAVES || seen > MAX_LEAVES * MAX_DEPTH {
                    let kind = Kind::TooManyTargets { max: MAX_LEAVES };
                    report.error(drafts[at].span.clone(), kind);
                    return false;
                }
            }
        }
        if let Some((span, Isolation::Quorum(quorum))) = &drafts[at].isolation
            && usize::from(*quorum) > gating
            && all_known
        {
            let kind = Kind::QuorumTooLarge { quorum: *quorum, targets: gating };
            let help = "those that are disabled or below a `best_effort` do not gate";
            report.error_with_help(span.clone(), kind, Some(help));
            return false;
        }
        true
    }

    /// Takes one step down from a composite, or says why not.
    fn take(&mut self, at: usize, step: &Step) -> Result<(), (Kind, Option<String>)> {
        let (composite, draft) = (&self.drafts[at], &self.drafts[step.at]);
        let (target, name) = (&composite.names()[step.through].0, &draft.name);
        if !self.is_new(step.at) {
            let help = if name == target {
                format!("`{name}` is also within another of these targets")
            } else {
                format!("`{target}` leads to `{name}`, and so does another target")
            };
            return Err((Kind::DuplicateTarget { target: name.clone() }, Some(help)));
        }
        let is_composite = draft.targets.is_some();
        let has_quorum = matches!(draft.isolation(), Isolation::Quorum(_));
        if is_composite && has_quorum && self.is_nest(at, step) {
            let help = "list its targets here instead; a quorum is the whole stack's";
            return Err((Kind::NestedQuorum { target: name.clone() }, Some(help.to_owned())));
        }
        // Where messages go to one of several, two names for one place are no mistake.
        if !is_composite && composite.pattern == Some(Pattern::Fanout) {
            let reached = &mut self.reached[self.places[step.at]];
            let (round, other, through) = *reached;
            if round != self.round {
                *reached = (self.round, step.at, step.through);
            } else if through != step.through {
                let (target, other) = (name.clone(), self.drafts[other].name.clone());
                return Err((Kind::SameEndpoint { target, other }, None));
            }
        }
        Ok(())
    }

    /// Whether a composite below another one is flattened into it, its targets being the other's.
    fn is_nest(&self, at: usize, step: &Step) -> bool {
        let (above, below) = (self.drafts[at].pattern, self.drafts[step.at].pattern);
        // Where one is not known, it is an error already.
        step.is_flat && (above == below || above.is_none() || below.is_none())
    }
}

/// Whether those below it are waited for.
fn is_gate(draft: &Draft) -> bool {
    draft.isolation() != Isolation::BestEffort
}

/// Endpoints of one stack, at most: the usual limit of open files, 1024, is near.
const MAX_LEAVES: usize = 512;
