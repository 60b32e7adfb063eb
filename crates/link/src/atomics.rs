//! The atomics of the link's words.
//!
//! They are the standard library's. With the feature `interleavings` there is a place before each access at which another thread may go on, and which
//! one that is a seed decides: so a test can play thousands of orders in which two ends meet, and play one of them again. All accesses are sequentially
//! consistent there; what a processor reorders is not played.

#[cfg(not(feature = "interleavings"))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};

#[cfg(feature = "interleavings")]
pub(crate) use self::stepping::{AtomicU32, AtomicU64, fence, is_played, sleep, wake};
#[cfg(all(test, feature = "interleavings"))]
pub(crate) use self::stepping::{play, step};

#[cfg(feature = "interleavings")]
mod stepping {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{self, Ordering};

    thread_local! {
        static PLAYS: Cell<bool> = const { Cell::new(false) };
        /// Who sleeps on which word, and whether it has been woken. One thread of the system plays all of a history's.
        static SLEEPERS: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
        static SLEEPS: Cell<usize> = const { Cell::new(0) };
    }

    /// How often one who sleeps with a time-out looks before its time is over.
    const PATIENCE: usize = 200;

    /// Whether this thread plays histories at present.
    pub(crate) fn is_played() -> bool {
        PLAYS.get()
    }

    /// Plays many histories of `history`, each in an order of its own.
    #[cfg(test)]
    pub(crate) fn play(histories: usize, history: impl Fn() + Send + Sync + 'static) {
        PLAYS.set(true);
        shuttle::check_random(
            move || {
                SLEEPERS.with_borrow_mut(Vec::clear);
                history();
            },
            histories,
        );
        PLAYS.set(false);
    }

    /// Another thread may go on here.
    pub(crate) fn step() {
        if PLAYS.get() {
            shuttle::thread::yield_now();
        }
    }

    /// As a futex: only who finds the expected value sleeps, and only a wake-up for that word ends it, or time.
    pub(crate) fn sleep(word: &AtomicU32, expected: u32, has_limit: bool) {
        step();
        if word.0.load(Ordering::SeqCst) != expected {
            return;
        }
        let number = SLEEPS.get();
        SLEEPS.set(number + 1);
        SLEEPERS.with_borrow_mut(|all| all.push((address(word), number)));
        let is_asleep = || SLEEPERS.with_borrow(|all| all.iter().any(|(_, one)| *one == number));
        let mut looks = 0;
        while is_asleep() && !(has_limit && looks > PATIENCE) {
            looks += 1;
            step();
        }
        SLEEPERS.with_borrow_mut(|all| all.retain(|(_, one)| *one != number));
    }

    /// Wakes the first `count` that sleep on a word.
    pub(crate) fn wake(word: &AtomicU32, count: u32) {
        step();
        let mut left = count;
        SLEEPERS.with_borrow_mut(|all| {
            all.retain(|(at, _)| {
                let is_woken = *at == address(word) && left > 0;
                left -= u32::from(is_woken);
                !is_woken
            });
        });
    }

    fn address(word: &AtomicU32) -> usize {
        word.0.as_ptr() as usize
    }

    /// All accesses are in order anyway.
    pub(crate) fn fence(_: Ordering) {
        step();
    }

    macro_rules! stepping {
        ($name:ident, $number:ty) => {
            /// See the module's head.
            #[repr(transparent)]
            #[derive(Debug, Default)]
            pub(crate) struct $name(atomic::$name);

            #[allow(dead_code, reason = "the two widths have the same set")]
            impl $name {
                pub(crate) const fn new(value: $number) -> Self {
                    $name(atomic::$name::new(value))
                }

                pub(crate) fn load(&self, _: Ordering) -> $number {
                    step();
                    self.0.load(Ordering::SeqCst)
                }

                pub(crate) fn store(&self, value: $number, _: Ordering) {
                    step();
                    self.0.store(value, Ordering::SeqCst);
                }

                pub(crate) fn swap(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.swap(value, Ordering::SeqCst)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    from: $number,
                    to: $number,
                    _: Ordering,
                    _: Ordering,
                ) -> Result<$number, $number> {
                    step();
                    self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
                }

                pub(crate) fn compare_exchange_weak(
                    &self,
                    from: $number,
                    to: $number,
                    _: Ordering,
                    _: Ordering,
                ) -> Result<$number, $number> {
                    self.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
                }

                pub(crate) fn fetch_add(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.fetch_add(value, Ordering::SeqCst)
                }

                pub(crate) fn fetch_sub(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.fetch_sub(value, Ordering::SeqCst)
                }

                pub(crate) fn fetch_or(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.fetch_or(value, Ordering::SeqCst)
                }

                pub(crate) fn fetch_and(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.fetch_and(value, Ordering::SeqCst)
                }

                pub(crate) fn fetch_max(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.fetch_max(value, Ordering::SeqCst)
                }

                pub(crate) fn fetch_min(&self, value: $number, _: Ordering) -> $number {
                    step();
                    self.0.fetch_min(value, Ordering::SeqCst)
                }

                pub(crate) fn fetch_update(
                    &self,
                    _: Ordering,
                    _: Ordering,
                    change: impl FnMut($number) -> Option<$number>,
                ) -> Result<$number, $number> {
                    step();
                    self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change)
                }

                pub(crate) fn as_ptr(&self) -> *mut $number {
                    self.0.as_ptr()
                }
            }
        };
    }

    stepping!(AtomicU32, u32);
    stepping!(AtomicU64, u64);
}
