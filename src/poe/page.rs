//! Describes bodies that are not Poe's: pages of proxies that answer in its place.

use crate::error::Kind;

/// The most characters of a page that are repeated.
const MOST_SHOWN: usize = 200;
/// Cloudflare's whole answer, where it is not a page.
const LONGEST_LINE: usize = 24;
/// The most bytes of a page that are looked at.
const MOST_READ: usize = 32 << 10;

/// Servers by what stands in their pages, in lower case.
const SERVERS: &[(&str, &str)] = &[
    ("cloudflare", "Cloudflare"),
    ("cf-error", "Cloudflare"),
    ("/cdn-cgi/", "Cloudflare"),
    ("just a moment...", "Cloudflare"),
    ("openresty", "openresty"),
    ("nginx", "nginx"),
    ("cloudfront", "CloudFront"),
    ("awselb", "an AWS load balancer"),
    ("varnish", "Varnish"),
    ("envoy", "Envoy"),
    ("haproxy", "HAProxy"),
    ("traefik", "Traefik"),
    ("caddy", "Caddy"),
    ("squid", "Squid"),
    ("apache", "Apache"),
    ("akamai", "Akamai"),
    ("zscaler", "Zscaler"),
    ("heroku", "Heroku"),
];

/// Lines with which proxies answer, in lower case, and who they are.
const LINES: &[(&str, &str)] = &[
    ("upstream connect error", "Envoy"),
    ("no healthy upstream", "Envoy"),
    ("upstream request timeout", "Envoy"),
    ("backend.max_conn reached", "Varnish"),
    ("no server is available to handle this request", "HAProxy"),
];

/// What a body in place of Poe's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What it is and who sent it, as part of a sentence.
    pub what: String,
    /// What it means where its status does not say it.
    pub kind: Option<Kind>,
    /// Whether it is a page of HTML.
    pub is_html: bool,
}

impl Page {
    /// The page that `body` is.
    pub fn read(body: &[u8]) -> Option<Page> {
        let text = String::from_utf8_lossy(&body[..body.len().min(MOST_READ)]);
        let text = text.trim_start_matches('\u{feff}').trim();
        let lower = text.to_ascii_lowercase();
        let is_line = lower.starts_with("error code: ") && lower.len() <= LONGEST_LINE;
        if let Some(code) = cloudflare_code(&lower).filter(|_| is_line) {
            return Some(Page {
                what: format!("Cloudflare (\"{}\")", shown(text)),
                kind: meaning(code),
                is_html: false,
            });
        }
        if let Some((_, server)) = LINES.iter().find(|(line, _)| lower.starts_with(line)) {
            return Some(Page {
                what: format!("{server} (\"{}\")", shown(text)),
                kind: None,
                is_html: false,
            });
        }
        if !text.starts_with('<') {
            return None;
        }
        let server = SERVERS.iter().find(|(mark, _)| lower.contains(mark)).map(|(_, server)| *server);
        let by = server.map(|server| format!(" from {server}")).unwrap_or_default();
        let is_html = ["<!doctype html", "<html", "<head", "<body", "<title", "<h1"]
            .iter()
            .any(|tag| lower.contains(tag));
        let name = if is_html { "an HTML page" } else { "an XML document" };
        let what = match (element(text, &lower, "title"), inner(text)) {
            (Some(title), _) => format!("{name}{by} titled \"{title}\""),
            (None, said) if !said.is_empty() => format!("{name}{by} that says \"{said}\""),
            (None, _) => format!("{name}{by} without a title"),
        };
        let kind =
            if server == Some("Cloudflare") { cloudflare_code(&lower).and_then(meaning) } else { None };
        Some(Page { what, kind, is_html })
    }
}

/// The number in `error code: 1015` and `error 1015`.
fn cloudflare_code(lower: &str) -> Option<u16> {
    ["error code: ", "error code ", "error "].iter().find_map(|mark| {
        let mut found = lower.match_indices(mark).map(|(at, mark)| &lower[at + mark.len()..]);
        found.find_map(|rest| {
            let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
            rest[..digits]
                .parse()
                .ok()
                .filter(|code| (500..=530).contains(code) || (1000..=1200).contains(code))
        })
    })
}

fn meaning(code: u16) -> Option<Kind> {
    match code {
        1015 => Some(Kind::RateLimited),
        1005..=1012 | 1020 => Some(Kind::Forbidden),
        503 | 529 => Some(Kind::Overloaded),
        504 | 522 | 524 => Some(Kind::UpstreamTimeout),
        _ => Some(Kind::Upstream),
    }
}

/// The text of the first element `name`.
fn element(text: &str, lower: &str, name: &str) -> Option<String> {
    let start = lower.find(&format!("<{name}"))?;
    let start = start + text.get(start..)?.find('>')? + 1;
    let end = lower.get(start..)?.find("</")? + start;
    Some(shown(text.get(start..end)?)).filter(|title| !title.is_empty())
}

/// The text of all elements, as far as it is shown.
fn inner(text: &str) -> String {
    let mut said = String::new();
    for piece in text.split('<').skip(1) {
        let (tag, rest) = piece.split_once('>').unwrap_or((piece, ""));
        if !matches!(tag.split([' ', '\n']).next(), Some("style" | "script" | "?xml"))
            && !rest.trim().is_empty()
        {
            said.push_str(rest.trim());
            said.push(' ');
        }
        if said.len() > MOST_SHOWN {
            break;
        }
    }
    shown(&said)
}

/// Text on one line, without entities, as far as it is shown.
fn shown(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace("&nbsp;", " ").replace("&#39;", "'").replace("&quot;", "'").replace("&amp;", "&");
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_known_by_title_and_server() {
        let rows: &[(&str, &str, Option<Kind>)] = &[
            (
                "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>",
                "an HTML page from Cloudflare titled \"Just a moment...\"",
                None,
            ),
            (
                "<!DOCTYPE html>\n<html>\n<head>\n<title>api.poe.com | 524: A timeout occurred</title>\n<link href=\"/cdn-cgi/styles/main.css\" />\n<span>Error code 524</span>",
                "an HTML page from Cloudflare titled \"api.poe.com | 524: A timeout occurred\"",
                Some(Kind::UpstreamTimeout),
            ),
            (
                "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.18.0</center>",
                "an HTML page from nginx titled \"502 Bad Gateway\"",
                None,
            ),
            ("<html><body>Bad gateway</body></html>", "an HTML page that says \"Bad gateway\"", None),
            ("<html></html>", "an HTML page without a title", None),
            (
                "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
                "an XML document that says \"AccessDenied Access Denied\"",
                None,
            ),
            ("error code: 1015", "Cloudflare (\"error code: 1015\")", Some(Kind::RateLimited)),
            ("error code: 1020", "Cloudflare (\"error code: 1020\")", Some(Kind::Forbidden)),
            ("no healthy upstream", "Envoy (\"no healthy upstream\")", None),
            ("<TITLE>É &amp; b", "an HTML page that says \"É & b\"", None),
        ];
        for (body, what, kind) in rows {
            let page = Page::read(body.as_bytes()).expect(body);
            assert_eq!((page.what.as_str(), page.kind), (*what, *kind));
        }
        for body in
            ["", "slow", "{\"error\":{}}", "Error code: 429 - {}", "Error code: 503 - {'error': 1}", "1 < 2"]
        {
            assert_eq!(Page::read(body.as_bytes()), None, "{body}");
        }
        assert!(Page::read("<p>".repeat(1 << 16).as_bytes()).is_some());
    }
}
