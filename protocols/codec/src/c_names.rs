//! Names that the Arrow C data interface can carry.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};

/// What stands for NUL in a name: the C data interface ends names there.
const NUL_SYMBOL: &str = "\u{2400}";

/// The schema as the C data interface can carry it: NUL in a name is handed over as U+2400.
pub fn c_names(schema: &SchemaRef) -> SchemaRef {
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
