//! A child that is forked in the middle of a request reaches nobody. Each child looks at what it has, and says by its exit code what is wrong.

use crate::atomics::AtomicU32;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::{joined, link, push};
use crate::region::Region;
use crate::wake::Doorbell;
use crate::{Origin, Phase, keep_poller, own_signal};

/// What a forked child comes to: 0, or the number of the first look that fails. It must not allocate: another thread of the tests may hold a lock.
fn child(look: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child only looks, and ends by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let code = look();
            // SAFETY: as above.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0);
            let mut status = 0;
            // SAFETY: our own child; `status` lives for the call.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
        }
    }
}

/// The number of the first of these that does not hold, from 1.
fn first_wrong<const N: usize>(looks: [bool; N]) -> i32 {
    looks.iter().position(|&holds| !holds).map_or(0, |at| at as i32 + 1)
}

#[test]
fn what_a_child_does_to_its_request_reaches_nobody() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "/").unwrap();
    let _other = push(&mut front, "/other");
    let mut taken = end.take().unwrap();
    let code = child(|| {
        let wrong = first_wrong([
            end.is_foreign(),
            end.is_gone(&taken),
            end.is_left(taken.slot(), taken.generation()),
            end.take().is_none(),
            end.ready() == 0,
        ]);
        // As a child that knows of nothing would.
        end.put_data(&mut taken, b"of the child");
        end.publish(&mut taken);
        end.conclude(&mut taken, false);
        end.settle();
        wrong
    });
    assert_eq!(code, 0);
    assert_eq!(front.phase(slot), Some(Phase::Running));
    let mut news = Vec::new();
    front.take_dirty(&mut news);
    assert_eq!(news, []);
    assert!(!end.is_foreign() && !end.is_gone(&taken) && end.ready() == 1);
    end.finish(taken, false);
    assert_eq!(front.phase(slot), Some(Phase::Done));
}

#[test]
fn memory_within_one_process_is_a_copy() {
    let (mut half, end) = link(1);
    let slot = push(&mut half.end, "/").unwrap();
    let taken = end.take().unwrap();
    assert_eq!(child(|| first_wrong([end.is_foreign(), end.is_gone(&taken), end.take().is_none()])), 0);
    assert_eq!(half.end.phase(slot), Some(Phase::Running));
    end.finish(taken, false);
}

#[test]
fn shared_memory_is_replaced_by_empty_memory_and_given_up_with_its_mapping() {
    let file = Region::shareable(c"test", 8192).unwrap();
    let region = Region::shared(&file, 8192, true).unwrap();
    let read_only = Region::shared(&file, 8192, false).unwrap();
    // SAFETY: an atomic at an aligned offset.
    let word: &AtomicU32 = unsafe { region.atomics(4096) };
    // SAFETY: as above.
    let seen: &AtomicU32 = unsafe { read_only.atomics(4096) };
    word.store(7, Ordering::SeqCst);
    let code = child(|| {
        let empty = first_wrong([word.load(Ordering::SeqCst) == 0, seen.load(Ordering::SeqCst) == 0]);
        word.store(8, Ordering::SeqCst);
        empty
    });
    assert_eq!((code, word.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (0, 7, 7));
}

#[test]
fn a_childs_bell_is_not_heard() {
    let bell = Doorbell::new().unwrap();
    assert_eq!(
        child(|| {
            bell.ring();
            0
        }),
        0
    );
    let mut count = [0; 8];
    // SAFETY: eight writable bytes, without blocking.
    let read =
        unsafe { libc::read(std::os::fd::AsFd::as_fd(&bell).as_raw_fd(), count.as_mut_ptr().cast(), 8) };
    assert_eq!(read, -1, "somebody has rung");
}

#[test]
fn what_a_poller_waits_for_is_closed_and_nothing_else() {
    // SAFETY: no pointers; checked below.
    let poller = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(poller >= 0);
    // SAFETY: just made, without another owner.
    let poller = unsafe { OwnedFd::from_raw_fd(poller) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Vec::new();
    let mut accepted = Vec::new();
    // More than one buffer of the list.
    for _ in 0..200 {
        clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        accepted.push(listener.accept().unwrap().0);
    }
    let last = accepted.pop().unwrap();
    for raw in accepted.iter().map(AsRawFd::as_raw_fd).chain([listener.as_raw_fd()]) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let poller = poller.as_raw_fd();
        // SAFETY: open descriptors; `event` lives for the call.
        let added = unsafe { libc::epoll_ctl(poller, libc::EPOLL_CTL_ADD, raw, &raw mut event) };
        assert_eq!(added, 0);
    }
    let kept = keep_poller(poller.as_raw_fd());
    // SAFETY: no pointers.
    let is_open = |raw| unsafe { libc::fcntl(raw, libc::F_GETFD) } >= 0;
    let all_closed = || !accepted.iter().any(|one| is_open(one.as_raw_fd()));
    let code = child(|| {
        first_wrong([
            all_closed(),
            !is_open(listener.as_raw_fd()),
            is_open(last.as_raw_fd()),
            clients.iter().all(|one| is_open(one.as_raw_fd())),
            // Its number stays taken.
            is_open(poller.as_raw_fd()),
        ])
    });
    assert_eq!(code, 0);
    drop(kept);
    assert_eq!(child(|| first_wrong([is_open(listener.as_raw_fd()), !all_closed()])), 0);
    drop(accepted);
    assert_eq!(clients[0].read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn an_origin_is_one_process() {
    let origin = Origin::here();
    assert!(origin.is_here());
    assert_eq!(child(|| first_wrong([!origin.is_here(), Origin::here().is_here()])), 0);
    assert!(origin.is_here() && origin == Origin::here());
}

#[test]
fn a_signal_of_ours_ends_a_child() {
    // One that nobody else here has to do with.
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGTTOU, handler) };
    own_signal(libc::SIGTTOU as u32, true);
    let has_default = || {
        // SAFETY: all zeros is a valid value, which the call fills.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `action` lives for the call.
        unsafe { libc::sigaction(libc::SIGTTOU, std::ptr::null(), &raw mut action) };
        action.sa_sigaction == libc::SIG_DFL
    };
    assert_eq!(child(|| first_wrong([has_default()])), 0);
    assert!(!has_default());
    own_signal(libc::SIGTTOU as u32, false);
    assert_eq!(child(|| first_wrong([!has_default()])), 0);
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_DFL) };
}
