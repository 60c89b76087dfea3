//! Numbers, durations and sizes of a table, each within its limits.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::kind::DiagnosticKind as Kind;
use super::report::Report;
use super::section::{Section, type_name, wrong_type};
use super::units::{self, UnitError};

/// Limits of a value, both inclusive, and how to say them.
pub(super) struct Limits<T> {
    pub(super) min: T,
    pub(super) max: T,
    pub(super) words: &'static str,
}

impl Section<'_> {
    pub(super) fn duration(
        &self,
        key: &'static str,
        limits: &Limits<Duration>,
        report: &mut Report,
    ) -> Option<Duration> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            let help = as_integer(value).map(|number| format!("write its unit: `\"{number}s\"`"));
            let expected = "a duration like \"5s\"";
            let found = type_name(value);
            let kind = Kind::WrongType { key: key.into(), expected, found };
            report.error_with_help(value.span(), kind, help);
            return None;
        };
        match units::duration(text) {
            Ok(duration) => within(key, duration, limits, text, value, report),
            Err(UnitError::Overflow) => out_of_range(key, limits, text, value, report),
            Err(error) => {
                let help = unit_help(text, error, "s", "`250us`, `100ms`, `5s`, `5m` or `1h`");
                let kind = Kind::InvalidDuration { key, value: text.into() };
                report.error_with_help(value.span(), kind, Some(help));
                None
            }
        }
    }

    /// A size in bytes, as a number or with a unit.
    pub(super) fn bytes<T: TryFrom<u64> + TryFrom<i128> + PartialOrd + Copy>(
        &self,
        key: &'static str,
        limits: &Limits<T>,
        report: &mut Report,
    ) -> Option<T> {
        let value = self.value(key)?;
        if value.get_ref().is_integer() {
            return self.integer(key, limits, report);
        }
        let Some(text) = value.get_ref().as_str() else {
            return wrong_type(key, value, "a size like \"64KiB\", or a number of bytes", report);
        };
        match units::bytes(text) {
            Ok(bytes) => match T::try_from(bytes) {
                Ok(bytes) => within(key, bytes, limits, text, value, report),
                Err(_) => out_of_range(key, limits, text, value, report),
            },
            Err(UnitError::Overflow) => out_of_range(key, limits, text, value, report),
            Err(error) => {
                let help = unit_help(text, error, "B", "`65536`, `\"64KiB\"` or `\"1MiB\"`");
                let kind = Kind::InvalidSize { key, value: text.into() };
                report.error_with_help(value.span(), kind, Some(help));
                None
            }
        }
    }

    pub(super) fn integer<T: TryFrom<i128> + PartialOrd + Copy>(
        &self,
        key: &'static str,
        limits: &Limits<T>,
        report: &mut Report,
    ) -> Option<T> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            return wrong_type(key, value, "an integer", report);
        };
        let shown = integer.to_string();
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => within(key, number, limits, &shown, value, report),
            None => out_of_range(key, limits, &shown, value, report),
        }
    }

    /// A number with or without a fraction.
    pub(super) fn float(
        &self,
        key: &'static str,
        limits: &Limits<f64>,
        report: &mut Report,
    ) -> Option<f64> {
        let value = self.value(key)?;
        let shown = match value.get_ref() {
            DeValue::Float(float) => float.to_string(),
            DeValue::Integer(integer) => integer.to_string(),
            _ => return wrong_type(key, value, "a number", report),
        };
        // Not a number is within no limits.
        within(key, shown.parse().unwrap_or(f64::NAN), limits, &shown, value, report)
    }
}

fn within<T: PartialOrd>(
    key: &'static str,
    number: T,
    limits: &Limits<T>,
    shown: &str,
    value: &Spanned<DeValue<'_>>,
    report: &mut Report,
) -> Option<T> {
    if number >= limits.min && number <= limits.max {
        return Some(number);
    }
    out_of_range(key, limits, shown, value, report)
}

fn out_of_range<T>(
    key: &'static str,
    limits: &Limits<T>,
    shown: &str,
    value: &Spanned<DeValue<'_>>,
    report: &mut Report,
) -> Option<T> {
    let kind = Kind::OutOfRange { key, found: shown.into(), allowed: limits.words };
    report.error(value.span(), kind);
    None
}

fn unit_help(text: &str, error: UnitError, unit: &str, examples: &str) -> String {
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    match error {
        UnitError::MissingUnit => format!("write its unit: `{digits}{unit}`"),
        UnitError::UnknownUnit(Some(near)) => format!("did you mean `{digits}{near}`?"),
        _ => format!("write a whole number and its unit: {examples}"),
    }
}

fn as_integer(value: &Spanned<DeValue<'_>>) -> Option<u32> {
    value.get_ref().as_integer()?.as_str().parse().ok()
}
