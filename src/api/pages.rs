//! The admin page's files, compiled in.

use std::io;

use crate::error::{Error, Kind, Result};
use crate::gateway::context::{Admitted, Exchange};
use crate::server::answer::Answer;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name below `/admin/`, type, content. The first is the page itself.
const FILES: &[(&str, &str, &[u8])] = &[
    ("index.html", HTML, include_bytes!("../../assets/index.html")),
    ("style.css", STYLE, include_bytes!("../../assets/style.css")),
    ("account.js", SCRIPT, include_bytes!("../../assets/account.js")),
    ("activity.js", SCRIPT, include_bytes!("../../assets/activity.js")),
    ("api.js", SCRIPT, include_bytes!("../../assets/api.js")),
    ("app.js", SCRIPT, include_bytes!("../../assets/app.js")),
    ("chat.js", SCRIPT, include_bytes!("../../assets/chat.js")),
    ("dom.js", SCRIPT, include_bytes!("../../assets/dom.js")),
    ("draft.js", SCRIPT, include_bytes!("../../assets/draft.js")),
    ("form.js", SCRIPT, include_bytes!("../../assets/form.js")),
    ("i18n.js", SCRIPT, include_bytes!("../../assets/i18n.js")),
    ("markdown.js", SCRIPT, include_bytes!("../../assets/markdown.js")),
    ("media.js", SCRIPT, include_bytes!("../../assets/media.js")),
    ("models.js", SCRIPT, include_bytes!("../../assets/models.js")),
    ("panel.js", SCRIPT, include_bytes!("../../assets/panel.js")),
    ("rows.js", SCRIPT, include_bytes!("../../assets/rows.js")),
    ("settings.js", SCRIPT, include_bytes!("../../assets/settings.js")),
    ("snippets.js", SCRIPT, include_bytes!("../../assets/snippets.js")),
];

/// `GET /admin/…`: the file of that name; the page itself when there is no name.
pub fn file(mut request: Admitted<'_, '_>) -> io::Result<()> {
    let name = match request.parameter.as_str() {
        "" => "index.html",
        name => name,
    };
    let found = FILES.iter().find(|(known, _, _)| *known == name);
    let answer = found
        .map(|(_, content_type, content)| Answer::bytes(200, content_type, content.to_vec()))
        .ok_or_else(|| Error::new(Kind::NotFound, format!("no endpoint at /admin/{name}")));
    request.reply(answer)
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
    use std::fs;

    #[test]
    fn every_file_of_the_page_is_served_and_all_are_small() {
        let mut size = 0;
        for entry in fs::read_dir("assets").unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if [".html", ".css", ".js"].iter().any(|end| name.ends_with(end)) {
                let (_, _, content) = FILES.iter().find(|(known, _, _)| *known == name).expect(&name);
                size += content.len();
            }
        }
        assert!(size > 0 && size < 160_000, "the page's files together: {size} bytes");
    }
}
