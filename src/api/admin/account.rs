//! Points left and points spent, for the admin page.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::gateway::app::App;
use crate::gateway::relay::cancel_on_disconnect;
use crate::server::answer::Answer;
use crate::server::connection::Call;

/// `GET /api/admin/account` for the owner of `key`.
pub fn answer(app: &App, call: &Call<'_>, key: &str) -> Result<Answer> {
    let account = app.poe.account(key, clock::now(), &cancel_on_disconnect(call))?;
    let days = account.days.iter();
    let days: Vec<_> =
        days.map(|(day, points)| json!({"date": clock::date(*day), "points": points})).collect();
    let top: Vec<_> = account.top.iter().map(|(bot, points)| json!({"bot": bot, "points": points})).collect();
    let body = json!({"balance": account.balance, "days": days, "top": top, "partial": account.is_partial});
    Ok(Answer::json(200, body.to_string().into_bytes()))
}
