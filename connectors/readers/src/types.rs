//! The types that a column of text can be given, by the names that jobs use for them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int64`.
    Int64,
    /// `float64`.
    Float64,
    /// `decimal(precision,scale)`.
    Decimal(u8, i8),
    /// `date`.
    Date,
    /// `timestamp`: instants, in UTC.
    Instant,
    /// `timestamp_without_timezone`.
    Timestamp,
    /// `time`.
    Time,
    /// `string`.
    Text,
    /// `json`.
    Json,
}

/// The names, for messages.
pub const NAMES: &str = "`bool`, `int64`, `float64`, `decimal(p,s)`, `date`, `timestamp`, `timestamp_without_timezone`, `time`, `string`, `json`";

impl Kind {
    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "date" => Self::Date,
            "timestamp" => Self::Instant,
            "timestamp_without_timezone" => Self::Timestamp,
            "time" => Self::Time,
            "string" => Self::Text,
            "json" => Self::Json,
            _ => {
                let inner = name.strip_prefix("decimal(")?.strip_suffix(')')?;
                let (precision, scale) = inner.split_once(',')?;
                let (precision, scale) =
                    (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                if !(1..=38).contains(&precision) || !(0..=precision as i8).contains(&scale) {
                    return None;
                }
                Self::Decimal(precision, scale)
            }
        })
    }

    /// The type of an Arrow field; `None` for those that text is not read as.
    pub fn from_arrow(field: &Field) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Bool,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Instant,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::Utf8 if field.extension_type_name() == Some("arrow.json") => Self::Json,
            DataType::Utf8 => Self::Text,
            _ => return None,
        })
    }

    /// What it is in Arrow.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Date => DataType::Date32,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Text | Self::Json => DataType::Utf8,
        }
    }

    /// A nullable field of it.
    pub fn field(self, name: &str) -> FieldRef {
        let field = Field::new(name, self.arrow(), true);
        Arc::new(if self == Self::Json {
            let mark = ("ARROW:extension:name".to_owned(), "arrow.json".to_owned());
            field.with_metadata(HashMap::from([mark]))
        } else {
            field
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn every_type_comes_back_from_its_field() {
        for name in [
            "bool",
            "int64",
            "float64",
            "decimal(38,9)",
            "date",
            "timestamp",
            "timestamp_without_timezone",
            "time",
            "string",
            "json",
        ] {
            let kind = Kind::from_name(name).unwrap();
            assert_eq!(Kind::from_arrow(&kind.field("x")), Some(kind));
        }
        for name in [
            "",
            "int32",
            "decimal",
            "decimal(39,0)",
            "decimal(2,3)",
            "decimal(2,-1)",
        ] {
            assert_eq!(Kind::from_name(name), None, "{name}");
        }
    }
}
