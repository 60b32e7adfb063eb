//! Plays the front for a worker, on the same thread: submits a request, lets a runner run it, reads the response.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by several programs; failing is their way to report"
)]

pub mod beside;
pub mod outcome;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use _engine::{Link, RequestRunner, Worker};
use pelton_http::known::Known;
use pelton_link::request::{BodyParts, FieldRecord, RequestParts, Span, encode};
use pelton_link::{
    BodyArena, BodyPool, BodyWindow, Doorbell, Frame, FrontEnd, FrontHalf, Progress, WorkerEnd, body_memory,
    link_memory,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// A request as the front would hand it over.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub path: &'a [u8],
    pub query: &'a str,
    pub fields: &'a [(&'a str, &'a str)],
    pub peer: &'a str,
    pub port: u16,
    pub version: u16,
    pub listener: u16,
    pub body: BodyParts<'a>,
    /// Where the body is a file: this one. The token in `body` is of no meaning then.
    pub file: Option<&'a File>,
}

impl<'a> Request<'a> {
    pub fn get(target: &'a str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method: "GET",
            target,
            path: path.as_bytes(),
            query,
            fields: &[("Host", "example.org")],
            peer: "127.0.0.1",
            port: 4711,
            version: 11,
            listener: 0,
            body: BodyParts::None,
            file: None,
        }
    }
}

/// A response as the front would see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub fields: Vec<(String, String)>,
    pub known_length: Option<u64>,
    pub body: Vec<u8>,
    /// Bytes of the body that came as parts of files.
    pub from_files: u64,
    pub broken: bool,
}

pub struct Stage {
    pub half: FrontHalf,
    end: Arc<WorkerEnd>,
    worker: Py<Worker>,
    namespace: Py<PyDict>,
    pending: Vec<u32>,
    /// Through which the bodies of requests come that are submitted as streamed.
    pub window: Option<BodyWindow>,
}

const OBSERVER: &str = r#"
import sys
class Observer:
    def __init__(self):
        self.failures, self.misuses = [], []
    def failed(self, environ, error):
        self.failures.append(repr(error))
    def misused(self, environ, message):
        self.misuses.append(message)
class FileWrapper:
    def __init__(self, filelike, blksize=8192):
        self.filelike, self.blksize = filelike, blksize
    def __iter__(self):
        return self
    def __next__(self):
        block = self.filelike.read(self.blksize)
        if not block:
            raise StopIteration
        return block
    def close(self):
        self.filelike.close()
observer = Observer()
ERRORS = object()
template = {"wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.multithread": True,
    "wsgi.multiprocess": False, "wsgi.run_once": False, "wsgi.file_wrapper": FileWrapper,
    "wsgi.input_terminated": True, "SCRIPT_NAME": "", "SERVER_NAME": "localhost", "SERVER_PORT": "8000",
    "SERVER_SOFTWARE": "pelton/0"}
"#;

impl Stage {
    pub fn new(py: Python<'_>, source: &str) -> Self {
        Self::try_new(py, source).map_err(|error| error.display(py)).unwrap()
    }

    /// The same over a link as between two processes.
    pub fn joined(py: Python<'_>, source: &str) -> Self {
        Self::over(py, source, joined_link).map_err(|error| error.display(py)).unwrap()
    }

    /// A worker for the function `app` that `source` defines.
    pub fn try_new(py: Python<'_>, source: &str) -> PyResult<Self> {
        Self::over(py, source, |py| {
            let link = py.get_type::<Link>().call1((THREADS,))?.cast_into::<Link>()?;
            let half = link.get().take_front_half()?;
            Ok((link, half))
        })
    }

    fn over(
        py: Python<'_>,
        source: &str,
        link: impl FnOnce(Python<'_>) -> PyResult<(Bound<'_, Link>, FrontHalf)>,
    ) -> PyResult<Self> {
        use_virtual_environment(py)?;
        let namespace = PyDict::new(py);
        for text in [OBSERVER, source] {
            let text = std::ffi::CString::new(text).unwrap();
            py.run(&text, Some(&namespace), None)?;
        }
        let get = |name: &str| namespace.get_item(name).map(Option::unwrap);
        let (link, half) = link(py)?;
        let second = get("template")?.cast_into::<PyDict>()?.copy()?;
        second.set_item("SERVER_PORT", "9000")?;
        let environs = PyList::new(py, [get("template")?, second.into_any()])?;
        let arguments = (&link, get("app")?, environs, get("FileWrapper")?, get("observer")?);
        let worker = py.get_type::<Worker>().call1(arguments)?.cast_into::<Worker>()?;
        let end = worker.get().link_end();
        let (worker, namespace) = (worker.unbind(), namespace.unbind());
        Ok(Stage { half, end, worker, namespace, pending: Vec::new(), window: None })
    }

    pub fn end(&self) -> Arc<WorkerEnd> {
        Arc::clone(&self.end)
    }

    pub fn application(&self, py: Python<'_>) -> Py<PyAny> {
        self.namespace.bind(py).get_item("app").unwrap().unwrap().unbind()
    }

    pub fn worker(&self, py: Python<'_>) -> Py<Worker> {
        self.worker.clone_ref(py)
    }

    /// Sets a variable in the application's namespace.
    pub fn define<'py>(&self, py: Python<'py>, name: &str, value: impl IntoPyObject<'py>) {
        self.namespace.bind(py).set_item(name, value).unwrap();
    }

    /// The value of a Python expression in the application's namespace.
    pub fn eval<'py, T>(&self, py: Python<'py>, expression: &str) -> T
    where
        T: for<'a> FromPyObject<'a, 'py> + 'py,
    {
        let code = std::ffi::CString::new(expression).unwrap();
        let value =
            py.eval(&code, Some(self.namespace.bind(py)), None).map_err(|error| error.display(py)).unwrap();
        value.extract().map_err(|_| format!("{expression} is {value:?}")).unwrap()
    }

    pub fn with_runner(&mut self, py: Python<'_>, act: impl FnOnce(&mut Self, &mut RequestRunner<'_, '_>)) {
        let worker = self.worker.clone_ref(py);
        let mut runner = RequestRunner::new(py, worker.get()).unwrap();
        act(self, &mut runner);
    }

    /// Pushes a request to the worker; gives its slot.
    pub fn submit(&mut self, request: &Request<'_>) -> u32 {
        let mut head = Vec::with_capacity(256);
        let mut put = |text: &str| {
            let start = head.len() as u32;
            head.extend_from_slice(text.as_bytes());
            Span { start, end: head.len() as u32 }
        };
        let (method, target) = (put(request.method), put(request.target));
        let query = put(request.query);
        let fields: Vec<_> = request
            .fields
            .iter()
            .map(|(name, value)| FieldRecord {
                known: Known::lookup(name.as_bytes()) as u32,
                name: put(name),
                value: put(value),
            })
            .collect();
        let slot = self.half.end.claim().unwrap();
        let body = match (request.body, request.file) {
            (BodyParts::File(_, length), Some(file)) => {
                BodyParts::File(self.half.end.give_file(slot, file.as_fd()).unwrap(), length)
            }
            (body, _) => body,
        };
        let parts = RequestParts {
            head: &head,
            method,
            target,
            query,
            path: request.path,
            peer: request.peer.as_bytes(),
            peer_port: request.port,
            listener: request.listener,
            version: request.version,
            body,
        };
        let length = encode(self.half.end.request_area(slot), &parts, fields.into_iter()).unwrap();
        if let Some(window) = &mut self.window {
            self.half.end.open_body(slot, window);
        }
        self.half.end.submit(slot, length);
        self.pending.push(slot);
        slot
    }

    /// Runs one request to its end. What the ring cannot hold is not read meanwhile: use [`beside::beside`] for large responses.
    pub fn run(&mut self, py: Python<'_>, request: &Request<'_>) -> Response {
        let slot = self.submit(request);
        self.with_runner(py, |stage, runner| {
            let taken = stage.end.take().unwrap();
            runner.run_guarded(taken).unwrap();
        });
        self.read_finished(slot)
    }

    /// The response of a slot that the worker has let go of.
    pub fn read_finished(&mut self, slot: u32) -> Response {
        assert!(self.half.end.is_done(slot), "the slot was not finished");
        let mut response = Response::default();
        let progress = self.read(slot, &mut response);
        assert_ne!(progress, Progress::Open);
        response.broken = progress == Progress::Broken;
        assert!(self.half.end.release(slot));
        self.pending.retain(|&pending| pending != slot);
        response
    }

    /// Reads what has been published so far.
    pub fn read(&mut self, slot: u32, response: &mut Response) -> Progress {
        let (mut cursor, progress) = self.half.end.response(slot);
        let mut files = Vec::new();
        while let Some(frame) = self.half.end.frames(slot).next(&mut cursor).unwrap() {
            match frame {
                Frame::Head(head) => {
                    let mut copy = Vec::new();
                    let head = head.read(&mut copy).expect("a head that can be read");
                    assert_eq!(response.status, 0, "a second head");
                    response.status = head.status;
                    response.reason = String::from_utf8_lossy(head.reason).into_owned();
                    response.known_length = head.known_length;
                    let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
                    response.fields = head.fields().map(|(name, value)| (text(name), text(value))).collect();
                }
                Frame::Data(first, second) => {
                    response.body.extend_from_slice(first);
                    response.body.extend_from_slice(second);
                }
                Frame::File { token, offset, len } => {
                    files.push((response.body.len(), token, offset, len));
                }
                Frame::Lent { token, len } => {
                    let loan = self.half.end.take_loan(token).unwrap();
                    response.body.extend_from_slice(&(*loan).as_ref()[..len as usize]);
                }
                Frame::Spend(_) => panic!("no rate is limited here"),
            }
        }
        self.half.end.consume(slot, cursor, progress);
        // From the last one, so that the places of the others stay where they are.
        for (at, token, offset, len) in files.into_iter().rev() {
            let file = File::from(self.half.end.take_file(slot, token).unwrap());
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, offset).unwrap();
            response.body.splice(at..at, bytes);
            response.from_files += len;
        }
        progress
    }

    /// Frees all slots without reading.
    pub fn drop_responses(&mut self) {
        for slot in std::mem::take(&mut self.pending) {
            assert!(self.half.end.release(slot));
        }
    }

    /// Puts a body into chunks of the arena; gives their numbers.
    pub fn chunks(&mut self, body: &[u8]) -> Vec<u32> {
        body.chunks(pelton_link::CHUNK_BYTES)
            .map(|piece| {
                let chunk = self.half.bodies.take().unwrap();
                self.half.bodies.bytes_mut(chunk)[..piece.len()].copy_from_slice(piece);
                chunk
            })
            .collect()
    }
}

/// A file with these contents.
pub fn spooled(body: &[u8]) -> File {
    let file = File::from(memory_file());
    file.write_all_at(body, 0).unwrap();
    file
}

fn memory_file() -> OwnedFd {
    // SAFETY: a C string and flags; the result is checked before it is owned.
    unsafe {
        let raw = libc::memfd_create(c"body".as_ptr(), libc::MFD_CLOEXEC);
        assert!(raw >= 0);
        OwnedFd::from_raw_fd(raw)
    }
}

const THREADS: usize = 2;

fn joined_link(py: Python<'_>) -> PyResult<(Bound<'_, Link>, FrontHalf)> {
    let (memory, bodies, doorbell) = (link_memory(THREADS)?, body_memory()?, Arc::new(Doorbell::new()?));
    let mut raw = [-1; 2];
    // SAFETY: two places for descriptors; the result is checked before they are owned.
    let [ours, theirs] = unsafe {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        assert_eq!(libc::socketpair(libc::AF_UNIX, kind, 0, raw.as_mut_ptr()), 0);
        raw.map(|raw| OwnedFd::from_raw_fd(raw))
    };
    let numbers = [memory.as_raw_fd(), bodies.as_raw_fd(), doorbell.as_fd().as_raw_fd(), theirs.as_raw_fd()];
    let [memory_number, bodies_number, doorbell_number, socket_number] = numbers;
    let link = py
        .get_type::<Link>()
        .call_method1("joined", (THREADS, memory_number, bodies_number, doorbell_number, socket_number))?
        .cast_into::<Link>()?;
    let end = FrontEnd::join(&memory, ours, THREADS)?;
    let bodies = BodyPool::new(Arc::new(BodyArena::shared_for_front(&bodies)?));
    Ok((link, FrontHalf { end, bodies, doorbell }))
}

/// The embedded interpreter knows nothing of the virtual environment in which Flask is.
fn use_virtual_environment(py: Python<'_>) -> PyResult<()> {
    let Some(home) = std::env::var_os("VIRTUAL_ENV") else { return Ok(()) };
    let code = c"import glob, os, site; [site.addsitedir(d) for d in glob.glob(os.path.join(home, 'lib/python*/site-packages'))]";
    let names = PyDict::new(py);
    names.set_item("home", home)?;
    py.run(code, Some(&names), None)
}
