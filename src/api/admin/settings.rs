//! Effective settings for the admin page.

use std::io;

use serde_json::{Value, json};

use crate::api::status;
use crate::clock;
use crate::gateway::context::Admitted;
use crate::server::answer::Answer;
use crate::server::network::network_address;

/// `GET /api/admin/settings`: every setting with its source, secrets masked, and how the server is.
pub fn list(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let app = request.app();
    let proxies = app.settings.proxy_rows();
    let rows: Vec<Value> = app.settings.rows().iter().map(row).chain(proxies.iter().map(proxy_row)).collect();
    let proxies: Vec<Value> = proxies
        .iter()
        .map(|(what, proxy, variable)| json!({"for": what, "proxy": proxy, "source": variable}))
        .collect();
    let mut warnings = Vec::new();
    if app.has_default_password() {
        warnings.push("default_password");
    }
    if app.config_fault().is_some() {
        warnings.push("config_broken");
    }
    let config_dir_fault = app.config_dir_fault();
    if config_dir_fault.is_some() {
        warnings.push("config_dir");
    }
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rows": rows,
        "proxies": proxies,
        "health": {
            "status": status::of(&request).word(),
            "uptime_seconds": app.uptime().as_secs(),
            "memory_bytes": status::resident_bytes(),
            "redis": status::shared(app),
        },
        "warnings": warnings,
        "config_dir": {"path": app.settings.config_dir, "error": config_dir_fault},
        "max_request_size": app.max_request_size(),
        "has_poe_key": app.own_poe_key().is_some(),
        "now": clock::now().as_secs(),
        "lan_address": network_address(app.settings.host.address()).map(|address| address.to_string()),
        "demo_url": app.settings.demo.then_some(&app.settings.poe_base_url),
    });
    request.send(Answer::json(200, body.to_string().into_bytes()))
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

/// The proxy in force for one purpose, in the shape of a setting: the page shows it among them.
fn proxy_row((what, proxy, variable): &(&str, String, &str)) -> Value {
    json!({
        "name": format!("proxy for {what}"),
        "flag": variable,
        "value": proxy,
        "source": if variable.is_empty() { "default" } else { "environment" },
        "default": "",
        "meaning": "the proxy in force, by POE_PROXY and the proxy variables of the environment",
    })
}
