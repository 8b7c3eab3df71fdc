//! Arguments of one native call, assembled from pieces that may repeat or replace each other.

/// What was collected so far, and how much of it was passed on.
///
/// Pieces continue each other. Some bots send `{}` first and the arguments later, the whole arguments once more at the
/// end, or with every piece all that came so far; therefore a whole object is held back until it is known whether a
/// new one replaces it.
#[derive(Debug, Default)]
pub struct Arguments {
    text: String,
    /// The text if each piece repeats what came before it, once that is possible.
    repeated: Option<String>,
    /// How many bytes of the text were passed on.
    sent: usize,
    nesting: Nesting,
}

/// How far an object was read.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    place: Place,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but white space so far.
    #[default]
    Start,
    /// Not an object.
    Other,
    Between,
    String,
    Escape,
    /// The object is complete.
    Whole,
}

impl Nesting {
    /// Reads on; where in `text` the object ends, once it does.
    fn read(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            self.place = match (self.place, byte) {
                (Place::Start, b'{') => Place::Between,
                (Place::Start, _) if byte.is_ascii_whitespace() => Place::Start,
                (Place::Start | Place::Other, _) => Place::Other,
                (Place::Between, b'"') => Place::String,
                (Place::String, b'"') | (Place::Between, _) => Place::Between,
                (Place::String, b'\\') => Place::Escape,
                (Place::String | Place::Escape, _) => Place::String,
                (Place::Whole, _) => return Some(at),
            };
            match (self.place, byte) {
                (Place::Between, b'{' | b'[') => self.depth += 1,
                (Place::Between, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.place = Place::Whole;
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

impl Arguments {
    /// Takes the next piece; what of the text can be passed on now.
    pub fn push(&mut self, piece: &str) -> String {
        if self.nesting.place == Place::Whole {
            self.replace(piece);
            return String::new();
        }
        if let Some(repeated) = &mut self.repeated {
            match piece.starts_with(repeated.as_str()) {
                true => piece.clone_into(repeated),
                false => repeated.push_str(piece),
            }
            self.text.push_str(piece);
            return String::new();
        }
        let is_open = !matches!(self.nesting.place, Place::Start | Place::Other);
        if is_open && piece.starts_with(&self.text) {
            self.repeated = Some(piece.to_owned());
            self.text.push_str(piece);
            return String::new();
        }
        if self.text.is_empty() && matches!(piece.trim(), "" | "null") {
            return String::new();
        }
        let end = self.nesting.read(piece);
        self.text.push_str(&piece[..end.unwrap_or(piece.len())]);
        match (end, self.nesting.place) {
            (Some(end), _) => {
                self.replace(&piece[end..]);
                String::new()
            }
            (None, Place::Start | Place::Other) => String::new(),
            (None, _) => self.rest(),
        }
    }

    /// A piece behind a whole object: new objects, of which the last one counts, as far as nothing else was passed on.
    /// A loop, because bots decide how many there are.
    fn replace(&mut self, mut piece: &str) {
        loop {
            piece = piece.trim_start();
            let is_new = piece.starts_with('{') && piece.trim_end() != self.text;
            if !is_new || !piece.starts_with(&self.text[..self.sent]) {
                return;
            }
            let sent = self.sent;
            *self = Arguments { sent, ..Arguments::default() };
            let end = self.nesting.read(piece);
            self.text.push_str(&piece[..end.unwrap_or(piece.len())]);
            match end {
                Some(end) => piece = &piece[end..],
                None => return, // it may be that the object is repeated piece by piece
            }
        }
    }

    /// Whether a whole object, not an empty one, is held back.
    pub fn is_held(&self) -> bool {
        self.nesting.place == Place::Whole && self.sent < self.text.len() && self.text.len() > "{ }".len()
    }

    /// What was not passed on yet.
    pub fn rest(&mut self) -> String {
        let rest = self.text[self.sent..].to_owned();
        self.sent = self.text.len();
        rest
    }

    /// Takes back the last `len` bytes that were to be passed on: the call has no name yet.
    pub fn keep(&mut self, len: usize) {
        self.sent -= len;
    }

    /// What can be passed on once the call has a name.
    pub fn begun(&mut self) -> String {
        let is_open = matches!(self.nesting.place, Place::Between | Place::String | Place::Escape);
        if is_open && self.repeated.is_none() { self.rest() } else { String::new() }
    }

    /// What is still to be passed on at the end, when no piece follows.
    pub fn close(&mut self) -> String {
        if let Some(repeated) = self.repeated.take() {
            let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            if !is_json(&self.text) && repeated.starts_with(&self.text[..self.sent]) {
                self.text = repeated;
            }
            self.nesting = Nesting::default();
            if let Some(end) = self.nesting.read(&self.text) {
                self.text.truncate(end);
            }
        }
        if self.sent == 0 {
            let inner: Option<String> = serde_json::from_str(&self.text).ok(); // JSON in a string
            if let Some(inner) = inner.filter(|inner| inner.trim_start().starts_with('{')) {
                self.text = inner;
            }
            if matches!(self.text.trim(), "" | "null") {
                self.text = "{}".to_owned();
            }
        }
        self.rest()
    }

    /// Whether they break off in the middle of an object.
    pub fn are_cut(&self) -> bool {
        matches!(self.nesting.place, Place::Between | Place::String | Place::Escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was passed on before the end, and in all.
    fn collected(pieces: &[&str]) -> (String, String) {
        let mut arguments = Arguments::default();
        let early: String = pieces.iter().map(|piece| arguments.push(piece)).collect();
        let all = early.clone() + &arguments.close();
        assert!(!arguments.are_cut(), "{pieces:?}");
        (early, all)
    }

    #[test]
    fn pieces_that_repeat_and_replace_each_other_are_one_object() {
        let whole = r#"{"city":"Paris"}"#;
        for (desc, pieces) in [
            ("whole", vec![whole]),
            ("in pieces", vec!["{\"ci", "ty\":\"Pa", "ris\"}"]),
            ("white space around it", vec![" ", whole, "\n"]),
            ("nothing, then the object", vec!["", "null", whole]),
            ("an empty object first", vec!["{}", whole]),
            ("an empty object first, then pieces", vec!["{}", "{\"city\":", "\"Paris\"}"]),
            ("once more at the end", vec!["{\"city\":", "\"Paris\"}", whole]),
            ("once more in pieces", vec!["{\"city\":\"Paris\"}", "{\"city\":", "\"Paris\"}"]),
            ("once more in one piece", vec!["{\"city\":", "\"Paris\"}{\"city\":\"Paris\"}"]),
            ("each time so far", vec!["{", "{\"city\":", "{\"city\":\"Pa", "{\"city\":\"Paris\"", whole]),
            ("each time so far from the middle", vec!["{\"ci", "{\"city\":\"P", whole]),
            ("each time so far, and the end twice", vec!["{\"ci", whole, whole]),
            ("another object", vec![r#"{"city":"Rome"}"#, whole]),
            ("JSON in a string", vec![r#""{\"city\":\"Paris\"}""#]),
        ] {
            assert_eq!(collected(&pieces).1, whole, "{desc}");
        }
        for nothing in [vec![], vec![""], vec!["null"], vec![" "], vec!["{}"], vec!["{}", "{}"]] {
            assert_eq!(collected(&nothing).1, "{}", "{nothing:?}");
        }
        let nested = collected(&["{\"a\":", "{\"a\":", "1}}"]);
        assert_eq!(nested.1, "{\"a\":{\"a\":1}}", "an object that only looks repeated");
    }

    #[test]
    fn any_number_of_objects_in_one_piece_fits_a_small_stack() {
        let run = || {
            let all: String = (0..15_000).map(|number| format!("{{\"a\":{number}}}")).collect();
            assert_eq!(collected(&[&all]).1, "{\"a\":14999}");
            assert_eq!(collected(&["{}", &all]).1, "{\"a\":14999}");
        };
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap();
        assert!(thread.join().is_ok());
    }

    #[test]
    fn pieces_are_passed_on_as_they_come() {
        let (early, all) = collected(&["{\"a\":", "\"long", "er\"", "}"]);
        assert_eq!((early.as_str(), all.as_str()), ("{\"a\":\"longer\"", "{\"a\":\"longer\"}"));
    }

    #[test]
    fn what_breaks_off_is_known() {
        for pieces in [vec!["{"], vec!["{\"a\": \"x"], vec!["{}", "{\"a\":"], vec!["{\"a\": [1}"]] {
            let mut arguments = Arguments::default();
            pieces.iter().for_each(|piece| drop(arguments.push(piece)));
            arguments.close();
            assert!(arguments.are_cut(), "{pieces:?}");
        }
    }
}
