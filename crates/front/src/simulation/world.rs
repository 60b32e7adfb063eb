//! A front with its clients and workers, what may happen to them, and what must be true all the time.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pelton_link::clock::{fine_us, set_virtual_us};
use pelton_link::{BodyArena, BodyPool, Doorbell, body_memory};

use crate::clients::accept;
use crate::connection::Driver;
use crate::control::{Command, Common, Order, Shared};
use crate::event_loop::{self, sleep};
use crate::exchange::State;
use crate::front::Front;
use crate::ids::ConnectionId;
use crate::reactor::Readiness;
use crate::recording::request_records;
use crate::settings::Settings;
use crate::simulation::client::{Client, Mode, Told};
use crate::simulation::random::Random;
use crate::simulation::worker::{Worker, silent_doorbell};
use crate::transport::Transport;
use crate::transport::listener::{ListenerKind, Protocol, Role};
use crate::transport::memory::Wire;
use crate::transport::peer::Peer;

/// Longer than anything takes where time-outs are long.
const LONG_MS: u64 = 1_000_000;
/// More steps than any history needs.
const MOST_STEPS: usize = 60_000;

/// What a history has, all of it by its seed unless it is shrunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) seed: u64,
    pub(super) clients: usize,
    pub(super) requests: usize,
    pub(super) workers: usize,
    pub(super) threads: usize,
    pub(super) queue: usize,
    /// Clients may go without a word.
    pub(super) vanish: bool,
    /// Applications break off, or write less than they announced.
    pub(super) breaks: bool,
    /// Workers die, and others come.
    pub(super) deaths: bool,
    /// The front is drained in the middle.
    pub(super) drains: bool,
    /// Time-outs are short, and time jumps.
    pub(super) is_hasty: bool,
    /// Room of the kernel for a client.
    pub(super) room: usize,
    /// What the front keeps for a slow reader.
    pub(super) buffer: usize,
    /// Some of the clients speak HTTP/2.
    pub(super) has_http2: bool,
}

impl Shape {
    pub(super) fn of(seed: u64) -> Shape {
        let mut random = Random::new(seed);
        Shape {
            seed,
            clients: 1 + random.below(6),
            requests: 1 + random.below(5),
            workers: 1 + random.below(3),
            threads: 1 + random.below(3),
            queue: random.one_of(&[1, 3, 100, 100, 100]),
            vanish: random.once_in(3),
            breaks: random.once_in(3),
            deaths: random.once_in(6),
            drains: random.once_in(6),
            is_hasty: random.once_in(4),
            room: random.one_of(&[50, 500, 4096, 70_000, 1 << 20]),
            buffer: random.one_of(&[0, 1000, 70_000, 1 << 20]),
            has_http2: random.once_in(2),
        }
    }

    /// Histories that are a little smaller.
    pub(super) fn smaller(self) -> Vec<Shape> {
        let mut all = Vec::new();
        for at in 0..9 {
            let mut one = self;
            let changes = match at {
                0 => {
                    self.clients > 1 && {
                        one.clients -= 1;
                        true
                    }
                }
                1 => {
                    self.requests > 1 && {
                        one.requests -= 1;
                        true
                    }
                }
                2 => {
                    self.workers > 1 && {
                        one.workers -= 1;
                        true
                    }
                }
                3 => std::mem::take(&mut one.vanish),
                4 => std::mem::take(&mut one.breaks),
                5 => std::mem::take(&mut one.deaths),
                6 => std::mem::take(&mut one.drains),
                7 => std::mem::take(&mut one.has_http2),
                _ => std::mem::take(&mut one.is_hasty),
            };
            if changes {
                all.push(one);
            }
        }
        all
    }

    /// Whether the front itself may respond to a request with this status.
    pub(super) fn allows(self, status: u16, mode: Mode) -> bool {
        match status {
            502 => self.deaths || matches!(mode, Mode::Nothing | Mode::Short | Mode::Broken),
            // The queue may be full, or the time in it over.
            503 => self.is_hasty || self.deaths || self.queue < 100,
            408 | 504 => self.is_hasty,
            _ => false,
        }
    }
}

struct World {
    front: Front,
    shared: Arc<Shared>,
    random: Random,
    shape: Shape,
    clients: Vec<(ConnectionId, Client)>,
    workers: Vec<Worker>,
    events: Vec<Readiness>,
    doorbell: Arc<Doorbell>,
    bodies: File,
    log: File,
    news: Vec<crate::ids::Place>,
    due: Vec<usize>,
    is_over: bool,
    /// Tells all that is known of the end of a history that fails.
    is_loud: bool,
    capacity: usize,
    now_us: u64,
}

fn settings(shape: Shape, log: &File) -> Settings {
    let time = |hasty_ms: u64| Duration::from_millis(if shape.is_hasty { hasty_ms } else { 100_000_000 });
    Settings {
        body_memory_bytes: 50_000,
        response_buffer_bytes: shape.buffer,
        response_memory_bytes: 4 << 20,
        response_file_bytes: if shape.seed.is_multiple_of(2) { 0 } else { 100_000 },
        max_connections: 1000,
        requests_per_connection: if shape.seed.is_multiple_of(5) { 2 } else { 0 },
        queue_length: shape.queue,
        queue_time: time(300),
        head_time: time(500),
        body_idle_time: time(400),
        keep_alive_time: time(700),
        write_idle_time: time(600),
        access_log: log.as_raw_fd(),
        request_time: shape.is_hasty.then(|| Duration::from_millis(900)),
        ..Settings::plain()
    }
}

impl World {
    fn new(shape: Shape, is_loud: bool) -> World {
        let mut random = Random::new(shape.seed ^ 0xFACE);
        let now_us = 1_000_000_000;
        set_virtual_us(Some(now_us));
        let bodies = body_memory().unwrap();
        let arena = Arc::new(BodyArena::shared_for_front(&bodies).unwrap());
        let log = tempfile::tempfile().unwrap();
        let (shared, doorbell) = (Arc::new(Shared::new()), silent_doorbell());
        let pool = BodyPool::new(arena);
        let capacity = pool.capacity();
        let common = Common { bodies: pool, doorbell: Arc::clone(&doorbell) };
        let front = event_loop::open(settings(shape, &log), Vec::new(), common, Arc::clone(&shared)).unwrap();
        let first = random.next() % 1000;
        let mut world = World {
            front,
            shared,
            random,
            shape,
            clients: Vec::new(),
            workers: Vec::new(),
            events: Vec::new(),
            doorbell,
            bodies,
            log,
            news: Vec::new(),
            due: Vec::new(),
            is_over: false,
            is_loud,
            capacity,
            now_us,
        };
        for _ in 0..shape.workers {
            world.add_worker();
        }
        world.turn();
        for number in 0..shape.clients {
            world.connect(first + number as u64 * 100);
        }
        world
    }

    fn add_worker(&mut self) {
        let number = self.workers.len() as u64 + 1;
        let (worker, link) = Worker::new(number, self.shape.threads, &self.bodies, &self.doorbell);
        self.workers.push(worker);
        self.shared.order(Order::Add(Box::new(link)));
    }

    fn connect(&mut self, first_id: u64) {
        let room = self.shape.room;
        let wire = Arc::new(Mutex::new(Wire { room, ..Wire::default() }));
        let is_http2 = self.shape.has_http2 && self.random.once_in(2);
        let client = Client::new(&mut self.random, first_id, self.shape, Arc::clone(&wire), is_http2);
        let protocol = if self.shape.has_http2 { Protocol::Either } else { Protocol::Http1 };
        let kind = ListenerKind { number: 0, role: Role::Application, protocol, tls: false };
        let id = accept::adopt(&mut self.front, Transport::memory(wire), Peer::unknown(), kind)
            .unwrap_or_else(ConnectionId::nobody);
        self.clients.push((id, client));
    }

    /// The front does what it does when its poller has returned.
    fn turn(&mut self) {
        let events = std::mem::take(&mut self.events);
        let (mut news, mut due) = (std::mem::take(&mut self.news), std::mem::take(&mut self.due));
        self.is_over |= !event_loop::turn(&mut self.front, events.into_iter(), &mut news, &mut due);
        (self.news, self.due) = (news, due);
    }

    fn pass_time(&mut self, us: u64) {
        self.now_us += us;
        set_virtual_us(Some(self.now_us));
        assert_eq!(fine_us(), self.now_us);
    }

    fn client_acts(&mut self, at: usize) {
        let (id, client) = &mut self.clients[at];
        let Told { readable, ended, error, room } = client.act(&mut self.random, self.shape);
        if readable || ended || error || room {
            let token = id.to_token();
            self.events.push(Readiness { token, readable, read_closed: ended, write_closed: error, error });
        }
    }

    /// One thing happens; false when nobody had anything to do but to wait.
    fn step(&mut self) -> bool {
        let clients: Vec<usize> =
            (0..self.clients.len()).filter(|at| self.clients[*at].1.can_act()).collect();
        let workers: Vec<usize> = (0..self.workers.len()).filter(|at| self.workers[*at].can_act()).collect();
        match self.random.below(8) {
            0..4 if !clients.is_empty() => {
                let at = clients[self.random.below(clients.len())];
                self.client_acts(at);
            }
            4..6 if !workers.is_empty() => {
                let at = workers[self.random.below(workers.len())];
                self.workers[at].act(&mut self.random);
            }
            6 => {
                let pause = self.random.one_of(&[0, 100, 1000, 4000]);
                self.pass_time(pause);
                sleep::rest(&mut self.front);
                self.turn();
            }
            _ if self.shape.is_hasty && self.random.once_in(40) => self.jump(),
            _ => return !(clients.is_empty() && workers.is_empty()),
        }
        true
    }

    /// Whether anybody but the front has anything to do.
    fn can_act(&self) -> bool {
        self.clients.iter().any(|(_, client)| client.can_act()) || self.workers.iter().any(Worker::can_act)
    }

    /// The front sleeps for as long as it wants to, if nobody else has anything to do. Gives false when that is for ever.
    fn wait(&mut self) -> bool {
        sleep::rest(&mut self.front);
        self.turn();
        if self.can_act() {
            return true;
        }
        let Some(wait) = sleep::rest(&mut self.front) else { return false };
        let is_calm =
            self.shape.is_hasty || wait < LONG_MS || self.clients.iter().all(|(_, one)| one.is_gone());
        assert!(is_calm, "only a time-out would end this: {} {}", self.describe_front(), self.describe());
        self.pass_time(wait * 1000);
        self.turn();
        true
    }

    /// The front sleeps for as long as it wants to, whoever else has something to do: clients and workers are slow.
    fn jump(&mut self) {
        self.turn();
        if let Some(wait) = sleep::rest(&mut self.front) {
            self.pass_time(wait.min(2000) * 1000);
        }
        self.turn();
    }

    fn trouble(&mut self) {
        if self.shape.deaths && self.random.once_in(150) && self.workers.len() < 8 {
            let at = self.random.below(self.workers.len());
            if self.random.once_in(3) {
                self.shared.order(Order::Retire(self.workers[at].number));
            } else if !self.workers[at].is_dead {
                self.workers[at].die();
                let number = self.workers[at].number;
                self.shared.order(Order::Died(number, "was killed".to_owned()));
            }
            self.add_worker();
        }
        if self.shape.drains && self.random.once_in(400) {
            self.shared.tell(Command::Drain);
        }
    }

    /// What must be true after each turn of the front.
    fn check(&mut self) {
        let front = &mut self.front;
        let mut used = 0;
        let mut owned = HashSet::new();
        for (seat, worker) in front.dispatch.workers() {
            for (slot, slot_use) in worker.used_slots() {
                used += 1;
                if let Some(owner) = slot_use.owner {
                    let exchange = front.exchanges.get(owner).expect("a slot's owner is an exchange");
                    let place = exchange.slot.expect("an owner knows its slot");
                    assert_eq!((place.seat, place.slot), (seat, slot), "an owner knows its slot");
                    assert!(owned.insert(owner.key), "one slot for an exchange");
                }
            }
        }
        assert_eq!(used, front.dispatch.slots_in_use(), "slots in use");
        let exchanges_of = |id| match &front.connections.get(id).expect("its id was just listed").driver {
            Driver::Http1(_) => 1,
            Driver::Http2(http2) => http2.exchanges().len(),
        };
        let expected: usize = front.connections.ids().into_iter().map(exchanges_of).sum();
        assert_eq!(front.exchanges.len(), expected, "an exchange for each stream, or one for its connection");
        for id in front.connections.ids() {
            let connection = front.connections.get(id).expect("its id was just listed");
            let is_quiet = matches!(&connection.driver, Driver::Http2(one) if one.exchanges().is_empty());
            assert!(
                !is_quiet || front.timers.is_set(id.key) || front.again.contains(&id),
                "a connection without streams has no deadline"
            );
        }
        let mut queued = 0;
        for id in front.exchanges.ids() {
            let exchange = front.exchanges.get(id).expect("its id was just listed");
            let connection =
                front.connections.get(exchange.connection).expect("an exchange has a connection");
            queued += usize::from(exchange.state() == State::Queued);
            assert!(exchange.slot.is_none() || owned.contains(&id.key), "who has a slot owns it");
            let held = exchange.output.held();
            assert!(held <= self.shape.buffer + 600_000, "{held} bytes are held for one client");
            let has_deadline = match exchange.state() {
                State::Queued | State::Running => front.exchange_timers.is_set(id.key),
                State::Receiving => {
                    front.timers.is_set(exchange.connection.key)
                        || exchange.pending.is_some() && front.exchange_timers.is_set(id.key)
                }
                State::Responding => {
                    exchange.output.is_empty()
                        || front.exchange_timers.is_set(id.key)
                        || front.again.contains(&exchange.connection)
                }
                State::Finished => connection.lingering && front.timers.is_set(exchange.connection.key),
            };
            let state = exchange.state();
            assert!(has_deadline, "an exchange that is {state:?} has no deadline");
        }
        assert_eq!(queued, front.dispatch.queued(), "who waits is in the queue");
    }

    fn play(&mut self) {
        let mut idle = 0;
        for _ in 0..MOST_STEPS {
            self.trouble();
            let acted = self.step();
            self.check();
            if self.clients.iter().all(|(_, client)| client.is_gone()) {
                return;
            }
            idle = if acted { 0 } else { idle + 1 };
            // Nobody else has anything to do: all that can happen is what the front does by itself.
            if idle > 20 && self.events.is_empty() {
                idle = 0;
                let goes_on = self.wait();
                self.check();
                assert!(goes_on || self.can_act(), "everybody waits for ever: {}", self.describe());
            }
        }
        panic!("no end in sight: {}", self.describe());
    }

    fn describe_front(&self) -> String {
        let front = &self.front;
        let about = |id| {
            let exchange = front.exchanges.get(id)?;
            let connection = front.connections.get(exchange.connection)?;
            let transport = &connection.transport;
            Some(format!(
                "{id:?} {:?} slot {:?} held {} behind {} spills {} readable {} done {} lingering {}",
                exchange.state(),
                exchange.slot,
                exchange.output.held(),
                exchange.is_behind,
                exchange.output.can_spill(),
                transport.is_readable(),
                transport.peer_done(),
                connection.lingering
            ))
        };
        let all: Vec<_> = front.exchanges.ids().into_iter().filter_map(about).collect();
        format!("queued {} {all:#?}", front.dispatch.queued())
    }

    fn describe(&self) -> String {
        let clients: Vec<_> =
            self.clients.iter().map(|(id, one)| format!("{id:?} {}", one.describe())).collect();
        let workers: Vec<_> = self.workers.iter().map(Worker::describe).collect();
        format!("{clients:#?} {workers:#?}")
    }

    /// Everybody has gone: nothing is left of them.
    fn end(&mut self) {
        for _ in 0..2000 {
            while let Some(at) = (0..self.workers.len()).find(|at| self.workers[*at].can_act()) {
                self.workers[at].act(&mut self.random);
            }
            if !self.wait() && self.events.is_empty() && !self.workers.iter().any(Worker::can_act) {
                break;
            }
            self.check();
        }
        let front = &mut self.front;
        assert!(front.connections.is_empty() && front.exchanges.is_empty(), "connections are left");
        let in_use = front.dispatch.slots_in_use();
        assert_eq!((in_use, front.dispatch.queued()), (0, 0), "slots and queue");
        assert_eq!(front.dispatch.bodies.free(), self.capacity, "chunks of bodies");
        assert_eq!((front.backlog.held(), front.spool.used()), (0, 0), "responses and files");
        request_records::flush_all_notes(front);
        self.check_log();
    }

    /// One line for each exchange, and one for each response of the application that a client has read.
    fn check_log(&mut self) {
        let mut text = String::new();
        let len = self.log.metadata().unwrap().len();
        let mut bytes = vec![0; len as usize];
        self.log.read_exact_at(&mut bytes, 0).unwrap();
        bytes.as_slice().read_to_string(&mut text).unwrap();
        let mut seen = HashSet::new();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("/r/") else { continue };
            let id: u64 = rest.split('?').next().and_then(|id| id.parse().ok()).expect("a number");
            assert!(seen.insert(id), "two lines for request {id}: {text}");
        }
        for (_, client) in &self.clients {
            for id in client.served() {
                assert!(seen.contains(id), "no line for request {id}: {text}");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        set_virtual_us(None);
        if std::thread::panicking() && self.is_loud {
            let counted: Vec<_> =
                self.shared.counters.all().into_iter().filter(|(_, count)| *count > 0).collect();
            println!("{} {} {counted:?}", self.describe_front(), self.describe());
            self.shared.notices.close();
            while let Some(notice) = self.shared.notices.next() {
                println!("{}", notice.message);
            }
        }
    }
}

/// Plays one history; panics where something is not as it must be.
pub(super) fn play(shape: Shape, is_loud: bool) {
    let mut world = World::new(shape, is_loud);
    world.play();
    world.end();
}
