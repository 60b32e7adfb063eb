//! Tests of parts that need a real link to show anything.

mod affinity;
mod dispatching;
mod offers;
mod path_limits;
mod self_calls;
mod silence;
mod windows;
