//! Places in a text: lines, columns, and the excerpt that an error shows.

use std::ops::Range;

/// Where the lines of a text begin.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// The place of the text's first byte among all texts; what is asked of its lines counts in it.
    base: usize,
    starts: Vec<usize>,
}

/// The line of an error as far as it is shown, and the carets below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) line: String,
    pub(super) carets: String,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str, base: usize) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = [0].into_iter().chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, base, starts }
    }

    /// Index from 0 of the line of a byte; its end belongs to it.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) - 1
    }

    /// Line and column from 1, the column in characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_of(offset);
        (line + 1, self.text[self.starts[line]..offset].chars().count() + 1)
    }

    /// The line without its end.
    pub(super) fn line(&self, index: usize) -> &'t str {
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        self.text[self.starts[index]..end].trim_end_matches('\r')
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// A span among all texts as one within this text, on borders of characters, and before its
    /// line's end: a parser that misses something may point at the line break after it.
    pub(super) fn clamp(&self, span: Range<usize>) -> Range<usize> {
        let within = |place: usize| place.saturating_sub(self.base).min(self.text.len());
        let mut start = self.text.floor_char_boundary(within(span.start));
        if self.text[start..].starts_with('\n') && self.text[..start].ends_with('\r') {
            start -= 1;
        }
        start..self.text.ceil_char_boundary(within(span.end).max(start))
    }

    pub(super) fn excerpt(&self, span: Range<usize>) -> Picture {
        let start = self.starts[self.line_of(span.start)];
        let before = &self.text[start..span.start];
        // Only what is shown is looked at: a line may be a megabyte, with a thousand errors on it.
        let is_far = before.chars().nth(EXCERPT_CHARS / 2).is_some();
        let context = before.char_indices().rev().nth(EXCERPT_CHARS / 3).filter(|_| is_far);
        let skipped = context.map_or(0, |(at, _)| at);

        let rest = &self.text[start + skipped..];
        let line = rest[..rest.find('\n').unwrap_or(rest.len())].trim_end_matches('\r');
        let mut chars = line.chars();
        let mut shown: String = chars.by_ref().take(EXCERPT_CHARS).map(visible).collect();
        let mut indent = before[skipped..].chars().count();
        let room = shown.chars().count().saturating_sub(indent);
        let marked = self.text[span].chars().take(room).take_while(|c| *c != '\n').count().max(1);
        if chars.next().is_some() {
            shown.push('…');
        }
        if skipped > 0 {
            shown.insert(0, '…');
            indent += 1;
        }
        let carets = format!("{}{}", " ".repeat(indent), "^".repeat(marked));
        Picture { line: shown, carets }
    }
}

/// The text on one line, without control characters, cut after `limit` characters.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        match c {
            c if moves(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if moves(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Whether it would move the carets or the reader's terminal, or turn the direction of reading (the
/// latter hides what a file says: CVE-2021-42574).
fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters of a line that are shown at most.
const EXCERPT_CHARS: usize = 120;
