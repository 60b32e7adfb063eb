//! Memory that a burst has left behind goes back to the system.
//!
//! Slots are handed out last freed, first used, so after a burst most of them lie unused, with hundreds of kilobytes each.
//! The same with chunks of bodies. What has not been used between two looks is given back; what is in use is never touched.
//! Runs on the front's thread, some times a minute while there is something to give back, and never otherwise.

use crate::bodies::{BodyPool, CHUNK_BYTES};
use crate::front_end::FrontEnd;
use crate::layout::{REQUEST_BYTES, RESPONSE_BYTES};
use crate::wake::Sharing;

/// How long ago a piece of memory was used, in looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Age {
    /// Never, or it has been given back.
    #[default]
    Clean,
    /// Since the last look.
    Used,
    /// Before the last look.
    Old,
}

/// The ages of slots, or of chunks.
#[derive(Debug)]
pub(crate) struct Ages {
    ages: Vec<Age>,
    /// Whether any may be not clean.
    is_any: bool,
}

impl Ages {
    pub(crate) fn new(count: usize) -> Self {
        Ages { ages: vec![Age::Clean; count], is_any: false }
    }

    /// A piece is taken into use.
    #[inline]
    pub(crate) fn use_one(&mut self, index: u32) {
        self.is_any = true;
        if let Some(age) = self.ages.get_mut(index as usize) {
            *age = Age::Used;
        }
    }

    /// One look: calls `give_back` for those of the `free` ones that were not used since the last one.
    fn look(&mut self, free: &[u32], mut give_back: impl FnMut(u32)) {
        for &index in free {
            let Some(age) = self.ages.get_mut(index as usize) else { continue };
            *age = match *age {
                Age::Used => Age::Old,
                Age::Old => {
                    give_back(index);
                    Age::Clean
                }
                Age::Clean => Age::Clean,
            };
        }
        self.is_any = self.ages.iter().any(|age| *age != Age::Clean);
    }
}

impl FrontEnd {
    /// Gives the memory of slots that have not been used since the last call back to the system.
    pub fn trim(&mut self) {
        let (region, layout) = (&self.region, &self.layout);
        self.ages.look(&self.free, |slot| {
            // SAFETY: a free slot is this end's, and the front reads nothing of it before it has filled it anew.
            unsafe {
                region.give_back(layout.request_area(slot as usize), REQUEST_BYTES);
                region.give_back(layout.response_ring(slot as usize), RESPONSE_BYTES);
            }
        });
    }

    /// Whether [`FrontEnd::trim`] may have something to do, now or later.
    pub fn is_touched(&self) -> bool {
        self.ages.is_any
    }
}

impl BodyPool {
    /// The same for chunks of bodies. Not for those in a file: it is sealed against writing, which the system takes to forbid
    /// this, too; they are bounded, and all workers share them.
    pub fn trim(&mut self) {
        let region = self.arena.region();
        self.ages.look(&self.free, |chunk| {
            // SAFETY: a free chunk is the pool's.
            unsafe { region.give_back(chunk as usize * CHUNK_BYTES, CHUNK_BYTES) };
        });
    }

    /// Whether [`BodyPool::trim`] may have something to do.
    pub fn is_touched(&self) -> bool {
        self.ages.is_any && self.arena.region().sharing() == Sharing::Private
    }
}
