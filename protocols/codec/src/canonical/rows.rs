//! Rows with values that cannot be converted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::take::take;
use serde_json::{Value, json};

use super::convert::{Problem, Room, convert};
use super::types::Step;
use super::{Canonical, CanonicalError};
use crate::CHANGES_COLUMN;
use crate::encode::{EncodeError, encode_json_lines};
use crate::optional::OptionalColumn;
use crate::plan::OnBadValue;
use crate::rejects::RejectsBuilder;

/// What became of a batch.
#[derive(Debug)]
pub struct Converted {
    /// The rows that could be converted; with a column `_dativo_changes` where values were nulled.
    pub batch: RecordBatch,
    /// The others, as in [`crate::rejects_schema`]; `line` is the row's place in the batch, from 0 on.
    pub rejects: Option<RecordBatch>,
}

/// A value that cannot be converted.
struct BadValue {
    place: usize,
    reason: &'static str,
}

impl Canonical {
    /// [`Self::convert`], with what `on_bad_value` says about values that would be changed. `keys` are columns whose values cannot be
    /// nulled, as are those that are not nullable: such a row is rejected in any case.
    ///
    /// # Errors
    /// As those of [`Self::convert`], but for values that would be changed, unless they are to fail.
    pub fn convert_rows(
        &self,
        batch: &RecordBatch,
        limit: usize,
        on_bad_value: OnBadValue,
        keys: &HashSet<String>,
    ) -> Result<Converted, CanonicalError> {
        match self.convert(batch, limit) {
            Err(CanonicalError::Lossy { .. }) if on_bad_value != OnBadValue::Fail => {
                self.without_bad(batch, limit, on_bad_value, keys)
            }
            Ok(batch) => Ok(Converted {
                batch,
                rejects: None,
            }),
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn without_bad(
        &self,
        batch: &RecordBatch,
        limit: usize,
        on_bad_value: OnBadValue,
        keys: &HashSet<String>,
    ) -> Result<Converted, CanonicalError> {
        let mut rejected: BTreeMap<usize, BadValue> = BTreeMap::new();
        let mut nulled: BTreeMap<usize, Vec<BadValue>> = BTreeMap::new();
        for (place, column) in self.columns.iter().enumerate() {
            let array = batch.column(column.place);
            let mut found = Vec::new();
            find(array, &column.step, limit, 0, &mut found)
                .map_err(|problem| problem.of(&column.property))?;
            let is_key = !self.schema.field(place).is_nullable() || keys.contains(&column.property);
            for (row, reason) in found {
                let bad = BadValue { place, reason };
                if on_bad_value == OnBadValue::Null && !is_key {
                    nulled.entry(row).or_default().push(bad);
                } else {
                    rejected.entry(row).or_insert(bad);
                }
            }
        }
        let kept: Vec<usize> = (0..batch.num_rows())
            .filter(|row| !rejected.contains_key(row))
            .collect();
        let mut room = Room::new(limit);
        let mut columns = Vec::with_capacity(self.columns.len() + 1);
        for (place, column) in self.columns.iter().enumerate() {
            let is_bad = |row: &usize| {
                let cells = nulled.get(row);
                cells.is_some_and(|cells| cells.iter().any(|bad| bad.place == place))
            };
            let rows = kept
                .iter()
                .map(|row| (!is_bad(row)).then_some(*row as u64))
                .collect::<UInt64Array>();
            let made = take(batch.column(column.place), &rows, None)
                .map_err(Problem::from)
                .and_then(|array| convert(&array, &column.step, &mut room));
            columns.push(made.map_err(|problem| problem.of(&column.property))?);
        }
        let mut schema = Arc::clone(&self.schema);
        if let Some((field, notes)) = self.notes(&kept, &nulled) {
            let mut fields = schema.fields().to_vec();
            fields.push(field);
            columns.push(notes);
            schema = Arc::new(Schema::new(fields));
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(kept.len()));
        let made = RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| CanonicalError::Broken(error.to_string()))?;
        Ok(Converted {
            batch: made,
            rejects: self.rejects(batch, &rejected),
        })
    }

    /// The column that says which values were nulled.
    fn notes(
        &self,
        kept: &[usize],
        nulled: &BTreeMap<usize, Vec<BadValue>>,
    ) -> Option<(arrow_schema::FieldRef, ArrayRef)> {
        let mut changes = OptionalColumn::new(CHANGES_COLUMN, "changes");
        for (row, before) in kept.iter().enumerate() {
            let Some(cells) = nulled.get(before) else {
                continue;
            };
            let notes = cells.iter().map(
                |bad| json!({"column": self.schema.field(bad.place).name(), "reason": bad.reason}),
            );
            changes.push(row, Value::Array(notes.collect()).to_string().as_bytes());
        }
        changes.finish(kept.len())
    }

    fn rejects(
        &self,
        batch: &RecordBatch,
        rejected: &BTreeMap<usize, BadValue>,
    ) -> Option<RecordBatch> {
        let mut rejects = RejectsBuilder::default();
        for (row, bad) in rejected {
            let name = self.schema.field(bad.place).name();
            let record = record_of(&batch.slice(*row, 1));
            rejects.push(*row as i64, Some(name), bad.reason, &record);
        }
        rejects.finish()
    }
}

/// Rows whose values cannot be converted, by halves.
fn find(
    array: &ArrayRef,
    step: &Step,
    limit: usize,
    first: usize,
    found: &mut Vec<(usize, &'static str)>,
) -> Result<(), Problem> {
    let reason = match convert(array, step, &mut Room::new(limit)) {
        Ok(_) => return Ok(()),
        Err(Problem::Value(reason) | Problem::Choose(reason)) => reason,
        Err(problem) => return Err(problem),
    };
    let rows = array.len();
    if rows == 1 {
        found.push((first, reason));
        return Ok(());
    }
    find(&array.slice(0, rows / 2), step, limit, first, found)?;
    let rest = array.slice(rows / 2, rows - rows / 2);
    find(&rest, step, limit, first + rows / 2, found)
}

/// A row as a JSON object, without a line break. What JSON cannot say of it stands as the number that it is in memory, else as null.
fn record_of(row: &RecordBatch) -> Vec<u8> {
    let mut row = row.clone();
    loop {
        let mut out = Vec::new();
        let column = match encode_json_lines(&row, &mut out) {
            Ok(()) if is_json(&out) => {
                out.pop();
                return out;
            }
            // A text that is no JSON, in a column that should be.
            Ok(()) => None,
            Err(
                EncodeError::Unsupported { column, .. } | EncodeError::OutOfRange { column, .. },
            ) => Some(column),
        };
        row = sayable(&row, column.as_deref());
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok()
}

/// The same with one column that can be said; without a name, with no column of JSON.
fn sayable(row: &RecordBatch, column: Option<&str>) -> RecordBatch {
    let schema = row.schema();
    let made = schema.fields().iter().zip(row.columns());
    let (fields, columns): (Vec<_>, Vec<_>) = made
        .map(|(field, array)| {
            if column.is_some_and(|name| name != field.name()) {
                return (Arc::clone(field), Arc::clone(array));
            }
            let array = match column {
                None => Arc::clone(array),
                Some(_) => raw(array),
            };
            (
                Arc::new(Field::new(field.name(), array.data_type().clone(), true)),
                array,
            )
        })
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("the columns have one row")
}

fn raw(array: &ArrayRef) -> ArrayRef {
    let width = array.data_type().primitive_width();
    let (data_type, made): (_, fn(arrow_data::ArrayData) -> ArrayRef) = match width {
        Some(4) => (DataType::Int32, |data| Arc::new(Int32Array::from(data))),
        Some(8) => (DataType::Int64, |data| Arc::new(Int64Array::from(data))),
        _ => return arrow_array::new_null_array(&DataType::Null, array.len()),
    };
    let same = array.to_data().into_builder().data_type(data_type).build();
    same.map_or_else(
        |_| arrow_array::new_null_array(&DataType::Null, array.len()),
        made,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::CanonicalOptions;
    use arrow_array::{Date64Array, StringArray, TimestampNanosecondArray};

    fn converted(columns: Vec<(&str, ArrayRef)>, on_bad_value: OnBadValue) -> Converted {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let canonical =
            Canonical::compile(batch.schema_ref(), &CanonicalOptions::default()).unwrap();
        let keys = HashSet::new();
        canonical
            .convert_rows(&batch, usize::MAX, on_bad_value, &keys)
            .unwrap()
    }

    fn records(rejects: &RecordBatch) -> Vec<String> {
        let records = arrow_array::cast::AsArray::as_binary::<i32>(rejects.column(3));
        let texts = records
            .iter()
            .flatten()
            .map(|text| String::from_utf8(text.to_vec()));
        texts.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn what_json_cannot_say_stands_as_a_number() {
        // Far beyond the year 9999.
        let dates: ArrayRef = Arc::new(Date64Array::from(vec![0, i64::MAX - 1]));
        let made = converted(vec![("d", dates)], OnBadValue::Quarantine);
        assert_eq!(made.batch.num_rows(), 1);
        assert_eq!(
            records(&made.rejects.unwrap()),
            [format!("{{\"d\":{}}}", i64::MAX - 1)]
        );
    }

    #[test]
    fn a_text_that_is_no_json_is_a_string_of_the_record() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["{}", "{oops"]));
        let field = Field::new("j", DataType::Utf8, true);
        let field = field.with_metadata(crate::plan::json_metadata());
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![texts]).unwrap();
        let canonical =
            Canonical::compile(batch.schema_ref(), &CanonicalOptions::default()).unwrap();
        let made =
            canonical.convert_rows(&batch, usize::MAX, OnBadValue::Quarantine, &HashSet::new());
        assert_eq!(
            records(&made.unwrap().rejects.unwrap()),
            [r#"{"j":"{oops"}"#]
        );
    }

    #[test]
    fn many_bad_values_are_all_found() {
        let values = (0..1000).map(|n| (n > 0).then_some(n));
        let values = values.collect::<Vec<Option<i64>>>();
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(values));
        let made = converted(vec![("at", times)], OnBadValue::Null);
        assert_eq!(made.batch.column(0).null_count(), 1000);
        assert_eq!(made.batch.column(1).null_count(), 1);
        assert!(made.rejects.is_none());
    }
}
