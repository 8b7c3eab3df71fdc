//! Answers in JSON: instructions, extraction, and a validator for JSON Schema.

pub mod format;
pub mod schema;
