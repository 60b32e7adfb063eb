//! What the fuzz targets share: the checks, the tests' way to feed a receiver, and readers that are as simple as can be.

pub mod checks;
#[path = "../../crates/http/tests/common/mod.rs"]
pub mod common;
pub mod negotiation;
#[path = "../../crates/http/tests/common/h2.rs"]
pub mod peer;
pub mod records;
pub mod simple;
