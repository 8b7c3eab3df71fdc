//! Prompts that make a chat bot complete a text or fill a gap in it.

use super::{ChatRequest, Format, Message, Part, Role};

const CONTINUE: &str = "\
You complete text. The user's message is the beginning of a text or of a program. Answer only with what comes next, from \
the very next character on: do not repeat any of the beginning, do not answer it, greet, explain or comment, and do not \
put the answer into a Markdown code fence.";

const FILL: &str = "\
You fill a gap. The user's message is a text or a program with <FILL_HERE/> where a part is missing. Answer only with \
that part, exactly as it has to stand there: do not repeat what stands before or after it, do not explain or comment, and \
do not put the answer into a Markdown code fence. Keep the indentation.";

const MARK: &str = "<FILL_HERE/>";

/// The words with which autocomplete plugins mark a gap for models that were trained on them: what opens the text, what
/// stands at the gap, and what ends it.
const TEMPLATES: &[(&str, &str, &str)] = &[
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ("<PRE> ", " <SUF>", " <MID>"),
];

/// The same of models that are sent first what stands behind the gap.
const BEHIND: &str = "[SUFFIX]";
const BEFORE: &str = "[PREFIX]";

/// A text that goes on or has a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What stands before the gap.
    pub before: String,
    /// What stands behind it, if anything does.
    pub after: Option<String>,
}

impl Gap {
    /// Reads a prompt: `suffix` stands behind the gap, unless the prompt marks one in the words of a model.
    pub fn read(prompt: &str, suffix: Option<&str>) -> Gap {
        let after = suffix.filter(|suffix| !suffix.is_empty());
        match after {
            None => marked(prompt).unwrap_or(Gap { before: prompt.to_owned(), after: None }),
            Some(after) => Gap { before: prompt.to_owned(), after: Some(after.to_owned()) },
        }
    }
}

fn marked(prompt: &str) -> Option<Gap> {
    if let Some((after, before)) = prompt.strip_prefix(BEHIND).and_then(|text| text.split_once(BEFORE)) {
        return Some(Gap { before: before.to_owned(), after: Some(after.to_owned()) });
    }
    TEMPLATES.iter().find_map(|(open, gap, end)| {
        let text = &prompt[prompt.find(open)? + open.len()..];
        let text = text.trim_end().strip_suffix(end.trim_end())?;
        let (before, after) = text.split_once(gap)?;
        Some(Gap { before: before.to_owned(), after: Some(after.to_owned()) })
    })
}

/// Makes `chat` the question for what is missing. Its system turns stay first.
pub fn completion_prompt(chat: &mut ChatRequest, gap: &Gap) {
    let (instruction, text) = match &gap.after {
        Some(after) => (FILL, format!("{}{MARK}{after}", gap.before)),
        None => (CONTINUE, gap.before.clone()),
    };
    // Markdown goes on with fences of its own
    if !text.contains("```") {
        chat.format = Format::Bare;
    }
    let turn = |role, text: String| Message { role, parts: vec![Part::Text(text)], ..Message::default() };
    chat.messages.push(turn(Role::System, instruction.to_owned()));
    chat.messages.push(turn(Role::User, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_found_in_every_notation() {
        let gap =
            |before: &str, after: Option<&str>| Gap { before: before.into(), after: after.map(Into::into) };
        for (prompt, suffix, found) in [
            ("a", None, gap("a", None)),
            ("a", Some(""), gap("a", None)),
            ("a", Some("b"), gap("a", Some("b"))),
            ("<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", None, gap("a", Some("b"))),
            ("<|repo_name|>x\n<|fim_prefix|>a<|fim_suffix|><|fim_middle|>\n", None, gap("a", Some(""))),
            ("<fim_prefix>a<fim_suffix>b<fim_middle>", None, gap("a", Some("b"))),
            ("<PRE> a <SUF>b <MID>", None, gap("a", Some("b"))),
            ("[SUFFIX]b[PREFIX]a", None, gap("a", Some("b"))),
            ("<PRE> a", None, gap("<PRE> a", None)),
        ] {
            assert_eq!(Gap::read(prompt, suffix), found, "{prompt}");
        }
    }

    #[test]
    fn the_text_reaches_the_bot_whole_and_fences_stay_in_markdown() {
        let mut chat = ChatRequest::default();
        completion_prompt(&mut chat, &Gap::read("def f(", Some("): pass")));
        assert_eq!(chat.messages[1].text(), "def f(<FILL_HERE/>): pass");
        assert_eq!((chat.messages[0].role, chat.messages[1].role), (Role::System, Role::User));
        assert!(matches!(chat.format, Format::Bare));
        let mut chat = ChatRequest::default();
        completion_prompt(&mut chat, &Gap::read("# Title\n```\n", None));
        assert_eq!(chat.messages[1].text(), "# Title\n```\n");
        assert!(matches!(chat.format, Format::Text));
    }
}
