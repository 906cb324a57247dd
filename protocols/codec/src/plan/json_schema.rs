//! JSON Schema to column types: the table "From JSON Schema to Arrow".

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::SchemaError;
use super::alternatives::{Allowed, Alternative, Resolver, type_names};
use super::options::Nested;
use super::types::{ColumnType, Leniency, Shape};

/// Objects nested deeper than this in a schema are JSON text.
const DEEPEST: usize = 32;

/// What values a schema allows, as far as columns care.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Only null, or nothing.
    Null,
    One(ColumnType),
    /// Values of several types.
    Mixed,
}

/// A property of the records.
#[derive(Debug)]
pub(crate) struct Property {
    pub name: String,
    pub column_type: ColumnType,
    pub leniency: Leniency,
}

/// Reads the schemas of a record's properties.
pub(crate) struct SchemaReader<'s> {
    resolver: Resolver<'s>,
    nested: Nested,
    /// Properties of the records in which numbers may come as strings.
    numbers_in_text: RefCell<HashSet<String>>,
}

impl<'s> SchemaReader<'s> {
    pub(crate) fn new(root: &'s Value, nested: Nested) -> Self {
        Self {
            resolver: Resolver::new(root),
            nested,
            numbers_in_text: RefCell::default(),
        }
    }

    /// The properties of the records, in order, with their types.
    pub(crate) fn properties(&self) -> Result<Vec<Property>, SchemaError> {
        let Allowed::OneOf(alternatives) = self.resolver.allowed(self.resolver.root, &[], "")?
        else {
            return Ok(Vec::new());
        };
        let properties = self.merged_properties(&alternatives, 0)?;
        let texts = self.numbers_in_text.borrow();
        let properties = properties.into_iter().map(|(name, column_type)| Property {
            leniency: Leniency {
                numbers_from_text: texts.contains(&name),
                non_finite_from_text: texts.contains(&name),
                ..Leniency::default()
            },
            name,
            column_type,
        });
        Ok(properties.collect())
    }

    /// The properties of objects that meet one of the alternatives.
    fn merged_properties(
        &self,
        alternatives: &[Alternative],
        depth: usize,
    ) -> Result<Vec<(String, ColumnType)>, SchemaError> {
        let mut properties: Vec<(String, Kind)> = Vec::new();
        for alternative in alternatives {
            let Some(Value::Object(schemas)) = alternative.schema.get("properties") else {
                continue;
            };
            for (name, schema) in schemas {
                let kind = if depth == 0 {
                    self.property_kind(schema, &alternative.references, name)?
                } else {
                    self.kind(schema, &alternative.references, name, depth)?
                };
                match properties.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = union(known.clone(), kind),
                    None => properties.push((name.clone(), kind)),
                }
            }
        }
        Ok(properties
            .into_iter()
            .map(|(name, kind)| (name, kind.column_type()))
            .collect())
    }

    /// The kind of a property of the records, if it can be found out with reasonable effort.
    fn property_kind(
        &self,
        schema: &Value,
        references: &[String],
        name: &str,
    ) -> Result<Kind, SchemaError> {
        self.resolver
            .budget
            .set(Resolver::new(self.resolver.root).budget.get());
        self.resolver.numbers_in_text.set(false);
        let kind = self.kind(schema, references, name, 0)?;
        if self.resolver.numbers_in_text.get() {
            self.numbers_in_text.borrow_mut().insert(name.to_owned());
        }
        Ok(if self.resolver.budget.get() == 0 {
            Kind::Mixed
        } else {
            kind
        })
    }

    fn kind(
        &self,
        schema: &Value,
        references: &[String],
        property: &str,
        depth: usize,
    ) -> Result<Kind, SchemaError> {
        let Allowed::OneOf(alternatives) = self.resolver.allowed(schema, references, property)?
        else {
            return Ok(Kind::Mixed);
        };
        let mut all = Kind::Null;
        for alternative in &alternatives {
            all = union(all, self.plain_kind(alternative, property, depth)?);
        }
        Ok(all)
    }

    fn plain_kind(
        &self,
        alternative: &Alternative,
        property: &str,
        depth: usize,
    ) -> Result<Kind, SchemaError> {
        let schema = &alternative.schema;
        let names = match schema.get("type") {
            Some(keyword) => type_names(keyword),
            None if schema.contains_key("properties") => vec!["object"],
            None if schema.contains_key("items") => vec!["array"],
            None => return Ok(Kind::Mixed),
        };
        let mut all = Kind::Null;
        for name in names {
            let kind = match name {
                "null" => Kind::Null,
                "boolean" => Kind::One(ColumnType::Boolean),
                "integer" => Kind::One(integer(schema)),
                "number" => Kind::One(number(schema)),
                "string" => Kind::One(self.string(schema)),
                "object" => Kind::One(self.object(alternative, depth)?),
                "array" => Kind::One(self.array(alternative, property, depth)?),
                _ => Kind::Mixed,
            };
            all = union(all, kind);
        }
        Ok(all)
    }

    fn string(&self, schema: &Map<String, Value>) -> ColumnType {
        let column_type = match text(schema, "airbyte_type") {
            "big_integer" => ColumnType::Decimal(38, 0),
            "big_number" => ColumnType::Decimal(38, 9),
            _ => return string(schema),
        };
        self.resolver.numbers_in_text.set(true);
        column_type
    }

    fn object(&self, alternative: &Alternative, depth: usize) -> Result<ColumnType, SchemaError> {
        if self.nested == Nested::Json || depth >= DEEPEST {
            return Ok(ColumnType::Json);
        }
        let properties = self.merged_properties(std::slice::from_ref(alternative), depth + 1)?;
        if properties.is_empty() {
            return Ok(ColumnType::Json);
        }
        Ok(ColumnType::Struct(Arc::new(Shape::new(properties))))
    }

    fn array(
        &self,
        alternative: &Alternative,
        property: &str,
        depth: usize,
    ) -> Result<ColumnType, SchemaError> {
        if self.nested == Nested::Json || depth >= DEEPEST {
            return Ok(ColumnType::Json);
        }
        let Some(items @ Value::Object(_)) = alternative.schema.get("items") else {
            return Ok(ColumnType::Json);
        };
        Ok(
            match self.kind(items, &alternative.references, property, depth + 1)? {
                Kind::One(ColumnType::Json) | Kind::Mixed | Kind::Null => ColumnType::Json,
                Kind::One(item) => ColumnType::List(Box::new(item)),
            },
        )
    }
}

impl Kind {
    /// A column that only ever sees nulls must still keep what comes against its schema.
    fn column_type(self) -> ColumnType {
        match self {
            Self::One(column_type) => column_type,
            Self::Null | Self::Mixed => ColumnType::Json,
        }
    }
}

fn union(left: Kind, right: Kind) -> Kind {
    use ColumnType::{Binary, Date, Decimal, Float64, Int64, Time, Timestamp, Utf8};
    match (left, right) {
        (Kind::Null, other) | (other, Kind::Null) => other,
        (Kind::One(left), Kind::One(right)) if left == right => Kind::One(left),
        (Kind::One(Int64), Kind::One(wide @ (Float64 | Decimal(..)))) => Kind::One(wide),
        (Kind::One(wide @ (Float64 | Decimal(..))), Kind::One(Int64)) => Kind::One(wide),
        (
            Kind::One(Utf8 | Date | Timestamp(_) | Time | Binary),
            Kind::One(Utf8 | Date | Timestamp(_) | Time | Binary),
        ) => Kind::One(Utf8),
        _ => Kind::Mixed,
    }
}

fn text<'s>(schema: &'s Map<String, Value>, key: &str) -> &'s str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn integer(schema: &Map<String, Value>) -> ColumnType {
    match text(schema, "airbyte_type") {
        "big_integer" => ColumnType::Decimal(38, 0),
        _ => ColumnType::Int64,
    }
}

fn number(schema: &Map<String, Value>) -> ColumnType {
    match text(schema, "airbyte_type") {
        "integer" => return ColumnType::Int64,
        "big_integer" => return ColumnType::Decimal(38, 0),
        "big_number" => return ColumnType::Decimal(38, 9),
        _ => {}
    }
    let Some(step) = schema.get("multipleOf") else {
        return ColumnType::Float64;
    };
    match power_of_ten(step) {
        Some(scale) => ColumnType::Decimal(38, scale),
        // How taps write PostgreSQL's `numeric` without a scale. 38 digits behind the point leave none before it:
        // only the number's own text holds every value.
        None if step.as_f64().is_some_and(|step| step > 0.0 && step < 1e-37) => ColumnType::Json,
        None => ColumnType::Float64,
    }
}

fn string(schema: &Map<String, Value>) -> ColumnType {
    match text(schema, "airbyte_type") {
        "timestamp_with_timezone" => return ColumnType::instant(),
        "timestamp_without_timezone" => return ColumnType::Timestamp(None),
        "time_without_timezone" => return ColumnType::Time,
        // No Arrow type of time has a zone.
        "time_with_timezone" => return ColumnType::Utf8,
        _ => {}
    }
    match text(schema, "format") {
        "date" => ColumnType::Date,
        "date-time" => ColumnType::instant(),
        "time" => ColumnType::Time,
        _ if text(schema, "contentEncoding").eq_ignore_ascii_case("base64") => ColumnType::Binary,
        _ => ColumnType::Utf8,
    }
}

/// n, for 1e-n (0 to 37), however it is written.
fn power_of_ten(value: &Value) -> Option<i8> {
    let literal = value.as_number()?.to_string();
    let number = crate::json::Number::parse(literal.as_bytes())?;
    (0..=37).find(|&scale| number.to_decimal(38, scale) == Ok(1))
}
