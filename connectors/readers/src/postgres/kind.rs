//! What a column's values are: how the server sends them, and the Arrow type that holds them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, TimeUnit};

/// Each holds all values of its type unless it says otherwise; what it does not hold is a bad value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    /// Unsigned, 32 bits.
    Oid,
    Float4,
    Float8,
    /// `numeric` of this precision and scale; not NaN and infinity.
    Decimal(u8, i8),
    /// `numeric` as a JSON number with all its digits, or the name of what is none.
    Number,
    /// `numeric` as text with all its digits, or the name of what is none.
    Digits,
    Text,
    Json,
    Jsonb,
    Bytea,
    /// Not infinity.
    Date,
    /// Not 24:00:00.
    Time,
    /// As text.
    TimeTz,
    /// Not infinity; with a zone (in UTC) or without one.
    Timestamp(bool),
    /// As ISO 8601 text.
    Interval,
    /// As text, like the three that follow.
    Uuid,
    Address,
    HardwareAddress,
    BitString,
    /// An array of any number of dimensions, as JSON text.
    Array(Box<Kind>),
    /// An array of one dimension, as a list; those of more are bad values.
    List(Box<Kind>),
}

impl Kind {
    /// The Arrow column that holds them.
    pub(super) fn field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type(), nullable);
        match self {
            Self::Number | Self::Json | Self::Jsonb | Self::Array(_) => {
                let mark = [
                    (EXTENSION_TYPE_NAME_KEY.to_owned(), "arrow.json".to_owned()),
                    (EXTENSION_TYPE_METADATA_KEY.to_owned(), String::new()),
                ];
                field.with_metadata(HashMap::from(mark))
            }
            _ => field,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 | Self::Float8 => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp(false) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamp(true) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::List(element) => DataType::List(Arc::new(element.field("item", true))),
            _ => DataType::Utf8,
        }
    }

    /// Whether values of it have an order that a cursor can follow, and a text that the server reads back.
    pub(super) fn is_ordered(&self) -> bool {
        !matches!(
            self,
            Self::Json | Self::Jsonb | Self::Array(_) | Self::List(_) | Self::BitString
        )
    }
}
