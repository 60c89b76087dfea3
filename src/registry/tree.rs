//! What files say, before it is understood: moved to its place among them, and put together.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::files::Files;
use super::kind::DiagnosticKind as Kind;
use super::report::Report;

/// Moves the places of all keys and values by `by` bytes.
pub(super) fn shift(table: &mut DeTable<'_>, by: usize) {
    shift_within(table, by, 0);
}

fn shift_within(table: &mut DeTable<'_>, by: usize, depth: usize) {
    let moved = std::mem::take(table).into_iter().map(|(key, mut value)| {
        let span = key.span();
        let key = Spanned::new(span.start + by..span.end + by, key.into_inner());
        shift_value(&mut value, by, depth);
        (key, value)
    });
    *table = moved.collect();
}

fn shift_value(value: &mut Spanned<DeValue<'_>>, by: usize, depth: usize) {
    let span = value.span();
    let mut inner = std::mem::replace(value.get_mut(), DeValue::Boolean(false));
    match &mut inner {
        DeValue::Table(table) if depth < MAX_DEPTH => shift_within(table, by, depth + 1),
        DeValue::Array(array) if depth < MAX_DEPTH => {
            for value in array.iter_mut() {
                shift_value(value, by, depth + 1);
            }
        }
        _ => {}
    }
    *value = Spanned::new(span.start + by..span.end + by, inner);
}

/// How a file is put together with those before it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Merge {
    /// A part: what is in both is an error.
    Part,
    /// An overlay: what is in both is as the overlay says, key by key.
    Overlay,
}

/// Puts `from` into `into`.
pub(super) fn merge<'t>(
    into: &mut DeTable<'t>,
    from: DeTable<'t>,
    how: Merge,
    files: &Files,
    report: &mut Report,
) {
    merge_within(into, from, how, 0, files, report);
}

fn merge_within<'t>(
    into: &mut DeTable<'t>,
    from: DeTable<'t>,
    how: Merge,
    depth: usize,
    files: &Files,
    report: &mut Report,
) {
    for (key, value) in from {
        let name = key.get_ref().clone();
        let Some(known) = into.get_key_value(&*name) else {
            into.insert(key, value);
            continue;
        };
        // Each file says which version it is written for: the one that is another must be seen.
        if depth == 0 && name == "version" && !is_first_version(known.1) {
            continue;
        }
        let is_version = depth == 0 && name == "version";
        let is_whole = how == Merge::Part && depth == IN_SERVICES;
        let below = if depth == 0 && name == "services" { IN_SERVICES } else { depth + 2 };
        let place = known.0.span();
        let is_whole = is_whole || depth > MAX_DEPTH;
        if !is_whole && known.1.get_ref().is_table() && value.get_ref().is_table() {
            if let Some(DeValue::Table(known)) = into.get_mut(&*name).map(Spanned::get_mut)
                && let DeValue::Table(value) = value.into_inner()
            {
                merge_within(known, value, how, below, files, report);
            }
        } else if how == Merge::Overlay || is_version {
            // The key, too: it stands where its value does.
            into.remove(&*name);
            into.insert(key, value);
        } else {
            let (file, line) = files.line_of(place.start);
            let kind = Kind::DefinedTwice { key: name.as_ref().into(), file, line };
            report.error(key.span(), kind);
        }
    }
}

fn is_first_version(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().as_integer().is_some_and(|version| version.as_str() == "1")
}

/// The depth of what is in `[services]`; what is in other tables of the top is below 2.
const IN_SERVICES: usize = 1;

/// Tables within tables that are looked at; the format has fewer.
const MAX_DEPTH: usize = 16;
