//! The native core of hostler: everything that touches bytes on every request, and needs no Python to do it.
//!
//! `sys` wraps the system calls, `core` is one worker's reactor and scheduling, `log` and `score` say what happened,
//! `python` (a feature, on by default) is the bridge: the only part that knows the interpreter.

pub mod core;
pub mod log;
pub mod score;
pub mod settings;
pub mod sys;

#[cfg(feature = "python")]
mod python;
