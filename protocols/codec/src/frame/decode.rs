//! Arrow IPC streams to batches: nothing is believed, nothing is copied where it is aligned.

use std::io::Read;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{CompressionType, Message, MessageHeader, root_as_message};
use arrow_schema::{ArrowError, DataType, Schema};

use super::guard::guarded;
use super::own::owned;
use crate::canonical::{Canonical, CanonicalOptions};
use crate::rejects::rejects_schema;

/// A payload that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It is no Arrow IPC stream.
    #[error("it is not a valid Arrow IPC stream: {0}")]
    Invalid(String),
    /// It has not the columns of rejects.
    #[error("rejects have the columns `line`, `column`, `reason` and `record`: {0}")]
    NoRejects(String),
}

impl From<ArrowError> for PayloadError {
    fn from(error: ArrowError) -> Self {
        Self::Invalid(match error {
            ArrowError::IpcError(reason)
            | ArrowError::ParseError(reason)
            | ArrowError::InvalidArgumentError(reason) => reason,
            other => other.to_string(),
        })
    }
}

const CONTINUATION: [u8; 4] = [0xff; 4];

fn cut() -> PayloadError {
    PayloadError::Invalid("it ends in the middle of a message".to_owned())
}

/// Where the metadata of the message at `start` are, and where it begins without its body; `None` at the end of the stream.
fn metadata(payload: &[u8], start: usize) -> Result<Option<Range<usize>>, PayloadError> {
    let rest = payload.get(start..).ok_or_else(cut)?;
    let (prefix, rest) = match rest.strip_prefix(&CONTINUATION) {
        Some(rest) => (8, rest),
        None if rest.is_empty() => return Ok(None),
        None => (4, rest),
    };
    let length = rest.first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(i32::from_le_bytes(*length))
        .map_err(|_| PayloadError::Invalid("a message has a negative length".to_owned()))?;
    let from = start + prefix;
    let fits = length <= payload.len() - from;
    match length {
        0 => Ok(None),
        _ if fits => Ok(Some(from..from + length)),
        _ => Err(cut()),
    }
}

/// The first message of a payload, its schema: what two payloads of one schema have in common.
///
/// # Errors
/// When there is none.
pub fn schema_message(payload: &[u8]) -> Result<&[u8], PayloadError> {
    let found = metadata(payload, 0)?;
    let range = found.ok_or_else(|| PayloadError::Invalid("it has no schema".to_owned()))?;
    Ok(&payload[..range.end])
}

/// The schema that [`schema_message`] gives.
///
/// # Errors
/// When it is none.
pub fn read_schema(message: &[u8]) -> Result<Schema, PayloadError> {
    let range = metadata(message, 0)?.ok_or_else(cut)?;
    // The library wants it aligned.
    let aligned = Buffer::from(&message[range]);
    Ok(guarded(|| try_schema_from_flatbuffer_bytes(&aligned))?)
}

/// All batches of a payload. Their buffers are parts of it, where it is aligned for them; those that are compressed (LZ4, Zstandard)
/// are made anew, together not larger than `limit` bytes.
///
/// # Errors
/// When it is not one whole Arrow IPC stream.
pub fn decode_payload(payload: Buffer, limit: usize) -> Result<Vec<RecordBatch>, PayloadError> {
    check(&payload, limit)?;
    let read = || {
        let mut payload = payload;
        let mut decoder = StreamDecoder::new();
        let mut batches = Vec::new();
        while let Some(batch) = decoder.decode(&mut payload)? {
            batches.push(batch);
        }
        decoder.finish()?;
        Ok(batches)
    };
    Ok(guarded(read)?)
}

/// Whether messages lie within the payload, and their buffers within their bodies: the Arrow library trusts in that.
fn check(payload: &[u8], limit: usize) -> Result<(), PayloadError> {
    let mut start = 0;
    let mut room = limit;
    while let Some(range) = metadata(payload, start)? {
        let message = root_as_message(&payload[range.clone()])
            .map_err(|error| PayloadError::Invalid(format!("a message cannot be read: {error}")))?;
        let body = usize::try_from(message.bodyLength()).map_err(|_| outside())?;
        if body > payload.len() - range.end {
            return Err(cut());
        }
        let end = range.end + body;
        check_message(&message, &payload[range.end..end], &mut room)?;
        start = end;
    }
    Ok(())
}

fn outside() -> PayloadError {
    PayloadError::Invalid("a buffer lies outside of its message".to_owned())
}

fn check_message(message: &Message<'_>, body: &[u8], room: &mut usize) -> Result<(), PayloadError> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message
            .header_as_dictionary_batch()
            .and_then(|dictionary| dictionary.data()),
        MessageHeader::Schema => return Ok(()),
        _ => {
            return Err(PayloadError::Invalid(
                "a message is of an unknown type".to_owned(),
            ));
        }
    };
    let batch = batch.ok_or_else(|| PayloadError::Invalid("a message has no header".to_owned()))?;
    let codec = batch.compression().map(|compression| compression.codec());
    let buffers = batch.buffers();
    for buffer in buffers.iter().flatten() {
        let end = buffer.offset().checked_add(buffer.length());
        let fits = buffer.offset() >= 0
            && buffer.length() >= 0
            && end.is_some_and(|end| usize::try_from(end).is_ok_and(|end| end <= body.len()));
        if !fits {
            return Err(outside());
        }
        if let Some(codec) = codec {
            let start = buffer.offset() as usize;
            check_compressed(&body[start..start + buffer.length() as usize], codec, room)?;
        }
    }
    let rows = 0..=i64::from(i32::MAX);
    let nodes = batch.nodes();
    let sound = |length: i64, nulls: i64| rows.contains(&length) && (0..=length).contains(&nulls);
    let counts = batch.variadicBufferCounts();
    let most = buffers.map_or(0, |buffers| buffers.len()) as i64;
    if !rows.contains(&batch.length())
        || !nodes
            .iter()
            .flatten()
            .all(|node| sound(node.length(), node.null_count()))
        || !counts
            .iter()
            .flatten()
            .all(|count| (0..=most).contains(&count))
    {
        return Err(PayloadError::Invalid(
            "a column has an impossible length".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a compressed buffer is as large as it says, and there is room for that.
fn check_compressed(
    buffer: &[u8],
    codec: CompressionType,
    room: &mut usize,
) -> Result<(), PayloadError> {
    let wrong = |reason: &str| PayloadError::Invalid(reason.to_owned());
    let Some((length, data)) = buffer.split_first_chunk::<8>() else {
        return match buffer {
            [] => Ok(()),
            _ => Err(wrong("a compressed buffer has no length")),
        };
    };
    // -1: as it is.
    let Ok(length) = usize::try_from(i64::from_le_bytes(*length)) else {
        return Ok(());
    };
    let left = room.checked_sub(length);
    *room =
        left.ok_or_else(|| wrong("its buffers are larger than the memory there is for them"))?;
    if codec != CompressionType::LZ4_FRAME {
        // Zstandard is given a place of that length.
        return Ok(());
    }
    // The library would go on to the end of the frame, however far that is.
    let frame = lz4_flex::frame::FrameDecoder::new(data).take(length as u64 + 1);
    match std::io::copy(&mut { frame }, &mut std::io::sink()) {
        Ok(found) if found == length as u64 => Ok(()),
        _ => Err(wrong("a compressed buffer cannot be read")),
    }
}

/// The same batch, each of its buffers known to be as large as it is: memory that is held is counted by buffers, which here are
/// parts of one payload.
pub fn counted(batch: RecordBatch) -> RecordBatch {
    let (schema, columns, rows) = batch.into_parts();
    let columns = columns.into_iter().map(|column| owned(&column)).collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .expect("columns are the same as before")
}

/// Rows of a REJECTS frame, with the columns of [`rejects_schema`].
///
/// # Errors
/// When they have others.
pub fn rejects_of(batch: &RecordBatch, limit: usize) -> Result<RecordBatch, PayloadError> {
    let wrong = |error: &dyn std::fmt::Display| PayloadError::NoRejects(error.to_string());
    let schema = rejects_schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let options = CanonicalOptions {
        fields: Some(names.collect()),
        ..CanonicalOptions::default()
    };
    let canonical =
        Canonical::compile(batch.schema_ref(), &options).map_err(|error| wrong(&error))?;
    let made = canonical
        .convert(batch, limit)
        .map_err(|error| wrong(&error))?;
    let columns = schema.fields().iter().map(|field| {
        let column = made.column_by_name(field.name());
        let column = column
            .ok_or_else(|| PayloadError::NoRejects(format!("`{}` is missing", field.name())))?;
        Ok(match (field.data_type(), column.data_type()) {
            (DataType::Binary, DataType::Utf8) => {
                let bytes: ArrayRef =
                    std::sync::Arc::new(BinaryArray::from(column.as_string::<i32>().clone()));
                bytes
            }
            _ => column.clone(),
        })
    });
    let columns = columns.collect::<Result<_, PayloadError>>()?;
    RecordBatch::try_new(schema, columns).map_err(|error| wrong(&error))
}

/// The first reject: its line, its column and its reason.
pub fn first_reject(rejects: &RecordBatch) -> Option<(u64, Option<String>, String)> {
    let line = rejects
        .column(0)
        .as_primitive::<arrow_array::types::Int64Type>();
    let [column, reason] = [1, 2].map(|place| rejects.column(place).as_string::<i32>());
    (rejects.num_rows() > 0).then(|| {
        (
            u64::try_from(line.value(0)).unwrap_or(0),
            column.is_valid(0).then(|| column.value(0).to_owned()),
            reason.value(0).to_owned(),
        )
    })
}
