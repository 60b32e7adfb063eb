//! Linux: see the table in [`super`].

mod beneath;
mod files;
mod packets;
mod sockets;

pub(crate) use beneath::{open_beneath, open_folder};
#[cfg(test)]
pub(crate) use beneath::{open_by_kernel, open_part_by_part};
pub(crate) use files::{random, read_at_once};
pub(crate) use packets::peek_packet;
pub(crate) use sockets::{
    SEND, SEND_BEFORE_MORE, accept, concerns_one_connection, peer_process, unacknowledged, waiting_on,
};
