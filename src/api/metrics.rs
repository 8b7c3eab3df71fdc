//! `GET /metrics`: all counters, in the text format of Prometheus.

use std::io;
use std::sync::atomic::Ordering;

use super::status;
use crate::dialect::openai::kind_and_code;
use crate::error::{Error, Kind};
use crate::gateway::app::App;
use crate::gateway::context::Exchange;
use crate::server::answer::Answer;
use crate::telemetry::metrics::Page;

const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`: names of models and counts, never a text or a key, and for no other web page.
pub fn page(mut exchange: Exchange<'_, '_>) -> io::Result<()> {
    let app = exchange.app();
    if !app.settings.metrics {
        return exchange.refuse(&Error::new(Kind::NotFound, "METRICS is off"));
    }
    let mut page = Page::default();
    about(app, &mut page);
    app.metrics.write(&mut page);
    server(&exchange, &mut page);
    upstream(app, &mut page);
    uploads(app, &mut page);
    shared(app, &mut page);
    exchange.for_operator();
    exchange.send(Answer::bytes(200, TYPE, page.into_text().into_bytes()))
}

fn about(app: &App, page: &mut Page) {
    page.family("poe2openai_build_info", "gauge", "Always 1; the version is the label.");
    page.sample("poe2openai_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let uptime = app.uptime().as_secs_f64();
    page.single("poe2openai_uptime_seconds", "gauge", "Time since the server started.", uptime);
    if let Some(bytes) = status::resident_bytes() {
        page.single("process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
    }
}

fn server(exchange: &Exchange<'_, '_>, page: &mut Page) {
    let app = exchange.app();
    let limiter = app.limiter.counts();
    let running = app.activity.running();
    page.single("poe2openai_running", "gauge", "Requests that are being answered.", running);
    let help = "Requests that are waiting for their turn under RATE_LIMIT_MS.";
    page.single("poe2openai_queued", "gauge", help, limiter.waiting);
    let connections = exchange.connections();
    page.single("poe2openai_connections", "gauge", "Open connections of clients.", connections.occupied());
    let help = "Connections rejected because MAX_CONNECTIONS were busy.";
    page.single("poe2openai_connections_refused_total", "counter", help, connections.refused());
    let help = "Requests that waited for their turn under RATE_LIMIT_MS.";
    page.single("poe2openai_limiter_waits_total", "counter", help, limiter.waited);
    let help = "Requests rejected because they would have waited too long for their turn.";
    page.single("poe2openai_limiter_refused_total", "counter", help, limiter.refused);
}

fn upstream(app: &App, page: &mut Page) {
    let counters = app.poe.counters();
    let help = "Retries of calls to Poe.";
    page.single("poe2openai_upstream_retries_total", "counter", help, counters.retries());
    page.family(
        "poe2openai_upstream_errors_total",
        "counter",
        "Calls to Poe that failed, by the error's code.",
    );
    let mut errors: Vec<(&str, u64)> = Vec::new();
    for (kind, count) in counters.errors() {
        let (type_, code) = kind_and_code(kind);
        errors.push((code.unwrap_or(type_), count));
    }
    errors.sort_unstable();
    for (code, count) in errors {
        page.sample("poe2openai_upstream_errors_total", &[("kind", code)], count);
    }
}

fn uploads(app: &App, page: &mut Page) {
    let uploaded = app.poe.counters().uploads();
    page.single("poe2openai_uploads_total", "counter", "Files that requests needed at Poe.", uploaded);
    let cache = app.files.counters();
    let rows = [
        ("hits", "Files that were at Poe already.", &cache.hits),
        ("misses", "Files that had to be uploaded.", &cache.misses),
        ("joined", "Uploads shared by several requests.", &cache.joined),
        ("evictions", "Entries evicted for size or age.", &cache.evictions),
        ("dead", "Entries dropped because Poe no longer had the file.", &cache.dead),
    ];
    for (name, help, counter) in rows {
        let name = format!("poe2openai_upload_cache_{name}_total");
        page.single(&name, "counter", help, counter.load(Ordering::Relaxed));
    }
}

fn shared(app: &App, page: &mut Page) {
    let Some(shared) = &app.shared else { return };
    let status = shared.status();
    let up = u8::from(status.fault.is_none());
    page.single("poe2openai_redis_up", "gauge", "1 while state is shared through Redis.", up);
    let help = "Open connections to Redis.";
    page.single("poe2openai_redis_connections", "gauge", help, status.connections);
    let help = "Operations that Redis carried out.";
    page.single("poe2openai_redis_operations_total", "counter", help, status.operations);
    let help = "Operations done in memory instead, because Redis failed or was not usable.";
    page.single("poe2openai_redis_failures_total", "counter", help, status.failures);
}
