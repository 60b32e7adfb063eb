//! A request while it is in a slot: it is given up, its socket is taken or taken back, its body goes on, its unread response is thrown away.
//!
//! Must not know how it got there (`worker_link`). Runs on the front's thread.

use pelton_link::{BodyEnd, BodyWindow, Frame, FrontEnd, Why};

use crate::ids::ExchangeId;
use crate::scheduling::worker_link::Worker;

impl Worker {
    /// Nobody waits for this response any more, or its time is over.
    pub fn abandon(&mut self, slot: u16, why: Why) {
        if self.is_dead {
            return;
        }
        self.end.abandon(u32::from(slot), why);
        // Nothing more is received for it, so who waits for that is woken.
        if let Some(window) =
            self.uses.get_mut(slot as usize).and_then(|place| place.attachments.window.as_mut())
            && window.is_open()
        {
            window.end(BodyEnd::Abandoned);
            self.end.publish_body(u32::from(slot), window);
        }
    }

    /// Takes the offer of a request's socket back, where there is one; false when the worker has taken it.
    pub fn withdraw(&self, slot: u16) -> bool {
        match self.uses.get(slot as usize).filter(|place| place.is_used) {
            Some(place) if place.attachments.socket.is_some() => self.end.withdraw_socket(u32::from(slot)),
            _ => true,
        }
    }

    /// Whether the worker has taken the socket of a request.
    #[inline]
    pub fn has_taken_socket(&self, slot: u16) -> bool {
        self.uses.get(slot as usize).is_some_and(|place| place.is_used && place.attachments.socket.is_some())
            && self.end.is_socket_taken(u32::from(slot))
    }

    /// The connection of a socket that the worker has taken is forgotten: what the front holds of it is closed.
    pub fn forget_socket(&mut self, slot: u16) {
        if let Some(place) = self.uses.get_mut(slot as usize) {
            place.attachments.socket = None;
            place.owner = None;
        }
    }

    /// The window of a request's streamed body, for its owner; None once the worker has let go of the request.
    pub fn stream(&mut self, slot: u16, owner: ExchangeId) -> Option<(&mut FrontEnd, &mut BodyWindow)> {
        let place = self.uses.get_mut(slot as usize)?;
        if !place.is_used || place.is_done || self.is_dead || place.owner != Some(owner) {
            return None;
        }
        Some((&mut self.end, place.attachments.window.as_deref_mut()?))
    }

    /// Throws away what has been published of a response.
    pub fn discard(&mut self, slot: u16) {
        self.drop_attachments(u32::from(slot));
        self.end.discard(u32::from(slot));
    }

    /// Descriptors and loans in a response that nobody reads would be kept for ever.
    #[inline]
    pub(super) fn drop_attachments(&mut self, slot: u32) {
        if self.end.has_unread(slot) {
            self.drop_unread(slot);
        }
    }

    #[cold]
    fn drop_unread(&mut self, slot: u32) {
        let (mut cursor, _) = self.end.response(slot);
        let mut tokens = Vec::new();
        while let Ok(Some(frame)) = self.end.frames(slot).next(&mut cursor) {
            match frame {
                Frame::File { token, .. } => tokens.push(token),
                Frame::Lent { token, .. } => drop(self.end.take_loan(token)),
                Frame::Head(_) | Frame::Data(..) | Frame::Spend(_) => {}
            }
        }
        for token in tokens {
            drop(self.end.take_file(slot, token));
        }
    }
}
