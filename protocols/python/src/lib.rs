//! Signatures and conversions only: the Python face of `dativo-stream` and `dativo-codec`.

mod ahead;
mod allocator;
mod arrow;
mod canonical;
mod decoder;
mod errors;
mod frames;
mod given;
mod lines;
mod messages;
mod panics;
mod states;

use pyo3::prelude::*;

#[pymodule]
mod _codec {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::allocator::share_one_heap();
        crate::panics::hush_guarded();
        Ok(())
    }

    #[pymodule_export]
    use crate::ahead::load_ahead;
    #[pymodule_export]
    use crate::arrow::{ArrowBatch, ArrowSchema};
    #[pymodule_export]
    use crate::canonical::{arrow_json_schema, canonical_batch, canonical_rows, canonical_schema};
    #[pymodule_export]
    use crate::decoder::{AirbyteDecoder, SingerDecoder};
    #[pymodule_export]
    use crate::frames::{
        decode_arrow_schema, encode_arrow_frame, encode_arrow_schema, write_arrow_frame,
    };
    #[pymodule_export]
    use crate::lines::{JsonLinesDecoder, decode_json_lines, encode_json_lines};
    #[pymodule_export]
    use crate::states::split_states;
}
