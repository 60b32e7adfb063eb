//! What became of fetches: responses are kept, those who have waited go on, changes and purges empty the cache. Runs on the front's thread.

use pelton_http::caching::status::Forwarded;

use crate::cache::news::News;
use crate::cache::watchers::Bypass;
use crate::event_loop::EventLoop;
use crate::exchange::{ExchangeId, Pending, State};
use crate::scheduling::ask::Load;

impl EventLoop {
    /// Reads the news of recorders: keeps responses, and lets those go on who have waited for them.
    pub(crate) fn settle_cache(&mut self) {
        let Some(cache) = &mut self.site.cache else { return };
        let all = cache.inbox.take();
        if all.is_empty() {
            return;
        }
        let now = self.clock.now_ms / 1000;
        for news in all {
            let Some(cache) = &mut self.site.cache else { return };
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
                self.release_waiter(id, goes_on_alone);
            }
        }
        if let Some(cache) = &self.site.cache {
            self.shared.counters.cache_bytes.set(cache.store.used() as u64);
            self.shared.counters.cache_entries.set(cache.store.len() as u64);
            self.shared.counters.cache_evictions.set(cache.store.evicted());
        }
    }

    /// A request that has waited for somebody else's fetch goes on: from the cache, or to the application.
    fn release_waiter(&mut self, id: ExchangeId, alone: bool) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if exchange.state() != State::Queued {
            return;
        }
        let Some(pending) = exchange.pending.take() else { return };
        self.exchange_timers.clear(id.key);
        let Pending { head, bytes, .. } = *pending;
        let before = std::mem::replace(&mut self.head, head);
        let mut changed = Vec::new();
        let has_response = if alone {
            self.add_filter(id, Box::new(Bypass(Forwarded::UriMiss)));
            false
        } else {
            self.look_again(id, &bytes, &mut changed)
        };
        if !has_response {
            self.tell_rate(id, &bytes, &mut changed);
            let bytes = if changed.is_empty() { &bytes } else { &changed };
            self.submit(id, bytes, Load::Inline(&[]));
        }
        self.head = before;
        self.drive_exchange(id);
    }

    /// Forgets kept responses: by `target` (a path with its query; with `*` at its end all that begin so), by `tag`, or all. Gives how many.
    pub(crate) fn purge_cache(&mut self, target: Option<&[u8]>, tag: Option<&[u8]>) -> Option<usize> {
        let store = self.site.cache.as_mut()?.purge();
        let mut count = 0;
        if let Some(tag) = tag {
            count += store.purge_tag(tag);
        }
        if let Some(target) = target {
            let prefix = target.strip_suffix(b"*");
            count += store.purge_where(|key| {
                let path = path_of_key(key);
                prefix.map_or(path == target, |prefix| path.starts_with(prefix))
            });
        }
        if target.is_none() && tag.is_none() {
            count += store.purge_where(|_| true);
        }
        Some(count)
    }
}

fn path_of_key(key: &[u8]) -> &[u8] {
    let after = key.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let rest = key.get(after..).unwrap_or_default();
    let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    rest.get(slash..).unwrap_or_default()
}
