//! The admin page's files, compiled in.

use super::answer::Answer;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name below `/admin/`, type, content. The first is the page itself.
const FILES: &[(&str, &str, &[u8])] = &[
    ("index.html", HTML, include_bytes!("../../assets/index.html")),
    ("app.js", SCRIPT, include_bytes!("../../assets/app.js")),
    ("style.css", STYLE, include_bytes!("../../assets/style.css")),
];

/// The file called `name`; the page itself when there is no name.
pub fn page(name: &str) -> Option<Answer> {
    let name = if name.is_empty() { "index.html" } else { name };
    let (_, content_type, content) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(Answer::bytes(200, content_type, content.to_vec()))
}
