use super::*;

const HEAD: &[u8] = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-One: two\r\n\r\n";

fn parts<'a>(body: BodyParts<'a>) -> RequestParts<'a> {
    RequestParts {
        head: HEAD,
        method: Span { start: 0, end: 3 },
        target: Span { start: 4, end: 14 },
        query: Span { start: 11, end: 14 },
        path: b"/a b",
        peer: b"127.0.0.1",
        peer_port: 4711,
        listener: 2,
        version: 11,
        body,
    }
}

fn fields() -> [FieldRecord; 2] {
    [
        FieldRecord { name: Span { start: 25, end: 29 }, value: Span { start: 31, end: 32 }, known: 7 },
        FieldRecord { name: Span { start: 34, end: 39 }, value: Span { start: 41, end: 44 }, known: 0 },
    ]
}

#[test]
fn a_record_reads_back_as_written() {
    let mut area = vec![0xAA; 1024];
    for body in [
        BodyParts::None,
        BodyParts::Inline(b"hello"),
        BodyParts::Chunks(&[3, 9], 70_000),
        BodyParts::File(5, 1 << 40),
        BodyParts::Socket(6),
        BodyParts::Stream { chunks: &[3, 9], length: None, waits_for_leave: true },
        BodyParts::Stream { chunks: &[3, 9], length: Some(70_000), waits_for_leave: false },
    ] {
        let len = encode(&mut area, &parts(body), fields().into_iter()).unwrap();
        let view = RequestView::new(&area[..len]).unwrap();
        assert_eq!(
            (view.method(), view.target(), view.path()),
            (&b"GET"[..], &b"/a%20b?x=1"[..], &b"/a b"[..])
        );
        assert_eq!((view.query(), view.peer()), (&b"x=1"[..], &b"127.0.0.1"[..]));
        assert_eq!((view.header.peer_port, view.header.listener, view.header.version), (4711, 2, 11));
        let got: Vec<_> = view.fields().collect();
        assert_eq!(got, [(7, &b"Host"[..], &b"h"[..]), (0, &b"X-One"[..], &b"two"[..])]);
        match (body, view.body()) {
            (BodyParts::None, BodyView::None) => {}
            (BodyParts::Inline(a), BodyView::Inline(b)) => assert_eq!(a, b),
            (BodyParts::Chunks(a, n), BodyView::Chunks(b, m)) => {
                let b: Vec<u32> = b.chunks(4).map(|c| u32::from_ne_bytes(c.try_into().unwrap())).collect();
                assert_eq!((a, n), (&b[..], m));
            }
            (BodyParts::File(a, n), BodyView::File(b, m)) => assert_eq!((a, n), (b, m)),
            (BodyParts::Socket(a), BodyView::Socket(b)) => assert_eq!(a, b),
            (
                BodyParts::Stream { chunks, length, waits_for_leave },
                BodyView::Stream { chunks: b, length: m, waits_for_leave: leave },
            ) => {
                let expected: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.to_ne_bytes()).collect();
                assert_eq!((&expected[..], length, waits_for_leave), (b, m, leave));
            }
            (a, b) => panic!("{a:?} came back as {b:?}"),
        }
    }
}

#[test]
fn the_token_of_a_file_can_be_changed_and_nothing_else_changes() {
    let mut area = vec![0; 1024];
    for (old, new) in
        [(BodyParts::File(5, 70), BodyParts::File(6, 70)), (BodyParts::Socket(5), BodyParts::Socket(6))]
    {
        let len = encode(&mut area, &parts(old), fields().into_iter()).unwrap();
        set_body_token(&mut area[..len], 6);
        let mut expected = vec![0; 1024];
        encode(&mut expected, &parts(new), fields().into_iter()).unwrap();
        assert_eq!(area, expected);
    }
    encode(&mut area, &parts(BodyParts::Inline(b"x")), fields().into_iter()).unwrap();
    let before = area.clone();
    set_body_token(&mut area, 7);
    set_body_token(&mut area[..3], 7);
    assert_eq!(area, before);
}

#[test]
fn an_area_that_is_too_small_at_any_length_is_refused_and_not_overrun() {
    let mut area = vec![0; 1024];
    let len = encode(&mut area, &parts(BodyParts::Inline(b"hello")), fields().into_iter()).unwrap();
    for short in 0..len {
        let mut area = vec![0; short];
        assert_eq!(
            encode(&mut area, &parts(BodyParts::Inline(b"hello")), fields().into_iter()),
            Err(RecordTooLarge)
        );
    }
}

#[test]
fn no_damage_to_a_record_makes_the_reader_leave_it() {
    let mut area = vec![0; 1024];
    let len = encode(&mut area, &parts(BodyParts::Inline(b"hello")), fields().into_iter()).unwrap();
    for at in 0..len {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut damaged = area[..len].to_vec();
            damaged[at] = value;
            if let Some(view) = RequestView::new(&damaged) {
                let all = [view.method(), view.target(), view.path(), view.query(), view.peer()];
                let sum = all.iter().map(|s| s.len()).sum::<usize>() + view.fields().count();
                assert!(sum < 1 << 20);
            }
        }
    }
    for cut in 0..len {
        if let Some(view) = RequestView::new(&area[..cut]) {
            let _ = (view.path(), view.body(), view.fields().count());
        }
    }
}
