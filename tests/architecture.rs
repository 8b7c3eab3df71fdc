//! The rules of the architecture, enforced: which module may import which, where a crate may be used, how long a file may be.
//!
//! Reads the sources as text. Comments, literals and test code are blanked first; the rules do not apply to tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may import. The same table stands in the README.
///
/// A new module needs a row here and in the README; `lib.rs` and `main.rs` may name everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("ids", &[]),
    ("clock", &[]),
    ("tokens", &[]),
    ("budget", &["error"]),
    ("json_limits", &["error"]),
    ("proxy", &[]),
    ("pipeline", &["budget", "error"]),
    ("config", &["clock", "error"]),
    ("settings", &["config", "proxy", "error"]),
    ("state", &["config", "clock", "error"]),
    ("telemetry", &["settings", "clock", "error"]),
    ("dialect", &["pipeline", "clock", "error"]),
    ("poe", &["pipeline", "budget", "json_limits", "proxy", "ids", "clock", "error"]),
    ("server", &["dialect", "state", "budget", "json_limits", "ids", "clock", "error"]),
    (
        "gateway",
        &[
            "server",
            "dialect",
            "poe",
            "pipeline",
            "state",
            "config",
            "telemetry",
            "tokens",
            "settings",
            "budget",
            "proxy",
            "ids",
            "clock",
            "error",
        ],
    ),
    (
        "api",
        &[
            "gateway",
            "server",
            "dialect",
            "poe",
            "pipeline",
            "state",
            "config",
            "telemetry",
            "tokens",
            "settings",
            "budget",
            "ids",
            "clock",
            "error",
        ],
    ),
    ("demo", &["server", "error"]),
];

/// A name that may be used only in some places.
struct Fence {
    names: &'static [&'static str],
    inside: &'static [&'static str],
    why: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        names: &[
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
            "socket2",
        ],
        inside: &["src/server/", "src/poe/transport"],
        why: "sockets belong to the server and to the transport to Poe",
    },
    Fence { names: &["tiny_http", "httparse"], inside: &["src/server/"], why: "HTTP belongs to the server" },
    Fence {
        names: &["redis"],
        inside: &["src/state/redis", "src/state/mod.rs"],
        why: "what is shared is behind the traits of state/",
    },
    Fence { names: &["ureq"], inside: &["src/poe/"], why: "only the client of Poe opens connections" },
    Fence {
        names: &["bot_for", "Lookup", "readings"],
        inside: &["src/gateway/model_directory.rs", "src/config/models", "src/poe/"],
        why: "which model a name means is decided in one place",
    },
    Fence { names: &["serde_yaml"], inside: &["src/config/"], why: "only models.yaml is YAML" },
];

/// Files that may say `unwrap()` or `expect(` outside tests, each with its reason.
const MAY_UNWRAP: &[(&str, &str)] = &[];

/// Maximum lines of a file without tests.
const MAX_LINES: usize = 700;

/// Maximum lines of a function, and maximum number of functions over [`LONG`].
const MAX_FUNCTION: usize = 70;
const LONG: usize = 50;
const MAX_LONG: usize = 8;
/// Maximum nesting of blocks in a function.
const MAX_NESTING: usize = 5;

/// Crates that would bring an asynchronous runtime.
const NO_RUNTIMES: &[&str] = &["tokio", "async-std", "smol", "async-executor", "hyper", "mio"];

#[test]
fn modules_import_only_lower_layers() {
    let rows: BTreeMap<_, _> = IMPORTS.iter().copied().collect();
    let mut broken = Report::default();
    for file in sources() {
        let Some(from) = file.module.first() else { continue };
        let Some(may) = rows.get(from.as_str()) else {
            broken.add(&file, 1, format!("module `{from}` has no row in IMPORTS of tests/architecture.rs"));
            continue;
        };
        for (line, to) in file.imports() {
            if to != *from && !may.contains(&to.as_str()) {
                let may = if may.is_empty() { "nothing".to_owned() } else { may.join(", ") };
                broken.add(&file, line, format!("`{from}` must not import `{to}`; it may import {may}"));
            }
        }
    }
    broken.done();
}

/// Through `mod.rs` too: a name that a module re-exports counts as an import of the file that defines it. What a module
/// takes from its own children is no import: it is put together from them.
#[test]
fn no_two_files_import_each_other() {
    let files = sources();
    let graph = Graph::of(&files);
    let circles = graph.circles();
    assert!(circles.is_empty(), "these files import each other, directly or through others: {circles:#?}");
}

#[test]
fn functions_are_short_and_flat() {
    let mut broken = Report::default();
    let mut long = Vec::new();
    for file in sources() {
        for function in file.functions() {
            let Function { name, line, lines, nesting } = function;
            if lines > MAX_FUNCTION {
                broken.add(&file, line, format!("`{name}` has {lines} lines, at most {MAX_FUNCTION}"));
            }
            if lines > LONG {
                long.push(format!("{}:{line}: `{name}`, {lines} lines", file.path));
            }
            if nesting > MAX_NESTING {
                broken.add(&file, line, format!("`{name}` nests {nesting} blocks, at most {MAX_NESTING}"));
            }
        }
    }
    broken.done();
    assert!(long.len() <= MAX_LONG, "more than {MAX_LONG} functions over {LONG} lines: {long:#?}");
}

#[test]
fn the_import_graph_finds_all_imports() {
    let file = |path: &str, text: &str| File::parse(path.to_owned(), text.to_owned());
    let files = [
        file("src/a/mod.rs", "mod b; mod c; pub use b::{B as Other}; pub use c::C;"),
        file("src/a/b.rs", "use super::C; use crate::d::{self, e::E}; pub struct B;"),
        file("src/a/c.rs", "fn c() { let x: crate::a::Other; }"),
        file("src/d/mod.rs", "pub mod e; fn d() { e::run(); crate::f::run(); }"),
        file("src/d/e.rs", "use crate::f; pub struct E; pub fn run() { f::run(); }"),
        file("src/f.rs", "pub fn run() {} #[cfg(test)] mod tests { use crate::a; }"),
    ];
    let graph = Graph::of(&files);
    let targets =
        |path: &str| graph.edges.get(path).cloned().unwrap_or_default().into_iter().collect::<Vec<_>>();
    assert_eq!(targets("src/a/mod.rs"), [""; 0]);
    assert_eq!(targets("src/a/b.rs"), ["src/a/c.rs", "src/d/e.rs", "src/d/mod.rs"]);
    assert_eq!(targets("src/a/c.rs"), ["src/a/b.rs"]);
    assert_eq!(targets("src/d/mod.rs"), ["src/f.rs"]);
    assert_eq!(graph.circles(), [["src/a/b.rs", "src/a/c.rs"]]);
}

#[test]
fn function_lengths_are_measured_correctly() {
    let text = "fn a() {\n if x { S { y } } else { match z { _ => { |w| { } } } }\n}\ntrait T {\n fn b(&self);\n fn c() { }\n}\n";
    let file = File::parse("src/x.rs".to_owned(), text.to_owned());
    let found: Vec<_> = file.functions().into_iter().map(|f| (f.name, f.line, f.lines, f.nesting)).collect();
    assert_eq!(found, [("a".to_owned(), 1, 3, 4), ("c".to_owned(), 6, 1, 0)]);
}

#[test]
fn the_documentation_shows_the_import_table() {
    let readme = read("docs/architecture.md");
    for (from, may) in IMPORTS {
        let may: Vec<_> = may.iter().map(|name| format!("`{name}`")).collect();
        let may = if may.is_empty() { "nothing".to_owned() } else { may.join(", ") };
        let row = format!("| `{from}` | {may} |\n");
        assert!(readme.contains(&row), "docs/architecture.md: the import table lacks this row:\n{row}");
    }
}

#[test]
fn crates_are_used_only_where_allowed() {
    let mut broken = Report::default();
    for file in sources() {
        for fence in FENCES {
            if fence.inside.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            for token in file.tokens.iter().filter(|token| fence.names.contains(&token.text.as_str())) {
                let places = fence.inside.join(", ");
                broken.add(
                    &file,
                    token.line,
                    format!("`{}` belongs in {places} only: {}", token.text, fence.why),
                );
            }
        }
    }
    broken.done();
}

#[test]
fn only_the_settings_read_the_environment() {
    let mut broken = Report::default();
    for file in sources().iter().filter(|file| file.path != "src/settings.rs") {
        for line in file.uses_of_std("env") {
            broken.add(file, line, "`std::env` is read in src/settings.rs only; `env!` is free".to_owned());
        }
    }
    broken.done();
}

#[test]
fn no_unsafe_code_and_no_unwrap() {
    let mut broken = Report::default();
    for file in sources() {
        let may_unwrap = MAY_UNWRAP.iter().any(|(path, _)| *path == file.path);
        for (number, token) in file.tokens.iter().enumerate() {
            if token.text == "unsafe" {
                broken.add(&file, token.line, "`unsafe` is forbidden".to_owned());
            }
            let is_call = file.text_at(number.wrapping_sub(1)) == "." && file.text_at(number + 1) == "(";
            let gives_up = token.text == "unwrap" || token.text == "expect";
            if gives_up && is_call && !may_unwrap {
                let rule =
                    format!("`{}` outside tests: return an error, or MAY_UNWRAP with a reason", token.text);
                broken.add(&file, token.line, rule);
            }
        }
    }
    for (path, reason) in MAY_UNWRAP {
        assert!(
            root().join(path).exists() && !reason.is_empty(),
            "MAY_UNWRAP: {path} needs to exist, and a reason"
        );
    }
    broken.done();
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""), "Cargo.toml must forbid unsafe code");
}

#[test]
fn every_file_has_a_doc_comment_and_a_limited_length() {
    let mut broken = Report::default();
    for place in ["src", "tests", "benches", "examples"] {
        for path in rust_files(&root().join(place)) {
            let file = File::read(&path);
            if !file.text.starts_with("//! ") {
                broken.add(&file, 1, "the file must begin with `//!` and what it is for".to_owned());
            }
            if place == "src" && file.lines_of_code > MAX_LINES {
                let rule =
                    format!("{} lines without tests, at most {MAX_LINES}: split it", file.lines_of_code);
                broken.add(&file, 1, rule);
            }
        }
    }
    broken.done();
}

/// The documentation has one sentence per dependency, and none for a removed one.
#[test]
fn the_documentation_names_every_dependency_and_no_other() {
    let manifest = read("Cargo.toml");
    let mut declared = BTreeSet::new();
    let mut counts = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            counts = line.trim_end_matches(']').ends_with("dependencies");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| counts && !line.starts_with('#')) {
            declared.insert(name.trim().to_owned());
        }
    }
    let readme = read("docs/architecture.md");
    let section =
        readme.split_once("\n## Dependencies\n").expect("docs/architecture.md has a section Dependencies").1;
    let section = section.split("\n## ").next().unwrap_or(section);
    let named = section.lines().filter_map(|line| line.strip_prefix("- `")?.split_once('`'));
    let named: BTreeSet<_> = named.map(|(name, _)| name.to_owned()).collect();
    let missing: Vec<_> = declared.difference(&named).collect();
    let stale: Vec<_> = named.difference(&declared).collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md, Dependencies: no line \"- `NAME`: why\" for {missing:?}"
    );
    assert!(
        stale.is_empty(),
        "docs/architecture.md, Dependencies names what Cargo.toml does not have: {stale:?}"
    );
}

/// As `dialect/openai.rs` writes them. The code for a disconnected client is never sent.
#[test]
fn the_documentation_explains_every_error_code() {
    let readme = read("docs/api.md");
    let source = read("src/dialect/openai.rs");
    let arms = source.lines().filter(|line| line.trim_start().starts_with("Kind::"));
    let codes = arms.filter_map(|line| Some(line.split_once("Some(\"")?.1.split_once('"')?.0));
    let codes: BTreeSet<_> = codes.filter(|code| *code != "client_gone").collect();
    assert!(codes.len() > 10, "the table of codes was not found: {codes:?}");
    let missing: Vec<_> = codes.iter().filter(|code| !readme.contains(&format!("| `{code}` |"))).collect();
    assert!(missing.is_empty(), "docs/api.md, Errors: no row for {missing:?}");
}

#[test]
fn there_is_one_way_to_wait() {
    let lock = read("Cargo.lock");
    for name in NO_RUNTIMES {
        assert!(
            !lock.contains(&format!("name = \"{name}\"\n")),
            "{name} came in: see `cargo tree -i {name}`"
        );
    }
}

#[test]
fn the_source_reader_handles_all_tokens() {
    let source = r##"
        //! crate::no
        use crate::{a::{x, y}, b, c::z as w};
        use super::{super::q, n};
        use super::super::d::e;
        use std::{env, fs};
        fn f<'a>() { let s = "crate::no \" \\"; let r = r#"crate::"no"#; let c = ['"', '\'', '\\']; }
        /* crate::no /* nested */ crate::no */ fn g() { crate::e::h(); std::env::var("X"); option.unwrap(); }
        pub(crate) fn p() {}
        #[cfg(test)]
        #[path = "x.rs"]
        mod elsewhere;
        #[cfg(test)]
        mod tests { use crate::no; fn t() { crate::no::unwrap(); if true {} } }
        fn h() { crate::f::g() }
    "##;
    let file = File::parse("src/x/y.rs".to_owned(), source.to_owned());
    let found: Vec<_> = file.imports().into_iter().map(|(line, name)| format!("{line}{name}")).collect();
    assert_eq!(found, ["3a", "3b", "3c", "5d", "8e", "15f"]);
    assert_eq!(file.uses_of_std("env"), [6, 8]);
    assert_eq!(file.test_modules, [["x", "y", "elsewhere"]]);
    assert_eq!(file.lines_of_code, 16 - 5);
}

/// What broke the rules, all of it at once.
#[derive(Default)]
struct Report {
    text: String,
}

impl Report {
    fn add(&mut self, file: &File, line: usize, rule: String) {
        let _ = writeln!(self.text, "{}:{line}: {rule}", file.path);
    }

    fn done(self) {
        assert!(self.text.is_empty(), "the rules of the architecture are broken:\n{}", self.text);
    }
}

/// A source file, as text and as the tokens of what is not a test.
struct File {
    /// From the root of the repository, with slashes.
    path: String,
    /// `["gateway", "relay"]` for `src/gateway/relay.rs`; empty for `lib.rs` and `main.rs`.
    module: Vec<String>,
    text: String,
    tokens: Vec<Token>,
    lines_of_code: usize,
    /// Modules in files of their own that are compiled for tests only.
    test_modules: Vec<Vec<String>>,
}

struct Token {
    text: String,
    line: usize,
}

impl File {
    fn read(path: &Path) -> File {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root()).unwrap_or(path);
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        File::parse(parts.join("/"), text)
    }

    fn parse(path: String, text: String) -> File {
        let inner = path.strip_prefix("src/").unwrap_or(&path).trim_end_matches(".rs");
        let mut module: Vec<_> = inner.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let mut tokens = tokens(&blanked(&text));
        let mut test_modules = Vec::new();
        let mut lines_of_code = text.lines().count();
        while let Some((start, end)) = test_item(&tokens) {
            let item: Vec<_> = tokens.drain(start..end).collect();
            let lines = |token: Option<&Token>| token.map_or(0, |token| token.line);
            lines_of_code -= lines(item.last()) + 1 - lines(item.first());
            let name = item.iter().position(|token| token.text == "mod").and_then(|at| item.get(at + 1));
            if let (Some(name), Some(";")) = (name, item.last().map(|token| token.text.as_str())) {
                test_modules.push(module.iter().cloned().chain([name.text.clone()]).collect());
            }
        }
        File { path, module, text, tokens, lines_of_code, test_modules }
    }

    fn text_at(&self, number: usize) -> &str {
        self.tokens.get(number).map_or("", |token| token.text.as_str())
    }

    /// The modules of this crate that are named here, with their lines: `crate::NAME`, `crate::{NAME, …}`, and
    /// `super::` as often as it takes to reach the root.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for number in 0..self.tokens.len() {
            let supers =
                (number..).step_by(3).take_while(|&at| self.text_at(at) == "super" && self.leads_on(at));
            let (depth, after) = match self.text_at(number) {
                "crate" if self.leads_on(number) => (self.module.len(), number + 3),
                "super" if !self.follows_super(number) => {
                    let depth = supers.count();
                    (depth, number + 3 * depth)
                }
                _ => continue,
            };
            if depth > 0 && depth == self.module.len() {
                found.extend(self.heads(after));
            }
        }
        found
    }

    fn leads_on(&self, number: usize) -> bool {
        self.text_at(number + 1) == ":" && self.text_at(number + 2) == ":"
    }

    fn follows_super(&self, number: usize) -> bool {
        number >= 3 && self.text_at(number - 3) == "super" && self.leads_on(number - 3)
    }

    /// The first names of the path, or of the paths in braces, that begin at token `number`.
    fn heads(&self, number: usize) -> Vec<(usize, String)> {
        let head = |at: usize| self.tokens.get(at).map(|token| (token.line, token.text.clone()));
        if self.text_at(number) != "{" {
            return head(number).into_iter().collect();
        }
        let (mut found, mut depth) = (Vec::new(), 0);
        for at in number..self.tokens.len() {
            match self.text_at(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(self.text_at(at), "{" | ",") && self.text_at(at + 1) != "}" {
                found.extend(head(at + 1));
            }
        }
        found
    }

    /// The lines that name `std::NAME`, by path or in a group.
    fn uses_of_std(&self, name: &str) -> Vec<usize> {
        let roots = (0..self.tokens.len()).filter(|&at| self.text_at(at) == "std" && self.leads_on(at));
        let heads = roots.flat_map(|at| self.heads(at + 3));
        heads.filter(|(_, head)| head == name).map(|(line, _)| line).collect()
    }
}

/// A function outside tests.
struct Function {
    name: String,
    line: usize,
    lines: usize,
    nesting: usize,
}

impl File {
    /// All functions with a body.
    fn functions(&self) -> Vec<Function> {
        let starts =
            (0..self.tokens.len()).filter(|&at| self.text_at(at) == "fn" && self.text_at(at + 1) != "(");
        starts.filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let mut inner = 0_usize;
        let open = (at..self.tokens.len()).find(|&next| {
            match self.text_at(next) {
                "(" | "[" => inner += 1,
                ")" | "]" => inner = inner.saturating_sub(1),
                _ => {}
            }
            inner == 0 && matches!(self.text_at(next), "{" | ";")
        })?;
        if self.text_at(open) == ";" {
            return None;
        }
        let (end, nesting) = self.body(open);
        let line = self.tokens[at].line;
        let lines = self.tokens.get(end).map_or(line, |token| token.line) + 1 - line;
        Some(Function { name: self.text_at(at + 1).to_owned(), line, lines, nesting })
    }

    /// Where the body ends that opens at token `open`, and how deep its blocks nest. Struct literals are no blocks.
    fn body(&self, open: usize) -> (usize, usize) {
        let (mut braces, mut blocks, mut deepest, mut is_block) = (Vec::new(), 0, 0, false);
        for at in open..self.tokens.len() {
            match self.text_at(at) {
                "if" | "else" | "match" | "while" | "for" | "loop" => is_block = true,
                "{" => {
                    let before = self.text_at(at - 1);
                    let counts = !braces.is_empty() && (is_block || matches!(before, ">" | "|"));
                    is_block = false;
                    braces.push(counts);
                    blocks += usize::from(counts);
                    deepest = deepest.max(blocks);
                }
                "}" => {
                    blocks -= usize::from(braces.pop().unwrap_or_default());
                    if braces.is_empty() {
                        return (at, deepest);
                    }
                }
                ";" => is_block = false,
                _ => {}
            }
        }
        (self.tokens.len(), deepest)
    }
}

/// Which file imports which.
struct Graph<'a> {
    edges: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// A path as an import names it: where it stands, from the root of the crate, and the name it has there.
struct Named {
    at: usize,
    path: Vec<String>,
    name: String,
}

impl<'a> Graph<'a> {
    fn of(files: &'a [File]) -> Graph<'a> {
        let modules: BTreeMap<&[String], &'a File> =
            files.iter().filter(|file| !file.module.is_empty()).map(|file| (&*file.module, file)).collect();
        let mut exports = BTreeMap::new();
        for file in files {
            for named in file.named(&modules).iter().filter(|named| file.is_export(named.at)) {
                exports.insert((file.module.clone(), named.name.clone()), named.path.clone());
            }
        }
        let mut edges = BTreeMap::<_, BTreeSet<_>>::new();
        for file in files.iter().filter(|file| !file.module.is_empty()) {
            let mut paths = Vec::new();
            let mut aliases = BTreeMap::new();
            for named in file.named(&modules) {
                if file.is_export(named.at) && named.path.starts_with(&file.module) {
                    continue;
                }
                if modules.contains_key(&*named.path) {
                    aliases.insert(named.name, named.path.clone());
                }
                paths.push(named.path);
            }
            paths.extend(file.by_alias(&aliases));
            let targets = paths.into_iter().filter_map(|path| target(path, &modules, &exports));
            let others = targets.filter(|target| !target.module.starts_with(&file.module));
            edges.entry(&*file.path).or_default().extend(others.map(|target| &*target.path));
        }
        Graph { edges }
    }

    /// The files that reach each other, in groups.
    fn circles(&self) -> Vec<Vec<&'a str>> {
        let reached: BTreeMap<_, _> = self.edges.keys().map(|path| (*path, self.reached(path))).collect();
        let mut circles = BTreeSet::new();
        for (path, others) in &reached {
            let mutual: Vec<_> = others
                .iter()
                .copied()
                .filter(|other| reached.get(other).is_some_and(|back| back.contains(path)))
                .collect();
            if !mutual.is_empty() {
                circles.insert(mutual);
            }
        }
        circles.into_iter().collect()
    }

    fn reached(&self, from: &str) -> BTreeSet<&'a str> {
        let (mut found, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(path) = next.pop() {
            for other in self.edges.get(path).into_iter().flatten() {
                if found.insert(*other) {
                    next.push(other);
                }
            }
        }
        found
    }
}

/// The file that defines what `path` names.
fn target<'a>(
    mut path: Vec<String>,
    modules: &BTreeMap<&[String], &'a File>,
    exports: &BTreeMap<(Vec<String>, String), Vec<String>>,
) -> Option<&'a File> {
    for _ in 0..8 {
        let length = (1..=path.len()).rev().find(|&length| modules.contains_key(&path[..length]))?;
        let name = path.get(length).cloned().unwrap_or_default();
        match exports.get(&(path[..length].to_vec(), name)) {
            Some(export) => path = export.iter().chain(&path[length + 1..]).cloned().collect(),
            None => return modules.get(&path[..length]).copied(),
        }
    }
    None
}

impl File {
    /// The paths that begin with `crate`, `super`, `self` or a module of this one.
    fn named(&self, modules: &BTreeMap<&[String], &File>) -> Vec<Named> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            if !self.leads_on(at) || self.continues(at) {
                continue;
            }
            let (mut base, mut next) = (self.module.clone(), at);
            match self.text_at(at) {
                "crate" => (base, next) = (Vec::new(), at + 3),
                "self" => next += 3,
                "super" => {
                    while self.text_at(next) == "super" && self.leads_on(next) {
                        base.pop();
                        next += 3;
                    }
                }
                name => {
                    base.push(name.to_owned());
                    if !modules.contains_key(&*base) {
                        continue;
                    }
                    next += 3;
                }
            }
            self.expand(at, next, base, &mut found);
        }
        found
    }

    /// Follows the path, or the paths in braces, from token `next`; gives the token behind them.
    fn expand(&self, at: usize, mut next: usize, mut path: Vec<String>, found: &mut Vec<Named>) -> usize {
        if self.text_at(next) == "{" {
            next += 1;
            while !matches!(self.text_at(next), "}" | "") {
                next = self.expand(at, next, path.clone(), found);
                next += usize::from(self.text_at(next) == ",");
            }
            return next + 1;
        }
        if !matches!(self.text_at(next), "self" | "*" | "") {
            path.push(self.text_at(next).to_owned());
        }
        if self.leads_on(next) && self.text_at(next + 3) != "<" {
            return self.expand(at, next + 3, path, found);
        }
        let mut name = path.last().cloned().unwrap_or_default();
        next += 1;
        if self.text_at(next) == "as" {
            name = self.text_at(next + 1).to_owned();
            next += 2;
        }
        found.push(Named { at, path, name });
        next
    }

    /// Whether token `at` stands behind `::`.
    fn continues(&self, at: usize) -> bool {
        at > 1 && self.text_at(at - 1) == ":" && self.text_at(at - 2) == ":"
    }

    /// Whether the path at token `at` is that of a `pub use`.
    fn is_export(&self, at: usize) -> bool {
        at > 1 && self.text_at(at - 1) == "use" && matches!(self.text_at(at - 2), "pub" | ")")
    }

    /// The paths that begin with a module that was imported.
    fn by_alias(&self, aliases: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
        let starts = (0..self.tokens.len()).filter(|&at| self.leads_on(at) && !self.continues(at));
        let paths = starts.filter_map(|at| {
            let module = aliases.get(self.text_at(at))?;
            Some(module.iter().cloned().chain([self.text_at(at + 3).to_owned()]).collect())
        });
        paths.collect()
    }
}

/// Every file of `src` that is not a test's.
fn sources() -> Vec<File> {
    let files: Vec<_> = rust_files(&root().join("src")).iter().map(|path| File::read(path)).collect();
    let tests: Vec<_> = files.iter().flat_map(|file| file.test_modules.clone()).collect();
    files.into_iter().filter(|file| !tests.iter().any(|test| file.module.starts_with(test))).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All `*.rs` below `dir`, sorted; none if there is no such directory.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `text` with comments and the insides of literals as blanks; lines stay where they are.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match opaque_end(&chars, at) {
            Some(end) => end,
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal ends that begins at `at`, if one does.
fn opaque_end(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let to_end = |len: Option<usize>| len.map_or(chars.len(), |len| at + len);
    match rest {
        ['/', '/', ..] => Some(to_end(rest.iter().position(|&c| c == '\n'))),
        ['/', '*', ..] => Some(at + block_comment(rest)),
        ['"', ..] => Some(at + quoted(rest, '"')),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => Some(at + quoted(rest, '\'')),
        ['r', '"' | '#', ..] if at == 0 || !is_name(chars[at - 1]) || matches!(chars[at - 1], 'b' | 'c') => {
            let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
            if rest.get(1 + hashes) != Some(&'"') {
                return None; // a raw name
            }
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = 2 + hashes;
            let len = rest[body..].windows(close.len()).position(|window| window == close);
            Some(to_end(len.map(|len| body + len + close.len())))
        }
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Names and numbers as wholes, everything else character by character.
fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut line, mut in_name) = (1, false);
    for c in code.chars() {
        let is_name = c.is_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some(token) if is_name && in_name => token.text.push(c),
            _ if c.is_whitespace() => line += usize::from(c == '\n'),
            _ => tokens.push(Token { text: c.into(), line }),
        }
        in_name = is_name;
    }
    tokens
}

/// The bounds of the first item that is compiled for tests only, its attributes included.
fn test_item(tokens: &[Token]) -> Option<(usize, usize)> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_mark = |window: &[Token]| window.iter().map(|token| token.text.as_str()).eq(MARK);
    let start = tokens.windows(MARK.len()).position(is_mark)?;
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let is_end = token.text == ";" || token.text == "}";
        if is_end && depth == 0 {
            return Some((start, at + 1));
        }
    }
    Some((start, tokens.len()))
}
