//! The schema of JSON records from a sample of them.

use dativo_codec::scalar;
use serde_json::{Map, Value, json};

/// What the values of one place have been so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    truth: bool,
    whole: bool,
    /// Whole numbers beyond 64 bits, of 38 digits at most.
    large: bool,
    fraction: bool,
    /// Numbers that no column of numbers keeps.
    inexact: bool,
    text: Option<Text>,
    object: Option<Vec<(String, Shape)>>,
    array: Option<Box<Shape>>,
}

/// What the texts of one place have been: each flag says that all of them could be read so.
#[derive(Debug, Clone)]
struct Text {
    date: bool,
    moment: bool,
    zoned: bool,
    time: bool,
}

impl Shape {
    /// Adds a value.
    pub(super) fn add(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.truth = true,
            Value::Number(number) => self.add_number(&number.to_string()),
            Value::String(text) => self.add_text(text.as_bytes()),
            Value::Array(items) => {
                let of_items = self.array.get_or_insert_default();
                items.iter().for_each(|item| of_items.add(item));
            }
            Value::Object(properties) => {
                let known = self.object.get_or_insert_default();
                for (name, value) in properties {
                    let at = known
                        .iter()
                        .position(|(other, _)| other == name)
                        .unwrap_or_else(|| {
                            known.push((name.clone(), Self::default()));
                            known.len() - 1
                        });
                    known[at].1.add(value);
                }
            }
        }
    }

    fn add_number(&mut self, text: &str) {
        if scalar::parse_integer(text.as_bytes()).is_ok() {
            self.whole = true;
        } else if !text.contains(['e', 'E', '.'])
            && scalar::parse_decimal(text.as_bytes(), 38, 0).is_ok()
        {
            self.large = true;
        } else if scalar::is_exact_float(text.as_bytes()) {
            self.fraction = true;
        } else {
            self.inexact = true;
        }
    }

    fn add_text(&mut self, text: &[u8]) {
        let seen = self.text.get_or_insert(Text {
            date: true,
            moment: true,
            zoned: false,
            time: true,
        });
        if seen.moment {
            match scalar::parse_timestamp(text) {
                Ok((_, zoned)) => {
                    seen.zoned |= zoned;
                    seen.date &= text.len() == 10;
                }
                Err(_) => seen.moment = false,
            }
        }
        seen.time = seen.time && scalar::parse_time(text).is_ok();
    }

    /// As a JSON Schema; `{}`, any value, where there are several types or none.
    pub(super) fn schema(&self) -> Value {
        let number = self.whole || self.large || self.fraction || self.inexact;
        let kinds = [
            self.truth,
            number,
            self.text.is_some(),
            self.object.is_some(),
            self.array.is_some(),
        ];
        if kinds.iter().filter(|there| **there).count() != 1 {
            return json!({});
        }
        if self.truth {
            return json!({"type": ["null", "boolean"]});
        }
        if number {
            return self.number_schema();
        }
        if let Some(text) = &self.text {
            return text.schema();
        }
        if let Some(items) = &self.array {
            return json!({"type": ["null", "array"], "items": items.schema()});
        }
        let properties = self.properties();
        if properties.is_empty() {
            return json!({});
        }
        json!({"type": ["null", "object"], "properties": properties})
    }

    /// The schemas of the properties of the objects.
    pub(super) fn properties(&self) -> Map<String, Value> {
        let known = self.object.iter().flatten();
        known
            .map(|(name, shape)| (name.clone(), shape.schema()))
            .collect()
    }

    fn number_schema(&self) -> Value {
        match (self.inexact, self.fraction, self.large) {
            (false, false, false) => json!({"type": ["null", "integer"]}),
            (false, false, true) => {
                json!({"type": ["null", "integer"], "airbyte_type": "big_integer"})
            }
            (false, true, false) => json!({"type": ["null", "number"]}),
            // As JSON text: nothing else keeps them all as they are.
            _ => json!({}),
        }
    }
}

impl Text {
    fn schema(&self) -> Value {
        match self {
            Self {
                moment: true,
                date: true,
                ..
            } => json!({"type": ["null", "string"], "format": "date"}),
            Self {
                moment: true,
                zoned: true,
                ..
            } => json!({"type": ["null", "string"], "format": "date-time"}),
            Self { moment: true, .. } => {
                json!({"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_without_timezone"})
            }
            Self { time: true, .. } => json!({"type": ["null", "string"], "format": "time"}),
            _ => json!({"type": ["null", "string"]}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(lines: &[&str]) -> Value {
        let mut shape = Shape::default();
        lines
            .iter()
            .for_each(|line| shape.add(&serde_json::from_str(line).unwrap()));
        shape.schema()
    }

    #[test]
    fn types_are_widened_until_all_values_fit() {
        for (lines, expected) in [
            (
                &["1", "null", "-2"][..],
                json!({"type": ["null", "integer"]}),
            ),
            (&["1", "1.5"], json!({"type": ["null", "number"]})),
            (
                &["1", "9223372036854775808"],
                json!({"type": ["null", "integer"], "airbyte_type": "big_integer"}),
            ),
            (&["0.12345678901234567890"], json!({})),
            (&["1", "\"a\""], json!({})),
            (&["null"], json!({})),
            (&["true", "false"], json!({"type": ["null", "boolean"]})),
            (
                &["\"2024-01-31\""],
                json!({"type": ["null", "string"], "format": "date"}),
            ),
            (
                &["\"2024-01-31\"", "\"2024-01-31T10:00:00Z\""],
                json!({"type": ["null", "string"], "format": "date-time"}),
            ),
            (
                &["\"2024-01-31\"", "\"x\""],
                json!({"type": ["null", "string"]}),
            ),
            (
                &["\"10:00:00\""],
                json!({"type": ["null", "string"], "format": "time"}),
            ),
            (
                &["[1]", "[2.5]", "[]"],
                json!({"type": ["null", "array"], "items": {"type": ["null", "number"]}}),
            ),
        ] {
            assert_eq!(schema(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn objects_have_the_properties_of_all() {
        let found = schema(&[r#"{"a": 1}"#, r#"{"b": {"c": true}, "a": null}"#]);
        let expected = json!({"type": ["null", "object"], "properties": {
            "a": {"type": ["null", "integer"]},
            "b": {"type": ["null", "object"], "properties": {"c": {"type": ["null", "boolean"]}}},
        }});
        assert_eq!(found, expected);
    }
}
