//! The types of columns, and what they are in Arrow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

use crate::keys::KeyTable;

/// Type of a column, or of what is nested in one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ColumnType {
    Boolean,
    Int64,
    Float64,
    Decimal(u8, i8),
    Utf8,
    /// Any JSON value, as its text.
    Json,
    Date,
    /// Microseconds; with a zone, values are instants.
    Timestamp(Option<Arc<str>>),
    Time,
    Binary,
    Struct(Arc<Shape>),
    List(Box<ColumnType>),
}

/// What a column takes beyond its own type, without loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leniency {
    /// utf8 columns take numbers and booleans as their exact text.
    pub text_from_scalars: bool,
    /// Columns of numbers take strings that hold a number.
    pub numbers_from_text: bool,
    /// Columns of floats take `"NaN"`, `"Infinity"` and `"-Infinity"`.
    pub non_finite_from_text: bool,
}

/// The properties of a nested object.
#[derive(Debug)]
pub(crate) struct Shape {
    properties: Vec<(String, ColumnType)>,
    pub keys: Arc<KeyTable>,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.properties == other.properties
    }
}

impl Shape {
    pub(crate) fn new(properties: Vec<(String, ColumnType)>) -> Self {
        let keys = Arc::new(KeyTable::new(
            properties.iter().map(|(name, _)| name.as_str()),
        ));
        Self { properties, keys }
    }

    pub(crate) fn types(&self) -> impl Iterator<Item = &ColumnType> {
        self.properties.iter().map(|(_, column_type)| column_type)
    }

    pub(crate) fn type_name(&self, slot: usize) -> &'static str {
        self.properties[slot].1.name()
    }

    pub(crate) fn arrow_fields(&self) -> Fields {
        self.properties
            .iter()
            .map(|(name, column_type)| column_type.arrow_field(name, true))
            .collect()
    }
}

/// Metadata that marks a utf8 field as JSON text.
pub(crate) fn json_metadata() -> HashMap<String, String> {
    HashMap::from([("ARROW:extension:name".to_owned(), "arrow.json".to_owned())])
}

/// Whether a field is marked as JSON text.
fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get("ARROW:extension:name")
        .is_some_and(|name| name == "arrow.json")
}

impl ColumnType {
    /// Instants in UTC.
    pub(crate) fn instant() -> Self {
        Self::Timestamp(Some("UTC".into()))
    }

    /// Name for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "bool",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Decimal(..) => "decimal128",
            Self::Utf8 => "utf8",
            Self::Json => "json",
            Self::Date => "date32",
            Self::Timestamp(_) => "timestamp[us]",
            Self::Time => "time64[us]",
            Self::Binary => "binary",
            Self::Struct(_) => "struct",
            Self::List(_) => "list",
        }
    }

    /// Name with what restricts it, for messages.
    pub(crate) fn full_name(&self) -> String {
        match self {
            Self::Decimal(precision, scale) => format!("decimal128({precision}, {scale})"),
            Self::Timestamp(Some(zone)) => format!("timestamp[us, {zone}]"),
            _ => self.name().to_owned(),
        }
    }

    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Utf8 | Self::Json => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp(zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Binary => DataType::Binary,
            Self::Struct(shape) => DataType::Struct(shape.arrow_fields()),
            Self::List(item) => DataType::List(item.arrow_item()),
        }
    }

    pub(crate) fn arrow_field(&self, name: &str, nullable: bool) -> FieldRef {
        let field = Field::new(name, self.arrow(), nullable);
        Arc::new(if *self == Self::Json {
            field.with_metadata(json_metadata())
        } else {
            field
        })
    }

    pub(crate) fn arrow_item(&self) -> FieldRef {
        self.arrow_field("item", true)
    }

    /// The type for an Arrow field; `None` when there is none.
    pub(crate) fn from_arrow(field: &Field) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::Utf8 if is_json(field) => Self::Json,
            DataType::Utf8 => Self::Utf8,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp(zone.clone()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            DataType::Binary => Self::Binary,
            DataType::Struct(fields) => {
                let properties = fields
                    .iter()
                    .map(|inner| Some((inner.name().clone(), Self::from_arrow(inner)?)));
                Self::Struct(Arc::new(Shape::new(properties.collect::<Option<_>>()?)))
            }
            DataType::List(item) => Self::List(Box::new(Self::from_arrow(item)?)),
            _ => return None,
        })
    }

    /// The type a job names; `None` when there is no such name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "bool" => Self::Boolean,
            "string" => Self::Utf8,
            "json" => Self::Json,
            "date" => Self::Date,
            "timestamp" => Self::instant(),
            "time" => Self::Time,
            "binary" => Self::Binary,
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
}
