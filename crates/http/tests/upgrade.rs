//! Which requests ask for a WebSocket, however they are cut.

#![allow(clippy::unwrap_used, reason = "a failing test may say so bluntly")]

use pelton_http::{Event, Head, Limits, Receiver};

fn asks(head: &str) -> bool {
    let bytes = format!("{head}\r\nHost: a\r\n\r\n").replace('\n', "\n").into_bytes();
    let verdicts: Vec<bool> = (1..=bytes.len())
        .map(|cut| {
            let (mut receiver, mut found) = (Receiver::new(), Head::default());
            if cut < bytes.len() {
                let step = receiver.advance(&bytes[..cut], &Limits::default(), &mut found).unwrap();
                assert_eq!(step.event, Event::NeedMore);
            }
            let step = receiver.advance(&bytes, &Limits::default(), &mut found).unwrap();
            assert_eq!(step.event, Event::Head);
            found.asks_for_websocket
        })
        .collect();
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{head}");
    verdicts[0]
}

#[test]
fn only_a_plain_get_that_says_so_twice() {
    for (head, want) in [
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", true),
        ("GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade", true),
        ("GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: UPGRADE\r\nUpgrade: websocket", true),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket", true),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0", true),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websockets", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket/13", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade", false),
        ("GET / HTTP/1.1\r\nUpgrade: websocket", false),
        ("GET / HTTP/1.1\r\nConnection: keep-alive\r\nUpgrade: websocket", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade, close\r\nUpgrade: websocket", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nConnection: close\r\nUpgrade: websocket", false),
        ("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1", false),
        ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", false),
        ("POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", false),
        ("HEAD / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", false),
        ("get / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", false),
    ] {
        assert_eq!(asks(head), want, "{head}");
    }
}

#[test]
fn the_next_request_is_judged_anew() {
    let (mut receiver, mut head) = (Receiver::new(), Head::default());
    let first = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    receiver.advance(first, &Limits::default(), &mut head).unwrap();
    assert!(head.asks_for_websocket);
    receiver.next_request();
    receiver.advance(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &Limits::default(), &mut head).unwrap();
    assert!(!head.asks_for_websocket);
}
