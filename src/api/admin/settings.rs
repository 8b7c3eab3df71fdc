//! The settings in force, for the admin page.

use serde_json::{Value, json};

use crate::api::readiness;
use crate::error::Result;
use crate::gateway::app::App;
use crate::server::answer::Answer;
use crate::server::connection::Call;

/// `GET /api/admin/settings`: every setting with its source, secrets masked, and how the server is.
pub fn answer(app: &App, call: &Call<'_>) -> Result<Answer> {
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
            "status": readiness::of(app, call).word(),
            "uptime_seconds": app.uptime().as_secs(),
            "memory_bytes": readiness::resident_bytes(),
        },
        "warnings": warnings,
        "has_poe_key": app.own_poe_key().is_some(),
    });
    Ok(Answer::json(200, body.to_string().into_bytes()))
}

fn row(row: &crate::gateway::app::SettingRow) -> Value {
    json!({
        "name": row.setting.name,
        "flag": format!("--{}", row.setting.flag()),
        "value": row.value,
        "source": row.source.to_string(),
        "default": if row.setting.secret() { "" } else { row.setting.default },
        "meaning": row.setting.meaning,
    })
}
