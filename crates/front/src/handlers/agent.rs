//! What a load balancer asks the agent's port: one line, by the protocol of HAProxy's agent-check, and the end of the connection.
//!
//! Nothing is read: who connects has asked. Runs on the front's thread.

use pelton_link::process_cpu_us;

use crate::control::Command;
use crate::front::Front;
use crate::saturation::Sample;
use crate::transport::Transport;
use crate::transport::listener::Role;

/// How often it is looked, where there is an agent's port.
const SAMPLE_MS: u64 = 100;

/// What this server wants to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A share of the requests, in percent of an idle server's.
    Share(u32),
    /// Only what belongs to sessions that are here: it is about to end.
    Drain,
    /// Nothing: nobody is there to take it, as at the start and between WINCH and HUP.
    Maintenance,
}

/// Tells whoever has connected, and closes. A line of some bytes fits every new socket's buffer; one that does not take it has gone.
pub(crate) fn tell_agent(front: &mut Front, mut transport: Transport) {
    let line = wanted(front).line();
    let _ = transport.send(line.as_bytes());
    front.shared.counters.agent_checks.up();
}

/// What this server wants to get now.
fn wanted(front: &mut Front) -> Wanted {
    look_at_load(front);
    if front.shared.command() != Command::Serve || !front.is_ready {
        return Wanted::Drain;
    }
    if !front.dispatch.workers().any(|(_, worker)| worker.is_willing()) {
        return Wanted::Maintenance;
    }
    Wanted::Share(front.saturation.weight())
}

/// Looks how much is in use, unless it has just been looked.
pub(crate) fn look_at_load(front: &mut Front) {
    if !front.saturation.wants_sample(front.clock.now_ms) {
        return;
    }
    let sample = Sample {
        permits: front.dispatch.permits(),
        running: front.dispatch.slots_in_use(),
        queued_ms: front
            .dispatch
            .oldest_queued_ms()
            .map_or(0, |since| front.clock.now_ms.saturating_sub(since)),
        computed_us: front.dispatch.living().filter_map(|worker| process_cpu_us(worker.pid)).sum(),
        // Numbers only grow, and none is used twice.
        workers: (front.dispatch.living().map(|worker| worker.number))
            .fold(0, |all: u64, one| all.wrapping_mul(31).wrapping_add(one)),
    };
    front.saturation.take(front.clock.now_ms, sample);
}

/// The same as often as averages need, where a load balancer asks for them.
#[inline]
pub(crate) fn watch_load(front: &mut Front) {
    if front.watch.load_at.is_some_and(|at| front.clock.now_ms >= at) {
        front.watch.load_at = Some(front.clock.now_ms + SAMPLE_MS);
        look_at_load(front);
    }
}

/// Milliseconds until then.
pub(crate) fn next_load_ms(front: &Front) -> Option<u64> {
    Some(front.watch.load_at?.saturating_sub(front.clock.now_ms))
}

/// Begins, if somebody may ask.
pub(crate) fn begin_watching_load(front: &mut Front) {
    front.watch.load_at = (front.listeners.count(Role::Agent) > 0).then_some(0);
}

impl Wanted {
    /// As HAProxy understands it; see "agent-check" in its manual. `ready` and `up` undo what an earlier line said.
    fn line(self) -> String {
        match self {
            Wanted::Share(percent) => format!("ready up {percent}%\n"),
            Wanted::Drain => "drain\n".to_owned(),
            Wanted::Maintenance => "maint\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_agent_check() {
        let lines = [Wanted::Share(75), Wanted::Drain, Wanted::Maintenance].map(Wanted::line);
        assert_eq!(lines, ["ready up 75%\n", "drain\n", "maint\n"]);
    }
}
