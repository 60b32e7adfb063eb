//! Plays the front beside threads that serve: requests are submitted from here, and run there.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::{Request, Stage};

/// Whatever is waited for comes within this time, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// What every application here has at hand: who fails is kept with the path, what nobody could catch as text.
const COMMON: &str = r#"
import sys, threading, queue, time
unraisable = []
sys.unraisablehook = lambda info: unraisable.append(repr(info.exc_value))
entered, go = threading.Event(), threading.Event()
Observer.failed = lambda self, environ, error: self.failures.append((environ['PATH_INFO'], type(error).__name__))
"#;

/// Runs `front` beside two serving threads; both are at work without the interpreter held by this one.
pub fn beside(source: &str, front: impl FnOnce(&mut Stage)) {
    let mut stage = Python::attach(|py| Stage::new(py, &format!("{COMMON}{source}")));
    let threads: Vec<_> = (0..2)
        .map(|number| {
            let worker = Python::attach(|py| stage.worker(py));
            std::thread::spawn(move || {
                Python::attach(|py| worker.call_method1(py, "serve", (number,)).map(drop))
            })
        })
        .collect();
    front(&mut stage);
    Python::attach(|py| stage.worker(py).call_method0(py, "stop").unwrap());
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    let left = value::<Vec<String>>(&stage, "unraisable");
    assert_eq!(left, [""; 0], "an exception was raised where nobody could catch it");
}

/// Waits until `done` says so.
pub fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "timed out");
        std::thread::yield_now();
    }
}

/// Submits a request, and wakes who sleeps; gives its slot.
pub fn ask(stage: &mut Stage, target: &str) -> u32 {
    let slot = stage.submit(&Request::get(target));
    stage.half.end.ring_bell();
    slot
}

/// What a Python expression is worth.
pub fn value<T>(stage: &Stage, expression: &str) -> T
where
    T: for<'a, 'py> FromPyObject<'a, 'py> + 'static,
{
    Python::attach(|py| stage.eval(py, expression))
}

/// Waits for an event of the application's.
pub fn wait_for(stage: &Stage, event: &str) {
    assert!(value::<bool>(stage, &format!("{event}.wait({})", PATIENCE.as_secs())));
}
