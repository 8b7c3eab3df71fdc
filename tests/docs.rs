//! Checks of README.md, docs/ and the other documents: size, links, and headings that links point to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What a newcomer reads in a few minutes.
const MAX_README_BYTES: usize = 12 * 1024;

#[test]
fn the_readme_is_for_newcomers() {
    let readme = read(&root().join("README.md"));
    assert!(
        readme.len() <= MAX_README_BYTES,
        "README.md has {} bytes; details belong in docs/",
        readme.len()
    );
}

/// Translations have the headings' levels, the commands, the links and the rows of tables of the original.
#[test]
fn translated_readmes_have_the_same_structure() {
    let shape = |name: &str| {
        let text = read(&root().join(name));
        let mut is_code = false;
        let lines = text.lines().filter_map(|line| {
            let is_fence = line.starts_with("```");
            let shown = match line.chars().next() {
                _ if is_fence || is_code => Some(line.to_owned()),
                Some('#') => Some(line.chars().take_while(|letter| *letter == '#').collect()),
                Some('|') => Some("|".repeat(line.matches('|').count())),
                _ => None,
            };
            is_code ^= is_fence;
            shown
        });
        let mut targets: Vec<_> =
            links(&text).filter(|target| !target.starts_with("README")).map(str::to_owned).collect();
        targets.sort();
        (lines.collect::<Vec<_>>(), targets)
    };
    let original = shape("README.md");
    for name in ["README.zh-Hant.md", "README.zh-Hans.md"] {
        assert_eq!(shape(name), original, "{name}");
    }
}

#[test]
fn every_link_inside_the_repository_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = without_code(&read(&document));
        for target in links(&text).filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            if !path.exists() {
                broken.push(format!("{}: no file {target}", document.display()));
            } else if !heading.is_empty() && !headings(&read(&path)).contains(heading) {
                broken.push(format!("{}: no heading for {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let readme = read(&root().join("README.md"));
    let linked: BTreeSet<_> =
        links(&readme).map(|target| target.split('#').next().unwrap_or(target).to_owned()).collect();
    for document in documents() {
        let path = document.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        assert!(path.starts_with("README") || linked.contains(&path), "README.md has no link to {path}");
    }
}

/// Each row of the tables names a test that exists.
#[test]
fn every_promise_of_reliability_has_its_test() {
    let text = read(&root().join("docs/reliability.md"));
    let rows: Vec<_> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise")).collect();
    assert!(rows.len() > 20, "the tables were not found");
    for row in rows {
        let tests: Vec<_> = row.split('|').nth(2).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            let exists = match test.split_once("::") {
                Some((file, name)) => {
                    let source = read(&root().join(format!("tests/{file}.rs")));
                    source.contains(&format!("#[test]\nfn {name}()"))
                }
                None => root().join(test).exists(),
            };
            assert!(exists, "no such test: {test}");
        }
    }
}

/// Each test that the list of situations names exists.
#[test]
fn every_situation_of_the_field_has_its_test() {
    let text = read(&root().join("tests/field.md"));
    let names: Vec<_> = text.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(names.len() > 200, "the table was not read");
    for (file, name) in names {
        let source = read(&root().join(file));
        assert!(source.contains(name), "no such test: {file}::{name}");
    }
}

/// The dashboard asks for metrics that exist.
#[test]
fn the_dashboard_knows_the_metrics() {
    let dashboard = read(&root().join("deploy/grafana.json"));
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() > 8));
    let sources = read(&root().join("src/api/metrics.rs")) + &read(&root().join("src/telemetry/metrics.rs"));
    for at in dashboard.match_indices("poe2openai_").map(|(at, _)| at) {
        let rest = &dashboard[at..];
        let is_of_name =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        let end = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches("_bucket");
        let is_cache = name.starts_with("poe2openai_upload_cache_");
        assert!(is_cache || sources.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn no_document_has_an_unfilled_placeholder() {
    for document in documents() {
        let text = read(&document);
        let placeholder = text
            .lines()
            .find(|line| line.starts_with("<!-- ") && line.ends_with(" -->") && !line.contains("settings"));
        assert_eq!(placeholder, None, "{}", document.display());
    }
}

/// The settings to copy in docs/clients.md are those of the admin page: `UPDATE=1` writes them.
#[test]
fn clients_md_has_the_settings_of_the_page() {
    const BEGIN: &str =
        "<!-- settings to copy: UPDATE=1 cargo test --test docs writes them from assets/clients.json -->\n";
    const END: &str = "<!-- end of the settings to copy -->\n";
    let clients: Value = serde_json::from_str(&read(&root().join("assets/clients.json"))).expect("JSON");
    let wanted: String = clients.as_array().expect("a list").iter().map(section).collect();
    let path = root().join("docs/clients.md");
    let text = read(&path);
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the settings to copy");
    let (found, after) = rest.split_once(END).expect("their end");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("docs/clients.md");
    } else {
        assert_eq!(found, wanted, "UPDATE=1 cargo test --test docs writes it");
    }
}

/// One client's part of docs/clients.md.
fn section(client: &Value) -> String {
    let [label, place, language] =
        ["label", "where", "language"].map(|name| client[name].as_str().expect(name));
    let place = match place {
        "shell" => "in a shell".to_owned(),
        "settings" => "in its settings".to_owned(),
        file => format!("`{file}`"),
    };
    let key = client["variable"].as_str().map(|name| format!("; the key in `{name}`")).unwrap_or_default();
    let lines: Vec<_> =
        client["text"].as_array().expect("lines").iter().map(|line| line.as_str().expect("a line")).collect();
    format!("\n**{label}**, {place}{key}:\n\n```{language}\n{}\n```\n", filled(&lines.join("\n")))
}

/// The text with the values of the documentation in its places: `{{name}}`, `{{name:json}}`, `{{name:sh}}`.
fn filled(text: &str) -> String {
    let values = [
        ("origin", "http://localhost:8080"),
        ("base", "http://localhost:8080/v1"),
        ("docker", "http://host.docker.internal:8080"),
        ("key", "YOUR_KEY"),
        ("model", "Claude-Sonnet-4.5"),
        ("openai", "openai/Claude-Sonnet-4.5"),
        ("prefixed", "poe/Claude-Sonnet-4.5"),
        ("context", "200000"),
        ("output", "64000"),
        ("images", "on"),
        ("body", r#"{"model":"Claude-Sonnet-4.5","messages":[{"role":"user","content":"Hello"}]}"#),
    ];
    let mut pieces = text.split("{{");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (place, rest) = piece.split_once("}}").expect("an end of the place");
        let (name, quotes) = place.split_once(':').unwrap_or((place, ""));
        let value = values.iter().find(|(known, _)| *known == name).expect(name).1;
        let is_plain =
            value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte));
        out += &match quotes {
            "json" => serde_json::to_string(value).expect("a string"),
            "sh" if !is_plain => format!("'{value}'"),
            _ => value.to_owned(),
        };
        out += rest;
    }
    out
}

#[test]
fn headings_become_anchors_as_on_github() {
    let found = headings(
        "# What is `X` and what is not\n\ntext\n## Native routes (`POE_ROUTE`)\n```sh\n# no heading\n```\n",
    );
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["native-routes-poe_route", "what-is-x-and-what-is-not"]
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Markdown files at the top and in docs/.
fn documents() -> Vec<PathBuf> {
    let folders = [root().to_owned(), root().join("docs")];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
        .map(|entry| entry.expect("a file").path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

fn without_code(text: &str) -> String {
    let mut is_code = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The anchors of a document's headings, in the way of GitHub: lower case, blanks as hyphens, punctuation left out.
fn headings(text: &str) -> BTreeSet<String> {
    let text = without_code(text);
    let titles = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let kept = title.to_lowercase().replace(' ', "-");
            kept.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
        })
        .collect()
}
