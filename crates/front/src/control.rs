//! How the embedding process speaks to the front: workers come and go, accept, drain, stop, wait, count.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use pelton_link::{BodyPool, Doorbell};

use crate::access::log::AccessLog;
use crate::counters::Counters;
use crate::notices::Notices;
use crate::scheduling::worker_link::WorkerLink;
use crate::settings::Rules;
use crate::transport::tls::Encryption;

/// What an ACME server is to find below `/.well-known/acme-challenge/`, by name.
pub type Challenges = HashMap<Vec<u8>, String>;

/// What the front has been asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Command {
    /// Serve.
    Serve = 0,
    /// Accept no more, finish what has been received, end.
    Drain = 1,
    /// End now.
    Stop = 2,
}

/// Something to be done once, in order.
#[derive(Debug)]
pub(crate) enum Order {
    Accept,
    SetReady(bool),
    SetAccessLog(Box<Option<AccessLog>>),
    Add(Box<WorkerLink>),
    Retire(u64),
    Died(u64, String),
    CalledItself(u64, u32),
    Mount(String, Vec<u8>),
    Answer(Arc<Doorbell>),
    Encrypt(Box<Encryption>),
    SetChallenges(Challenges),
    Respond(u64, AdminResponse),
    ChangeRules(Box<Rules>),
}

/// The response to somebody who has asked on an admin listener (see [`crate::notices::Asked`]).
#[derive(Debug)]
pub struct AdminResponse {
    /// The status.
    pub status: u16,
    /// Fields besides those about the connection and the framing.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What all workers of a front have in common.
#[derive(Debug)]
pub struct Common {
    /// Memory for bodies.
    pub bodies: BodyPool,
    /// Rings when a worker has news and the front sleeps.
    pub doorbell: Arc<Doorbell>,
}

/// What both threads see.
#[derive(Debug)]
pub(crate) struct Shared {
    command: AtomicU8,
    has_orders: AtomicBool,
    orders: Mutex<VecDeque<Order>>,
    pub counters: Counters,
    pub notices: Notices,
    pub(crate) ended: Mutex<bool>,
    pub(crate) end: Condvar,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Shared {
            command: AtomicU8::new(0),
            has_orders: AtomicBool::new(false),
            orders: Mutex::default(),
            counters: Counters::default(),
            notices: Notices::default(),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    /// The front is to do this from now on; what is stronger stays.
    pub(crate) fn tell(&self, command: Command) {
        self.command.fetch_max(command as u8, Ordering::AcqRel);
    }

    /// The front is to do this once.
    pub(crate) fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.has_orders.store(true, Ordering::Release);
    }

    pub(crate) fn command(&self) -> Command {
        match self.command.load(Ordering::Acquire) {
            0 => Command::Serve,
            1 => Command::Drain,
            _ => Command::Stop,
        }
    }

    /// Whether orders have come since the last [`Shared::take_orders`].
    #[inline]
    pub(crate) fn has_orders(&self) -> bool {
        self.has_orders.load(Ordering::Relaxed)
    }

    /// The orders that have come since the last call.
    pub(crate) fn take_orders(&self) -> VecDeque<Order> {
        self.has_orders.swap(false, Ordering::Acquire);
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
