//! Tools that take plain text (OpenAI's `custom`) offered to bots that know only functions: one string called `input`.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::exchange::Tool;

/// The one parameter of a custom tool that is offered as a function.
const INPUT: &str = "input";

/// A custom tool as a function. `format` is OpenAI's: `{"type": "grammar", "syntax", "definition"}` or text.
pub fn offer(name: String, description: Option<String>, format: Option<&Value>) -> Tool {
    let mut about = description.unwrap_or_default();
    let field = |name: &str| format.and_then(|format| format.get(name)).and_then(Value::as_str);
    // the chat dialect has syntax and definition one level deeper
    let inner = |name: &str| field(name).or_else(|| format?.get("grammar")?.get(name)?.as_str());
    if let Some(definition) = inner("definition") {
        let syntax = inner("syntax").unwrap_or("the following");
        if !about.is_empty() {
            about.push_str("\n\n");
        }
        about.push_str(&format!("`{INPUT}` must follow this grammar ({syntax}):\n{definition}"));
    }
    let input = json!({"type": "string", "description": "The tool's whole input as plain text, exactly as it is to reach the tool."});
    let parameters = json!({
        "type": "object", "properties": {INPUT: input}, "required": [INPUT], "additionalProperties": false,
    });
    Tool { name, description: Some(about).filter(|about| !about.is_empty()), parameters: Some(parameters) }
}

/// Plain text as the arguments of that function.
pub fn wrapped(input: &str) -> String {
    json!({ INPUT: input }).to_string()
}

/// The plain text in whatever arguments a bot gave: its `input`, else its only string, else all of it.
pub fn unwrapped(arguments: &str) -> String {
    match serde_json::from_str(arguments) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(mut members)) => match (members.remove(INPUT), members.len()) {
            (Some(Value::String(text)), _) => text,
            (Some(other), _) => other.to_string(),
            (None, 0) => String::new(),
            (None, 1) => match members.into_iter().next() {
                Some((_, Value::String(text))) => text,
                _ => arguments.to_owned(),
            },
            (None, _) => arguments.to_owned(),
        },
        _ => arguments.to_owned(),
    }
}

/// Whether `arguments` are what [`wrapped`] makes: the form in which a bot is shown its own calls.
pub fn is_wrapped(arguments: &str) -> bool {
    matches!(serde_json::from_str(arguments), Ok(Value::Object(members)) if members.contains_key(INPUT))
}

/// Takes the plain text out of arguments that come in pieces, as far as it is certain.
#[derive(Debug, Default)]
pub struct Unwrapping {
    arguments: String,
    /// How many bytes of `arguments` have been read, once the text has begun.
    read: Option<usize>,
    told: String,
}

impl Unwrapping {
    /// The text that `piece` makes certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.arguments.push_str(piece);
        let read = match self.read {
            Some(read) => read,
            None => match opening(&self.arguments) {
                Some(start) => start,
                None => return String::new(),
            },
        };
        let length = certain(&self.arguments[read..]);
        self.read = Some(read + length);
        let json = format!("\"{}\"", &self.arguments[read..read + length]);
        let text: String = serde_json::from_str(&json).unwrap_or_default();
        self.told.push_str(&text);
        text
    }

    /// All of the text, and what of it has not been told yet.
    pub fn finish(self) -> (String, String) {
        let is_cut = self.read.is_some() && serde_json::from_str::<IgnoredAny>(&self.arguments).is_err();
        let all = unwrapped(&self.arguments);
        match all.strip_prefix(self.told.as_str()) {
            Some(rest) if !is_cut => {
                let rest = rest.to_owned();
                (all, rest)
            }
            // broken JSON: what was told is all that can be said of it
            _ => (self.told, String::new()),
        }
    }
}

/// Where the text begins, if `input` is the first member.
fn opening(arguments: &str) -> Option<usize> {
    let mut rest = arguments.trim_start().strip_prefix('{')?.trim_start();
    rest = rest.strip_prefix('"')?.strip_prefix(INPUT)?.strip_prefix('"')?.trim_start();
    rest = rest.strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(arguments.len() - rest.len())
}

/// How many bytes at the start of a JSON string's inside can be read for certain, up to its end.
fn certain(inside: &str) -> usize {
    let bytes = inside.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let length = match byte {
            b'"' => return at,
            b'\\' => match escape(&bytes[at..]) {
                Some(length) => length,
                None => return at,
            },
            _ => 1,
        };
        at += length;
    }
    at
}

/// The length of the escape that `bytes` begin with, if all of it is there. A pair of surrogates is one.
fn escape(bytes: &[u8]) -> Option<usize> {
    const UNIT: usize = r"\u0000".len();
    if *bytes.get(1)? != b'u' {
        return Some(2);
    }
    let unit =
        std::str::from_utf8(bytes.get(2..UNIT)?).ok().and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let is_first = unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
    match is_first {
        false => Some(UNIT),
        true => bytes.get(2 * UNIT - 1).map(|_| 2 * UNIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_in_and_comes_out_wherever_it_is_cut() {
        for text in [
            "",
            "*** Begin Patch\n+\"a\\b\"\t\n*** End Patch",
            "\u{1F600}\u{4F60}\u{1}x",
            "{\"input\":\"x\"}",
        ] {
            let plain = wrapped(text);
            let escaped = format!(" {{ \"input\" : {} }}", ascii(text));
            for arguments in [plain, escaped] {
                assert_eq!(unwrapped(&arguments), text);
                for cut in (0..=arguments.len()).filter(|cut| arguments.is_char_boundary(*cut)) {
                    let mut unwrapping = Unwrapping::default();
                    let mut told = unwrapping.push(&arguments[..cut]);
                    told += &unwrapping.push(&arguments[cut..]);
                    let (all, rest) = unwrapping.finish();
                    assert_eq!((all.as_str(), told + &rest), (text, text.to_owned()), "{arguments} at {cut}");
                }
            }
        }
    }

    /// JSON with every character escaped as UTF-16.
    fn ascii(text: &str) -> String {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    }

    #[test]
    fn text_is_told_before_the_arguments_are_complete() {
        let mut unwrapping = Unwrapping::default();
        assert_eq!(unwrapping.push("{\"input\":\"one\\"), "one");
        assert_eq!(unwrapping.push("ntwo"), "\ntwo");
        assert_eq!(unwrapping.push("\"}"), "");
        assert_eq!(unwrapping.finish(), ("one\ntwo".into(), String::new()));
    }

    #[test]
    fn a_text_that_was_cut_short_is_as_long_as_it_came() {
        for (arguments, text) in
            [(r#"{"input":"ab"#, "ab"), (r#"{"input":""#, ""), (r#"{"input":"a\u00"#, "a")]
        {
            let mut unwrapping = Unwrapping::default();
            assert_eq!((unwrapping.push(arguments).as_str(), unwrapping.finish().0.as_str()), (text, text));
        }
    }

    #[test]
    fn bots_that_miss_the_form_are_understood() {
        let cases = [
            (r#"{"patch": "x"}"#, "x"),
            (r#""x""#, "x"),
            ("x", "x"),
            ("{}", ""),
            (r#"{"input": {"a": 1}}"#, r#"{"a":1}"#),
            (r#"{"a": "x", "input": "y"}"#, "y"),
            (r#"{"a": 1, "b": 2}"#, r#"{"a": 1, "b": 2}"#),
        ];
        for (arguments, text) in cases {
            assert_eq!(unwrapped(arguments), text, "{arguments}");
            let mut unwrapping = Unwrapping::default();
            let told = unwrapping.push(arguments);
            let (all, rest) = unwrapping.finish();
            assert_eq!((all.as_str(), told + &rest), (text, text.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn the_grammar_is_described() {
        let format = json!({"type": "grammar", "syntax": "lark", "definition": "start: x"});
        let about =
            |format: &Value| offer("t".into(), Some("Edits.".into()), Some(format)).description.unwrap();
        assert_eq!(about(&format), "Edits.\n\n`input` must follow this grammar (lark):\nstart: x");
        let nested = json!({"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]"}});
        assert!(about(&nested).ends_with("(regex):\n[a-z]"));
        assert_eq!(about(&json!({"type": "text"})), "Edits.");
    }
}
