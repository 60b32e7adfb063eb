//! Pages are thrown out of the cache by path or tag. Runs on the front's thread.

use crate::front::Front;

/// Forgets kept responses: by `target` (a path with its query; with `*` at its end all that begin so), by `tag`, or all. Gives how many.
pub(crate) fn purge_cache(front: &mut Front, target: Option<&[u8]>, tag: Option<&[u8]>) -> Option<usize> {
    let store = front.site.cache.as_mut()?.purge();
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

fn path_of_key(key: &[u8]) -> &[u8] {
    let after = key.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let rest = key.get(after..).unwrap_or_default();
    let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    rest.get(slash..).unwrap_or_default()
}
