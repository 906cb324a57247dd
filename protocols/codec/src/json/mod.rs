//! JSON text, read in place.

mod cursor;
mod fault;
mod number;
mod scan;
mod text;

pub(crate) use cursor::{Cursor, Key};
pub(crate) use fault::{Broken, Fault, Problem};
pub(crate) use number::{Number, exact_float};
pub(crate) use scan::{block_masks, plain_run};
pub(crate) use text::unescape;
