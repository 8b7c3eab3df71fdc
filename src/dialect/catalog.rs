//! Lists of models in OpenAI's shape.

use serde_json::{Value, json};

/// What OpenAI says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Who made it.
    pub owned_by: String,
}

/// `GET /v1/models`
pub fn list(models: &[Model]) -> Vec<u8> {
    let data: Vec<Value> = models.iter().map(value).collect();
    json!({"object": "list", "data": data}).to_string().into_bytes()
}

/// `GET /v1/models/{id}`
pub fn one(model: &Model) -> Vec<u8> {
    value(model).to_string().into_bytes()
}

fn value(model: &Model) -> Value {
    json!({"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by})
}
