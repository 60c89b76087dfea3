//! Durations and sizes as services.toml writes them: a whole number and its unit, `5s`, `64KiB`.

use std::time::Duration;

use super::spelling;

/// Why a text is no duration or no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitError {
    /// It does not begin with a whole number.
    NotANumber,
    /// A number alone.
    MissingUnit,
    /// A number, then something that is no unit; the nearest that is, if one is near.
    UnknownUnit(Option<&'static str>),
    /// More than 64 bits hold.
    Overflow,
}

/// Reads `250us`, `100ms`, `5s`, `5m` or `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    number_with_unit(text, DURATION_UNITS).map(Duration::from_micros)
}

/// Reads `512B`, `64KB`, `64KiB`, `1MB`, `1MiB`, `1GB` or `1GiB` as bytes.
pub(super) fn bytes(text: &str) -> Result<u64, UnitError> {
    number_with_unit(text, SIZE_UNITS)
}

/// Microseconds in each unit.
pub(super) const DURATION_UNITS: &[(&str, u64)] =
    &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

/// Bytes in each unit: `K` is 1000 and `Ki` is 1024 (IEC 80000-13).
pub(super) const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

fn number_with_unit(text: &str, units: &'static [(&str, u64)]) -> Result<u64, UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(UnitError::NotANumber);
    }
    if unit.is_empty() {
        return Err(UnitError::MissingUnit);
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::UnknownUnit(meant(unit, units)));
    };
    // The digits are digits, so the one way to fail is too many of them.
    let number: u64 = digits.parse().map_err(|_| UnitError::Overflow)?;
    number.checked_mul(*factor).ok_or(UnitError::Overflow)
}

fn meant(unit: &str, units: &'static [(&str, u64)]) -> Option<&'static str> {
    let unit = unit.trim();
    let long = [("sec", "s"), ("min", "m"), ("hour", "h"), ("milli", "ms"), ("micro", "us")];
    let names = || units.iter().map(|(name, _)| *name);
    long.iter()
        .find(|(prefix, _)| unit.starts_with(prefix))
        .and_then(|(_, name)| names().find(|known| known == name))
        .or_else(|| names().find(|name| name.eq_ignore_ascii_case(unit)))
        // `K` and `k` for `KiB`; but a sole `m` among sizes is nearer to `MiB` than to `B`.
        .or_else(|| names().find(|name| starts_with_ignoring_case(name, unit)))
        // With another first letter it is another power: no hint at all is better.
        .or_else(|| spelling::nearest(unit, names().filter(|name| name.get(..1) == unit.get(..1))))
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    !prefix.is_empty()
        && text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_in_every_unit() {
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn sizes_tell_decimal_from_binary() {
        assert_eq!(bytes("512B"), Ok(512));
        assert_eq!(bytes("64KB"), Ok(64_000));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1MiB"), Ok(1 << 20));
        assert_eq!(bytes("1GB"), Ok(1_000_000_000));
    }

    #[test]
    fn each_wrong_text_has_its_reason() {
        use UnitError as E;
        for text in ["", "s", "-5s", "+5s", " 5s", "many"] {
            assert_eq!(duration(text), Err(E::NotANumber), "{text:?}");
        }
        assert_eq!(duration("5"), Err(E::MissingUnit));
        assert_eq!(duration("5sec"), Err(E::UnknownUnit(Some("s"))));
        assert_eq!(duration("5 minutes"), Err(E::UnknownUnit(Some("m"))));
        assert_eq!(duration("5S"), Err(E::UnknownUnit(Some("s"))));
        assert_eq!(duration("1.5s"), Err(E::UnknownUnit(None)));
        assert_eq!(duration("99999999999999h"), Err(E::Overflow));
        assert_eq!(duration(&format!("{}s", u128::MAX)), Err(E::Overflow));
        assert_eq!(bytes("64k"), Err(E::UnknownUnit(Some("KiB"))));
        assert_eq!(bytes("64kib"), Err(E::UnknownUnit(Some("KiB"))));
        assert_eq!(bytes("1 MiB"), Err(E::UnknownUnit(Some("MiB"))));
        assert_eq!(bytes("1TiB"), Err(E::UnknownUnit(None)));
        assert_eq!(bytes("1GiBs"), Err(E::UnknownUnit(Some("GiB"))));
        assert_eq!(bytes("99999999999999GiB"), Err(E::Overflow));
    }
}
