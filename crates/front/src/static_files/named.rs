//! The head of an application's response that names a file instead of sending it (`X-Accel-Redirect`, `X-Sendfile`).

use pelton_link::HeadView;

use crate::response::filters::Head;

/// A path of the server's own, as nginx has it, and a path of the file system, as Apache has it.
const REDIRECT: &[u8] = b"x-accel-redirect";

const SENDFILE: &[u8] = b"x-sendfile";

/// Said by the front, of what it sends.
const REPLACED: [&[u8]; 5] =
    [b"content-length", b"content-range", b"accept-ranges", b"transfer-encoding", b"content-md5"];

/// The head of an application's response that names a file.
#[derive(Debug)]
pub(crate) struct NamedFile {
    /// A path of the file system, and no path of requests.
    pub(crate) is_path: bool,
    pub(crate) name: Vec<u8>,
    pub(crate) head: Head<'static>,
    pub(crate) started_ms: u64,
}

/// What a worker's head names, if it does.
#[cold]
pub(crate) fn named_file(head: &HeadView<'_>, started_ms: u64) -> Option<Box<NamedFile>> {
    // A response without content has none of a file either (an interim one, a 304 of the application's own, a redirect).
    if matches!(head.status, 0..200 | 204 | 300..=399) {
        return None;
    }
    let find = |wanted: &[u8]| head.fields().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let (is_path, (_, name)) =
        find(REDIRECT).map(|found| (false, found)).or_else(|| find(SENDFILE).map(|found| (true, found)))?;
    let kept = head.fields().filter(|(name, _)| {
        !name.eq_ignore_ascii_case(REDIRECT)
            && !name.eq_ignore_ascii_case(SENDFILE)
            && !REPLACED.iter().any(|one| name.eq_ignore_ascii_case(one))
    });
    let fields = kept.map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect();
    let name = name.trim_ascii().to_vec();
    let head = Head { status: head.status, fields, known_length: None };
    Some(Box::new(NamedFile { is_path, name, head, started_ms }))
}
