//! What is written down of each request: its record while it runs, its line when it has ended, and the id by which both are found.
//!
//! `format` is compiled from what was asked for, `request_part` writes what a head says into the `record`, `line` makes all of the text (`text`,
//! `clock`, `trace`), `log` gathers lines and `output` takes them. Runs on the front's thread and never waits.

pub(crate) mod clock;
pub(crate) mod envelope;
pub(crate) mod format;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod record;
pub(crate) mod request_ids;
pub(crate) mod request_part;
pub(crate) mod text;
pub(crate) mod trace;
