//! The greatest value of a column so far, and what lies above one.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Scalar, StringArray, new_empty_array};
use arrow_cast::cast;
use arrow_ord::cmp::gt;
use arrow_ord::ord::make_comparator;
use arrow_schema::{ArrowError, DataType, SortOptions};
use dativo_sdk::Error;
use serde::{Deserialize, Serialize};

/// How far a stream was read by a column: the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached {
    /// The column.
    pub cursor: String,
    /// The greatest value that was read, as text; none for none.
    pub value: Option<String>,
}

/// A column by which a stream is read.
pub(super) struct Cursor {
    pub name: String,
    /// What was read before: one value.
    after: Option<ArrayRef>,
    /// The greatest value so far.
    best: Option<ArrayRef>,
}

impl Cursor {
    /// # Errors
    /// When the state's value is not one of the column's.
    pub(super) fn new(
        name: &str,
        data_type: &DataType,
        state: Option<Reached>,
    ) -> Result<Self, Error> {
        let known = state
            .filter(|state| state.cursor == name)
            .and_then(|state| state.value);
        let after = known
            .map(|value| {
                let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
                let after = from_text(&text, data_type).ok().filter(|after| after.is_valid(0));
                after.ok_or_else(|| {
                    Error::config(format!("the state of cursor `{name}` is no value of its column, which is {data_type}"))
                        .with_hint("run without it once, so that the stream is read from the beginning")
                })
            })
            .transpose()?;
        Ok(Self {
            name: name.to_owned(),
            best: after.clone(),
            after,
        })
    }

    /// Which of the groups whose greatest values these are may hold something new.
    pub(super) fn wants(&self, greatest: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        let Some(after) = &self.after else {
            return Ok(vec![true; greatest.len()].into());
        };
        let above = gt(greatest, &Scalar::new(Arc::clone(after)))?;
        // A group that does not say what it holds may hold anything.
        Ok((0..above.len())
            .map(|at| Some(above.is_null(at) || above.value(at)))
            .collect())
    }

    /// Which rows are new; `None` for all. Rows without a value are.
    pub(super) fn new_rows(&self, values: &ArrayRef) -> Result<Option<BooleanArray>, ArrowError> {
        if self.after.is_none() {
            Ok(None)
        } else {
            self.wants(values).map(Some)
        }
    }

    /// Takes note of the values that were read.
    pub(super) fn note(&mut self, values: &ArrayRef) -> Result<(), ArrowError> {
        let options = SortOptions::default();
        let within = make_comparator(values, values, options)?;
        let valid = (0..values.len()).filter(|at| values.is_valid(*at));
        let Some(top) = valid.reduce(|top, at| {
            if within(at, top) == Ordering::Greater {
                at
            } else {
                top
            }
        }) else {
            return Ok(());
        };
        let better = match &self.best {
            None => true,
            Some(best) => make_comparator(values, best, options)?(top, 0) == Ordering::Greater,
        };
        if better {
            // A copy: a slice would keep the batch in memory.
            let mut builder =
                arrow_array::make_array(new_empty_array(values.data_type()).to_data());
            builder = arrow_select::concat::concat(&[&builder, &values.slice(top, 1)])?;
            self.best = Some(builder);
        }
        Ok(())
    }

    /// How far it is.
    pub(super) fn reached(&self) -> Result<Reached, ArrowError> {
        let value = self.best.as_ref().map(to_text).transpose()?;
        let value = value.and_then(|text| {
            let text = text.as_any().downcast_ref::<StringArray>()?;
            Some(text.value(0).to_owned())
        });
        Ok(Reached {
            cursor: self.name.clone(),
            value,
        })
    }
}

/// One value as text. Moments are counted: their zone is part of the column.
fn to_text(value: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match value.data_type() {
        DataType::Timestamp(..) => cast(&cast(value, &DataType::Int64)?, &DataType::Utf8),
        _ => cast(value, &DataType::Utf8),
    }
}

/// The way back.
fn from_text(text: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::Timestamp(..) => cast(&cast(text, &DataType::Int64)?, data_type),
        _ => cast(text, data_type),
    }
}

#[cfg(test)]
mod tests {

    use arrow_array::TimestampMicrosecondArray;

    use super::*;

    fn moments(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC"))
    }

    #[test]
    fn what_was_read_is_told_exactly() {
        let kind = moments(&[]).data_type().clone();
        let mut cursor = Cursor::new("at", &kind, None).unwrap();
        assert!(cursor.new_rows(&moments(&[Some(1)])).unwrap().is_none());
        cursor
            .note(&moments(&[
                Some(5),
                None,
                Some(1_709_210_096_789_001),
                Some(7),
            ]))
            .unwrap();
        cursor.note(&moments(&[None])).unwrap();
        let state = cursor.reached().unwrap();
        let next = Cursor::new("at", &kind, Some(state)).unwrap();
        let rows = next
            .new_rows(&moments(&[
                Some(1_709_210_096_789_001),
                Some(1_709_210_096_789_002),
                None,
            ]))
            .unwrap()
            .unwrap();
        assert_eq!(rows, BooleanArray::from(vec![false, true, true]));
        assert!(
            Cursor::new(
                "at",
                &kind,
                Some(Reached {
                    cursor: "at".into(),
                    value: Some("x".into())
                })
            )
            .is_err()
        );
    }
}
