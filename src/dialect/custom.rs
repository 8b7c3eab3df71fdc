//! OpenAI's `custom` tools, which take plain text, offered to bots as functions with one string parameter, `input`.

use serde_json::{Value, json};

use crate::pipeline::Tool;

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

/// The plain text in whatever arguments a bot gave: its `input`, else its only string, else all of it. Strings are read
/// as bots write them: with raw line breaks, with quotes that are not escaped, with half a pair of surrogates.
pub fn unwrapped(arguments: &str) -> String {
    if let Some(start) = opening(arguments) {
        return read(&arguments[start..], &TEXT_ENDS).0;
    }
    match serde_json::from_str(arguments).or_else(|_| serde_json::from_str(&mended(arguments))) {
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
    rendered: String,
}

impl Unwrapping {
    /// The text that `piece` makes certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.arguments.push_str(piece);
        let opened =
            || opening(&self.arguments).filter(|_| self.arguments.len() <= LONGEST_OPENING + piece.len());
        let Some(at) = self.read.or_else(opened) else { return String::new() };
        let (text, length) = read(&self.arguments[at..], &TEXT_ENDS);
        self.read = Some(at + length);
        self.rendered.push_str(&text);
        text
    }

    /// All of the text, and what of it has not been sent yet.
    pub fn finish(self) -> (String, String) {
        match self.read {
            Some(_) => (self.rendered, String::new()),
            None => {
                let all = unwrapped(&self.arguments);
                (all.clone(), all)
            }
        }
    }
}

/// Text that has not begun after so many bytes of arguments, white space for the most part, is read at the end.
const LONGEST_OPENING: usize = 4096;

/// Where the text begins, if `input` is the first member.
fn opening(arguments: &str) -> Option<usize> {
    let mut rest = arguments.trim_start().strip_prefix('{')?.trim_start();
    rest = rest.strip_prefix('"')?.strip_prefix(INPUT)?.strip_prefix('"')?.trim_start();
    rest = rest.strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(arguments.len() - rest.len())
}

/// What stands behind the quote that ends the text, and behind one that ends any string.
const TEXT_ENDS: [char; 2] = ['}', ','];
const STRING_ENDS: [char; 4] = ['}', ',', ':', ']'];

/// Reads the inside of a JSON string up to its end, as far as it is certain: the text, and the length of what was read.
fn read(inside: &str, ends: &[char]) -> (String, usize) {
    let mut text = String::new();
    let mut rest = inside;
    loop {
        let (plain, marked) = rest.split_at(rest.find(['"', '\\']).unwrap_or(rest.len()));
        text.push_str(plain);
        let Some((letter, length)) = letter(marked, ends) else {
            return (text, inside.len() - marked.len());
        };
        text.push(letter);
        rest = &marked[length..];
    }
}

/// The letter that the quote or backslash at the start of `rest` stands for, and how long it is. `None` at the end of
/// the string, and where more has to come first.
fn letter(rest: &str, ends: &[char]) -> Option<(char, usize)> {
    let behind = rest.get(1..)?;
    if rest.starts_with('"') {
        let is_end = behind.trim_start().starts_with(ends) || behind.trim_start().is_empty();
        return (!is_end).then_some(('"', 1));
    }
    let letter = match behind.chars().next()? {
        'u' => return unicode(rest),
        letter @ ('"' | '\\' | '/') => letter,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        // no escape, so the backslash is meant
        _ => return Some(('\\', 1)),
    };
    Some((letter, 2))
}

/// The letter that the escape at the start of `rest` stands for. A pair of surrogates is one, half a pair is none.
fn unicode(rest: &str) -> Option<(char, usize)> {
    const UNIT: usize = r"\u0000".len();
    let Some(first) = unit(rest)? else { return Some(('\\', 1)) };
    let second = match first {
        0xD800..0xDC00 => match &rest[UNIT..] {
            "" | "\\" => return None,
            next if next.starts_with(r"\u") => unit(next)?,
            _ => None,
        },
        _ => None,
    };
    let units = [Some(first), second.filter(|unit| (0xDC00..0xE000).contains(unit))];
    let length = units.iter().flatten().count() * UNIT;
    let letter = char::decode_utf16(units.into_iter().flatten()).next()?;
    Some((letter.unwrap_or(char::REPLACEMENT_CHARACTER), length))
}

/// The number in the `\u` at the start of `rest`, if there is one. `None` where more has to come first.
fn unit(rest: &str) -> Option<Option<u16>> {
    let behind = rest.get(2..)?;
    let digits = behind.bytes().take(4).take_while(u8::is_ascii_hexdigit).count();
    match digits == 4 {
        true => Some(u16::from_str_radix(&behind[..digits], 16).ok()),
        false => (digits < behind.len()).then_some(None),
    }
}

/// `json` with every string as JSON has it.
fn mended(json: &str) -> String {
    let mut mended = String::new();
    let mut rest = json;
    while let Some((before, inside)) = rest.split_once('"') {
        let (text, length) = read(inside, &STRING_ENDS);
        mended.push_str(before);
        match inside[length..].strip_prefix('"') {
            Some(behind) => {
                mended.push_str(&Value::from(text).to_string());
                rest = behind;
            }
            // cut short
            None => return json.to_owned(),
        }
    }
    mended + rest
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
                    let mut rendered = unwrapping.push(&arguments[..cut]);
                    rendered += &unwrapping.push(&arguments[cut..]);
                    let (all, rest) = unwrapping.finish();
                    assert_eq!(
                        (all.as_str(), rendered + &rest),
                        (text, text.to_owned()),
                        "{arguments} at {cut}"
                    );
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
    fn text_is_emitted_before_the_arguments_are_complete() {
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
    fn strings_that_are_no_json_are_read_alike_whole_and_wherever_they_are_cut() {
        for (arguments, text) in [
            ("{\"input\": \"a\nb\tc\\n\"}", "a\nb\tc\n"),
            (r#"{"input":"a\ud83db\ud83d\n\ude00"}"#, "a\u{FFFD}b\u{FFFD}\n\u{FFFD}"),
            (r#"{"input":"a\ud83d"}"#, "a\u{FFFD}"),
            (r#"{"input":"\ud83d\ud83d\ude00"}"#, "\u{FFFD}\u{1F600}"),
            (r#"{"input":"\d\u00zz\'\\"}"#, r"\d\u00zz\'\"),
            (r#"{"input":"say "hi" now"}"#, r#"say "hi" now"#),
            (r#"{"input":"a" , "input":"b"}"#, "a"),
            (r#"{"input":"a"} and more"#, "a"),
            (r#"{"input":"cut \"#, "cut "),
            (r#"{"input":"cut \ud83d\ude"#, "cut "),
            ("{\"patch\": \"a\nb\\ud83d\"}", "a\nb\u{FFFD}"),
            ("{\"why\": \"x\ny\", \"input\": \"a\nb\"}", "a\nb"),
            ("\"a\nb\"", "a\nb"),
            ("\"a\nb", "\"a\nb"),
        ] {
            assert_eq!(unwrapped(arguments), text, "{arguments}");
            for cut in (0..=arguments.len()).filter(|cut| arguments.is_char_boundary(*cut)) {
                let mut unwrapping = Unwrapping::default();
                let rendered = [&arguments[..cut], &arguments[cut..]].map(|piece| unwrapping.push(piece));
                let (all, rest) = unwrapping.finish();
                assert_eq!(
                    (all, rendered.concat() + &rest),
                    (text.into(), text.into()),
                    "{arguments} at {cut}"
                );
            }
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
            let rendered = unwrapping.push(arguments);
            let (all, rest) = unwrapping.finish();
            assert_eq!((all.as_str(), rendered + &rest), (text, text.to_owned()), "{arguments}");
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
