//! Processes that write where they must not: a forked child with a copy of a request, a worker that changes what it
//! was only to read, and heads that change while they are looked at.

use super::{joined, link, push, write_request};
use crate::request::{BodyParts, RequestView};
use crate::{Frame, Phase, Progress, ResponseHead};

const HEAD: ResponseHead<'static> =
    ResponseHead { status: 200, reason: b"OK", known_length: None, route: b"" };

#[test]
fn a_forked_child_cannot_write_into_the_next_request_of_its_slot() {
    let (mut half, end) = link(1);
    let front = &mut half.end;
    let slot = push(front, "first").unwrap();
    let mut parent = end.take().unwrap();
    let mut child = parent.twin();
    end.put_head(&mut parent, &HEAD, [].into_iter()).unwrap();
    end.finish(parent, false);
    front.discard(slot);
    assert!(front.release(slot));

    // The slot that was freed last is used first.
    assert_eq!(push(front, "second"), Some(slot));
    let mut other = end.take().unwrap();
    assert_ne!(other.generation(), child.generation());
    end.put_head(&mut other, &HEAD, [].into_iter()).unwrap();
    end.put_data(&mut other, b"theirs");
    end.publish(&mut other);

    assert!(end.is_gone(&child));
    end.put_head(&mut child, &HEAD, [].into_iter()).unwrap();
    assert_eq!(end.put_data(&mut child, b"an intruder's"), 0);
    assert!(!end.has_room_for_file(&child) && !end.put_file(&mut child, 1, 0, 1));
    assert!(end.put_lent(&mut child, Box::new(b"lent"), 4).is_err());
    assert!(!end.take_socket(&child));
    child.published = false;
    end.publish(&mut child);
    end.conclude(&mut child, true);
    end.finish(child, true);

    assert_eq!(front.phase(slot), Some(Phase::Running));
    let (mut cursor, progress) = front.response(slot);
    assert_eq!(progress, Progress::Open);
    assert!(matches!(front.frames(slot).next(&mut cursor), Ok(Some(Frame::Head(_)))));
    match front.frames(slot).next(&mut cursor) {
        Ok(Some(Frame::Data(first, second))) => assert_eq!((first, second), (&b"theirs"[..], &b""[..])),
        other => panic!("{other:?}"),
    }
    assert!(cursor.is_at_end());
    end.finish(other, false);
    assert!(front.is_done(slot));
}

#[test]
fn who_ends_a_request_second_ends_nothing() {
    let (mut half, end) = link(1);
    let slot = push(&mut half.end, "x").unwrap();
    let parent = end.take().unwrap();
    let child = parent.twin();
    end.finish(child, false);
    assert!(half.end.release(slot));
    assert_eq!(push(&mut half.end, "y"), Some(slot));
    end.finish(parent, true);
    assert_eq!(half.end.phase(slot), Some(Phase::Ready));
    assert!(half.end.reclaim(slot));
}

#[test]
fn a_worker_cannot_change_what_another_one_gets() {
    let (mut front, end) = joined(1);
    let slot = front.claim().unwrap();
    let len = write_request(&mut front, slot, "mine", BodyParts::Inline(b"body"));
    front.submit(slot, len);
    // SAFETY: one thread; a worker that breaks the rules of `layout`.
    unsafe { end.region.bytes_mut(end.layout.request_area(slot as usize), len) }.fill(0xAB);
    let record = front.record(slot).to_vec();
    assert!(front.reclaim(slot));
    let view = RequestView::new(&record).unwrap();
    assert_eq!((view.path(), view.method(), record.len()), (&b"mine"[..], &b"GET"[..], len));
}

#[test]
fn a_large_record_is_not_kept_for_ever() {
    let (mut front, end) = joined(1);
    for (body, most) in
        [(&[b'x'; 60_000][..], 120_000), (&[b'x'; 100][..], super::super::front_end::KEPT_RECORD)]
    {
        let slot = front.claim().unwrap();
        let len = write_request(&mut front, slot, "x", BodyParts::Inline(body));
        front.submit(slot, len);
        assert!(front.kept_for_tests(slot) >= len && front.kept_for_tests(slot) <= most);
        let taken = end.take().unwrap();
        assert_eq!(end.request(&taken).unwrap().path(), b"x");
        end.finish(taken, false);
        assert!(front.release(slot));
    }
}

#[test]
fn a_head_is_copied_before_it_is_read() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "x").unwrap();
    let mut taken = end.take().unwrap();
    let fields = [(&b"X-One"[..], &b"good"[..])];
    end.put_head(&mut taken, &HEAD, fields.into_iter()).unwrap();
    end.publish(&mut taken);
    let (mut cursor, _) = front.response(slot);
    let Ok(Some(Frame::Head(head))) = front.frames(slot).next(&mut cursor) else { panic!("no head") };
    let mut copy = Vec::new();
    let view = head.read(&mut copy).unwrap();
    // SAFETY: one thread; a worker that writes over what it has published.
    unsafe { end.region.bytes_mut(end.layout.response_ring(slot as usize), 64) }.fill(b'\n');
    assert_eq!((view.status, view.reason), (200, &b"OK"[..]));
    assert_eq!(view.fields().collect::<Vec<_>>(), fields);
}
