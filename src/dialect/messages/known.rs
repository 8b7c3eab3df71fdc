//! Definitions of tools that clients run and name by type alone, because Anthropic's models are trained on them. Other
//! bots need the definition.

use serde_json::{Value, json};

use crate::pipeline::Tool;

const FAMILIES: &[&str] = &["bash", "text_editor", "memory"];

/// The tool `name` of the type `kind`, such as `bash_20250124`, with its schema and the family that it is of. `None` if it
/// is not run by clients, or needs eyes and hands.
pub fn tool(kind: &str, name: &str) -> Option<(Tool, &'static str)> {
    let (family, version) = kind.rsplit_once('_')?;
    let family = FAMILIES.iter().find(|known| **known == family)?;
    let (description, parameters) = match *family {
        "bash" => ("Runs a command in a bash shell that lives on between calls.", bash()),
        "text_editor" => {
            ("Views and edits files.", editor(&["view", "create", "str_replace", "insert"], version))
        }
        _ => {
            let commands = ["view", "create", "str_replace", "insert", "delete", "rename"];
            (
                "Keeps notes in files below /memories, to be looked up before and written down while working.",
                editor(&commands, version),
            )
        }
    };
    let tool =
        Tool { name: name.to_owned(), description: Some(description.into()), parameters: Some(parameters) };
    Some((tool, family))
}

fn bash() -> Value {
    json!({"type": "object", "properties": {
        "command": {"type": "string", "description": "The command; required unless the shell is restarted"},
        "restart": {"type": "boolean", "description": "True starts the shell anew"},
    }})
}

fn editor(commands: &[&str], version: &str) -> Value {
    // the text to insert had the name of the text to put in place of another before
    let insert = if version < "20250728" { "new_str" } else { "insert_text" };
    let text = |about: &str| json!({"type": "string", "description": about});
    let mut properties = json!({
        "command": {"type": "string", "enum": commands},
        "path": text("The file or directory"),
        "view_range": {"type": "array", "items": {"type": "integer"}, "description": "view: first and last line, from 1; -1 is the end"},
        "file_text": text("create: the content"),
        "old_str": text("str_replace: the text to replace, which must occur once"),
        "new_str": text("str_replace: the text in its place"),
        "insert_line": {"type": "integer", "description": "insert: the line after which to insert; 0 is the beginning"},
    });
    properties[insert] = text(if insert == "new_str" {
        "str_replace: the text in its place; insert: the text to insert"
    } else {
        "insert: the text to insert"
    });
    if commands.contains(&"rename") {
        properties["old_path"] = text("rename: the path so far");
        properties["new_path"] = text("rename: the new path");
    }
    let required = if commands.contains(&"rename") { json!(["command"]) } else { json!(["command", "path"]) };
    json!({"type": "object", "properties": properties, "required": required})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_clients_run_get_their_schema() {
        let schema = |kind: &str| tool(kind, "x").map(|(tool, _)| tool.parameters.unwrap());
        assert!(schema("bash_20250124").unwrap()["properties"]["command"].is_object());
        let older = schema("text_editor_20250124").unwrap();
        let newer = schema("text_editor_20250728").unwrap();
        assert!(older["properties"].get("insert_text").is_none());
        assert!(
            newer["properties"]["insert_text"].is_object() && newer["properties"].get("old_path").is_none()
        );
        let memory = schema("memory_20250818").unwrap();
        assert!(memory["properties"]["old_path"].is_object());
        assert_eq!(memory["properties"]["command"]["enum"].as_array().unwrap().len(), 6);
    }

    #[test]
    fn what_servers_run_is_not() {
        for kind in
            ["web_search_20250305", "code_execution_20250825", "computer_20250124", "mcp_toolset", "x"]
        {
            assert!(tool(kind, "x").is_none(), "{kind}");
        }
    }
}
