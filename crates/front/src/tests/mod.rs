//! Tests of parts that need a real link to show anything.

mod dispatching;
mod self_calls;
mod windows;
