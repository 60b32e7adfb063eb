//! What became of fetches: responses are kept, those who have waited go on, changes and purges empty the cache. Runs on the front's thread.

use pelton_http::caching::status::Forwarded;

use crate::cache::news::News;
use crate::cache::watchers::Bypass;
use crate::event_loop::drive;
use crate::exchange::{Pending, State};
use crate::front::Front;
use crate::handlers::caching::{lookup, views};
use crate::ids::ExchangeId;
use crate::requests::{dispatching, limiting};
use crate::scheduling::ask::Load;

/// Reads the news of recorders: keeps responses, and lets those go on who have waited for them.
pub(crate) fn settle_cache(front: &mut Front) {
    let Some(cache) = &mut front.site.cache else { return };
    let all = cache.inbox.take();
    if all.is_empty() {
        return;
    }
    let now = front.clock.now_ms / 1000;
    for news in all {
        let Some(cache) = &mut front.site.cache else { return };
        let (waiters, goes_on_alone) = match news {
            News::Stored { fetch, entry } => {
                cache.keep(&fetch, *entry);
                (cache.end_fetch(&fetch), false)
            }
            News::Validated { fetch, id, fields, lifetime, age } => {
                cache.store.freshen(id, fields, lifetime, age);
                (cache.end_fetch(&fetch), false)
            }
            News::NotStored { fetch, outdated } => {
                if let Some(id) = outdated {
                    cache.store.forget(id);
                }
                cache.pass(&fetch.target, now);
                (cache.end_fetch(&fetch), true)
            }
            News::Abandoned { fetch } => (cache.end_fetch(&fetch), false),
            News::Coded { id, coding, coded } => {
                cache.store.add_coded(id, coding, coded);
                continue;
            }
            News::Changed { targets } => {
                for target in targets {
                    cache.purge_target(&target);
                }
                continue;
            }
        };
        for id in waiters {
            release_waiter(front, id, goes_on_alone);
        }
    }
    if let Some(cache) = &front.site.cache {
        front.shared.counters.cache_bytes.set(cache.store.used() as u64);
        front.shared.counters.cache_entries.set(cache.store.len() as u64);
        front.shared.counters.cache_evictions.set(cache.store.evicted());
    }
}

/// A request that has waited for somebody else's fetch goes on: from the cache, or to the application.
fn release_waiter(front: &mut Front, id: ExchangeId, alone: bool) {
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    if exchange.state() != State::Queued {
        return;
    }
    let Some(pending) = exchange.pending.take() else { return };
    front.exchange_timers.clear(id.key);
    let Pending { head, bytes, .. } = *pending;
    let before = std::mem::replace(&mut front.head, head);
    let mut changed = Vec::new();
    let has_response = if alone {
        views::add_filter(front, id, Box::new(Bypass(Forwarded::UriMiss)));
        false
    } else {
        lookup::look_again(front, id, &bytes, &mut changed)
    };
    if !has_response {
        limiting::tell_rate(front, id, &bytes, &mut changed);
        let bytes = if changed.is_empty() { &bytes } else { &changed };
        dispatching::submit(front, id, bytes, Load::Inline(&[]));
    }
    front.head = before;
    drive::drive_exchange(front, id);
}
