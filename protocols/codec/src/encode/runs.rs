//! Arrays that say each value once: dictionaries and runs.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int16Type, Int32Type, Int64Type, RunEndIndexType};
use arrow_array::{Array, RunArray};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;

/// The values of a dictionary or of runs, and the place of each row's value among them: of a row that the dictionary's keys say is
/// null, any place. `None` for an array of another kind.
pub(crate) fn physical(array: &dyn Array) -> Option<(&dyn Array, Vec<usize>)> {
    match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            // Without any value all keys are null.
            let places = match values.is_empty() {
                true => vec![0; array.len()],
                false => dictionary.normalized_keys(),
            };
            Some((values.as_ref(), places))
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs(array.as_run::<Int16Type>()),
            DataType::Int32 => runs(array.as_run::<Int32Type>()),
            DataType::Int64 => runs(array.as_run::<Int64Type>()),
            _ => None,
        },
        _ => None,
    }
}

fn runs<R: RunEndIndexType>(array: &RunArray<R>) -> Option<(&dyn Array, Vec<usize>)> {
    let (first, last) = (array.offset(), array.offset() + array.len());
    let mut places = Vec::with_capacity(array.len());
    for (place, end) in array.run_ends().values().iter().enumerate() {
        let end = end.as_usize().min(last);
        let rows = end.saturating_sub(first + places.len());
        places.resize(places.len() + rows, place);
    }
    Some((array.values().as_ref(), places))
}
