//! Descriptors that travel beside a record or a response: a spooled body's file, a file to send.
//!
//! A record or a frame can only carry a number, the *token*. The file itself is laid on the receiver's [`ReceivedFiles`] under it: directly where both
//! ends live in one process, over a socket between processes. Each file is named by token, slot and
//! generation, so that one which nobody fetched is never mistaken for that of a later request: it is dropped as soon as it is found out.
//!
//! Nothing here blocks; a full socket is an error, and the giver finds another way. What arrives is not trusted: malformed packets are
//! closed and dropped, and each end keeps at most [`PER_SLOT`] files per slot. Any thread may call; the sockets' order does not matter.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::descriptor_packets::{Entry, Owner, Received, receive, send};
use crate::fork::KeptFd;
use crate::front_end::FrontEnd;
use crate::layout::Phase;
use crate::system;
use crate::wake::Doorbell;
use crate::worker_end::{Taken, WorkerEnd};

/// An honest end sends one file per request; a second one is margin, a third drives the first out.
const PER_SLOT: usize = 2;
/// How many packets one look at the socket reads: more than fit into it, so only a peer that goes on sending meets this bound.
const PACKETS: usize = 4096;
/// A packet that only wakes: shorter than one that names a file.
const RING: u8 = 0;
/// Files that have arrived and were not fetched.
#[derive(Default)]
struct ReceivedFiles {
    /// How many, so that the usual request, which has none, takes no lock.
    count: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
}

impl ReceivedFiles {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entries: &mut Vec<Entry>, entry: Entry) {
        entries.retain(|old| old.owner.slot != entry.owner.slot || old.owner == entry.owner);
        let same = entries.iter().filter(|old| old.owner == entry.owner).count();
        if same >= PER_SLOT
            && let Some(oldest) = entries.iter().position(|old| old.owner == entry.owner)
        {
            entries.remove(oldest);
        }
        entries.push(entry);
        self.count.store(entries.len(), Ordering::Release);
    }

    fn find(&self, entries: &mut Vec<Entry>, owner: Owner, token: u64) -> Option<OwnedFd> {
        let at = entries.iter().position(|entry| entry.token == token && entry.owner == owner)?;
        let file = entries.remove(at).file;
        self.count.store(entries.len(), Ordering::Release);
        Some(file)
    }

    fn retain(&self, keep: impl Fn(Owner) -> bool) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut entries = self.lock();
        entries.retain(|entry| keep(entry.owner));
        self.count.store(entries.len(), Ordering::Release);
    }
}

enum Way {
    /// The other end's received files, in this process.
    Direct(Arc<ReceivedFiles>),
    /// Connected to the other end's process; not for children that are forked.
    Socket(KeptFd),
}

/// What lay in the socket beside files.
#[derive(Default)]
struct Found {
    /// A packet that only wakes.
    ring: bool,
    /// A file for which the process had no room.
    lost: bool,
    /// The other end is closed.
    closed: bool,
}

/// One end's means to give and to take files.
pub(crate) struct Post {
    own: Arc<ReceivedFiles>,
    way: Way,
    next: AtomicU64,
    /// What wakes the worker, once it has asked for that (see `bell`). Within one process the same for both ends; between processes this end's own.
    bell: Arc<OnceLock<Doorbell>>,
    /// Between processes: readable when the socket or this end's bell is.
    either: OnceLock<KeptFd>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("waiting", &self.own.count).finish_non_exhaustive()
    }
}

impl Post {
    /// The two ends within one process.
    pub(crate) fn pair() -> (Post, Post) {
        let both: [Arc<ReceivedFiles>; 2] = Default::default();
        let [front, worker] = both;
        let bell = Arc::default();
        let post = |own: &Arc<ReceivedFiles>, other: &Arc<ReceivedFiles>| Post {
            own: Arc::clone(own),
            way: Way::Direct(Arc::clone(other)),
            next: AtomicU64::new(1),
            bell: Arc::clone(&bell),
            either: OnceLock::new(),
        };
        (post(&front, &worker), post(&worker, &front))
    }

    /// This process's end of a socket pair.
    pub(crate) fn over(socket: OwnedFd) -> Post {
        Post {
            own: Arc::default(),
            way: Way::Socket(socket.into()),
            next: AtomicU64::new(1),
            bell: Arc::default(),
            either: OnceLock::new(),
        }
    }

    /// Gives a file to the other end; `own` makes the descriptor that stays, where both ends live here.
    fn give<F: AsFd>(
        &self,
        owner: Owner,
        file: F,
        own: impl FnOnce(F) -> io::Result<OwnedFd>,
    ) -> io::Result<u64> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        match &self.way {
            Way::Direct(received) => {
                let file = own(file)?;
                received.put(&mut received.lock(), Entry { owner, token, file });
            }
            Way::Socket(socket) => send(socket.as_fd(), owner, token, file.as_fd())?,
        }
        Ok(token)
    }

    /// Fetches a file that the other end gave; what else has arrived is kept as long as `is_live` says so.
    fn take(&self, owner: Owner, token: u64, is_live: impl Fn(Owner) -> bool) -> io::Result<OwnedFd> {
        let mut entries = self.own.lock();
        if let Some(file) = self.own.find(&mut entries, owner, token) {
            return Ok(file);
        }
        let received = self.receive(&mut entries, is_live);
        match self.own.find(&mut entries, owner, token) {
            Some(file) => Ok(file),
            None => received.and(Err(io::Error::new(io::ErrorKind::NotFound, "the file did not come"))),
        }
    }

    /// Empties the socket into the received files, and tells what else was found there.
    fn empty(&self, entries: &mut Vec<Entry>, is_live: impl Fn(Owner) -> bool) -> Found {
        let mut found = Found::default();
        let Way::Socket(socket) = &self.way else { return found };
        for _ in 0..PACKETS {
            match receive(socket.as_fd()) {
                Received::File(entry) if is_live(entry.owner) => self.own.put(entries, entry),
                Received::File(_) => {}
                Received::Malformed => found.ring = true,
                Received::Lost => found.lost = true,
                Received::Nothing => break,
                Received::Closed => {
                    found.closed = true;
                    break;
                }
            }
        }
        found
    }

    /// The same for who looks for a file. An error only where the process has no room for a descriptor: one is lost then.
    ///
    /// A ring may be among what is taken out. It is not this caller's to hear, so the bell is rung here in its place.
    fn receive(&self, entries: &mut Vec<Entry>, is_live: impl Fn(Owner) -> bool) -> io::Result<()> {
        let found = self.empty(entries, is_live);
        if found.ring {
            self.ring_ourselves();
        }
        if found.lost { Err(io::Error::from_raw_os_error(libc::EMFILE)) } else { Ok(()) }
    }

    /// Drops whatever lies, here or on its way through the socket, for requests that are over.
    fn tidy(&self, is_live: impl Fn(Owner) -> bool) {
        if matches!(self.way, Way::Socket(..)) {
            let mut entries = self.own.lock();
            // What got lost is missed by whoever looks for it.
            let _ = self.receive(&mut entries, &is_live);
        }
        self.own.retain(is_live);
    }

    /// The descriptor that becomes readable when the other end rings.
    pub(crate) fn bell(&self) -> io::Result<RawFd> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        if self.bell.get().is_none() {
            // Of two at the same time one is dropped.
            let _ = self.bell.set(Doorbell::new()?);
        }
        let bell = self.bell.get().ok_or_else(missing)?.as_fd();
        match &self.way {
            Way::Direct(_) => Ok(bell.as_raw_fd()),
            Way::Socket(socket) => {
                if self.either.get().is_none() {
                    let _ = self.either.set(system::either_of(socket.as_fd(), bell)?.into());
                }
                Ok(self.either.get().ok_or_else(missing)?.as_raw_fd())
            }
        }
    }

    /// Makes the other end's descriptor readable. Never blocks: where a socket is full, it is readable already.
    pub(crate) fn ring(&self) {
        match &self.way {
            Way::Socket(socket) => {
                let _ = system::send_packet(socket.as_fd(), &[RING], None);
            }
            Way::Direct(_) => self.ring_ourselves(),
        }
    }

    /// Makes our own descriptor readable, if somebody has asked for it.
    pub(crate) fn ring_ourselves(&self) {
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// Makes our descriptor unreadable again; what else lies in it goes to the received files. False where the other end is closed.
    pub(crate) fn silence(&self, is_live: impl Fn(Owner) -> bool) -> bool {
        if let Some(bell) = self.bell.get() {
            bell.silence();
        }
        if matches!(self.way, Way::Direct(_)) {
            return true;
        }
        // Who looks for a file that got lost misses it.
        !self.empty(&mut self.own.lock(), is_live).closed
    }

    /// The slot's request is over: what was not fetched will not be.
    pub(crate) fn forget(&self, slot: u32) {
        self.own.retain(|owner| owner.slot != slot);
        if let Way::Direct(other) = &self.way {
            other.retain(|owner| owner.slot != slot);
        }
    }
}

impl FrontEnd {
    /// Names `file`, a spooled body, for the worker that will run the claimed `slot`; the token goes into the record. The front keeps
    /// its descriptor, so that it can name the file again to another worker. An error where the worker does not keep up (WouldBlock,
    /// ETOOMANYREFS), has ended, or this process has no descriptor left: try later.
    pub fn give_file(&mut self, slot: u32, file: BorrowedFd<'_>) -> io::Result<u64> {
        self.post.give(self.owner(slot), file, |file| file.try_clone_to_owned())
    }

    /// Takes over the file that a frame of `slot`'s response names. None: there is none such, or no descriptor left for it.
    pub fn take_file(&mut self, slot: u32, token: u64) -> Option<OwnedFd> {
        let live = |owner: Owner| self.is_current(owner);
        self.post.take(self.owner(slot), token, live).ok()
    }

    /// Drops files of responses that nobody read. They are also found out by the next [`FrontEnd::take_file`]; worth a call where a worker
    /// has given files to requests that were abandoned and nothing else happens.
    pub fn drop_stale_files(&mut self) {
        self.post.tidy(|owner| self.is_current(owner));
    }
}

impl WorkerEnd {
    /// The body's file of a taken request; to be called at most once per request.
    pub fn take_file(&self, taken: &Taken, token: u64) -> io::Result<OwnedFd> {
        self.post.take(taken.owner(), token, |owner| self.is_wanted(owner))
    }

    /// Gives a file of the response to the front; the token goes into [`WorkerEnd::put_file`]. Check [`WorkerEnd::has_room_for_file`] before, so
    /// that the frame follows the file. On an error (the front does not keep up) the file is closed: send its content as data instead.
    pub fn give_file(&self, taken: &Taken, file: OwnedFd) -> io::Result<u64> {
        self.post.give(taken.owner(), file, Ok)
    }

    /// Drops files that came for requests which the front has taken back, and which would keep their disk space. Now and then is enough.
    pub fn drop_stale_files(&self) {
        self.post.tidy(|owner| self.is_wanted(owner));
    }

    /// Whether a request may still be taken or running. A file comes before its request, so an older generation in the slot means
    /// that ours is yet to come.
    pub(crate) fn is_wanted(&self, owner: Owner) -> bool {
        if owner.slot as usize >= self.slots() {
            return false;
        }
        let state = self.slot(owner.slot).responder.0.state.load(Ordering::Acquire);
        let age = owner.generation.wrapping_sub((state >> 32) as u32) as i32;
        age > 0 || age == 0 && Phase::of(state) != Some(Phase::Done)
    }
}
