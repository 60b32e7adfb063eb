//! A worker with a script: the other end of a real link, on the same thread.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use pelton_link::request::BodyView;
use pelton_link::{CHUNK_BYTES, Doorbell, FrontEnd, ResponseHead, Taken, WorkerEnd, link_memory};

use crate::scheduling::worker_link::WorkerLink;
use crate::simulation::client::{Mode, body_of};
use crate::simulation::random::Random;

/// A request that is being run.
#[derive(Debug)]
struct Job {
    taken: Taken,
    id: u64,
    mode: Mode,
    body: Vec<u8>,
    written: usize,
    has_head: bool,
    /// The ring was full.
    waits: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) number: u64,
    end: WorkerEnd,
    threads: usize,
    jobs: Vec<Job>,
    pub(super) is_dead: bool,
}

impl Worker {
    pub(super) fn new(
        number: u64,
        threads: usize,
        bodies: &File,
        doorbell: &Doorbell,
    ) -> (Worker, WorkerLink) {
        let memory = link_memory(threads).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let end = FrontEnd::join(&memory, OwnedFd::from(ours), threads).unwrap();
        let doorbell = doorbell.as_fd().try_clone_to_owned().unwrap();
        let theirs = WorkerEnd::join(&memory, bodies, doorbell, theirs.into(), threads).unwrap();
        let link = WorkerLink { number, pid: number as u32, threads, end, request_limit: 0 };
        (Worker { number, end: theirs, threads, jobs: Vec::new(), is_dead: false }, link)
    }

    /// Whether it has anything to do now.
    pub(super) fn can_act(&self) -> bool {
        !self.is_dead
            && (self.jobs.len() < self.threads && self.end.ready() > 0
                || self.jobs.iter().any(|job| !job.waits || self.end.try_writable(&job.taken).is_some()))
    }

    /// Does one thing.
    pub(super) fn act(&mut self, random: &mut Random) {
        if self.jobs.len() < self.threads
            && self.end.ready() > 0
            && (self.jobs.is_empty() || random.once_in(2))
        {
            self.take();
        } else if !self.jobs.is_empty() {
            let at = random.below(self.jobs.len());
            self.go_on(at, random);
        }
    }

    /// Takes the next request, and looks whether it is whole.
    fn take(&mut self) {
        let Some(taken) = self.end.take() else { return };
        let request = self.end.request(&taken).expect("a record");
        let path = String::from_utf8(request.path().to_vec()).unwrap();
        let query = String::from_utf8(request.query().to_vec()).unwrap();
        let id: u64 = path.strip_prefix("/r/").and_then(|id| id.parse().ok()).expect("a path");
        let mut words = query.split('&');
        let mode = Mode::of(words.next().unwrap_or_default());
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).expect("a number");
        let (len, body_len) = (number(), number());
        let got = match request.body() {
            BodyView::None => Vec::new(),
            BodyView::Inline(bytes) => bytes.to_vec(),
            BodyView::Chunks(chunks, len) => {
                let mut out = Vec::new();
                for chunk in chunks.chunks(4) {
                    let number = u32::from_ne_bytes(chunk.try_into().unwrap());
                    let count = (len as usize - out.len()).min(CHUNK_BYTES);
                    out.extend_from_slice(self.end.arena().read(number, 0, count).unwrap());
                }
                out
            }
            BodyView::File(token, len) => {
                let file = File::from(self.end.take_file(&taken, token).unwrap());
                let mut out = vec![0; len as usize];
                file.read_exact_at(&mut out, 0).unwrap();
                out
            }
            BodyView::Socket(_) | BodyView::Stream { .. } => panic!("nobody asked for that"),
        };
        assert!(got == body_of(id, body_len), "request {id} came with {} of {body_len} bytes", got.len());
        let body = body_of(id, if mode == Mode::Empty { 0 } else { len });
        self.jobs.push(Job { taken, id, mode, body, written: 0, has_head: false, waits: false });
    }

    fn go_on(&mut self, at: usize, random: &mut Random) {
        let job = &mut self.jobs[at];
        if self.end.is_gone(&job.taken) {
            let job = self.jobs.swap_remove(at);
            return self.end.finish(job.taken, true);
        }
        job.waits = false;
        if !job.has_head {
            if job.mode == Mode::Nothing {
                let job = self.jobs.swap_remove(at);
                return self.end.finish(job.taken, false);
            }
            job.has_head = true;
            let (id, length) = (job.id.to_string(), job.body.len().to_string());
            let mut fields = vec![(&b"X-Id"[..], id.as_bytes())];
            if matches!(job.mode, Mode::Length | Mode::Short) {
                fields.push((b"Content-Length", length.as_bytes()));
            }
            let status = if job.mode == Mode::Empty { 204 } else { 200 };
            let head = ResponseHead { status, reason: b"", known_length: None, route: b"" };
            self.end.put_head(&mut job.taken, &head, fields.into_iter()).unwrap();
            if random.once_in(2) {
                self.end.publish(&mut job.taken);
            }
            return;
        }
        let stops_at = match job.mode {
            Mode::Broken => job.body.len() / 2,
            Mode::Short => job.body.len().saturating_sub(1),
            _ => job.body.len(),
        };
        if job.written < stops_at {
            let most = random.one_of(&[1, 500, 10_000, 100_000]);
            let piece = &job.body[job.written..stops_at.min(job.written + 1 + random.below(most))];
            let put = self.end.put_data(&mut job.taken, piece);
            job.written += put;
            job.waits = put == 0;
            if put == 0 || random.once_in(3) {
                self.end.publish(&mut job.taken);
            }
            return;
        }
        let job = self.jobs.swap_remove(at);
        // A body of nothing cannot be less than that.
        let is_broken = job.mode == Mode::Broken || job.mode == Mode::Short && job.body.is_empty();
        self.end.finish(job.taken, is_broken);
    }

    /// Its process has gone, with everything in it.
    pub(super) fn die(&mut self) {
        self.is_dead = true;
        self.jobs.clear();
    }

    pub(super) fn describe(&self) -> String {
        let jobs: Vec<_> = self.jobs.iter().map(|job| (job.id, job.mode, job.written, job.waits)).collect();
        format!("worker {}: {} ready, dead {}, {jobs:?}", self.number, self.end.ready(), self.is_dead)
    }
}

/// A doorbell that nobody waits for: in a simulation the front looks of itself.
pub(super) fn silent_doorbell() -> Arc<Doorbell> {
    Arc::new(Doorbell::new().unwrap())
}
