//! A small JSON reader.
//!
//! For: case files of other suites. May touch: nothing but text.
//! Always: reads what the suites contain (integers, no fractions) and refuses the rest instead of guessing.

/// Deepest nesting that is read.
const DEPTH_LIMIT: usize = 32;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` and `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, in file order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The member `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(m) => m.iter().find(|(k, _)| k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The items of an array; none for other types.
    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(l) => l,
            _ => &[],
        }
    }
}

/// Reads one value that fills the whole text.
pub fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    match reader.at == text.len() {
        true => Ok(value),
        false => Err(format!("more text at byte {}", reader.at)),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} expected at byte {}", self.at))
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_LIMIT {
            return self.wrong("less nesting");
        }
        self.blanks();
        let rest = &self.text[self.at..];
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match rest.first() {
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.int(),
            _ => self.wrong("a value"),
        }
    }

    fn int(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|b| !matches!(b, b'-' | b'0'..=b'9')).unwrap_or(rest.len());
        if matches!(rest.get(len), Some(b'.' | b'e' | b'E')) {
            return self.wrong("a whole number");
        }
        let text = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.at += len;
        text.parse().map(Json::Int).map_err(|e| format!("{text}: {e}"))
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next_is(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.next_is(b']') {
                return Ok(Json::List(items));
            }
            if !self.next_is(b',') {
                return self.wrong("a comma");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members = Vec::new();
        if self.next_is(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            let name = self.string()?;
            if !self.next_is(b':') {
                return self.wrong("a colon");
            }
            members.push((name, self.value(depth + 1)?));
            if self.next_is(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.next_is(b',') {
                return self.wrong("a comma");
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.next_is(b'"') {
            return self.wrong("a string");
        }
        let mut out = Vec::new();
        loop {
            let Some(&b) = self.text.get(self.at) else { return self.wrong("a closing quote") };
            self.at += 1;
            match b {
                b'"' => return String::from_utf8(out).map_err(|e| e.to_string()),
                b'\\' => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => out.push(b),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(&b) = self.text.get(self.at) else { return self.wrong("an escape") };
        self.at += 1;
        Ok(match b {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => b as char,
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
                let code = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32);
                self.at += 4;
                match code {
                    Some(c) => c,
                    None => return self.wrong("a plain \\u escape"),
                }
            }
            _ => return self.wrong("a known escape"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let v = parse(r#" {"a": [1, -2, null, true, "x\n\u0041é"], "b": {}, "c": []} "#).unwrap();
        assert_eq!(v.get("a").unwrap().items()[1], Json::Int(-2));
        assert_eq!(v.get("a").unwrap().items()[4].text(), Some("x\nAé"));
        assert_eq!(v.get("b"), Some(&Json::Object(vec![])));
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in ["", "[1", "[1,]", "{\"a\" 1}", "1.5", "\"a", "1 2", "{1:2}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
