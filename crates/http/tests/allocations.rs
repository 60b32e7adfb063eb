//! The promise that a request is parsed and a response is written without touching the heap, once the buffers have
//! grown. A file of its own, because the counting allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a failing test may say so bluntly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pelton_http::h1::encode::encode_head;
use pelton_http::{Event, Head, Limits, Receiver, ResponseContext, Version};

thread_local! {
    // Per thread, so that the test harness does not disturb. Const-initialised: must not allocate itself.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator unchanged; counting touches no memory that it manages.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are handed through.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed through.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_second_request_costs_no_allocation() {
    let wire = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-Other: 1\r\nAccept: */*\r\nConnection: keep-alive\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n";
    let (limits, mut head, mut receiver, mut out) =
        (Limits::default(), Head::default(), Receiver::new(), Vec::new());
    let context = ResponseContext {
        version: Version::Http11,
        is_head: false,
        keep_alive: true,
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        known_length: Some(5),
        timing: None,
        transport_security: None,
    };
    let mut exchange = || {
        let mut rest = &wire[..];
        loop {
            let step = receiver.advance(rest, &limits, &mut head).unwrap();
            rest = &rest[step.consumed..];
            if step.event == Event::End {
                break;
            }
            assert_ne!(step.event, Event::NeedMore);
        }
        receiver.next_request();
        out.clear();
        encode_head(&mut out, 200, b"Fine", [(&b"X-A"[..], &b"b"[..])], &context).unwrap();
    };
    exchange();
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the count works");
    exchange();
    assert_eq!(ALLOCATIONS.get(), before);
}
