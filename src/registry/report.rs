//! Collects the errors of a configuration, so that one does not hide another.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::files::Files;
use super::kind::DiagnosticKind;
use super::source::{self, Lines};

/// What has been found so far.
pub(super) struct Report {
    errors: Vec<Finding>,
    omitted: usize,
    warnings: Vec<Finding>,
    compares: bool,
    /// Whether all files were read.
    is_complete: bool,
    /// The values that came from variables, by the first byte.
    expanded: BTreeMap<usize, Expanded>,
}

/// A value whose text had variables in it.
struct Expanded {
    end: usize,
    /// As it was written; `None` where that is an error already, and whatever else is wrong with it
    /// a consequence.
    written: Option<Box<str>>,
}

struct Finding {
    span: Range<usize>,
    kind: DiagnosticKind,
    help: Option<String>,
}

/// What was found, in the order of the files.
pub(super) struct Findings {
    pub(super) errors: Vec<Diagnostic>,
    /// How many errors there were beyond those.
    pub(super) omitted: usize,
    pub(super) warnings: Vec<Diagnostic>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            errors: Vec::new(),
            omitted: 0,
            warnings: Vec::new(),
            compares: true,
            is_complete: true,
            expanded: BTreeMap::new(),
        }
    }

    pub(super) fn error(&mut self, span: Range<usize>, kind: DiagnosticKind) {
        self.error_with_help(span, kind, None::<String>);
    }

    pub(super) fn error_with_help(
        &mut self,
        span: Range<usize>,
        kind: DiagnosticKind,
        help: Option<impl Into<String>>,
    ) {
        if !self.compares && kind.compares() {
            return;
        }
        let Some(finding) = self.finding(span, kind, help) else { return };
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    /// Something that is probably not meant, and harmless.
    pub(super) fn warning(
        &mut self,
        span: Range<usize>,
        kind: DiagnosticKind,
        help: Option<impl Into<String>>,
    ) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.extend(self.finding(span, kind, help));
        }
    }

    /// The value at `span` was `written` with variables, and is not to be shown otherwise.
    pub(super) fn expanded(&mut self, span: Range<usize>, written: Box<str>) {
        self.expanded.insert(span.start, Expanded { end: span.end, written: Some(written) });
    }

    /// The value at `span` is of no use, and everything is said of it.
    pub(super) fn spoilt(&mut self, span: Range<usize>) {
        self.expanded.insert(span.start, Expanded { end: span.end, written: None });
    }

    /// The text of the value at `span` as it was written, if it had variables in it.
    pub(super) fn written(&self, span: &Range<usize>) -> Option<&str> {
        self.origin(span)?.written.as_deref()
    }

    /// Whether the value at `span` is of no use.
    pub(super) fn is_spoilt(&self, span: &Range<usize>) -> bool {
        self.origin(span).is_some_and(|value| value.written.is_none())
    }

    fn origin(&self, span: &Range<usize>) -> Option<&Expanded> {
        let (_, value) = self.expanded.range(..=span.start).next_back()?;
        (span.start < value.end).then_some(value)
    }

    /// A finding without anything that came from a variable; none for a consequence.
    fn finding(
        &self,
        span: Range<usize>,
        kind: DiagnosticKind,
        help: Option<impl Into<String>>,
    ) -> Option<Finding> {
        if self.expanded.is_empty() {
            return Some(Finding::new(span, kind, help));
        }
        let kind = kind.without_values();
        match self.origin(&span) {
            Some(value) => {
                let kind = kind.of_expanded(value.written.as_deref()?);
                Some(Finding::new(span, kind, None::<String>))
            }
            None => Some(Finding::new(span, kind, help)),
        }
    }

    /// From now on no value is held against another one: what it inherits may be what is wrong.
    pub(super) fn compare_no_more(&mut self) {
        self.compares = false;
    }

    /// A file could not be read: what is not known may stand there.
    pub(super) fn file_is_missing(&mut self) {
        self.is_complete = false;
    }

    /// How many errors there are; what is read between two equal counts is good.
    pub(super) fn count(&self) -> usize {
        self.errors.len() + self.omitted
    }

    /// Whether looking for a nearest spelling among so many is still worth its time: in a file of nothing but
    /// errors the time would grow with the square of its size.
    pub(super) fn wants_hints(&self, candidates: usize) -> bool {
        self.errors.len() < MAX_HINTS && self.errors.len() * candidates < MAX_CANDIDATES
    }

    pub(super) fn finish(self, files: &Files) -> Findings {
        let Self { errors, omitted, warnings, is_complete, .. } = self;
        if errors.is_empty() && warnings.is_empty() {
            return Findings { errors: Vec::new(), omitted, warnings: Vec::new() };
        }
        let lines: Vec<_> = files.iter().map(|file| Lines::new(&file.text, file.start)).collect();
        let place = |findings: Vec<Finding>| -> Vec<Placed> {
            findings.into_iter().map(|finding| finding.place(files, &lines)).collect()
        };
        let (mut errors, warnings) = (place(errors), place(warnings));
        drop_consequences(&mut errors, is_complete, &lines);
        let diagnose = |mut placed: Vec<Placed>, is_warning| -> Vec<Diagnostic> {
            placed.sort_by_key(|placed| (placed.file, placed.finding.span.start));
            placed.into_iter().map(|placed| placed.diagnose(files, &lines, is_warning)).collect()
        };
        Findings { errors: diagnose(errors, false), omitted, warnings: diagnose(warnings, true) }
    }
}

impl Finding {
    fn new(span: Range<usize>, kind: DiagnosticKind, help: Option<impl Into<String>>) -> Self {
        let help = help.map(|help| source::printable(&help.into(), HELP_CHARS));
        Self { span, kind, help }
    }

    fn place(mut self, files: &Files, lines: &[Lines<'_>]) -> Placed {
        let file = files.index_of(self.span.start);
        self.span = lines[file].clamp(self.span);
        Placed { file, line: lines[file].line_of(self.span.start), finding: self }
    }
}

/// A finding and the file that its span counts in.
struct Placed {
    file: usize,
    /// From 0.
    line: usize,
    finding: Finding,
}

impl Placed {
    fn diagnose(self, files: &Files, lines: &[Lines<'_>], is_warning: bool) -> Diagnostic {
        let Finding { span, kind, help } = self.finding;
        let (line, column) = lines[self.file].position(span.start);
        let file = files.iter().nth(self.file).map_or_else(|| "".into(), |file| file.name.clone());
        let picture = lines[self.file].excerpt(span.clone());
        Diagnostic { kind, file, span, line, column, help, picture, is_warning }
    }
}

/// After a syntax error the parser goes on with what it could make of the text. What is then
/// missing, unknown, or wrong on the same line, would send the reader to the wrong place; so would
/// what stands under a header that could not be read.
fn drop_consequences(errors: &mut Vec<Placed>, is_complete: bool, lines: &[Lines<'_>]) {
    let mut damage = BTreeMap::new();
    let is_within = |damage: &BTreeMap<(usize, usize), usize>, file: usize, line: usize| {
        damage.range((file, 0)..(file, line)).any(|(_, end)| line < *end)
    };
    errors.retain(|Placed { file, line, finding }| {
        let DiagnosticKind::Syntax { message } = &finding.kind else { return true };
        // A header that is there twice has each of its keys twice.
        if message == "duplicate key" && is_within(&damage, *file, *line) {
            return false;
        }
        // Of the errors on a line the first has caused the others, as a rule.
        let Entry::Vacant(entry) = damage.entry((*file, *line)) else { return false };
        entry.insert(end_of_damage(&lines[*file], *line));
        true
    });
    // What is not known may stand in a file that is not there.
    let is_complete = is_complete && damage.is_empty();
    errors.retain(|Placed { file, line, finding }| match finding.kind {
        DiagnosticKind::Syntax { .. } => true,
        DiagnosticKind::UnknownTarget { .. } => is_complete,
        DiagnosticKind::Missing { .. } => damage.is_empty(),
        _ => !damage.contains_key(&(*file, *line)) && !is_within(&damage, *file, *line),
    });
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

/// Warnings that are kept: what comes after a hundred is more of the same.
const MAX_WARNINGS: usize = 100;

/// Errors that get a nearest spelling.
const MAX_HINTS: usize = 100;

/// Candidates for a nearest spelling that are looked at, over all errors: about 0.1 s.
const MAX_CANDIDATES: usize = 500_000;

/// Longest help.
const HELP_CHARS: usize = 200;
