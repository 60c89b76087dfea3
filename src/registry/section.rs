//! One table of the file: takes values out by key and type, and reports those that do not fit.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Table;
use super::kind::DiagnosticKind as Kind;
use super::report::Report;
use super::spelling;

/// A table whose keys are known to be those of the format.
#[derive(Clone, Copy)]
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
}

/// A word of the format and what it means; `None` where this version cannot act on it.
pub(super) type Word<T> = (&'static str, Option<T>);

impl<'t> Section<'t> {
    /// Reports every key that the format does not have here.
    pub(super) fn open(table: &'t DeTable<'t>, format: &Table, report: &mut Report) -> Self {
        for (key, _) in table.iter().filter(|(key, _)| !format.has(key.get_ref())) {
            let (kind, help) = format.refusal(key.get_ref(), report.wants_hints(1));
            report.error_with_help(key.span(), kind, help);
        }
        Self { table }
    }

    /// The table under `key`, where there is one.
    pub(super) fn table(
        &self,
        key: &'static str,
        format: &Table,
        report: &mut Report,
    ) -> Option<Self> {
        let value = self.value(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Self::open(table, format, report)),
            None => wrong_type(key, value, "a table", report),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Where the key itself stands.
    pub(super) fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    pub(super) fn string(
        &self,
        key: &'static str,
        report: &mut Report,
    ) -> Option<(&'t str, Range<usize>)> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some((text, value.span())),
            None => wrong_type(key, value, "a string", report),
        }
    }

    pub(super) fn boolean(&self, key: &'static str, report: &mut Report) -> Option<bool> {
        let value = self.value(key)?;
        value.get_ref().as_bool().or_else(|| wrong_type(key, value, "a boolean", report))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &'static str,
        words: &[Word<T>],
        report: &mut Report,
    ) -> Option<T> {
        let (text, span) = self.string(key, report)?;
        let names = words.iter().map(|(name, _)| *name);
        match words.iter().find(|(name, _)| *name == text) {
            Some((_, Some(meaning))) => Some(*meaning),
            Some((value, None)) => {
                let able = words.iter().filter(|(_, meaning)| meaning.is_some());
                let supported = able.map(|(name, _)| *name).collect();
                report.error(span, Kind::NotSupported { key, value, supported });
                None
            }
            None => {
                let help = spelling::nearest(text, names.clone());
                let help = help.map(|near| format!("did you mean `{near}`?"));
                let allowed = names.collect();
                let kind = Kind::UnknownValue { key, value: text.into(), allowed };
                report.error_with_help(span, kind, help);
                None
            }
        }
    }

    /// What `read` makes of the value, or `None` in it where the value is the word `off`.
    pub(super) fn unless<T>(
        &self,
        key: &'static str,
        off: &str,
        read: impl FnOnce(&Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.value(key)?.get_ref().as_str() == Some(off) {
            return Some(None);
        }
        read(self).map(Some)
    }
}

/// Reports a value of the wrong type.
pub(super) fn wrong_type<T>(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    expected: &'static str,
    report: &mut Report,
) -> Option<T> {
    let kind = Kind::WrongType { key: key.into(), expected, found: type_name(value) };
    report.error(value.span(), kind);
    None
}

pub(super) fn type_name(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
