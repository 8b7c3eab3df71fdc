//! Points left and points spent, for the admin page.

use std::io;

use serde_json::json;

use super::account_key;
use crate::clock;
use crate::error::Result;
use crate::gateway::context::Admitted;
use crate::server::answer::Answer;

/// `GET /api/admin/account`
pub fn show(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let answer = answer(&request);
    request.reply(answer)
}

fn answer(request: &Admitted<'_, '_>) -> Result<Answer> {
    let key = account_key(request)?;
    let account = request.app().poe.account(key, clock::now(), &request.cancel_check())?;
    let days = account.days.iter();
    let days: Vec<_> =
        days.map(|(day, points)| json!({"date": clock::date(*day), "points": points})).collect();
    let top: Vec<_> = account.top.iter().map(|(bot, points)| json!({"bot": bot, "points": points})).collect();
    let body = json!({"balance": account.balance, "days": days, "top": top, "partial": account.is_partial});
    Ok(Answer::json(200, body.to_string().into_bytes()))
}
