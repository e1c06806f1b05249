//! Log lines, written without the interpreter: access lines in batches, error lines at once.

mod access;
mod errors;
mod escape;
mod stamp;
mod writer;

pub use access::{AccessLog, Entry, Pending};
pub use errors::{ErrorLog, DEBUG, ERROR, INFO, WARNING};
pub use stamp::Stamp;
pub use writer::Writer;
