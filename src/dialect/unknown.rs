//! The text of items and parts of a type that has no meaning here, so that it reaches the bot all the same.

use serde_json::Value;

use crate::pipeline::Part;

/// Fields that say nothing to a bot: ids, states, what only their maker can read.
const SILENT: [&str; 14] = [
    "type",
    "id",
    "status",
    "role",
    "call_id",
    "server_label",
    "container_id",
    "file_id",
    "annotations",
    "logprobs",
    "approval_request_id",
    "tool_use_id",
    "cache_control",
    "phase",
];
/// A longer string without white space is a file in base64 or a cipher.
const LONGEST_WORD: usize = 4096;

/// `text` as a part that says what it is.
pub fn marked(kind: &str, text: &str) -> Part {
    Part::Text(format!("[{kind}]\n{text}"))
}

/// All text of the item or part `value`, one string a line.
pub fn text(value: &Value) -> String {
    let mut text = String::new();
    collect(value, &mut text);
    text
}

fn collect(value: &Value, text: &mut String) {
    match value {
        Value::String(piece) => {
            let is_word = !piece.contains(|c: char| c.is_ascii_whitespace());
            if piece.trim().is_empty() || is_word && piece.len() > LONGEST_WORD {
                return;
            }
            text.push_str(if text.is_empty() { "" } else { "\n" });
            text.push_str(piece);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, text)),
        Value::Object(members) => {
            // only what carries an agent's message is readable: of results it is a cipher
            let is_message = members.get("type").is_some_and(|kind| kind == "encrypted_content");
            for (name, value) in members {
                let is_cipher = name.starts_with("encrypted_") && !is_message;
                if !SILENT.contains(&name.as_str()) && !is_cipher {
                    collect(value, text);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_found_and_ids_are_not() {
        let item = json!({"type": "shell_call_output", "id": "sh_1", "status": "completed", "output": [
            {"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}, {"stdout": "b c"}]});
        assert_eq!(text(&item), "a.txt\nb c");
        let hidden =
            json!({"encrypted_content": "x", "type": "web_search_result", "url": "https://x", "n": 1});
        assert_eq!(text(&hidden), "https://x");
        let agent = json!({"type": "agent_message", "author": "/root", "content": [
            {"type": "input_text", "text": "go"}, {"type": "encrypted_content", "encrypted_content": "on"}]});
        let said = text(&agent);
        assert!(["/root", "go", "on"].iter().all(|word| said.lines().any(|line| line == *word)), "{said}");
        assert_eq!(text(&json!({"result": "A".repeat(5000)})), "");
    }
}
