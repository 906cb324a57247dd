//! A reader as a shared library with the C interface of `sdk/include/dativo_reader.h`, which is its contract.

// The border to C: pointers come in and go out. Each use says why it is sound.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{Array, StructArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dativo_codec::c_names;
use serde_json::{Value, json};

use crate::panics::caught;
use crate::{
    Error, Kind, Partition, Piece, ReadCatalog, Reader, SavedState, State, config_schema,
    parse_config,
};

/// Exports the C interface for a reader, in a crate of the type `cdylib`: `dativo_sdk::export_c!(MyReader);`.
#[macro_export]
macro_rules! export_c {
    ($reader:ty) => {
        // Exported names are unsafe: two of a kind must not meet in one library.
        #[allow(unsafe_code)]
        const _: () = {
            use ::std::ffi::{CString, c_char, c_int, c_void};
            use ::std::sync::OnceLock;
            use $crate::capi;

            #[unsafe(no_mangle)]
            extern "C" fn dativo_api_version() -> u32 {
                capi::API_VERSION
            }
            #[unsafe(no_mangle)]
            extern "C" fn dativo_spec() -> *const c_char {
                static SPEC: OnceLock<CString> = OnceLock::new();
                SPEC.get_or_init(capi::spec::<$reader>).as_ptr()
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_open(
                config: *const c_char,
                catalog: *const c_char,
                state: *const c_char,
                partition: *const u8,
                n: usize,
                reader: *mut *mut c_void,
            ) -> c_int {
                unsafe { capi::open::<$reader>(config, catalog, state, partition, n, reader) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_schema(
                reader: *mut c_void,
                json: *mut *mut c_char,
            ) -> c_int {
                unsafe { capi::schema::<$reader>(reader, json) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_read(
                reader: *mut c_void,
                max_rows: u64,
                stream: *mut *mut c_char,
                array: *mut c_void,
                schema: *mut c_void,
            ) -> c_int {
                unsafe {
                    capi::read::<$reader>(reader, max_rows, stream, array.cast(), schema.cast())
                }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_state(
                reader: *mut c_void,
                json: *mut *mut c_char,
            ) -> c_int {
                unsafe { capi::state::<$reader>(reader, json) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_partitions(
                reader: *mut c_void,
                count: u32,
                target_bytes: u64,
                json: *mut *mut c_char,
            ) -> c_int {
                unsafe { capi::partitions::<$reader>(reader, count, target_bytes, json) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_close(reader: *mut c_void) {
                unsafe { capi::close::<$reader>(reader) }
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn dativo_free(text: *mut c_char) {
                unsafe { capi::free(text) }
            }
            #[unsafe(no_mangle)]
            extern "C" fn dativo_error() -> *const c_char {
                capi::error()
            }
        };
    };
}

/// `DATIVO_API_VERSION` of the header.
pub const API_VERSION: u32 = 1 << 16;

thread_local! {
    static ERROR: RefCell<CString> = RefCell::new(CString::default());
}

/// Text for C; NUL in JSON is written as an escape, so that none is lost.
fn text(json: impl Into<Vec<u8>>) -> CString {
    CString::new(json).unwrap_or_default()
}

/// Runs `work`, notes its error for `dativo_error`, and gives the code.
fn answered(work: impl FnOnce() -> Result<(), Error>) -> c_int {
    let Err(error) = caught(work) else { return 0 };
    let said = json!({"kind": error.kind.as_str(), "message": error.message, "hint": error.hint});
    ERROR.set(text(said.to_string()));
    match error.kind {
        Kind::Config => 2,
        Kind::Connector => 10,
        Kind::Contract => 30,
        Kind::Temporary => 75,
    }
}

/// `dativo_error`.
pub fn error() -> *const c_char {
    // Valid until the thread's next call replaces it, as the header says.
    ERROR.with_borrow(|error| error.as_ptr())
}

/// `dativo_spec`.
pub fn spec<R: Reader>() -> CString {
    let info = R::INFO;
    let mut capabilities = info.capabilities();
    // Of the powers, C has a function for one.
    let powers: Vec<&str> = info
        .powers()
        .into_iter()
        .filter(|power| *power == "partitions")
        .collect();
    capabilities["powers"] = json!(powers);
    let said = json!({
        "name": info.name,
        "version": info.version,
        "config_schema": config_schema::<R::Config>(),
        "capabilities": capabilities,
    });
    text(said.to_string())
}

/// A text of the host's, as bytes; none for NULL.
///
/// # Safety
/// It is NULL or ends with NUL.
unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// The reader behind a handle.
///
/// # Safety
/// The handle came from [`open`] for the same type, and was not closed; no other call with it is under way.
unsafe fn reader<'a, R: Reader>(handle: *mut c_void) -> Result<&'a mut R, Error> {
    // SAFETY: the caller's promise; NULL is none.
    unsafe { handle.cast::<R>().as_mut() }.ok_or_else(|| Error::connector("there is no reader"))
}

/// `dativo_open`.
///
/// # Safety
/// As the header demands: texts end with NUL or are NULL, `partition` has `n` bytes or is NULL, `handle` can be written.
pub unsafe fn open<R: Reader>(
    config: *const c_char,
    catalog: *const c_char,
    state: *const c_char,
    partition: *const u8,
    n: usize,
    handle: *mut *mut c_void,
) -> c_int {
    answered(|| {
        // SAFETY: the caller's promise.
        let (config, catalog, state) = unsafe { (bytes(config), bytes(catalog), bytes(state)) };
        let token = (!partition.is_null()).then(|| {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(partition, n) }.to_vec()
        });
        let catalog = catalog.map(ReadCatalog::parse).transpose()?;
        let state = state
            .map(SavedState::parse)
            .transpose()?
            .filter(|state| !state.is_empty());
        let made = R::initialize(
            parse_config(config.unwrap_or(b"{}"))?,
            catalog.map(|catalog| catalog.with_partition(token)),
            state,
        )?;
        // SAFETY: the caller's promise. The reader is given back by `close`.
        unsafe { handle.write(Box::into_raw(Box::new(made)).cast()) };
        Ok(())
    })
}

/// `dativo_schema`.
///
/// # Safety
/// As for [`reader`]; `json` can be written.
pub unsafe fn schema<R: Reader>(handle: *mut c_void, json: *mut *mut c_char) -> c_int {
    answered(|| {
        // SAFETY: the caller's promise.
        let catalog = unsafe { reader::<R>(handle) }?.get_schema()?;
        // SAFETY: the caller's promise.
        unsafe { give(json, Some(catalog.to_airbyte())) };
        Ok(())
    })
}

/// `dativo_read`.
///
/// # Safety
/// As for [`reader`]; `stream`, `array` and `schema` can be written.
pub unsafe fn read<R: Reader>(
    handle: *mut c_void,
    max_rows: u64,
    stream: *mut *mut c_char,
    array: *mut FFI_ArrowArray,
    schema: *mut FFI_ArrowSchema,
) -> c_int {
    answered(|| {
        let max_rows = usize::try_from(max_rows).unwrap_or(usize::MAX);
        // SAFETY: the caller's promise.
        let piece = unsafe { reader::<R>(handle) }?.read_batch(max_rows)?;
        let Some(Piece {
            stream: id,
            kind,
            data,
        }) = piece
        else {
            // SAFETY: the caller's promise.
            unsafe { give(stream, None) };
            return Ok(());
        };
        let described = FFI_ArrowSchema::try_from(c_names(data.schema_ref()).as_ref())?;
        let exported = FFI_ArrowArray::new(&StructArray::from(data).to_data());
        let said = json!({"stream": id.name(), "namespace": id.namespace(), "kind": kind.as_str()});
        // SAFETY: the caller's promise. What lies there is not released: it holds nothing yet.
        unsafe {
            schema.write(described);
            array.write(exported);
            give(stream, Some(said));
        }
        Ok(())
    })
}

/// `dativo_state`.
///
/// # Safety
/// As for [`reader`]; `json` can be written.
pub unsafe fn state<R: Reader>(handle: *mut c_void, json: *mut *mut c_char) -> c_int {
    answered(|| {
        // SAFETY: the caller's promise.
        let state = unsafe { reader::<R>(handle) }?.get_incremental_state()?;
        // SAFETY: the caller's promise.
        unsafe {
            json.write(state.map_or(std::ptr::null_mut(), |state| text(said(&state)).into_raw()))
        };
        Ok(())
    })
}

/// A state with its own bytes.
fn said(state: &State) -> String {
    let stream = state.stream.as_ref();
    let name = Value::from(stream.map(|stream| stream.name()));
    let namespace = Value::from(stream.and_then(|stream| stream.namespace()));
    let data = state.data.get();
    format!(r#"{{"stream":{name},"namespace":{namespace},"state":{data}}}"#)
}

/// `dativo_partitions`.
///
/// # Safety
/// As for [`reader`]; `json` can be written.
pub unsafe fn partitions<R: Reader>(
    handle: *mut c_void,
    count: u32,
    target_bytes: u64,
    json: *mut *mut c_char,
) -> c_int {
    answered(|| {
        let target_bytes = usize::try_from(target_bytes).unwrap_or(usize::MAX);
        // SAFETY: the caller's promise.
        let parts = unsafe { reader::<R>(handle) }?.partitions(count as usize, target_bytes)?;
        let entries = parts.iter().map(|Partition { token, state }| {
            let state = state.as_ref().map_or_else(|| "null".to_owned(), said);
            format!(
                r#"{{"token":"{}","state":{state}}}"#,
                STANDARD.encode(token)
            )
        });
        let all = format!("[{}]", entries.collect::<Vec<_>>().join(","));
        // SAFETY: the caller's promise.
        unsafe { json.write(text(all).into_raw()) };
        Ok(())
    })
}

/// `dativo_close`.
///
/// # Safety
/// The handle is NULL or as for [`reader`], and is not used again.
pub unsafe fn close<R: Reader>(handle: *mut c_void) {
    if handle.is_null() {
        return;
    }
    // SAFETY: the caller's promise: `open` made it so.
    let mut reader = unsafe { Box::from_raw(handle.cast::<R>()) };
    answered(move || reader.close());
}

/// `dativo_free`.
///
/// # Safety
/// The text came from this library, and is not used again; or it is NULL.
pub unsafe fn free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the caller's promise: `CString::into_raw` gave it.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// Writes a text, or NULL.
///
/// # Safety
/// `place` can be written.
unsafe fn give(place: *mut *mut c_char, said: Option<Value>) {
    let said = said.map_or(std::ptr::null_mut(), |said| {
        text(said.to_string()).into_raw()
    });
    // SAFETY: the caller's promise.
    unsafe { place.write(said) };
}
