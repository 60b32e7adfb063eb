//! Which of several kept responses to one target a request selects (RFC 9111 section 4.1).

/// A field's name in lower case, and all values of it as one normalised text.
type Selected = (Box<[u8]>, Box<[u8]>);

/// What a kept response's `Vary` named, and what its request had there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Sorted by name.
    fields: Vec<Selected>,
}

impl Selection {
    /// None where a `Vary` has `*`: no request ever selects such a response.
    pub fn new<'v, 'r>(
        vary: impl Iterator<Item = &'v [u8]>,
        request: impl Iterator<Item = (&'r [u8], &'r [u8])> + Clone,
    ) -> Option<Self> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for value in vary {
            for name in
                value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
            {
                if name == b"*" {
                    return None;
                }
                names.push(name.to_ascii_lowercase().into_boxed_slice());
            }
        }
        names.sort_unstable();
        names.dedup();
        let fields = names
            .into_iter()
            .map(|name| {
                let value = normalised(&name, request.clone());
                (name, value)
            })
            .collect();
        Some(Selection { fields })
    }

    /// Whether a request selects the response.
    pub fn matches<'r>(&self, request: impl Iterator<Item = (&'r [u8], &'r [u8])> + Clone) -> bool {
        self.fields.iter().all(|(name, value)| *normalised(name, request.clone()) == **value)
    }

    /// Appends what another request has in the selecting fields: the same bytes for requests that select the same response.
    pub fn append_values<'r>(
        &self,
        request: impl Iterator<Item = (&'r [u8], &'r [u8])> + Clone,
        out: &mut Vec<u8>,
    ) {
        for (name, _) in &self.fields {
            // A byte that no field has.
            out.push(0);
            out.extend_from_slice(name);
            out.extend_from_slice(&normalised(name, request.clone()));
        }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }
}

/// All values of one field as one text: lines are joined by commas, white space around members goes. That a field is absent is
/// not the same as that it is empty.
fn normalised<'r>(name: &[u8], request: impl Iterator<Item = (&'r [u8], &'r [u8])>) -> Box<[u8]> {
    let mut text = Vec::new();
    for (_, value) in request.filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
        text.push(b':');
        for member in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(member);
        }
    }
    // Two lines are the same as one with a comma between.
    let mut joined = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b':' if at > 0 && text.get(at + 1) == Some(&b',') => {}
            _ => joined.push(*byte),
        }
    }
    joined.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

    fn selected(vary: &str, stored: Fields<'_>, asked: Fields<'_>) -> Option<bool> {
        let selection = Selection::new(std::iter::once(vary.as_bytes()), stored.iter().copied())?;
        Some(selection.matches(asked.iter().copied()))
    }

    #[test]
    fn named_fields_must_be_equal() {
        let one: Fields<'_> = &[(b"Accept-Language", b"de"), (b"X", b"1")];
        assert_eq!(selected("accept-language", one, &[(b"accept-language", b"de")]), Some(true));
        assert_eq!(selected("accept-language", one, &[(b"accept-language", b"en")]), Some(false));
        assert_eq!(selected("accept-language", one, &[]), Some(false));
        assert_eq!(selected("Accept-Language, X", one, &[(b"accept-language", b"de")]), Some(false));
        assert_eq!(selected("", one, &[]), Some(true));
    }

    #[test]
    fn a_star_is_never_selected() {
        assert_eq!(selected("x, *", &[], &[]), None);
    }

    #[test]
    fn white_space_and_lines_do_not_matter_but_absence_does() {
        let one: Fields<'_> = &[(b"a", b"1, 2")];
        assert_eq!(selected("A", one, &[(b"A", b"1 ,2")]), Some(true));
        assert_eq!(selected("A", one, &[(b"a", b"1"), (b"a", b"2")]), Some(true));
        assert_eq!(selected("A", one, &[(b"a", b"2,1")]), Some(false));
        assert_eq!(selected("A", &[(b"a", b"")], &[]), Some(false));
        assert_eq!(selected("A", &[], &[]), Some(true));
    }

    #[test]
    fn the_order_of_names_does_not_matter() {
        let fields: Fields<'_> = &[(b"a", b"1"), (b"b", b"2")];
        let one = Selection::new([&b"a, b"[..]].into_iter(), fields.iter().copied());
        let other = Selection::new([&b"B"[..], b"A, a"].into_iter(), fields.iter().copied());
        assert_eq!(one, other);
    }
}
