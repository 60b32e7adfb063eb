//! The front with a worker that knows one response: what front, link and scheduler cost without Python.
//!
//! `cargo run --release -p pelton-front --example hello -- PORT THREADS [SLEEP_MS]`, then point a load generator at it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use pelton_front::{Common, ListenerSettings, Protocol, Role, WorkerLink};
use pelton_link::{FrontHalf, Interpreter, ResponseHead, Scheduler, Wake, WorkerEnd, private_link};

fn serve(end: &WorkerEnd, scheduler: &Scheduler, number: usize, pause: Duration) {
    let Some(mut seat) = scheduler.seat(number) else { return };
    loop {
        while let Some(mut taken) = scheduler.try_take(&mut seat) {
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
            let head = ResponseHead { status: 200, reason: b"OK", known_length: None, route: b"" };
            let fields = [(&b"Content-Type"[..], &b"text/plain"[..]), (&b"Content-Length"[..], &b"13"[..])];
            if end.put_head(&mut taken, &head, fields.into_iter()).is_ok() {
                end.put_data(&mut taken, b"Hello, world\n");
            }
            end.finish(taken, false);
        }
        match scheduler.wait(&mut seat) {
            Wake::Retry => {}
            Wake::Suspect(suspicion) => {
                scheduler.take_over(&mut seat, suspicion);
            }
            Wake::Stop | Wake::Leave => return,
        }
    }
}

fn main() -> std::io::Result<()> {
    let number = |i| std::env::args().nth(i).and_then(|word| word.parse::<u64>().ok());
    let port = number(1).unwrap_or(8000) as u16;
    let threads = number(2).unwrap_or(8) as usize;
    let pause = Duration::from_millis(number(3).unwrap_or(0));
    let socket = TcpListener::bind(("127.0.0.1", port))?.into();
    let listener =
        ListenerSettings { socket, role: Role::Application, protocol: Protocol::Http1, tls: false };
    let (half, end) = private_link(threads)?;
    let scheduler = Arc::new(Scheduler::new(Arc::clone(&end), threads, Interpreter::Locked));
    let settings = pelton_front::Settings::plain();
    let FrontHalf { end: front_end, bodies, doorbell } = half;
    let front = pelton_front::start(settings, vec![listener], Common { bodies, doorbell })?;
    front.add_worker(WorkerLink {
        number: 1,
        pid: std::process::id(),
        threads,
        end: front_end,
        request_limit: 0,
    });
    front.accept();
    for number in 0..threads {
        let (end, scheduler) = (Arc::clone(&end), Arc::clone(&scheduler));
        std::thread::spawn(move || serve(&end, &scheduler, number, pause));
    }
    front.join(None);
    Ok(())
}
