//! JSON, written by hand: a few objects, asked for seldom, whose texts come from clients. Pure.

use std::fmt::Write;

use crate::access::text::escape_json;

/// An object or a list that is being written.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
    needs_comma: bool,
}

impl Json {
    /// Begins an object or a list, whichever `bracket` begins.
    pub fn open(&mut self, bracket: char) -> &mut Self {
        self.comma();
        self.text.push(bracket);
        self.needs_comma = false;
        self
    }

    /// Ends it.
    pub fn close(&mut self, bracket: char) -> &mut Self {
        self.text.push(bracket);
        self.needs_comma = true;
        self
    }

    /// The name of what comes next.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.string(name.as_bytes());
        self.text.push(':');
        self.needs_comma = false;
        self
    }

    /// A number, or true and false.
    pub fn value(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.comma();
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{value}");
        self
    }

    /// A text; bytes that are no UTF-8 are replaced.
    pub fn string(&mut self, bytes: &[u8]) -> &mut Self {
        self.comma();
        let mut escaped = Vec::with_capacity(bytes.len());
        escape_json(&mut escaped, bytes);
        self.text.push('"');
        self.text.push_str(&String::from_utf8_lossy(&escaped));
        self.text.push('"');
        self
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.text
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.needs_comma, true) {
            self.text.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_texts_cannot_break_out() {
        let mut json = Json::default();
        json.open('{')
            .name("a")
            .value(1)
            .name("b")
            .open('[')
            .value(2)
            .value(true)
            .open('{')
            .close('}')
            .close(']');
        json.name("c").string(b"x\"\\\n\xff").close('}');
        let text = json.into_text();
        assert!(text.starts_with(r#"{"a":1,"b":[2,true,{}],"c":"x\"\\"#), "{text}");
        assert!(!text.contains('\n') && text.ends_with("\"}"));
    }
}
