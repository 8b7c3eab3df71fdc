//! Endpoints of Poe's about the account of a key, passed through: balance, history of points, owner.

use std::io;

use crate::error::{Error, Kind, Result};
use crate::gateway::context::Authenticated;
use crate::server::answer::Answer;

/// The most bytes of a body that are passed on: Poe needs none.
const MAX_BODY: u64 = 64 << 10;

/// `GET` of what Poe has at `path`.
pub fn get(mut request: Authenticated<'_, '_>, path: &str) -> io::Result<()> {
    let answer = passed(&request, path, None);
    request.reply(answer)
}

/// `POST` of the request's body to what Poe has at `path`.
pub fn post(mut request: Authenticated<'_, '_>, path: &str) -> io::Result<()> {
    let body = request.limited_body(MAX_BODY);
    let answer = body.and_then(|body| passed(&request, path, Some(&body)));
    request.reply(answer)
}

fn passed(request: &Authenticated<'_, '_>, path: &str, body: Option<&[u8]>) -> Result<Answer> {
    let (app, key) = (request.app(), request.key());
    if app.is_own_key(&key) && !app.settings.expose_usage {
        let message = "this server does not show the account of its own Poe key: its operator can allow it \
            with EXPOSE_USAGE=true";
        return Err(Error::new(Kind::Forbidden, message));
    }
    // `key` is for this server
    let query: Vec<_> = request.query_pairs().filter(|(name, _)| name != "key").collect();
    let answer = app.poe.about_account(path, &query, body, &key, &request.cancel_check())?;
    Ok(Answer::json(200, answer))
}
