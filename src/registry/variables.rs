//! `${NAME}` and `${NAME:-default}` in the texts of a file.

use std::borrow::Cow;
use std::env::{self, VarError};
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::files::File;
use super::kind::DiagnosticKind as Kind;
use super::report::Report;

/// What the variables of a file are.
pub(super) enum Variables<'v> {
    /// Those of the process.
    Environment,
    Given(Box<Given<'v>>),
}

type Given<'v> = dyn Fn(&str) -> Option<String> + Send + Sync + 'v;

impl Variables<'_> {
    fn get(&self, name: &str) -> Result<String, Kind> {
        let unknown = || Kind::UnknownVariable { name: name.into() };
        match self {
            Self::Environment => env::var(name).map_err(|error| match error {
                VarError::NotPresent => unknown(),
                VarError::NotUnicode(_) => Kind::VariableNotUtf8 { name: name.into() },
            }),
            Self::Given(variable) => variable(name).ok_or_else(unknown),
        }
    }
}

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Given(_) => "Given",
        })
    }
}

/// Puts what the variables are in their place.
pub(super) struct Expansion<'v> {
    variables: &'v Variables<'v>,
    /// Bytes that may still come from variables: the memory of a file is bounded, too.
    room: usize,
}

impl<'v> Expansion<'v> {
    pub(super) fn new(variables: &'v Variables<'v>, room: usize) -> Self {
        Self { variables, room }
    }

    /// Expands the texts of a file. The report learns which those are, so that it shows them as
    /// they were written.
    pub(super) fn expand(&mut self, table: &mut DeTable<'_>, file: &File, report: &mut Report) {
        if file.text.contains('$') {
            self.expand_table(table, file, 0, report);
        }
    }

    fn expand_table(
        &mut self,
        table: &mut DeTable<'_>,
        file: &File,
        depth: usize,
        report: &mut Report,
    ) {
        for (_, value) in table {
            self.expand_value(value, file, depth, report);
        }
    }

    fn expand_value(
        &mut self,
        value: &mut Spanned<DeValue<'_>>,
        file: &File,
        depth: usize,
        report: &mut Report,
    ) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) if text.contains('$') => {
                let (at, kind) = match self.text(text) {
                    Ok(expanded) => {
                        let written = std::mem::replace(text, Cow::Owned(expanded));
                        report.expanded(span, written.into());
                        return;
                    }
                    Err(error) => error,
                };
                let help = match &kind {
                    Kind::UnknownVariable { name } => {
                        format!("set it, or give it a default: `${{{name}:-default}}`")
                    }
                    Kind::VariableSyntax => "for a dollar sign write `$$`".to_owned(),
                    _ => "it must be shorter and in UTF-8".to_owned(),
                };
                report.error_with_help(within(&span, at, text, file), kind, Some(help));
                report.spoilt(span);
            }
            DeValue::Array(array) if depth < MAX_DEPTH => {
                for value in array.iter_mut() {
                    self.expand_value(value, file, depth + 1, report);
                }
            }
            DeValue::Table(table) if depth < MAX_DEPTH => {
                self.expand_table(table, file, depth + 1, report);
            }
            _ => {}
        }
    }

    /// The text with its variables expanded, or what is wrong and where in it.
    fn text(&mut self, text: &str) -> Result<String, (Range<usize>, Kind)> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            expanded.push_str(&rest[..dollar]);
            let at = text.len() - rest.len() + dollar;
            let after = &rest[dollar + 1..];
            if let Some(after) = after.strip_prefix('$') {
                expanded.push('$');
                rest = after;
                continue;
            }
            let Some(inner) = after.strip_prefix('{') else {
                return Err((at..at + 1, Kind::VariableSyntax));
            };
            let end = inner.find('}').ok_or((at..text.len(), Kind::VariableSyntax))?;
            // The braces and the dollar sign beside it.
            let place = at..at + end + 3;
            let value = self.variable(&inner[..end]).map_err(|kind| (place.clone(), kind))?;
            self.room = self
                .room
                .checked_sub(value.len())
                .ok_or((place, Kind::TooLarge { max: super::Registry::MAX_BYTES }))?;
            expanded.push_str(&value);
            rest = &inner[end + 1..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// What `NAME` or `NAME:-default` is. As in a shell the default is for a variable that is
    /// empty, too.
    fn variable(&self, inner: &str) -> Result<String, Kind> {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = !name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || !starts || !name.chars().all(is_name) || inner.contains('$') {
            return Err(Kind::VariableSyntax);
        }
        match (self.variables.get(name), default) {
            (Ok(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
            (Err(Kind::UnknownVariable { .. }), Some(default)) => Ok(default.to_owned()),
            (value, _) => value,
        }
    }
}

/// The place of a part of a text, if that is written without escapes; that of the text otherwise.
fn within(span: &Range<usize>, part: Range<usize>, text: &str, file: &File) -> Range<usize> {
    let literal = file.text.get(span.start - file.start..span.end - file.start);
    match literal.and_then(|literal| literal.find(text)) {
        Some(quotes) => span.start + quotes + part.start..span.start + quotes + part.end,
        None => span.clone(),
    }
}

/// Tables within tables that are looked at; the format has fewer.
const MAX_DEPTH: usize = 16;
