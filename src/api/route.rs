//! One row of the route table, and the lookup of a path's rows.

use std::io;

use crate::dialect::Dialect;
use crate::error::Kind;
use crate::gateway::context::{Admitted, Authenticated, Exchange};
use crate::server::url::decoded;

/// What answers requests for a path by some methods.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The path. `{id}` stands for one segment, `{name..}` for one or more, `*` for any number; what they match is the
    /// request's parameter. A leading `/v1` may be left out of the request or come twice, and `/anthropic` may stand
    /// before it.
    pub pattern: &'static str,
    /// `GET` includes `HEAD`; `OPTIONS` is answered for every route. [`ANY`] takes all.
    pub methods: &'static [&'static str],
    /// The name in metrics and on the admin page: a path without anything that clients make up.
    pub endpoint: &'static str,
    /// The API whose errors the client expects; `None`: as the request's headers say.
    pub dialect: Option<Dialect>,
    /// Who sees that there was a request.
    pub visibility: Visibility,
    /// What a request must show, and what answers it.
    pub access: Access,
}

/// Every method.
pub const ANY: &[&str] = &[];

/// Where a request is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Logged at info and listed on the admin page, where it can be stopped.
    Listed,
    /// Logged at info.
    Logged,
    /// Logged at debug if it went well: it comes every few seconds.
    Routine,
}

/// What a request must show, with the handler for those that do.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Nothing. There is no body either.
    Public(fn(Exchange<'_, '_>) -> io::Result<()>),
    /// A key where `PROXY_API_KEYS` is set.
    Reader(fn(Admitted<'_, '_>) -> io::Result<()>),
    /// A key.
    Client(fn(Authenticated<'_, '_>) -> io::Result<()>),
    /// The operator's user name and password.
    Operator(fn(Admitted<'_, '_>) -> io::Result<()>),
    /// Nothing, because nothing is here: an error that says what to do instead.
    Unserved(Kind, &'static str),
}

/// The rows for one path, and what the pattern left open.
pub struct Match {
    rows: Vec<&'static Route>,
    /// The decoded part of the path that the pattern leaves open.
    pub parameter: String,
}

impl Match {
    /// The rows in `table` whose pattern fits `path`: the first pattern that does, with all its methods.
    pub fn find(table: &[&'static [Route]], path: &str) -> Option<Match> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rows = || table.iter().copied().flatten();
        let (first, parameter) = rows().find_map(|row| Some((row, parameter(row.pattern, &parts)?)))?;
        let rows = rows().filter(|row| row.pattern == first.pattern).collect();
        Some(Match { rows, parameter })
    }

    /// The row for `method`.
    pub fn by_method(&self, method: &str) -> Option<&'static Route> {
        let asked = if method == "HEAD" { "GET" } else { method };
        self.rows.iter().copied().find(|row| row.methods.is_empty() || row.methods.contains(&asked))
    }

    /// The row that speaks for the path where no row has the method.
    pub fn first(&self) -> Option<&'static Route> {
        self.rows.first().copied()
    }

    /// All methods, as the header `Allow` names them.
    pub fn allow(&self) -> String {
        let mut methods: Vec<&str> = self.rows.iter().flat_map(|row| row.methods).copied().collect();
        if methods.is_empty() {
            methods = vec!["GET", "POST", "DELETE"];
        }
        let after_get = methods.iter().position(|method| *method == "GET").map_or(methods.len(), |at| at + 1);
        methods.insert(after_get, "HEAD");
        methods.push("OPTIONS");
        methods.join(", ")
    }
}

/// What `pattern` leaves open of the path with these `parts`, decoded; `None` if it does not fit.
fn parameter(pattern: &str, parts: &[&str]) -> Option<String> {
    let mut wanted = pattern.split('/').filter(|part| !part.is_empty()).peekable();
    let mut parts = parts;
    if wanted.next_if_eq(&"v1").is_some() {
        // forgiving what clients get wrong in their base URL
        parts = parts.strip_prefix(&["anthropic"]).unwrap_or(parts);
        while parts.starts_with(&["v1", "v1"]) {
            parts = &parts[1..];
        }
        parts = parts.strip_prefix(&["v1"]).unwrap_or(parts);
    }
    let mut parameter = String::new();
    for segment in wanted {
        match segment {
            "*" => return Some(decoded(&parts.join("/"))),
            _ if segment.ends_with("..}") => {
                return (!parts.is_empty()).then(|| decoded(&parts.join("/")));
            }
            _ => {
                let (part, rest) = parts.split_first()?;
                match segment.starts_with('{') {
                    true => parameter = decoded(part),
                    false if *part != segment => return None,
                    false => {}
                }
                parts = rest;
            }
        }
    }
    parts.is_empty().then_some(parameter)
}
