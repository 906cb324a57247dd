//! Batches of one plan that differ only in the optional columns, made alike.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{ArrowError, Field, FieldRef, Schema, SchemaRef};

/// Metadata key of the optional columns' fields; its value is `extra`, `changes`, `extracted_at` or `version`. A column of a
/// batch that no decoder made may be named like them: that one has no such metadata.
pub const ROLE_KEY: &str = "dativo.role";

/// The optional columns' roles, in the order of the columns.
const ROLES: [&str; 4] = ["extra", "changes", "extracted_at", "version"];

fn role(field: &Field) -> Option<&str> {
    field.metadata().get(ROLE_KEY).map(String::as_str)
}

/// Gives every batch the union of the optional columns (null where a batch lacks one), so that they can be concatenated.
/// Copies no data. `None` when there are no batches.
///
/// # Errors
/// When the batches differ in anything but the optional columns.
pub fn unify(
    batches: Vec<RecordBatch>,
) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>, ArrowError> {
    let Some(first) = batches.first().map(RecordBatch::schema) else {
        return Ok(None);
    };
    if batches
        .iter()
        .all(|batch| Arc::ptr_eq(batch.schema_ref(), &first) || *batch.schema_ref() == first)
    {
        return Ok(Some((first, batches)));
    }
    let mut fields: Vec<FieldRef> = first
        .fields()
        .iter()
        .filter(|field| role(field).is_none())
        .cloned()
        .collect();
    let own = fields.len();
    for wanted in ROLES {
        let found = batches
            .iter()
            .flat_map(|batch| batch.schema_ref().fields())
            .find(|field| role(field) == Some(wanted));
        fields.extend(found.cloned());
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, first.metadata().clone()));
    let alike = batches
        .into_iter()
        .map(|batch| conform(&batch, &schema, own))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some((schema, alike)))
}

/// The batch with exactly the columns of `schema`, whose first `own` ones it must have itself.
fn conform(batch: &RecordBatch, schema: &SchemaRef, own: usize) -> Result<RecordBatch, ArrowError> {
    let given = batch.schema_ref().fields();
    let same = given
        .iter()
        .filter(|field| role(field).is_none())
        .eq(&schema.fields()[..own]);
    if !same {
        return Err(ArrowError::SchemaError(
            "batches differ in more than the optional columns".to_owned(),
        ));
    }
    let mut arrays: Vec<ArrayRef> = batch.columns()[..own].to_vec();
    for field in &schema.fields()[own..] {
        let place = given.iter().position(|given| role(given) == role(field));
        arrays.push(match place {
            Some(place) => batch.column(place).clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
}
