//! Arrow to JSON lines.

mod cells;
mod runs;
mod scalars;
mod text;

use arrow_array::RecordBatch;

pub(crate) use self::cells::Cells;
pub(crate) use self::runs::physical;

use self::text::write_string;

/// A batch that has no JSON text.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The column has a type that has no JSON form here.
    #[error("column `{column}` has type {data_type}, which has no JSON form here")]
    Unsupported {
        /// Its name.
        column: String,
        /// Its Arrow type.
        data_type: String,
    },
    /// A date or timestamp beyond the years 0001 to 9999.
    #[error("column `{column}`, row {row}: outside the years 0001 to 9999")]
    OutOfRange {
        /// Its name.
        column: String,
        /// Row within the batch, 0-based.
        row: usize,
    },
}

/// Appends one JSON object and a line feed per row to `out`.
///
/// Integers and decimals are exact JSON numbers; floats have their shortest form that reads back the same, `"NaN"`,
/// `"Infinity"` and `"-Infinity"` are strings; timestamps RFC 3339 (`Z` where the column has a zone), dates, times;
/// binary is base64; `arrow.json` columns go out raw, line breaks in them as spaces; nulls are written.
/// Beyond the types of [`crate::StreamPlan`], all others but unions are understood: nanoseconds are written with nine digits where
/// they need them, durations are numbers of microseconds, intervals text as in ISO 8601, maps objects where their keys are text.
///
/// # Errors
/// On a type outside those, before anything is appended; on a date no text can hold, after whole lines only.
pub fn encode_json_lines(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (place, (field, array)) in batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .enumerate()
    {
        let cells = Cells::of(field, array.as_ref(), usize::MAX).ok_or_else(|| {
            EncodeError::Unsupported {
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            }
        })?;
        columns.push((lead(place, field.name()), cells));
    }
    for row in 0..batch.num_rows() {
        let line = out.len();
        for (place, (lead, cells)) in columns.iter().enumerate() {
            out.extend_from_slice(lead);
            if cells.write(row, out).is_none() {
                out.truncate(line);
                let column = batch.schema_ref().field(place).name().clone();
                return Err(EncodeError::OutOfRange { column, row });
            }
        }
        out.extend_from_slice(if columns.is_empty() { b"{}\n" } else { b"}\n" });
    }
    Ok(())
}

/// What comes before a value: brace or comma, name, colon.
fn lead(place: usize, name: &str) -> Vec<u8> {
    let mut lead = vec![if place == 0 { b'{' } else { b',' }];
    write_string(name.as_bytes(), &mut lead);
    lead.push(b':');
    lead
}
