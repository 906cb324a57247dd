//! What to expect of a stream's records, worked out once from its schema.

mod alternatives;
mod json_schema;
mod options;
mod types;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use serde_json::Value;

use self::json_schema::{Property, SchemaReader};
pub use self::options::{Extra, Metadata, Nested, OnBadValue, PlanOptions};
pub(crate) use self::types::{ColumnType, Leniency, Shape, json_metadata};
use crate::keys::KeyTable;
use crate::stamps::announced;
use crate::unify::ROLE_KEY;
use crate::{CHANGES_COLUMN, EXTRA_COLUMN, EXTRACTED_AT_COLUMN, VERSION_COLUMN};

/// A schema that gives no plan.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is not JSON.
    #[error("schema is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but neither an object nor a boolean.
    #[error("schema is not an object")]
    NotAnObject,
    /// `$ref` points nowhere.
    #[error("`$ref` `{pointer}` of property `{property}` points to nothing in this schema")]
    DanglingRef {
        /// The property where it was found.
        property: String,
        /// The reference.
        pointer: String,
    },
    /// A type override nobody knows.
    #[error(
        "column `{column}`: unknown type `{given}`, expected one of `int64`, `float64`, `bool`, `string`, `json`, `date`, `timestamp`, `time`, `binary`, `decimal(p,s)`"
    )]
    UnknownType {
        /// The column.
        column: String,
        /// What was given.
        given: String,
    },
    /// Two columns have one name, so that JSON cannot tell them apart.
    #[error("column `{column}` is there twice")]
    DuplicateColumn {
        /// The name.
        column: String,
    },
    /// An Arrow type outside those this crate produces.
    #[error("column `{column}` has type {data_type}, which cannot be read from JSON here")]
    Unsupported {
        /// The column.
        column: String,
        /// Its Arrow type.
        data_type: String,
    },
}

/// A stream's columns and rules. Immutable; share it between threads in an `Arc`.
#[derive(Debug)]
pub struct StreamPlan {
    schema: SchemaRef,
    key_properties: Vec<String>,
    pub(crate) columns: Vec<ColumnPlan>,
    /// The columns' names, in order, then the names of properties that are skipped.
    pub(crate) keys: Arc<KeyTable>,
    pub(crate) extra: Extra,
    pub(crate) on_bad_value: OnBadValue,
    pub(crate) metadata: Metadata,
}

/// One column.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub name: String,
    /// The property it holds.
    pub property: String,
    pub column_type: ColumnType,
    pub leniency: Leniency,
    /// A row without it is bad.
    pub required: bool,
}

impl StreamPlan {
    /// The plan for records that follow `json_schema` (the JSON text of a JSON Schema, draft 4 to 2020-12).
    ///
    /// Columns come in the order of `properties`, under their names; those that are named like the columns beside them
    /// (`_dativo_extra`, `_dativo_changes`, `_dativo_extracted_at`, `_dativo_version`) get a `_` at their end, whether the batches have
    /// these or not. A key property the schema does not describe follows as JSON text.
    /// Every field is nullable but those of `key_properties`: taps break their own `required`, and a primary key is what
    /// targets rely on ([`PlanOptions::nullable_keys`] makes these nullable too). Options may name properties that the schema does not have; they have no effect.
    ///
    /// # Errors
    /// When the schema is not a schema, or an option names an unknown type. See [`SchemaError`].
    pub fn compile(
        json_schema: &[u8],
        key_properties: &[String],
        options: &PlanOptions,
    ) -> Result<Self, SchemaError> {
        let root: Value = serde_json::from_slice(json_schema)
            .map_err(|error| SchemaError::NotJson(error.to_string()))?;
        if !matches!(root, Value::Object(_) | Value::Bool(_)) {
            return Err(SchemaError::NotAnObject);
        }
        let mut overrides = HashMap::new();
        for (column, given) in &options.types {
            let column_type =
                ColumnType::from_name(given).ok_or_else(|| SchemaError::UnknownType {
                    column: column.clone(),
                    given: given.clone(),
                })?;
            overrides.insert(column.as_str(), column_type);
        }
        let mut properties = SchemaReader::new(&root, options.nested).properties()?;
        for key in key_properties {
            if !properties.iter().any(|property| property.name == *key) {
                properties.push(Property {
                    name: key.clone(),
                    column_type: ColumnType::Json,
                    leniency: Leniency::default(),
                });
            }
        }
        let names: HashSet<String> = properties.iter().map(|each| each.name.clone()).collect();
        let (mut columns, mut skipped) = (Vec::new(), Vec::new());
        for property in properties {
            let Property {
                name,
                column_type,
                leniency,
            } = property;
            let is_key = key_properties.contains(&name);
            if !is_key
                && options
                    .fields
                    .as_ref()
                    .is_some_and(|fields| !fields.contains(&name))
            {
                skipped.push(name);
                continue;
            }
            let forced = overrides.remove(name.as_str());
            let leniency = Leniency {
                text_from_scalars: forced == Some(ColumnType::Utf8),
                ..leniency
            };
            columns.push(ColumnPlan {
                name: column_name(&name, &names),
                property: name,
                column_type: forced.unwrap_or(column_type),
                leniency,
                required: is_key && !options.nullable_keys,
            });
        }
        let plan = Self::new(
            columns,
            &skipped,
            key_properties
                .iter()
                .map(|key| column_name(key, &names))
                .collect(),
            options.extra,
            options.on_bad_value,
        );
        Ok(Self {
            metadata: options.metadata,
            ..plan
        })
    }

    fn new(
        columns: Vec<ColumnPlan>,
        skipped: &[String],
        key_properties: Vec<String>,
        extra: Extra,
        on_bad_value: OnBadValue,
    ) -> Self {
        let fields = columns.iter().map(|column| {
            column
                .column_type
                .arrow_field(&column.name, !column.required)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let names = columns
            .iter()
            .map(|column| column.property.as_str())
            .chain(skipped.iter().map(String::as_str));
        let keys = Arc::new(KeyTable::new(names));
        Self {
            schema,
            key_properties,
            columns,
            keys,
            extra,
            on_bad_value,
            metadata: Metadata::default(),
        }
    }

    /// The plan for JSON lines written by [`crate::encode_json_lines`] from batches of this schema, and for others like them.
    ///
    /// Fields that are not nullable are treated as key properties. Columns of floats take the strings `"NaN"`, `"Infinity"`
    /// and `"-Infinity"`. With `coerce`, utf8 columns take numbers and booleans as their exact text, and columns of numbers
    /// take strings that hold a number. Bad values are quarantined and other properties kept, unless
    /// [`StreamPlan::with_on_bad_value`] and [`StreamPlan::with_extra`] say otherwise. The plan's schema is the one given,
    /// but for the mark ([`crate::ROLE_KEY`]) of optional columns, which are ordinary ones here.
    ///
    /// # Errors
    /// [`SchemaError::Unsupported`] for an Arrow type outside those that [`StreamPlan::compile`] gives;
    /// [`SchemaError::DuplicateColumn`] for two fields of one name.
    pub fn from_arrow(schema: SchemaRef, coerce: bool) -> Result<Self, SchemaError> {
        let leniency = Leniency {
            text_from_scalars: coerce,
            numbers_from_text: coerce,
            non_finite_from_text: true,
        };
        let mut columns: Vec<ColumnPlan> = Vec::new();
        for field in schema.fields() {
            let name = field.name().clone();
            if columns.iter().any(|column| column.name == name) {
                return Err(SchemaError::DuplicateColumn { column: name });
            }
            let column_type =
                ColumnType::from_arrow(field).ok_or_else(|| SchemaError::Unsupported {
                    column: name.clone(),
                    data_type: field.data_type().to_string(),
                })?;
            columns.push(ColumnPlan {
                property: name.clone(),
                name,
                column_type,
                leniency,
                required: !field.is_nullable(),
            });
        }
        let required = columns.iter().filter(|column| column.required);
        let key_properties = required.map(|column| column.name.clone()).collect();
        let mut plan = Self::new(
            columns,
            &[],
            key_properties,
            Extra::default(),
            OnBadValue::default(),
        );
        // A column that was optional is one like the others here: a batch may get its own optional ones beside it.
        let schema = without_roles(schema);
        // Names of list items and metadata stay as given.
        if plan
            .schema
            .fields()
            .iter()
            .zip(schema.fields())
            .all(|(ours, given)| ours.data_type() == given.data_type())
        {
            plan.schema = schema;
        }
        Ok(plan)
    }

    /// The same plan with another rule for bad cells.
    #[must_use]
    pub fn with_on_bad_value(self, on_bad_value: OnBadValue) -> Self {
        Self {
            on_bad_value,
            ..self
        }
    }

    /// The same plan with another rule for properties outside the schema.
    #[must_use]
    pub fn with_extra(self, extra: Extra) -> Self {
        Self { extra, ..self }
    }

    /// The same plan, whose utf8 columns of these names take numbers and booleans as their exact text.
    #[must_use]
    pub fn with_text_from_scalars<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for name in names {
            for column in self.columns.iter_mut().filter(|column| column.name == name) {
                column.leniency.text_from_scalars |= column.column_type == ColumnType::Utf8;
            }
        }
        self
    }

    /// The schema of the batches, without the columns beside those of the record.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns that every batch has: those of the record, and `_dativo_extracted_at` where it is wanted.
    pub fn announced_schema(&self) -> SchemaRef {
        if !self.metadata.extracted_at {
            return self.schema.clone();
        }
        announced(&self.schema)
    }

    /// The column that holds a property; a name that no column holds stays as it is.
    pub fn column_of(&self, property: &str) -> String {
        let mut columns = self.columns.iter();
        let column = columns.find(|column| column.property == property);
        column.map_or(property, |column| &column.name).to_owned()
    }

    /// Columns of the primary key, in the order given.
    pub fn key_properties(&self) -> &[String] {
        &self.key_properties
    }
}

/// Columns beside those of the record.
const OWN: [&str; 4] = [
    EXTRA_COLUMN,
    CHANGES_COLUMN,
    EXTRACTED_AT_COLUMN,
    VERSION_COLUMN,
];

/// The column for a property: its own name, unless one of Dativo's columns has it. Then it gets a `_` at its end, and more until
/// no other property of the stream is called so.
pub(crate) fn column_name(property: &str, properties: &HashSet<String>) -> String {
    let mut name = property.to_owned();
    while OWN.contains(&name.as_str()) || (name != property && properties.contains(&name)) {
        name.push('_');
    }
    name
}

fn without_roles(schema: SchemaRef) -> SchemaRef {
    if !schema
        .fields()
        .iter()
        .any(|field| field.metadata().contains_key(ROLE_KEY))
    {
        return schema;
    }
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        metadata.remove(ROLE_KEY);
        field.as_ref().clone().with_metadata(metadata)
    });
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}
