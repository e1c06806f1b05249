//! ASGI 3 (asgi.readthedocs.io): apps on an asyncio event loop.
//!
//! The loop comes by in turns (core/event_loop.rs). Each request's coroutine is stepped at once, inside a task of its own;
//! what an app awaits of us is done before it asks, whenever it can be.

mod awaitable;
mod callables;
mod event_loop;
mod http;
mod hub;
mod late;
mod messages;
mod outcome;
mod scope;
mod tasks;
mod websocket;

pub use event_loop::Loop;
