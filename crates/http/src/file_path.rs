//! From a path of a request to the name of a file: decoding, and what no name may have.
//!
//! Owns the rules that need no file system; that a name does not lead out of its folder is besides ensured by whoever opens it. Each
//! segment is decoded by itself, so an encoded slash never becomes one that separates.

/// Why a path names no file. All are answered alike; the kinds are for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFile {
    /// `%` without two digits behind it.
    Escape,
    /// An encoded slash or NUL, or another control character.
    Byte,
    /// `//`: two names for one file, and what comes first might be taken for a host.
    EmptySegment,
    /// `.`, `..` and hidden names, but for `.well-known` (RFC 8615) at the top.
    Dot,
}

/// Appends the decoded `path` to `out`; it begins with a slash and so does what is appended.
pub fn decode(path: &[u8], out: &mut Vec<u8>) -> Result<(), NoFile> {
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = if byte == b'%' {
            let digits = after.first_chunk::<2>().ok_or(NoFile::Escape)?;
            let decoded = (digit(digits[0])? << 4) | digit(digits[1])?;
            if decoded == b'/' {
                return Err(NoFile::Byte);
            }
            (decoded, after.get(2..).unwrap_or_default())
        } else {
            (byte, after)
        };
        if byte < 0x20 || byte == 0x7f {
            return Err(NoFile::Byte);
        }
        out.push(byte);
        rest = after;
    }
    Ok(())
}

fn digit(byte: u8) -> Result<u8, NoFile> {
    (byte as char).to_digit(16).map(|digit| digit as u8).ok_or(NoFile::Escape)
}

/// Checks what is left of a decoded path below a mount point, without its first slash: names, separated by slashes. A slash at the end
/// means a folder.
pub fn check(relative: &[u8]) -> Result<(), NoFile> {
    let names = relative.strip_suffix(b"/").unwrap_or(relative);
    if names.is_empty() {
        return if relative.is_empty() { Ok(()) } else { Err(NoFile::EmptySegment) };
    }
    for (number, name) in names.split(|&byte| byte == b'/').enumerate() {
        match name {
            [] => return Err(NoFile::EmptySegment),
            b".well-known" if number == 0 => {}
            [b'.', ..] => return Err(NoFile::Dot),
            _ => {}
        }
    }
    Ok(())
}

/// What is left of a decoded `path` below `prefix`, a path without a slash at its end; None where it lies beside.
pub fn below<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    match path.strip_prefix(prefix)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Whether a name fits a pattern in which `*` stands for any bytes and `?` for one. A pattern without a slash is about the last segment.
pub fn fits(pattern: &[u8], path: &[u8]) -> bool {
    let name = if pattern.contains(&b'/') {
        path
    } else {
        path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    };
    let (mut at, mut star) = ((0, 0), None);
    // Goes back to the last star only, so the time is bounded by the product of both lengths.
    while let Some(&byte) = name.get(at.1) {
        match pattern.get(at.0) {
            Some(b'*') => {
                star = Some(at);
                at.0 += 1;
            }
            Some(&want) if want == b'?' || want == byte => at = (at.0 + 1, at.1 + 1),
            _ => match &mut star {
                Some((place, from)) => {
                    *from += 1;
                    at = (*place + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(at.0..).unwrap_or_default().iter().all(|&byte| byte == b'*')
}

/// The extension of the last segment in lower case, without its dot; empty where there is none.
pub fn extension(path: &[u8]) -> Vec<u8> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => name.get(dot + 1..).unwrap_or_default().to_ascii_lowercase(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(path: &str) -> Result<String, NoFile> {
        let mut out = Vec::new();
        decode(path.as_bytes(), &mut out)?;
        let relative = below(&out, b"/static").expect("below the mount point");
        check(relative)?;
        Ok(String::from_utf8(relative.to_vec()).unwrap())
    }

    #[test]
    fn names_of_files() {
        for (path, want) in [
            ("/static/a.css", "a.css"),
            ("/static/a%20b/%C3%BC.txt", "a b/\u{fc}.txt"),
            ("/st%61tic/a", "a"),
            ("/static/a..b/c...", "a..b/c..."),
            ("/static/a/", "a/"),
            ("/static/", ""),
            ("/static", ""),
            ("/static/.well-known/acme", ".well-known/acme"),
            ("/static/a%5c..%5cb", "a\\..\\b"),
            ("/static/%252e%252e/x", "%2e%2e/x"),
        ] {
            assert_eq!(name_of(path).as_deref(), Ok(want), "{path}");
        }
    }

    #[test]
    fn what_is_no_name() {
        use NoFile::{Byte, Dot, EmptySegment, Escape};
        for (path, want) in [
            ("/static/..", Dot),
            ("/static/../x", Dot),
            ("/static/a/../../x", Dot),
            ("/static/%2e%2e/x", Dot),
            ("/static/.%2E/x", Dot),
            ("/static/%2e", Dot),
            ("/static/./a", Dot),
            ("/static/.git/config", Dot),
            ("/static/a/.well-known/x", Dot),
            ("/static/.well-known/../.env", Dot),
            ("/static/.../a", Dot),
            ("/static/..%2fx", Byte),
            ("/static/a%2f..%2fx", Byte),
            ("/static/a%00.css", Byte),
            ("/static/a%0a", Byte),
            ("/static/a%7f", Byte),
            ("/static//etc/passwd", EmptySegment),
            ("/static/a//b", EmptySegment),
            ("/static/a//", EmptySegment),
            ("/static/%", Escape),
            ("/static/%2", Escape),
            ("/static/%zz", Escape),
            ("/static/%+1", Escape),
            ("/static/a%c0%ae%c", Escape),
        ] {
            assert_eq!(name_of(path), Err(want), "{path}");
        }
    }

    #[test]
    fn mount_points_end_at_a_slash() {
        assert_eq!(below(b"/static/a", b"/static"), Some(&b"a"[..]));
        assert_eq!(below(b"/staticfiles", b"/static"), None);
        assert_eq!(below(b"/other", b"/static"), None);
        assert_eq!(below(b"/a", b""), Some(&b"a"[..]));
    }

    #[test]
    fn patterns() {
        for (pattern, path, want) in [
            ("*.js", "a/b/c.js", true),
            ("*.js", "c.json", false),
            ("*", "a", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("assets/*", "assets/a/b.js", true),
            ("assets/*", "other/assets/b", false),
            ("*-????????.css", "main-0a1b2c3d.css", true),
            ("*-????????.css", "main-0a1b.css", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), path.as_bytes()), want, "{pattern} {path}");
        }
        // Would take for ever if each star were tried with each of the others.
        let pattern = [&b"a*".repeat(50)[..], b"b"].concat();
        assert!(!fits(&pattern, &b"a".repeat(2000)));
    }

    #[test]
    fn extensions_are_those_of_the_last_name() {
        for (path, want) in
            [("a/b.CSS", "css"), ("a.b/c", ""), ("a.tar.gz", "gz"), ("a", ""), ("a.", ""), ("", "")]
        {
            assert_eq!(extension(path.as_bytes()), want.as_bytes(), "{path}");
        }
    }
}
