//! The front with a worker that knows one answer: what front, link and scheduler cost without Python.
//!
//! `cargo run --release -p pelton-front --example hello -- PORT THREADS [SLEEP_MS]`, then point a load generator at it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use pelton_front::{Common, ListenerSettings, Protocol, Role, WorkerLink};
use pelton_http::UnderscorePolicy;
use pelton_link::{AnswerHead, FrontHalf, Interpreter, Scheduler, Wake, WorkerEnd, private_link};

fn serve(end: &WorkerEnd, scheduler: &Scheduler, number: usize, pause: Duration) {
    let Some(mut seat) = scheduler.seat(number) else { return };
    loop {
        while let Some(mut taken) = scheduler.try_take(&mut seat) {
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
            let head = AnswerHead { status: 200, reason: b"OK", known_length: None, route: b"" };
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
    let settings = pelton_front::Settings {
        max_head_bytes: 65536,
        max_fields: 100,
        max_line_bytes: 1 << 14,
        http2: Default::default(),
        underscore_fields: UnderscorePolicy::Drop,
        max_body_bytes: 1 << 30,
        body_memory_bytes: 1 << 20,
        spool_directory: std::env::temp_dir(),
        spool_bytes: 0,
        response_buffer_bytes: 1 << 20,
        response_memory_bytes: 128 << 20,
        response_file_bytes: 1 << 30,
        proxies: pelton_front::Proxies::default(),
        streams: pelton_front::Streams::default(),
        max_connections: 0,
        connections_per_client: 0,
        requests_per_connection: 0,
        offers_sockets: true,
        queue_length: 1024,
        queue_time: Duration::from_secs(30),
        retry_after_seconds: 1,
        head_time: Duration::from_secs(15),
        body_idle_time: Duration::from_secs(30),
        body_time: None,
        body_rate: 0,
        keep_alive_time: Duration::from_secs(75),
        write_idle_time: Duration::from_secs(60),
        write_rate: 0,
        access_log: -1,
        statsd: pelton_front::StatsdSettings { socket: -1, prefix: String::new(), tags: String::new() },
        log_health: false,
        request_ids: false,
        traces: false,
        trust_request_id: false,
        server_timing: false,
        request_time: None,
        interrupt_grace: Duration::from_secs(5),
        worker_time: None,
        health_path: None,
        admin_token: None,
        processors: 1.0,
        cache_bytes: 0,
        rate_limits: Vec::new(),
        path_limits: Vec::new(),
        priority_paths: Vec::new(),
        compression: pelton_front::CompressionSettings::default(),
        static_files: pelton_front::StaticSettings::default(),
        named_files: pelton_front::StaticSettings::default(),
        edge: pelton_front::EdgeSettings::default(),
        self_call: pelton_front::SelfCallPolicy::Off,
        debugger_affinity: false,
        session_affinity: false,
        handshakes: pelton_front::HandshakeSettings { time: Duration::from_secs(10), at_once: 0, rate: 0 },
        transport_security: None,
        waiting_room: None,
    };
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
