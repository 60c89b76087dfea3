//! What composites lead to: every target exists, no cycle, no deep nest.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::draft::Draft;
use super::kind::DiagnosticKind as Kind;
use super::leaves::Leaves;
use super::report::Report;
use super::spelling;

/// Reports what is wrong between services.
pub(super) fn check(drafts: &[Draft], report: &mut Report) {
    let index: HashMap<_, _> =
        drafts.iter().enumerate().map(|(at, draft)| (&*draft.name, at)).collect();
    // Each name is looked up once: the rest counts in indexes.
    let children_of =
        |draft: &Draft| draft.names().iter().map(|(name, _)| index.get(&**name).copied()).collect();
    let children: Vec<Vec<_>> = drafts.iter().map(children_of).collect();
    let mut walk = Walk {
        drafts,
        children: &children,
        state: vec![State::New; drafts.len()],
        path: Vec::new(),
        leaves: Leaves::new(drafts, &children),
        report,
    };
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
    /// What the targets of each draft are, where they are known.
    children: &'d [Vec<Option<usize>>],
    state: Vec<State>,
    /// The services on the way down, each with the number of its targets that are done.
    path: Vec<(usize, usize)>,
    leaves: Leaves<'d>,
    report: &'r mut Report,
}

impl<'d> Walk<'d, '_> {
    /// The targets that are known: which, and where they are named.
    fn known(
        &self,
        at: usize,
    ) -> impl DoubleEndedIterator<Item = (usize, &'d Range<usize>)> + use<'d> {
        let named = self.children[at].iter().zip(self.drafts[at].names());
        named.filter_map(|(child, (_, span))| Some(((*child)?, span)))
    }

    fn check_names(&mut self, at: usize) {
        let (drafts, draft) = (self.drafts, &self.drafts[at]);
        let is_out = |child: &Option<usize>| child.is_some_and(|child| !drafts[child].is_enabled);
        let children = &self.children[at];
        if draft.is_enabled && !children.is_empty() && children.iter().all(is_out) {
            let help = "disable it, too, or give it another target";
            self.report.error_with_help(draft.leads.clone(), Kind::AllDisabled, Some(help));
        }
        self.leaves.begin();
        for ((target, span), child) in draft.names().iter().zip(children) {
            match child {
                None => self.report_unknown(target, span),
                Some(child) if self.leaves.is_new(*child) => {}
                Some(_) => {
                    let kind = Kind::DuplicateTarget { target: target.clone() };
                    self.report.error(span.clone(), kind);
                }
            }
        }
    }

    fn report_unknown(&mut self, target: &Arc<str>, span: &Range<usize>) {
        let names = self.drafts.iter().map(|draft| &*draft.name);
        let hint = self.report.wants_hints(names.len());
        let near = if hint { spelling::nearest(target, names) } else { None };
        let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| {
            let help = "a target is the name of a service, and that has the endpoint";
            target.contains("://").then(|| help.to_owned())
        });
        let kind = Kind::UnknownTarget { target: target.clone() };
        self.report.error_with_help(span.clone(), kind, help);
    }

    /// Depth first, with a path of our own instead of recursion: a file may chain thousands.
    fn visit(&mut self, from: usize) {
        if self.state[from] != State::New {
            return;
        }
        self.path.push((from, 0));
        self.state[from] = State::Open;
        while let Some((at, next)) = self.path.last_mut() {
            let (at, target) = (*at, *next);
            *next += 1;
            let Some(child) = self.children[at].get(target) else {
                self.state[at] = State::Done(self.depth(at));
                self.path.pop();
                continue;
            };
            let Some(child) = *child else { continue };
            match self.state[child] {
                State::New => {
                    self.state[child] = State::Open;
                    self.path.push((child, 0));
                }
                State::Open => {
                    let span = self.drafts[at].names()[target].1.clone();
                    self.report_cycle(child, span);
                }
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
        for (child, span) in self.known(at) {
            let State::Done(depth) = self.state[child] else { return None };
            let depth = depth?;
            if depth > deepest {
                (deepest, through) = (depth, Some(span));
            }
        }
        let depth = deepest + 1;
        if let Some(span) = through.filter(|_| depth > MAX_DEPTH) {
            let kind = Kind::TooDeep { path: self.deepest_path(at), max: MAX_DEPTH };
            let help = "a composite within one of its own pattern can be listed target by target";
            self.report.error_with_help(span.clone(), kind, Some(help));
            return None;
        }
        self.leaves.check(at, self.report).then_some(depth)
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
            // Of equally deep ones the first, as where the error points.
            let below = self.known(next).map(|(child, _)| child).rev();
            let Some(deepest) = below.max_by_key(|at| depth_of(*at)) else { break };
            path.push(self.drafts[deepest].name.clone());
            next = deepest;
        }
        path
    }
}

/// Composites from the top of a stack down to an endpoint, at most.
pub(super) const MAX_DEPTH: usize = 3;

/// Names of a cycle that are shown, beside the one that closes it.
const MAX_PATH: usize = 16;
