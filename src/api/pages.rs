//! The admin page's files, compiled in.

use std::io;

use super::locked_page;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::gateway::context::{Admitted, CHALLENGE, Exchange};
use crate::server::answer::Answer;

/// Name below `/admin/`, content, content in gzip.
const FILES: &[(&str, &[u8], &[u8])] = include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// `GET /admin/…`: the file of that name; the page itself when there is no name.
pub fn file(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let name = match request.parameter.as_str() {
        "" => "index.html",
        name => name,
    };
    let Some((name, content, packed)) = FILES.iter().find(|(known, _, _)| *known == name) else {
        let error = Error::new(Kind::NotFound, format!("no endpoint at /admin/{name}"));
        return request.refuse(&error);
    };
    let is_packed = accepts_gzip(request.head().header("accept-encoding").unwrap_or_default());
    let body = if is_packed { packed } else { content };
    let answer = Answer::bytes(200, content_type(name), body.to_vec()).header("Vary", "Accept-Encoding");
    request.send(if is_packed { answer.header("Content-Encoding", "gzip") } else { answer })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        _ => "text/javascript; charset=utf-8",
    }
}

/// Whether a client takes gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches("q=").trim_end_matches(['0', '.']);
        name.trim().eq_ignore_ascii_case("gzip") && (!weight.is_empty() || !coding.contains(';'))
    })
}

/// How long after the time in its address a request to sign out is taken for one, in seconds.
const SIGN_OUT: u64 = 10;

/// `GET /admin/sign-out?at=TIME`: 401 once, so that the browser forgets the password; afterwards, with a password that was
/// typed in at the browser's question, the page.
pub fn sign_out(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let at = request.query("at").and_then(|at| at.parse().ok()).unwrap_or(0);
    let is_now = clock::now().as_secs().abs_diff(at) <= SIGN_OUT;
    request.send(match is_now {
        true => locked_page::signed_out().header("WWW-Authenticate", CHALLENGE),
        false => Answer::empty(303).header("Location", "/admin"),
    })
}

/// `GET /art/{name}`: a file that a bot of the embedded Poe has sent. That Poe itself can be reached from this machine only.
pub fn demo_file(mut request: Exchange<'_, '_>) -> io::Result<()> {
    let answer = demo_work(&request);
    request.reply(answer)
}

fn demo_work(request: &Exchange<'_, '_>) -> Result<Answer> {
    let (app, name) = (request.app(), &request.parameter);
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !app.settings.demo || !is_name {
        return Err(Error::new(Kind::NotFound, format!("no endpoint at {}", request.head().path)));
    }
    let url = format!("{}/art/{name}", app.settings.poe_base_url);
    let gone = |_| Error::new(Kind::NotFound, format!("the embedded Poe has no file {name}"));
    let file = app.poe.fetch(&url, &request.cancel_check()).map_err(gone)?;
    let content_type = file.content_type.unwrap_or_default();
    Ok(Answer::file(200, &content_type, file.bytes).header("X-Content-Type-Options", "nosniff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_smaller_in_gzip() {
        let plain: usize = FILES.iter().map(|(_, content, _)| content.len()).sum();
        let packed: usize = FILES.iter().map(|(_, _, packed)| packed.len()).sum();
        assert!(plain > 0 && plain < 160_000, "the page's files together: {plain} bytes");
        assert!(packed < plain / 2, "{packed} of {plain} bytes");
        assert!(FILES.iter().any(|(name, _, _)| *name == "index.html"));
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for taken in ["gzip", "deflate, gzip;q=0.5", "br,GZIP , zstd", "gzip;q=1.0"] {
            assert!(accepts_gzip(taken), "{taken}");
        }
        for refused in ["", "br", "gzip;q=0", "deflate, gzip;q=0.0", "x-gzip2"] {
            assert!(!accepts_gzip(refused), "{refused}");
        }
    }
}
