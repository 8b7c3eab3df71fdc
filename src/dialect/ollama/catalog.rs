//! Descriptions of Poe's models in Ollama's format.

use serde_json::{Map, Value, json};

use crate::clock::rfc3339;

/// The version of Ollama whose API this is; programs ask for it before they speak.
pub const VERSION: &str = "0.12.6";

/// What is known of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Who made it.
    pub owned_by: String,
    /// How many tokens it takes, if known.
    pub context_length: Option<u64>,
    /// Whether it reads pictures.
    pub sees: bool,
    /// Whether it thinks before it answers.
    pub thinks: bool,
}

/// The name that Poe knows, without the tag that Ollama's names have.
pub fn model_name(name: &str) -> &str {
    name.strip_suffix(":latest").filter(|name| !name.is_empty()).unwrap_or(name)
}

/// `GET /api/version`
pub fn version() -> Vec<u8> {
    json!({"version": VERSION}).to_string().into_bytes()
}

/// `GET /api/tags`
pub fn tags(models: &[Model]) -> Vec<u8> {
    let models: Vec<Value> = models.iter().map(listed).collect();
    json!({"models": models}).to_string().into_bytes()
}

/// `GET /api/ps`: nothing runs on this machine.
pub fn running() -> Vec<u8> {
    json!({"models": []}).to_string().into_bytes()
}

fn listed(model: &Model) -> Value {
    json!({
        "name": model.name,
        "model": model.name,
        "modified_at": rfc3339(model.created),
        "size": 0,
        "digest": digest(&model.name),
        "details": details(model),
    })
}

fn details(model: &Model) -> Value {
    json!({
        "parent_model": "", "format": "poe", "family": model.owned_by, "families": [model.owned_by],
        "parameter_size": "", "quantization_level": "",
    })
}

/// `POST /api/show`. Every bot can call tools: natively, or by words in its prompt.
pub fn show(model: &Model) -> Vec<u8> {
    let optional = [(model.sees, "vision"), (model.thinks, "thinking")];
    let optional = optional.into_iter().filter_map(|(can, name)| can.then_some(name));
    let capabilities: Vec<&str> = ["completion", "tools"].into_iter().chain(optional).collect();
    let mut info = Map::new();
    info.insert("general.architecture".into(), "poe".into());
    info.insert("general.basename".into(), model.name.as_str().into());
    if let Some(length) = model.context_length {
        info.insert("poe.context_length".into(), length.into());
    }
    let answer = json!({
        "license": "",
        "modelfile": format!("FROM {}\n", model.name),
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": details(model),
        "model_info": info,
        "capabilities": capabilities,
        "modified_at": rfc3339(model.created),
    });
    answer.to_string().into_bytes()
}

/// 64 hexadecimal digits by which programs state models apart. There is no file whose hash it could be.
fn digest(name: &str) -> String {
    // Fowler, Noll and Vo's hash, from four beginnings
    let hash = |seed: u64| {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, step)
    };
    (0..4).map(|seed| format!("{:016x}", hash(seed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_tag() {
        assert_eq!(
            ["GPT-4o:latest", "GPT-4o", "a:b", ":latest"].map(model_name),
            ["GPT-4o", "GPT-4o", "a:b", ":latest"]
        );
    }

    #[test]
    fn a_model_states_its_capabilities() {
        let model = Model {
            name: "m".into(),
            owned_by: "Poe".into(),
            context_length: Some(7),
            sees: true,
            ..Model::default()
        };
        let shown: Value = serde_json::from_slice(&show(&model)).unwrap();
        assert_eq!(shown["capabilities"], json!(["completion", "tools", "vision"]));
        assert_eq!(shown["model_info"]["poe.context_length"], 7);
        let listed: Value = serde_json::from_slice(&tags(&[model.clone(), Model::default()])).unwrap();
        assert_eq!(
            (&listed["models"][0]["name"], listed["models"][0]["digest"].as_str().unwrap().len()),
            (&json!("m"), 64)
        );
        assert_ne!(listed["models"][0]["digest"], listed["models"][1]["digest"]);
    }
}
