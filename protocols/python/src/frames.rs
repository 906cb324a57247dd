//! Frames of the Arrow protocol, written; and schemas as text.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use dativo_codec::StreamId;
use dativo_codec::frame::{self, EncodedFrame, FrameKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3_arrow::PySchema;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::arrow::ArrowSchema;
use crate::decoder::{borrowed, choice};
use crate::errors;
use crate::given::GivenBatch;

/// How many parts one system call takes.
const PARTS: usize = 1024;

#[pyfunction]
#[pyo3(signature = (stream, data, *, kind = "batch", emitted_at = None))]
pub fn encode_arrow_frame<'py>(
    py: Python<'py>,
    stream: (String, Option<String>),
    data: GivenBatch,
    kind: &str,
    emitted_at: Option<i64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let frame = encoded(py, stream, data, kind, emitted_at)?;
    PyBytes::new_with(py, frame.nbytes(), |bytes| {
        let mut rest = bytes;
        for part in frame.parts() {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        Ok(())
    })
}

#[pyfunction]
#[pyo3(signature = (fd, stream, data, *, kind = "batch", emitted_at = None))]
pub fn write_arrow_frame(
    py: Python<'_>,
    fd: RawFd,
    stream: (String, Option<String>),
    data: GivenBatch,
    kind: &str,
    emitted_at: Option<i64>,
) -> PyResult<usize> {
    let frame = encoded(py, stream, data, kind, emitted_at)?;
    let fd = borrowed(fd)?;
    let (mut part, mut within) = (0, 0);
    while part < frame.parts().len() {
        match py.detach(|| write(fd, &frame, part, within)) {
            Ok(place) => (part, within) = place,
            Err(Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        // Also after a write that a signal cut short, which is no error.
        py.check_signals()?;
    }
    Ok(frame.nbytes())
}

/// Writes what one call takes; gives the part to go on with, and how much of it is written.
fn write(
    fd: BorrowedFd<'_>,
    frame: &EncodedFrame,
    part: usize,
    within: usize,
) -> Result<(usize, usize), Errno> {
    let parts = frame.parts();
    let mut slices = vec![IoSlice::new(&parts[part][within..])];
    slices.extend(
        parts[part + 1..]
            .iter()
            .take(PARTS - 1)
            .map(|part| IoSlice::new(part)),
    );
    let mut written = match rustix::io::writev(fd, &slices) {
        Err(Errno::AGAIN) => {
            poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None)?;
            0
        }
        written => written?,
    };
    let (mut part, mut within) = (part, within);
    while part < parts.len() && written >= parts[part].len() - within {
        written -= parts[part].len() - within;
        (part, within) = (part + 1, 0);
    }
    Ok((part, within + written))
}

fn encoded(
    py: Python<'_>,
    (name, namespace): (String, Option<String>),
    data: GivenBatch,
    kind: &str,
    emitted_at: Option<i64>,
) -> PyResult<EncodedFrame> {
    let kind = choice(
        "kind",
        kind,
        &[("batch", FrameKind::Batch), ("rejects", FrameKind::Rejects)],
    )?;
    let stream = StreamId::new(name, namespace.as_deref());
    let batch = data.0;
    py.detach(|| frame::encode_frame(&stream, &batch, kind, emitted_at))
        .map_err(errors::type_error)
}

#[pyfunction]
pub fn encode_arrow_schema(schema: PySchema) -> PyResult<String> {
    frame::encode_arrow_schema(&schema.into_inner()).map_err(errors::type_error)
}

#[pyfunction]
pub fn decode_arrow_schema(text: &str) -> PyResult<ArrowSchema> {
    let schema = frame::decode_arrow_schema(text)
        .map_err(|error| PyValueError::new_err(format!("`arrow_schema`: {error}")))?;
    Ok(ArrowSchema(Arc::new(schema)))
}
