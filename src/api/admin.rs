//! Endpoints of the admin page. The route table admits only the operator to them.

pub mod account;
pub mod activity;
pub mod config;
pub mod keys;
pub mod models;
pub mod overview;
pub mod settings;
pub mod usage;

use std::io;

use crate::dialect::chat;
use crate::error::{Error, Kind, Result};
use crate::gateway::context::{Admitted, Exchange};
use crate::gateway::relay;

/// The header with a Poe key that the page's user has typed in.
const TYPED_KEY: &str = "x-poe-key";

/// `POST /api/admin/try`: a chat with the server's own key, else with the one that the page's user has typed in.
pub fn try_model(mut request: Admitted<'_, '_>) -> io::Result<()> {
    request.show_to_operator();
    let own = request.app().own_poe_key();
    match own.or_else(|| typed_key(&request)).map(str::to_owned) {
        Some(key) => relay::answer(request.with_key(&key), chat::decode),
        None => request.refuse(&no_key()),
    }
}

/// Every other path below `/api/admin`.
pub fn unknown(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let message = format!("no endpoint at {}", request.head().path);
    request.refuse(&Error::new(Kind::NotFound, message))
}

/// The key whose account is shown: the typed one, else the server's own.
fn account_key<'k>(request: &'k Exchange<'k, '_>) -> Result<&'k str> {
    typed_key(request).or(request.app().own_poe_key()).ok_or_else(no_key)
}

fn typed_key<'k>(request: &'k Exchange<'_, '_>) -> Option<&'k str> {
    request.head().header(TYPED_KEY).map(str::trim).filter(|key| !key.is_empty())
}

fn no_key() -> Error {
    Error::new(Kind::Unauthorized, "this server has no Poe key: type one in")
}
