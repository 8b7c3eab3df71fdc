//! The settings in force, for the admin page.

use std::io;

use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::context::Admitted;
use crate::http::status;

/// `GET /api/admin/settings`: every setting with its source, secrets masked, and how the server is.
pub fn list(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let app = request.app();
    let rows: Vec<Value> = app.settings.rows().iter().map(row).collect();
    let mut warnings = Vec::new();
    if app.has_default_password() {
        warnings.push("default_password");
    }
    if app.config_fault().is_some() {
        warnings.push("config_broken");
    }
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rows": rows,
        "health": {
            "status": status::of(&request).word(),
            "uptime_seconds": app.uptime().as_secs(),
            "memory_bytes": status::resident_bytes(),
        },
        "warnings": warnings,
        "has_poe_key": app.own_poe_key().is_some(),
    });
    request.send(Answer::json(200, body.to_string().into_bytes()))
}

fn row(row: &crate::app::SettingRow) -> Value {
    json!({
        "name": row.setting.name,
        "flag": format!("--{}", row.setting.flag()),
        "value": row.value,
        "source": row.source.to_string(),
        "default": if row.setting.secret() { "" } else { row.setting.default },
        "meaning": row.setting.meaning,
    })
}
