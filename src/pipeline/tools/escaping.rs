//! Escapes and unescapes the XML of calls in the text.

/// Opens a section whose text is taken as it stands.
pub const CDATA: &str = "<![CDATA[";
/// Closes it.
pub const CDATA_END: &str = "]]>";

/// `text` with the characters that mean something in markup written as entities.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

/// `text` as the value of an attribute in double quotes.
pub fn escape_attribute(text: &str) -> String {
    escape(text).replace('"', "&quot;")
}

/// `text` as the content of an element, so that [`content`] gives it back exactly.
pub fn escape_content(text: &str) -> String {
    let layout = if text.starts_with(['\n', '\r']) { "\n" } else { "" };
    format!("{layout}{}", escape(text))
}

/// What the content `raw` of an element means: entities and CDATA sections resolved.
///
/// One line break right behind the opening tag is layout, and so is white space with a line break in it around
/// content that is nothing but CDATA. All other white space counts. An `&` that begins no entity is itself.
pub fn content(raw: &str) -> String {
    let mut rest = without_layout(raw);
    let mut out = String::with_capacity(rest.len());
    while let Some((before, (inner, after))) =
        rest.split_once(CDATA).and_then(|(before, rest)| Some((before, rest.split_once(CDATA_END)?)))
    {
        unescape(before, &mut out);
        out.push_str(inner);
        rest = after;
    }
    unescape(rest, &mut out);
    out
}

fn without_layout(raw: &str) -> &str {
    let inner = raw.trim();
    if !(inner.starts_with(CDATA) && inner.ends_with(CDATA_END)) {
        return raw.strip_prefix("\r\n").or_else(|| raw.strip_prefix('\n')).unwrap_or(raw);
    }
    let indent = raw.len() - raw.trim_start().len();
    let from = if raw[..indent].contains('\n') { indent } else { 0 };
    let to = raw.trim_end().len();
    if raw[to..].contains('\n') { &raw[from..to] } else { &raw[from..] }
}

/// Appends `text` with its entities resolved.
pub fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((letter, len)) => {
                out.push(letter);
                rest = &rest[len..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
}

/// The entity at the start of `text` and its length.
fn entity(text: &str) -> Option<(char, usize)> {
    const LONGEST: usize = "&#x0010FFFF;".len();
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let letter = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = match number.strip_prefix(['x', 'X']) {
                Some(digits) => (digits, 16),
                None => (number, 10),
            };
            let plain = digits.chars().all(|digit| digit.is_digit(radix)); // no sign
            let code = u32::from_str_radix(digits, radix).ok().filter(|&code| plain && code != 0)?;
            char::from_u32(code)?
        }
    };
    Some((letter, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_is_read_exactly() {
        for (desc, raw, text) in [
            ("empty", "", ""),
            ("white space counts", "  a \n", "  a \n"),
            ("one line break behind the tag", "\n\na\n", "\na\n"),
            ("CRLF behind the tag", "\r\na", "a"),
            ("named entities", "&lt;&gt;&amp;&quot;&apos;", "<>&\"'"),
            ("numbers", "&#65;&#x42;&#X43;&#x1F600;&#10;", "ABC😀\n"),
            ("an escaped break is no layout", "&#10;a", "\na"),
            ("once only", "&amp;lt;", "&lt;"),
            (
                "code",
                "a && b & c < d > e; &nope; &; &#; &#x; &#0; &#xD800; &#+5;",
                "a && b & c < d > e; &nope; &; &#; &#x; &#0; &#xD800; &#+5;",
            ),
            ("an umlaut in reach of an entity", "&äöüäöüäöü;", "&äöüäöüäöü;"),
            ("CDATA", "<![CDATA[</parameter> &lt; ]]>", "</parameter> &lt; "),
            ("an empty CDATA", "<![CDATA[]]>", ""),
            ("CDATA keeps its first line break", "<![CDATA[\na]]>", "\na"),
            ("CDATA on lines of its own", "\n  <![CDATA[ a ]]>\n", " a "),
            ("blanks beside CDATA count", " <![CDATA[a]]> ", " a "),
            ("CDATA in text", "\na&lt;<![CDATA[b&lt;]]>c\n", "a<b&lt;c\n"),
            ("CDATA end in CDATA", "<![CDATA[a]]]]><![CDATA[>b]]>", "a]]>b"),
            ("CDATA without an end", "<![CDATA[a", "<![CDATA[a"),
        ] {
            assert_eq!(content(raw), text, "{desc}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_back(text in "(\n|\r|<|>|&|;|\"|lt|#10|<!\\[CDATA\\[|\\]\\]>|[a-é ]){0,16}") {
            prop_assert_eq!(content(&escape_content(&text)), text.as_str());
            let mut back = String::new();
            unescape(&escape_attribute(&text), &mut back);
            prop_assert_eq!(back, text);
        }
    }
}
