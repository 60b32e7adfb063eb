//! What a forked child of this process inherits, and how it is cut off.
//!
//! An application may fork while it runs a request, also in C code, and the child may come back from wherever it was. Then two processes hold the
//! right to one slot, one link's socket and one epoll instance. So a handler of the C library's `fork` cuts the child off before anything else
//! runs in it:
//! - it is another *origin* from then on: whatever was made before the fork knows that it is not at home ([`Origin::is_here`]), and does nothing;
//! - memory that other processes see is replaced by memory of the child's own, so that nothing it writes is seen by anybody;
//! - descriptors of objects that the child may still drop are replaced by one that leads nowhere, under the same number;
//! - whatever the front's pollers wait for (its clients' sockets, its listeners) is closed;
//! - signals that pelton waits for do what they do by default. Until then all are held back, so that none is lost, and none for the child is taken
//!   for one of its parent.
//!
//! Memory that only this process sees needs nothing: the child has a copy.
//!
//! # The handler
//! It runs in a child of a process with threads: no locks, no allocation, only system calls and atomics. So all that is kept lies in lists that only grow,
//! whose places are used again. Something that is being made or dropped by another thread at the moment of the fork may be missed.
//!
//! Programs started by `exec`, also by way of `vfork` and `posix_spawn`, inherit nothing anyway: all of these descriptors are close-on-exec.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::system::{close_what_is_polled, lead_nowhere};

/// Signals whose handlers are this process's own, by their numbers; no standard signal has number 0.
static OWN_SIGNALS: AtomicU64 = AtomicU64::new(0);

/// How many forks there are between the first process and this one (wraps).
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process in which something was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(u32);

impl Origin {
    /// The calling process.
    pub fn here() -> Self {
        watch_for_forks();
        Origin(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is the calling process, and not one that was forked from it.
    #[inline]
    pub fn is_here(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// Whether a signal is to do in children what it does by default. Only for the standard signals, 1 to 31.
pub fn own_signal(number: u32, is_own: bool) {
    let bit = 1_u64.checked_shl(number).unwrap_or(0);
    if is_own {
        OWN_SIGNALS.fetch_or(bit, Ordering::SeqCst);
    } else {
        OWN_SIGNALS.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// A place in one of the lists; given back when dropped.
#[derive(Debug)]
pub struct Kept(&'static Place);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.what.store(FREE, Ordering::Release);
    }
}

/// Keeps a mapping of shared memory from children: they get empty memory of their own in its place. `start` and `len` are those of the mapping.
pub(crate) fn keep_mapping(start: *const u8, len: usize, writable: bool) -> Kept {
    MAPPINGS.put(start as usize, len << 1 | usize::from(writable))
}

/// Keeps a descriptor from children: there its number leads nowhere.
fn keep_descriptor(descriptor: RawFd) -> Kept {
    DESCRIPTORS.put(number(descriptor), 0)
}

/// Keeps an epoll instance from children, and closes there whatever it waits for.
pub fn keep_poller(descriptor: RawFd) -> Kept {
    POLLERS.put(number(descriptor), 0)
}

const FREE: usize = 0;
/// Somebody is about to write the place.
const CLAIMED: usize = 1;

/// Descriptors as what lies in a place.
fn number(descriptor: RawFd) -> usize {
    descriptor as usize + 2
}

#[derive(Debug)]
struct Place {
    /// [`FREE`], [`CLAIMED`], or what is kept.
    what: AtomicUsize,
    more: AtomicUsize,
    next: *const Place,
}

// SAFETY: `next` is written before the place is put into its list, and places live for ever.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// A list that only grows.
struct List(AtomicPtr<Place>);

static MAPPINGS: List = List::new();
static DESCRIPTORS: List = List::new();
static POLLERS: List = List::new();

impl List {
    const fn new() -> Self {
        List(AtomicPtr::new(ptr::null_mut()))
    }

    fn places(&self) -> impl Iterator<Item = &'static Place> {
        let mut next = self.0.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: null or a place, which lives for ever.
            let place = unsafe { next.as_ref()? };
            next = place.next;
            Some(place)
        })
    }

    fn put(&self, what: usize, more: usize) -> Kept {
        watch_for_forks();
        let claim = |place: &&Place| {
            place.what.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        if let Some(place) = self.places().find(claim) {
            place.more.store(more, Ordering::Relaxed);
            place.what.store(what, Ordering::Release);
            return Kept(place);
        }
        let place = Box::leak(Box::new(Place {
            what: AtomicUsize::new(what),
            more: AtomicUsize::new(more),
            next: ptr::null(),
        }));
        let mut first = self.0.load(Ordering::Acquire);
        loop {
            place.next = first;
            match self.0.compare_exchange_weak(first, place, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Kept(place),
                Err(now) => first = now,
            }
        }
    }

    /// All that is kept; for the handler.
    fn kept(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places().filter_map(|place| {
            let what = place.what.load(Ordering::Acquire);
            (what > CLAIMED).then(|| (what, place.more.load(Ordering::Relaxed)))
        })
    }

    fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.kept().map(|(what, _)| (what - 2) as RawFd)
    }
}

fn watch_for_forks() {
    static WATCHES: Once = Once::new();
    WATCHES.call_once(|| {
        // SAFETY: the handler lives as long as the process (the module is never unloaded) and does only what a handler may do. That it cannot be
        // registered means that there is no memory for a few words.
        let failed = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        assert_eq!(failed, 0, "out of memory");
    });
}

thread_local! {
    /// The signals that were held back before a fork of this thread began.
    static MASK: Cell<MaybeUninit<libc::sigset_t>> = const { Cell::new(MaybeUninit::uninit()) };
}

extern "C" fn before() {
    let (mut all, mut mask) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets live for the calls, which fill them.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), mask.as_mut_ptr());
    }
    MASK.set(mask);
}

extern "C" fn in_parent() {
    let mask = MASK.get();
    // SAFETY: filled by `before`, which runs before each fork, on the same thread.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut()) };
}

/// Runs in each forked child, first of all.
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    for (start, more) in MAPPINGS.kept() {
        replace_mapping(start, more >> 1, more & 1 != 0);
    }
    for poller in POLLERS.descriptors() {
        close_what_is_polled(poller);
    }
    for descriptor in POLLERS.descriptors().chain(DESCRIPTORS.descriptors()) {
        lead_nowhere(descriptor);
    }
    let own = OWN_SIGNALS.swap(0, Ordering::SeqCst);
    for number in (1..32).filter(|number| own & (1 << number) != 0) {
        // SAFETY: takes no pointer; the default needs no code of ours.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    in_parent();
}

fn replace_mapping(start: usize, len: usize, writable: bool) {
    let readable = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // Where even empty memory is not to be had, who touches it dies; the others' memory stays out of reach.
    for access in [readable, libc::PROT_NONE] {
        // SAFETY: exactly a mapping of ours is replaced, in a process of which only this thread runs. Nobody holds a reference into it that
        // means anything here: what was made before the fork does nothing any more.
        let mapped = unsafe { libc::mmap(ptr::without_provenance_mut(start), len, access, flags, -1, 0) };
        if mapped != libc::MAP_FAILED {
            return;
        }
    }
}

/// For Python's descriptors: see [`keep_descriptor`]. Fails for what is no descriptor.
pub fn keep_open_descriptor(descriptor: RawFd) -> io::Result<Kept> {
    // SAFETY: no pointers.
    if descriptor < 0 || unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(keep_descriptor(descriptor))
}

/// A descriptor that children do not get.
#[derive(Debug)]
pub(crate) struct KeptFd {
    /// First, so that it is given up before the number means another file.
    _kept: Kept,
    descriptor: OwnedFd,
}

impl From<OwnedFd> for KeptFd {
    fn from(descriptor: OwnedFd) -> Self {
        KeptFd { _kept: keep_descriptor(descriptor.as_raw_fd()), descriptor }
    }
}

impl AsFd for KeptFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for KeptFd {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
