//! models.yaml and Poe's list, for the admin page.

use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::http::answer::Answer;
use crate::http::connection::Call;

/// Answers `parts`, the path behind `/api/admin/`.
pub fn answer(_app: &App, _call: &mut Call<'_>, parts: &[&str]) -> Result<Answer> {
    Err(Error::new(Kind::NotFound, format!("there is nothing at /api/admin/{}", parts.join("/"))))
}
