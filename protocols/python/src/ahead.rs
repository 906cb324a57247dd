//! Shared libraries, loaded ahead of the modules that need them.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::thread;

use pyo3::prelude::*;

/// Loads shared libraries one after the other, on a thread of its own, while Python goes on; what fails is found by who imports it.
#[pyfunction]
pub fn load_ahead(libraries: Vec<PathBuf>) {
    let load = move || {
        for library in libraries {
            if let Ok(path) = CString::new(library.into_os_string().into_vec()) {
                // SAFETY: the path ends with a zero. What runs are the initializers of libraries that the same process is about
                // to import, and the loader takes its own lock.
                #[allow(unsafe_code)]
                unsafe {
                    libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
                }
            }
        }
    };
    // Without a thread to be had, they are loaded when they are imported.
    let _ = thread::Builder::new()
        .name("dativo-ahead".into())
        .spawn(load);
}
