//! Whether a request that keeps its puller for long blocks or computes, where no lock of the interpreter proves it.
//!
//! A pure function and its constants. Must not know threads.

use std::time::Duration;

use super::TICK;

/// How much processor time one request may use in the role of puller where no lock of the interpreter limits it: as much as CPython's switch
/// interval.
pub(super) const LONGEST_TURN: Duration = Duration::from_millis(5);

/// What a request that keeps its puller for long does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It uses little processor time although it could have more.
    Blocks,
    /// It has used all that one turn may.
    Computes,
}

/// What to think of a request that has used `computed` of the last `elapsed`, and `in_all` since the watch on it began. None: look again.
/// `lacks_processor` is asked only where it decides, because it costs a system call.
pub(super) fn judge(
    elapsed: Duration,
    computed: Duration,
    in_all: Duration,
    lacks_processor: impl FnOnce() -> bool,
) -> Option<Finding> {
    if in_all >= LONGEST_TURN {
        return Some(Finding::Computes);
    }
    let seems_to_block = elapsed >= TICK / 2 && computed * 2 < elapsed;
    (seems_to_block && !lacks_processor()).then_some(Finding::Blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_request_that_uses_no_processor_although_it_could_blocks() {
        assert_eq!(judge(MS, Duration::ZERO, Duration::ZERO, || false), Some(Finding::Blocks));
        assert_eq!(judge(MS, MS / 3, MS / 3, || false), Some(Finding::Blocks));
    }

    #[test]
    fn a_request_that_lacks_a_processor_is_looked_at_again() {
        assert_eq!(judge(MS, Duration::ZERO, Duration::ZERO, || true), None);
        assert_eq!(judge(100 * MS, MS, 4 * MS, || true), None);
    }

    #[test]
    fn a_request_that_computes_keeps_its_role_for_as_much_as_the_interpreters_lock_would_let_it() {
        let never = || unreachable!("it is asked only of a request that seems to block");
        assert_eq!(judge(4 * MS, 4 * MS, 4 * MS, never), None);
        assert_eq!(judge(5 * MS, 5 * MS, LONGEST_TURN, never), Some(Finding::Computes));
        // Also where it got the processor time in pieces.
        assert_eq!(judge(Duration::ZERO, Duration::ZERO, LONGEST_TURN, never), Some(Finding::Computes));
    }

    #[test]
    fn nothing_is_said_after_less_than_half_a_tick() {
        let never = || unreachable!("it is asked only of a request that seems to block");
        assert_eq!(judge(TICK / 4, Duration::ZERO, Duration::ZERO, never), None);
    }
}
