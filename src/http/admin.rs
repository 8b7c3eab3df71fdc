//! The admin API, for programs of this machine alone.

mod config;
mod models;

use std::io;

use super::connection::Call;
use super::record::Record;
use super::router::{is_local, refuse, send};
use crate::app::App;
use crate::error::{Error, Kind, Result};

/// Answers a request to `/admin…` or `/api/admin…`, whose path has these parts.
pub fn answer(app: &App, call: &mut Call<'_>, record: &mut Record, path: &[&str]) -> io::Result<()> {
    let answer = guard(call).and_then(|()| match path {
        ["api", "admin", rest @ ("config" | "models"), more @ ..] => {
            config::answer(app, call, &[&[*rest], more].concat())
        }
        _ => Err(Error::new(Kind::NotFound, "there is no such page")),
    });
    match answer {
        Ok(answer) => send(call, record, answer.header("Cache-Control", "no-store")),
        Err(error) => refuse(call, record, &error),
    }
}

fn guard(call: &Call<'_>) -> Result<()> {
    let is_near = call.client().address().is_some_and(|address| address.to_canonical().is_loopback());
    match is_near && is_local(call.head()) {
        true => Ok(()),
        false => Err(Error::new(Kind::Forbidden, "only programs of this machine may ask this")),
    }
}
