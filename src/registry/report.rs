//! Collects the errors of a file, so that one does not hide another.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::kind::DiagnosticKind;
use super::source::{self, Lines};

/// The errors found so far.
#[derive(Default)]
pub(super) struct Report {
    found: Vec<Finding>,
    omitted: usize,
}

struct Finding {
    span: Range<usize>,
    kind: DiagnosticKind,
    help: Option<String>,
}

impl Report {
    pub(super) fn error(&mut self, span: Range<usize>, kind: DiagnosticKind) {
        self.error_with_help(span, kind, None::<String>);
    }

    pub(super) fn error_with_help(
        &mut self,
        span: Range<usize>,
        kind: DiagnosticKind,
        help: Option<impl Into<String>>,
    ) {
        if self.found.len() < MAX_ERRORS {
            let help = help.map(|help| source::printable(&help.into(), HELP_CHARS));
            self.found.push(Finding { span, kind, help });
        } else {
            self.omitted += 1;
        }
    }

    /// How many errors there are; what is read between two equal counts is good.
    pub(super) fn count(&self) -> usize {
        self.found.len() + self.omitted
    }

    /// Whether looking for a nearest spelling is still worth its time: in a file of nothing but
    /// errors the time would grow with the square of its size.
    pub(super) fn wants_hints(&self) -> bool {
        self.found.len() < MAX_HINTS
    }

    /// The errors in the order of the text, and how many more there were.
    pub(super) fn finish(mut self, text: &str) -> (Vec<Diagnostic>, usize) {
        let lines = Lines::new(text);
        for finding in &mut self.found {
            finding.span = lines.clamp(finding.span.clone());
        }
        self.drop_consequences(&lines);
        self.found.sort_by_key(|finding| finding.span.start);
        let place = |Finding { span, kind, help }| {
            let (line, column) = lines.position(span.start);
            Diagnostic { kind, span, line, column, help }
        };
        (self.found.into_iter().map(place).collect(), self.omitted)
    }

    /// After a syntax error the parser goes on with what it could make of the text. What is then
    /// missing, unknown, or wrong on the same line, would send the reader to the wrong place; so
    /// would what stands under a header that could not be read.
    fn drop_consequences(&mut self, lines: &Lines<'_>) {
        let mut damage = BTreeMap::new();
        self.found.retain(|Finding { span, kind, .. }| {
            if !matches!(kind, DiagnosticKind::Syntax { .. }) {
                return true;
            }
            // Of the errors on a line the first has caused the others, as a rule.
            let line = lines.line_of(span.start);
            let Entry::Vacant(entry) = damage.entry(line) else { return false };
            entry.insert(end_of_damage(lines, line));
            true
        });
        if damage.is_empty() {
            return;
        }
        self.found.retain(|Finding { span, kind, .. }| match kind {
            DiagnosticKind::Syntax { .. } => true,
            DiagnosticKind::Missing { .. } | DiagnosticKind::UnknownTarget { .. } => false,
            _ => {
                let line = lines.line_of(span.start);
                !damage.range(..=line).any(|(_, end)| line < *end)
            }
        });
    }
}

/// The first line that a syntax error on `line` does not spoil: the next one, or the next header
/// after a broken header.
fn end_of_damage(lines: &Lines<'_>, line: usize) -> usize {
    let is_header = |line: usize| lines.line(line).trim_start().starts_with('[');
    let next = line + 1;
    if !is_header(line) {
        return next;
    }
    (next..lines.count()).find(|line| is_header(*line)).unwrap_or_else(|| lines.count())
}

/// Errors that are kept: enough for every file that someone wrote.
const MAX_ERRORS: usize = 1000;

/// Errors that get a nearest spelling.
const MAX_HINTS: usize = 100;

/// Longest help.
const HELP_CHARS: usize = 200;
