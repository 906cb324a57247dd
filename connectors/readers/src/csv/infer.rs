//! The types of columns from a sample of their values.

use dativo_codec::scalar;

use super::column::Rules;
use super::index::{Index, unescape};
use super::values;
use crate::types::Kind;

/// What the values of one column have been so far: each flag says that all of them could be read so.
#[derive(Debug, Clone)]
struct Seen {
    any: bool,
    whole: bool,
    /// Most digits of a whole number, without its sign.
    digits: usize,
    number: bool,
    truth: bool,
    date: bool,
    moment: bool,
    zoned: bool,
    time: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            any: false,
            whole: true,
            digits: 0,
            number: true,
            truth: true,
            date: true,
            moment: true,
            zoned: false,
            time: true,
        }
    }
}

impl Seen {
    fn add(&mut self, value: &[u8]) {
        self.any = true;
        if self.whole {
            let digits = value.strip_prefix(b"-").unwrap_or(value);
            // A number with zeros in front is more than a number.
            let plain = !digits.is_empty()
                && digits.iter().all(u8::is_ascii_digit)
                && (digits[0] != b'0' || digits.len() == 1);
            self.whole = plain;
            self.digits = self.digits.max(
                digits.len()
                    + usize::from(
                        plain && digits.len() == 19 && values::integer(value, false).is_err(),
                    ),
            );
        }
        if self.number {
            let digits = value.strip_prefix(b"-").unwrap_or(value);
            let padded = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
            self.number = !padded && value[0] != b'+' && values::float(value).is_ok();
        }
        self.truth = self.truth && values::truth(value).is_ok();
        if self.moment {
            match scalar::parse_timestamp(value) {
                Ok((_, zoned)) => {
                    self.zoned |= zoned;
                    self.date = self.date && value.len() == 10;
                }
                Err(_) => self.moment = false,
            }
        }
        self.time = self.time && scalar::parse_time(value).is_ok();
    }

    fn kind(&self) -> Kind {
        match self {
            Self { any: false, .. } => Kind::Text,
            Self { truth: true, .. } => Kind::Bool,
            Self {
                whole: true,
                digits: ..=19,
                ..
            } => Kind::Int64,
            Self {
                whole: true,
                digits: ..=38,
                ..
            } => Kind::Decimal(38, 0),
            Self { number: true, .. } if !self.whole || self.digits <= 38 => Kind::Float64,
            Self {
                moment: true,
                date: true,
                ..
            } => Kind::Date,
            Self {
                moment: true,
                zoned: true,
                ..
            } => Kind::Instant,
            Self { moment: true, .. } => Kind::Timestamp,
            Self { time: true, .. } => Kind::Time,
            _ => Kind::Text,
        }
    }
}

/// Collects values of the columns of a stream.
#[derive(Debug, Default)]
pub(super) struct Sample {
    columns: Vec<Seen>,
}

impl Sample {
    /// Adds the rows of an index, whose field number `n` is column `slots[n]`.
    pub(super) fn add(&mut self, text: &[u8], index: &Index, slots: &[usize], rules: &Rules) {
        let most = slots.iter().copied().max().map_or(0, |slot| slot + 1);
        if self.columns.len() < most {
            self.columns.resize(most, Seen::default());
        }
        let mut buffer = Vec::new();
        for row in index.cells.chunks(slots.len().max(1)) {
            for (cell, slot) in row.iter().zip(slots) {
                let mut value = cell.bytes(text);
                if cell.is_escaped() {
                    buffer.clear();
                    unescape(value, &rules.dialect, &mut buffer);
                    value = &buffer;
                }
                if rules.trim {
                    value = value.trim_ascii();
                }
                let null = value.is_empty()
                    || (!cell.is_quoted() && rules.nulls.iter().any(|null| null == value));
                if !null {
                    self.columns[*slot].add(value);
                }
            }
        }
    }

    /// The type of a column: text where there is no value to tell.
    pub(super) fn kind(&self, slot: usize) -> Kind {
        self.columns.get(slot).map_or(Kind::Text, Seen::kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[&str]) -> Kind {
        let mut seen = Seen::default();
        values.iter().for_each(|value| seen.add(value.as_bytes()));
        seen.kind()
    }

    #[test]
    fn the_narrowest_type_that_loses_nothing() {
        for (values, expected) in [
            (&[][..], Kind::Text),
            (&["1", "-7", "0"], Kind::Int64),
            (&["9223372036854775807"], Kind::Int64),
            (&["9223372036854775808", "1"], Kind::Decimal(38, 0)),
            (
                &["12345678901234567890123456789012345678"],
                Kind::Decimal(38, 0),
            ),
            (&["1", "1.5"], Kind::Float64),
            (&["1e5", "NaN"], Kind::Float64),
            (&["007"], Kind::Text),
            (&["00.5"], Kind::Text),
            (&["+49123"], Kind::Text),
            (&["0.5", "-0.5"], Kind::Float64),
            (&["true", "False"], Kind::Bool),
            (&["true", "1"], Kind::Text),
            (&["2024-01-31"], Kind::Date),
            (&["2024-01-31", "2024-01-31 10:00:00"], Kind::Timestamp),
            (&["2024-01-31T10:00:00Z"], Kind::Instant),
            (
                &["2024-01-31T10:00:00Z", "2024-01-31 10:00:00"],
                Kind::Instant,
            ),
            (&["10:00:00"], Kind::Time),
            (&["2024-01-31", "x"], Kind::Text),
        ] {
            assert_eq!(kind(values), expected, "{values:?}");
        }
        assert_eq!(kind(&[&"9".repeat(39)]), Kind::Text);
    }
}
