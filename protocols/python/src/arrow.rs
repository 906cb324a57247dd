//! Arrow data as Python objects that any Arrow library can take, without a copy and without pyarrow.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};
use pyo3_arrow::ffi::{to_array_pycapsules, to_schema_pycapsule};

/// A record batch. NUL in a name is handed over as U+2400.
#[pyclass(frozen, module = "dativo_protocols._codec")]
pub struct ArrowBatch(pub RecordBatch);

/// What stands for NUL in a name: the C data interface ends names there.
const NUL_SYMBOL: &str = "\u{2400}";

/// The schema as the C data interface can carry it.
fn exportable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields();
    if !fields.iter().any(has_nul) {
        return Arc::clone(schema);
    }
    let fields: Vec<FieldRef> = fields.iter().map(without_nul).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn has_nul(field: &FieldRef) -> bool {
    field.name().contains('\0')
        || match field.data_type() {
            DataType::Struct(fields) => fields.iter().any(has_nul),
            DataType::List(item) => has_nul(item),
            _ => false,
        }
}

fn without_nul(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(without_nul).collect()),
        DataType::List(item) => DataType::List(without_nul(item)),
        other => other.clone(),
    };
    let name = field.name().replace('\0', NUL_SYMBOL);
    Arc::new(
        field
            .as_ref()
            .clone()
            .with_name(name)
            .with_data_type(data_type),
    )
}

#[pymethods]
impl ArrowBatch {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let array: Arc<dyn Array> = Arc::new(StructArray::from(self.0.clone()));
        let schema = exportable(&self.0.schema());
        let field = Field::new("", DataType::Struct(schema.fields().clone()), false)
            .with_metadata(schema.metadata().clone());
        Ok(to_array_pycapsules(
            py,
            Arc::new(field),
            &array,
            requested_schema,
        )?)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(
            py,
            exportable(&self.0.schema()).as_ref(),
        )?)
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.0.num_rows()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.get_array_memory_size()
    }

    fn __repr__(&self) -> String {
        format!(
            "<ArrowBatch: {} rows, {} columns>",
            self.0.num_rows(),
            self.0.num_columns()
        )
    }
}

/// A schema. NUL in a name is handed over as U+2400.
#[pyclass(frozen, module = "dativo_protocols._codec")]
pub struct ArrowSchema(pub SchemaRef);

#[pymethods]
impl ArrowSchema {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, exportable(&self.0).as_ref())?)
    }

    fn __repr__(&self) -> String {
        format!("<ArrowSchema: {} columns>", self.0.fields().len())
    }
}
