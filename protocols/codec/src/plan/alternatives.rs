//! A JSON Schema without its combinators: the plain schemas of which a value must meet one.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use super::SchemaError;

/// More alternatives than this are as good as anything at all.
const MOST: usize = 64;
/// A property whose schema takes more steps than this to resolve is JSON text.
const MOST_VISITS: usize = 10_000;

/// One plain schema (no `$ref`, `allOf`, `anyOf`, `oneOf`), and the references that led to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alternative {
    pub schema: Map<String, Value>,
    pub references: Vec<String>,
}

/// What a schema allows.
pub(crate) enum Allowed {
    /// Anything: it says nothing, says too much, or contains itself.
    Anything,
    /// One of these.
    OneOf(Vec<Alternative>),
}

/// Takes the schemas below one root apart.
pub(crate) struct Resolver<'s> {
    pub root: &'s Value,
    /// Schemas that may still be looked at. Definitions that refer to one another in many ways would never end.
    pub budget: Cell<usize>,
    /// Set when a schema was met whose numbers come as strings.
    pub numbers_in_text: Cell<bool>,
}

impl<'s> Resolver<'s> {
    /// With the budget for one property.
    pub(crate) fn new(root: &'s Value) -> Self {
        Self {
            root,
            budget: Cell::new(MOST_VISITS),
            numbers_in_text: Cell::new(false),
        }
    }

    /// What `schema` allows, which stands at `property` and was reached through `references`.
    pub(crate) fn allowed(
        &self,
        schema: &Value,
        references: &[String],
        property: &str,
    ) -> Result<Allowed, SchemaError> {
        let Value::Object(map) = schema else {
            return Ok(Allowed::Anything);
        };
        if self.budget.get() == 0 {
            return Ok(Allowed::Anything);
        }
        self.budget.set(self.budget.get() - 1);
        let mut plain = map.clone();
        let mut parts: Vec<Allowed> = Vec::new();
        if let Some(Value::String(pointer)) = plain.remove("$ref") {
            if references.contains(&pointer) {
                return Ok(Allowed::Anything);
            }
            let well_known = well_known_type(&pointer);
            let target = match &well_known {
                Some((schema, is_number)) => {
                    self.numbers_in_text
                        .set(self.numbers_in_text.get() || *is_number);
                    schema
                }
                None => resolve(self.root, &pointer).ok_or_else(|| SchemaError::DanglingRef {
                    property: property.to_owned(),
                    pointer: pointer.clone(),
                })?,
            };
            let mut inner = references.to_vec();
            inner.push(pointer);
            parts.push(self.allowed(target, &inner, property)?);
        }
        if let Some(Value::Array(all)) = plain.remove("allOf") {
            for part in &all {
                parts.push(self.allowed(part, references, property)?);
            }
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(any)) = plain.remove(key) {
                parts.push(self.union(&any, references, property)?);
            }
        }
        let says_something = !plain.is_empty();
        let mut alternatives = vec![Alternative {
            schema: plain,
            references: references.to_vec(),
        }];
        let (mut anything, count) = (0, parts.len());
        for part in parts {
            let Allowed::OneOf(choices) = part else {
                anything += 1;
                continue;
            };
            if alternatives.len() * choices.len() > MOST {
                return Ok(Allowed::Anything);
            }
            alternatives = alternatives
                .iter()
                .flat_map(|left| choices.iter().filter_map(|right| merge(left, right)))
                .collect();
        }
        // A part that allows anything restricts nothing; when all do, only what stands beside them counts.
        let nothing_said = !says_something && anything == count;
        Ok(if nothing_said {
            Allowed::Anything
        } else {
            Allowed::OneOf(alternatives)
        })
    }

    fn union(
        &self,
        branches: &[Value],
        references: &[String],
        property: &str,
    ) -> Result<Allowed, SchemaError> {
        let mut alternatives = Vec::new();
        for branch in branches {
            match self.allowed(branch, references, property)? {
                Allowed::Anything => return Ok(Allowed::Anything),
                Allowed::OneOf(choices) => alternatives.extend(choices),
            }
            if alternatives.len() > MOST {
                return Ok(Allowed::Anything);
            }
        }
        Ok(Allowed::OneOf(alternatives))
    }
}

/// The schema that a reference to Airbyte's `WellKnownTypes.json` stands for, and whether its numbers come as strings.
fn well_known_type(reference: &str) -> Option<(Value, bool)> {
    let (file, name) = reference.split_once("#/definitions/")?;
    if file.rsplit('/').next()? != "WellKnownTypes.json" {
        return None;
    }
    let (schema, is_number) = match name {
        "String" => (json!({"type": "string"}), false),
        "BinaryData" => (
            json!({"type": "string", "contentEncoding": "base64"}),
            false,
        ),
        "Boolean" => (json!({"type": "boolean"}), false),
        "Date" => (json!({"type": "string", "format": "date"}), false),
        "Integer" => (json!({"type": "integer"}), true),
        "Number" => (json!({"type": "number"}), true),
        "TimestampWithTimezone" => (
            json!({"type": "string", "airbyte_type": "timestamp_with_timezone"}),
            false,
        ),
        "TimestampWithoutTimezone" => (
            json!({"type": "string", "airbyte_type": "timestamp_without_timezone"}),
            false,
        ),
        "TimeWithTimezone" => (
            json!({"type": "string", "airbyte_type": "time_with_timezone"}),
            false,
        ),
        "TimeWithoutTimezone" => (
            json!({"type": "string", "airbyte_type": "time_without_timezone"}),
            false,
        ),
        _ => return None,
    };
    Some((schema, is_number))
}

/// The value of a JSON pointer in a URI fragment (`#/definitions/x`), percent-encoding and `~` escapes resolved.
fn resolve<'v>(root: &'v Value, reference: &str) -> Option<&'v Value> {
    let fragment = reference.strip_prefix('#')?;
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let encoded = (byte == b'%').then(|| tail.first_chunk::<2>()).flatten();
        let decoded =
            encoded.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    root.pointer(&String::from_utf8(bytes).ok()?)
}

/// A schema that demands both; `None` when no value can meet it.
fn merge(left: &Alternative, right: &Alternative) -> Option<Alternative> {
    let mut merged = left.clone();
    for (key, value) in &right.schema {
        let Some(present) = merged.schema.get_mut(key) else {
            merged.schema.insert(key.clone(), value.clone());
            continue;
        };
        match key.as_str() {
            "type" => {
                let both = common_types(present, value);
                if both.is_empty() {
                    return None;
                }
                *present = Value::Array(both);
            }
            "properties" => merge_properties(present, value),
            "items" if present != value => *present = all_of(present, value),
            _ => *present = value.clone(),
        }
    }
    for reference in &right.references {
        if !merged.references.contains(reference) {
            merged.references.push(reference.clone());
        }
    }
    Some(merged)
}

fn merge_properties(present: &mut Value, other: &Value) {
    let (Value::Object(present), Value::Object(other)) = (present, other) else {
        return;
    };
    for (name, schema) in other {
        match present.get_mut(name) {
            Some(already) if already != schema => *already = all_of(already, schema),
            Some(_) => {}
            None => {
                present.insert(name.clone(), schema.clone());
            }
        }
    }
}

fn all_of(left: &Value, right: &Value) -> Value {
    let parts = Value::Array(vec![left.clone(), right.clone()]);
    Value::Object(Map::from_iter([("allOf".to_owned(), parts)]))
}

/// The names in a `type` keyword.
pub(crate) fn type_names(keyword: &Value) -> Vec<&str> {
    match keyword {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn common_types(left: &Value, right: &Value) -> Vec<Value> {
    let (left, right) = (type_names(left), type_names(right));
    let mut common: Vec<&str> = left
        .iter()
        .filter(|name| right.contains(name))
        .copied()
        .collect();
    let integer_within_number = (left.contains(&"integer") && right.contains(&"number"))
        || (right.contains(&"integer") && left.contains(&"number"));
    if integer_within_number && !common.contains(&"number") && !common.contains(&"integer") {
        common.push("integer");
    }
    common
        .into_iter()
        .map(|name| Value::String(name.to_owned()))
        .collect()
}
