//! Which worker gets which request, and when: the queue, the slots, and the exceptions from first come, first served.
//!
//! Knows nothing of sockets or HTTP beyond a complete request (`ask`). Runs on the front's thread.

pub(crate) mod affinity;
pub(crate) mod ask;
pub(crate) mod attachments;
pub(crate) mod dispatch;
pub(crate) mod path_limits;
pub(crate) mod placing;
pub(crate) mod self_call;
pub(crate) mod stuck;
pub(crate) mod taking;
pub(crate) mod worker_link;
mod worker_slots;
