//! Linux: see the table in [`super`].

mod clocks;
mod descriptors;
mod memory;
mod packets;
mod polled;
mod wakes;

pub(crate) use clocks::{
    coarse_step_us, coarse_us, fine_us, is_runnable, own_thread, process_cpu_us, thread_time,
};
pub(crate) use descriptors::{either_of, lead_nowhere};
pub(crate) use memory::{fix_size, forbid_new_writers, forget_pages, memory_file};
#[cfg(test)]
pub(crate) use packets::packet_pair;
pub(crate) use packets::{Packet, receive_packet, send_packet};
pub(crate) use polled::close_what_is_polled;
pub(crate) use wakes::{new_bell, ring_bell, silence_bell, wait, wake};
