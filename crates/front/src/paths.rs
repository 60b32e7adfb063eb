//! Paths of requests beside prefixes.

use pelton_http::target::percent_decode;

/// Which requests are handed on before their bodies are complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// None.
    #[default]
    Never,
    /// Those with a path in or below one of these.
    Below(Vec<Vec<u8>>),
    /// All.
    Always,
}

impl Streams {
    pub(crate) fn include(&self, path: &[u8]) -> bool {
        match self {
            Streams::Never => false,
            Streams::Always => true,
            Streams::Below(prefixes) if path.contains(&b'%') => {
                let mut decoded = Vec::new();
                percent_decode(path, &mut decoded);
                is_below(prefixes, &decoded)
            }
            Streams::Below(prefixes) => is_below(prefixes, path),
        }
    }
}

/// Whether a decoded path is `prefix` or lies below it.
pub(crate) fn lies_below(prefix: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    // `/up` is not meant by `/upload`.
    rest.is_some_and(|rest| prefix.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"))
}

fn is_below(prefixes: &[Vec<u8>], path: &[u8]) -> bool {
    prefixes.iter().any(|prefix| lies_below(prefix, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_slashes() {
        let streams = Streams::Below(vec![b"/upload".to_vec(), b"/a/".to_vec(), b"/\xc3\xa9".to_vec()]);
        for path in ["/upload", "/upload/", "/upload/x", "/a/", "/a/b", "/%61/b", "/%c3%a9/x", "/uploa%64"] {
            assert!(streams.include(path.as_bytes()), "{path}");
        }
        for path in ["/", "/up", "/uploads", "/a", "/x/upload", "//upload", "*", ""] {
            assert!(!streams.include(path.as_bytes()), "{path}");
        }
        assert!(Streams::Always.include(b"/") && !Streams::Never.include(b"/"));
    }
}
