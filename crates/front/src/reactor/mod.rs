//! What waits and asks for the time, so that nothing else has to. Runs on the front's thread.

pub(crate) mod timers;
