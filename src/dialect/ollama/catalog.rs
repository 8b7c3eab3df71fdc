//! What Ollama tells of its models, told of Poe's.

use serde_json::{Map, Value, json};

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

/// 64 hexadecimal digits by which programs tell models apart. There is no file whose hash it could be.
fn digest(name: &str) -> String {
    // Fowler, Noll and Vo's hash, from four beginnings
    let hash = |seed: u64| {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, step)
    };
    (0..4).map(|seed| format!("{:016x}", hash(seed))).collect()
}

/// `2026-01-31T12:00:00Z` for seconds since 1970, by Hinnant's algorithm for the civil calendar.
pub fn rfc3339(seconds: u64) -> String {
    let (days, time) = ((seconds / 86_400).min(2_900_000), seconds % 86_400);
    let days = days + 719_468; // since 1 March of the year 0
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // from March on
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        for (seconds, time) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_765_227_300, "2025-12-08T20:55:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), time);
        }
        assert_eq!(rfc3339(u64::MAX).len(), "9909-00-00T00:00:00Z".len());
    }

    #[test]
    fn names_lose_their_tag() {
        assert_eq!(
            ["GPT-4o:latest", "GPT-4o", "a:b", ":latest"].map(model_name),
            ["GPT-4o", "GPT-4o", "a:b", ":latest"]
        );
    }

    #[test]
    fn a_model_tells_what_it_can() {
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
