//! The user's configuration: its JSON Schema, and from JSON to the reader's own type.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// The JSON Schema of a configuration, without references: forms that are made from it understand none.
pub fn config_schema<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = Some("http://json-schema.org/draft-07/schema#".into());
    });
    settings.into_generator().into_root_schema_for::<C>().into()
}

/// Reads a configuration.
///
/// # Errors
/// When it does not fit. The message names the setting where that is known, and never a value: it may be a secret.
pub fn parse_config<C: DeserializeOwned>(json: &[u8]) -> Result<C, Error> {
    let value: Value = serde_json::from_slice(json).map_err(|error| {
        Error::config(format!(
            "the configuration is not JSON: line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    // By way of a value: serde cannot read numbers of unlimited length within tagged and flattened types from the text.
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let what = without_value(&error.into_inner().to_string());
        let place = if path == "." {
            String::new()
        } else {
            format!(": `{path}`")
        };
        Error::config(format!("the configuration does not fit{place}: {what}"))
            .with_hint("the connector's spec says what it takes")
    })
}

/// What serde says of a value that does not fit, without the value.
pub(crate) fn without_value(said: &str) -> String {
    for start in ["invalid type", "invalid value", "invalid length"] {
        if said.starts_with(start) {
            let expected = said
                .rsplit_once(", expected ")
                .map(|(_, expected)| expected);
            return match expected {
                Some(expected) => format!("{start}, expected {expected}"),
                None => start.to_owned(),
            };
        }
    }
    if said.starts_with("unknown variant") {
        let expected = said
            .split_once("`, expected ")
            .map(|(_, expected)| expected);
        return format!(
            "not one of its values, expected {}",
            expected.unwrap_or("another")
        );
    }
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        path: String,
        #[serde(default)]
        dialect: Dialect,
        #[serde(default)]
        limit: Option<Limit>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Dialect {
        quote: Option<char>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(tag = "by", rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Limit {
        Rows { count: u64 },
        Share { part: f64 },
    }

    fn refused(json: &str) -> String {
        parse_config::<Config>(json.as_bytes()).unwrap_err().message
    }

    #[test]
    fn an_error_names_the_setting_and_no_value() {
        assert_eq!(
            refused(r#"{"path": "a", "dialect": {"quote": "hunter2"}}"#),
            "the configuration does not fit: `dialect.quote`: invalid value, expected a character"
        );
        assert_eq!(
            refused(r#"{"path": 17}"#),
            "the configuration does not fit: `path`: invalid type, expected a string"
        );
        assert_eq!(
            refused(r#"{"path": "a", "limit": {"by": "hunter2"}}"#),
            "the configuration does not fit: `limit.by`: not one of its values, expected `rows` or `share`"
        );
        assert_eq!(
            refused("{}"),
            "the configuration does not fit: missing field `path`"
        );
        assert_eq!(
            refused("{\"pass\": \"hunter2"),
            "the configuration is not JSON: line 1, column 17"
        );
    }

    #[test]
    fn numbers_within_tagged_types_are_read() {
        let read = |json: &str| parse_config::<Config>(json.as_bytes()).unwrap().limit;
        assert!(matches!(
            read(r#"{"path": "a", "limit": {"by": "rows", "count": 3}}"#),
            Some(Limit::Rows { count: 3 })
        ));
        let share = read(r#"{"path": "a", "limit": {"by": "share", "part": 0.5}}"#);
        assert!(matches!(share, Some(Limit::Share { part: 0.5 })));
    }

    #[test]
    fn the_schema_has_no_references() {
        let schema = config_schema::<Config>();
        assert_eq!(schema["required"], serde_json::json!(["path"]));
        assert!(!schema.to_string().contains("$ref"));
    }
}
