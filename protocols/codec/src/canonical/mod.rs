//! Any Arrow data as the types that targets take, without loss.
//!
//! [`Canonical::compile`] works out once, from a schema, what becomes of each column ([`types`]); [`Canonical::convert`] does it to
//! batches ([`convert`]). Columns that are canonical already are handed on as they are.

mod convert;
mod decimals;
mod flat;
mod json;
mod lists;
mod moments;
mod rows;
mod types;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{FieldRef, Schema, SchemaRef};

pub use self::rows::Converted;

use self::convert::{Room, convert};
use self::types::{Step, column};
use crate::plan::{Nested, column_name};

/// Data that cannot become canonical.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// A value would be changed, or a type has no canonical form.
    #[error("column `{column}`: {reason}")]
    Lossy {
        /// Its name, as given.
        column: String,
        /// Why, without the value.
        reason: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// Two columns have one name.
    #[error("column `{0}` is there twice")]
    DuplicateColumn(String),
    /// A job's type that the column cannot have.
    #[error(
        "column `{column}`: {from} cannot become `{given}`; `string` and `json` are always possible"
    )]
    Impossible {
        /// Its name.
        column: String,
        /// Its Arrow type.
        from: String,
        /// What was given.
        given: String,
    },
    /// What comes out has more bytes than it may have: fewer rows are to be converted at a time.
    #[error("column `{0}` would be too large for one batch")]
    TooLarge(String),
    /// The columns do not fit together.
    #[error("{0}")]
    Broken(String),
}

/// Choices for [`Canonical::compile`].
#[derive(Debug, Clone, Default)]
pub struct CanonicalOptions {
    /// What lists, structs and maps become: JSON text, or lists and structs.
    pub nested: Nested,
    /// Columns to keep; `None` keeps all.
    pub fields: Option<HashSet<String>>,
    /// Types that beat the schema's, by column, named as in [`crate::PlanOptions::types`].
    pub types: HashMap<String, String>,
}

/// What becomes of batches of one schema. Immutable; share it between threads.
#[derive(Debug)]
pub struct Canonical {
    schema: SchemaRef,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    /// Its place in the batch as given.
    place: usize,
    /// Its name there.
    property: String,
    step: Step,
}

impl Canonical {
    /// Works out the columns. They keep their order and their names, but for those that are named like the columns that Dativo
    /// adds: these get a `_` at their end. Metadata is dropped, but for the mark of JSON text.
    ///
    /// # Errors
    /// When a column has a type without canonical form, a name comes twice, or a chosen type is impossible.
    pub fn compile(schema: &Schema, options: &CanonicalOptions) -> Result<Self, CanonicalError> {
        let names: HashSet<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let mut seen = HashSet::new();
        let (mut fields, mut columns): (Vec<FieldRef>, Vec<Column>) = (Vec::new(), Vec::new());
        for (place, field) in schema.fields().iter().enumerate() {
            let property = field.name();
            if !seen.insert(property) {
                return Err(CanonicalError::DuplicateColumn(property.clone()));
            }
            if options
                .fields
                .as_ref()
                .is_some_and(|kept| !kept.contains(property))
            {
                continue;
            }
            let given = options.types.get(property).map(String::as_str);
            let (field, step) = column(field, options.nested, given)?;
            let name = column_name(property, &names);
            fields.push(if name == *property {
                field
            } else {
                Arc::new(field.as_ref().clone().with_name(name))
            });
            columns.push(Column {
                place,
                property: property.clone(),
                step,
            });
        }
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            columns,
        })
    }

    /// The schema of what [`Self::convert`] gives.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The column that holds a property; `None` when there is none, or it was not kept.
    pub fn column_of(&self, property: &str) -> Option<&str> {
        let place = self.columns.iter().position(|c| c.property == property)?;
        Some(self.schema.field(place).name())
    }

    /// A batch of the schema given to [`Self::compile`] with canonical columns. `limit` bounds the bytes of those that are made, all
    /// together.
    ///
    /// # Errors
    /// When a value would be changed, or the result is larger than `limit` or than a column can be.
    pub fn convert(
        &self,
        batch: &RecordBatch,
        limit: usize,
    ) -> Result<RecordBatch, CanonicalError> {
        let mut room = Room::new(limit);
        let columns = self.columns.iter().map(|column| {
            let Column {
                place,
                property,
                step,
            } = column;
            convert(batch.column(*place), step, &mut room).map_err(|problem| problem.of(property))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(|error| CanonicalError::Broken(error.to_string()))
    }
}
