//! What a value of services.toml looks like, in the words of JSON Schema.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::registry::keys::Table;
use crate::registry::number::Limits;
use crate::registry::section::Word;
use crate::registry::units::{DURATION_UNITS, SIZE_UNITS};

/// What a key may be.
pub(super) struct Form(pub(super) Value);

impl Form {
    /// What the key does, for whoever points at it; limits that the type does not show stand behind
    /// it.
    pub(super) fn about(mut self, what: &str) -> Self {
        let what = match self.0["description"].as_str() {
            Some(limits) => format!("{what} {limits}"),
            None => what.to_owned(),
        };
        self.0["description"] = what.into();
        self
    }

    /// What it is where the file does not say it.
    pub(super) fn default(mut self, default: impl Into<Value>) -> Self {
        self.0["default"] = default.into();
        self
    }
}

/// A table with the keys of `table`, as far as `describe` knows them, and no others.
pub(super) fn object(table: &Table, describe: impl Fn(&str) -> Option<Form>) -> Form {
    let described = |key: &&str| Some(((*key).to_owned(), describe(key)?.0));
    let properties: Map<_, _> = table.keys.iter().filter_map(described).collect();
    Form(json!({ "type": "object", "properties": properties, "additionalProperties": false }))
}

pub(super) fn boolean() -> Form {
    Form(json!({ "type": "boolean" }))
}

pub(super) fn integer<T: Copy + Into<u64>>(limits: &Limits<T>) -> Form {
    let (least, most): (u64, u64) = (limits.min.into(), limits.max.into());
    Form(json!({ "type": "integer", "minimum": least, "maximum": most }))
}

pub(super) fn number(limits: &Limits<f64>) -> Form {
    Form(json!({ "type": "number", "minimum": limits.min, "maximum": limits.max }))
}

/// One of the words that this version can act on.
pub(super) fn words<T: PartialEq>(words: &[Word<T>]) -> Form {
    let able = words.iter().filter(|(_, meaning)| meaning.is_some());
    let able = json!({ "enum": able.map(|(word, _)| *word).collect::<Vec<_>>() });
    Form(json!({ "anyOf": [able, { "type": "string", "pattern": VARIABLE }] }))
}

/// A text that is wholly of the `form`, or is not known yet: what its variables are, only reading
/// the file tells.
pub(super) fn text(form: &str) -> Form {
    Form(json!({ "type": "string", "pattern": format!("^({form})$|{VARIABLE}") }))
}

/// The word for `meaning`.
pub(super) fn word<T: PartialEq>(words: &[Word<T>], meaning: T) -> Option<&'static str> {
    let meaning = Some(meaning);
    words.iter().find(|(_, other)| *other == meaning).map(|(word, _)| *word)
}

/// A duration, or one of the `words`.
pub(super) fn duration(limits: &Limits<Duration>, words: &[&str]) -> Form {
    let mut form = text(&number_with_unit(DURATION_UNITS, words));
    form.0["description"] = format!("({})", limits.words).into();
    form
}

/// A size, as a number or a text, or one of the `words`.
pub(super) fn bytes<T: Copy + Into<u64>>(limits: &Limits<T>, words: &[&str]) -> Form {
    let text = text(&number_with_unit(SIZE_UNITS, words)).0;
    let (number, limits) = (integer(limits).0, format!("({})", limits.words));
    Form(json!({ "anyOf": [number, text], "description": limits }))
}

fn number_with_unit(units: &[(&str, u64)], words: &[&str]) -> String {
    let units: Vec<_> = units.iter().map(|(unit, _)| *unit).collect();
    let number = format!("[0-9]+({})", units.join("|"));
    [&[&*number], words].concat().join("|")
}

/// A duration as the file writes it; `off` is none.
pub(super) fn time(duration: impl Into<Option<Duration>>) -> String {
    let micros = |time: Duration| time.as_micros().try_into().unwrap_or(u64::MAX);
    match duration.into() {
        Some(duration) => in_largest(micros(duration), DURATION_UNITS),
        None => "off".to_owned(),
    }
}

/// A size as the file writes it.
pub(super) fn size(bytes: usize) -> String {
    in_largest(bytes as u64, SIZE_UNITS)
}

/// In the largest unit of which it is a whole number.
fn in_largest(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().filter(|(_, factor)| number.is_multiple_of(*factor));
    let (unit, factor) = fits.max_by_key(|(_, factor)| *factor).unwrap_or(&("", 1));
    format!("{}{unit}", number / factor)
}

/// What stands for a text that the environment has.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_file_writes_them() {
        assert_eq!(time(Duration::from_millis(100)), "100ms");
        assert_eq!(time(Duration::from_secs(300)), "5m");
        assert_eq!(time(None), "off");
        assert_eq!([size(64 * 1024), size(1000), size(1025)], ["64KiB", "1KB", "1025B"]);
    }
}
