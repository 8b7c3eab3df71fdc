//! Functions of a text: what bots write, and the files and names of clients and operators.

use std::collections::VecDeque;

use poe2openai::config::models::{ModelsFile, edit};
use poe2openai::dialect::{files, form};
use poe2openai::error::Result;
use poe2openai::gateway::model_directory::{Catalog, ListSource, ModelDirectory};
use poe2openai::json_limits;
use poe2openai::pipeline::json::{format, schema};
use poe2openai::pipeline::stages::{
    BufferAll, FileRefs, Limits, Retractions, Thinking, ToolCalls, Unfence, Usage, poe_links,
};
use poe2openai::pipeline::tools::{Offer, boundary, cleaned_name, quoted, read_one};
use poe2openai::pipeline::{
    Event, Finish, Format, Stages, Tool, ToolXml, Words, is_progress, may_be_progress, media_type, repaired,
};
use poe2openai::poe::{
    Decode, Entries, SseDecoder, folded, nearest, parse_catalog, plain_name, readings, same_name,
};
use poe2openai::tokens::{self, Running};
use serde_json::{Value, json};

use super::{Cases, Random, keep};

/// Units that bots, clients and operators can repeat: markup, brackets, references, events, YAML.
pub const UNITS: &[&str] = &[
    "<",
    "</",
    "<think>",
    "</think>",
    "<think>x</think>\n",
    "<tool_call>",
    "</tool_call>",
    "<invoke name=\"f\">",
    "</invoke>",
    "<parameter name=\"a\">x</parameter>",
    "<parameter name=\"a#\">x</parameter>",
    "<function=f><parameter=a>",
    "{\"name\": \"f\", \"arguments\": {}}",
    "[f(a=1)]",
    "```\n",
    "```json\n{}\n```\n",
    "`",
    "~~~",
    "[",
    "]",
    "![",
    "![x](",
    "[a#][b#] ",
    "[a#]: https://x.poecdn.net/#.png\n",
    "![x](https://x.poecdn.net/#.png) ",
    "https://x.poecdn.net/#.png ",
    "{",
    "}",
    "{\"a\":",
    "{\"a#\":1,",
    "\"a#\": [1, 2], ",
    "\\",
    "\\ud83d",
    "\"",
    "'",
    "\n",
    "\n\n",
    "\r",
    " ",
    "\t",
    "a",
    "word ",
    "\u{4f60}",
    "\u{1F600}",
    "<|",
    "<|tool_call_begin|>",
    "<|channel|>commentary to=functions.f<|message|>{",
    "[TOOL_CALLS]",
    "Thinking... (#s elapsed)\n",
    "*Generating... #%*\n",
    "> x\n",
    "- a: b\n",
    "a#: &b# *b#\n",
    " #",
    "\" #",
    "? ",
    "!!x ",
    "%41",
    "/",
    "-",
    ":",
    ",",
    "a: ",
    "STO",
    "data: {}\n\n",
    "event: text\ndata: {\"text\":\"x\"}\n\n",
    "event: replace_response\ndata: {\"text\":\"x\"}\n\n",
    "event: json\ndata: {\"choices\":[]}\n\n",
    "event: json\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":#,\"function\":{\"name\":\"f\"}}]}}]}\n\n",
    "event: text\ndata: {\"text\":\"x\",\"index\":#}\n\n",
    "event: file\ndata: {\"url\":\"https://x.poecdn.net/#\",\"name\":\"n#\",\"inline_ref\":\"r#\"}\n\n",
    "\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
];

/// What may stand once before the repetition.
const STARTS: &[&str] = &[
    "",
    "<think>",
    "<tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">",
    "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"",
    "[TOOL_CALLS]f{\"a\": ",
    "```json\n",
    "{\"a\": [",
    "{\"a\": \"",
    "![x](",
    "[x]: ",
    "Thinking... (1s elapsed)\n",
    "event: text\ndata: {\"text\":\"",
    "models:\n  a:\n    description: ",
    "models: {",
    "models:\n",
];

/// `count` times `unit`, with the number in the place of each `#` before a letter or quote.
pub fn repeated(start: &str, unit: &str, count: usize) -> String {
    let mut text = start.to_owned();
    for number in 0..count {
        match unit.contains('#') {
            true => text.push_str(&unit.replace('#', &number.to_string())),
            false => text.push_str(unit),
        }
    }
    text
}

/// A function of one text.
type Function = fn(&str);

pub fn tool() -> Tool {
    let schema = json!({"type": "object", "properties": {
        "a": {"anyOf": [{"type": "object"}, {"$ref": "#/$defs/b"}, {"type": "string"}]}, "b": {"type": "integer"},
    }, "required": ["a"], "$defs": {"b": {"type": "array", "items": {"$ref": "#/$defs/b"}}}});
    Tool { name: "f".into(), description: None, parameters: Some(schema) }
}

fn schema_format() -> Format {
    Format::JsonSchema {
        name: "n".into(),
        schema: json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": {"anyOf": [
            {"type": "integer"}, {"$ref": "#"}, {"type": "array", "uniqueItems": true}]}}),
    }
}

/// The text through the stages that may hold it back, in pieces of `size` bytes or more.
fn staged(text: &str, size: usize, stages: fn(Box<dyn Iterator<Item = Result<Event>>>) -> Out) {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (rest.len().min(size)..=rest.len()).find(|end| rest.is_char_boundary(*end));
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(Ok(Event::Text(piece.to_owned())));
        rest = after;
    }
    pieces.push(Ok(Event::Finish(Finish::default())));
    stages(Box::new(pieces.into_iter())).for_each(drop);
}

type Out = Box<dyn Iterator<Item = Result<Event>>>;

fn id() -> String {
    "call_1".into()
}

/// Every stage by itself: behind each other one would hide what another does.
const STAGES: &[(&str, fn(Out) -> Out)] = &[
    ("Thinking", |events| Box::new(events.through(Thinking::default()))),
    ("ToolXml", |events| Box::new(events.through(ToolXml::new(&[tool()], id)))),
    ("JsonOnly", |events| Box::new(events.through(format::JsonOnly::new(schema_format())))),
    ("Unfence", |events| Box::new(events.through(Unfence::default()))),
    ("stop texts", |events| {
        Box::new(events.through(Limits::new(&["STOP".into(), "aab".into()], None, Running::new())))
    }),
    ("max_tokens", |events| Box::new(events.through(Limits::new(&[], Some(1 << 30), Running::new())))),
    ("FileRefs in a stream", |events| Box::new(events.through(FileRefs::streaming()))),
    ("FileRefs of a whole answer", |events| Box::new(events.through(FileRefs::whole()))),
    ("Usage", |events| Box::new(events.through(Usage::new(tokens::count, || 7)))),
    ("Retractions", |events| Box::new(events.through(Retractions::default()))),
    ("BufferAll", |events| Box::new(events.through(BufferAll::default()))),
    ("ToolCalls", |events| Box::new(events.through(ToolCalls::new(id).offering(&[tool()])))),
];

/// The bytes of a stream from Poe, in pieces of `size`.
fn decoded(text: &str, size: usize) {
    let (mut sse, mut decode, mut out) = (SseDecoder::default(), Decode::default(), VecDeque::new());
    for piece in text.as_bytes().chunks(size) {
        if sse.feed(piece).is_err() {
            return;
        }
        while let Some(frame) = sse.next_frame() {
            if decode.push(&frame, &mut out).is_err() {
                return;
            }
        }
        out.clear();
    }
}

const FUNCTIONS: &[(&str, Function)] = &[
    ("events in large pieces", |text| decoded(text, 16 << 10)),
    ("events in small pieces", |text| decoded(text, 3)),
    ("repaired", |text| keep((repaired(text, Words::Refused), repaired(text, Words::Strings)))),
    ("extract", |text| keep(format::extract(text))),
    ("fitting", |text| keep(format::fitting(text, &schema_format()))),
    ("format::check", |text| keep(format::check(text, &schema_format()))),
    ("read_one", |text| keep(read_one(text, &Offer::new(&[tool()])))),
    ("poe_links", |text| keep(poe_links(text))),
    ("progress", |text| assert!(!is_progress(text) || may_be_progress(text))),
    ("form", |text| keep(form::read("multipart/form-data; boundary=b", text.as_bytes()))),
    ("content type of a form", |text| keep(form::read(&format!("multipart/form-data; {text}"), b"--b--"))),
    ("data_url", |text| keep(files::data_url("x", &format!("data:{text}"), None))),
    ("models.yaml", |text| keep(ModelsFile::parse(text))),
    ("models.yaml to JSON", |text| keep(edit::to_json(text))),
    ("models.yaml merged", |text| keep(edit::merged(text, &serde_json::Map::new()))),
    ("models.yaml masked", |text| keep(edit::masked(text, &["secret"]))),
    ("models.yaml unmasked", |text| keep(edit::unmasked(text, "api_token: abc", &["secret"]))),
    ("check_request", |text| keep(json_limits::check_request(text.as_bytes()))),
    ("check_event", |text| keep(json_limits::check_event(b"json", text.as_bytes()))),
    ("lone surrogates", |text| json_limits::replace_lone_surrogates(&mut text.as_bytes().to_vec())),
    ("tokens", |text| keep(tokens::count(text))),
    ("tokens in pieces", |text| {
        let mut running = Running::new();
        text.chars().for_each(|letter| keep(running.push(letter.encode_utf8(&mut [0; 4]))));
    }),
    ("names", |text| {
        let names = ["gpt-5", "Claude-Sonnet-4.5"];
        keep((nearest(names.into_iter(), text), readings(text).count(), plain_name(text), folded(text)));
        assert!(same_name(text, text));
        keep(cleaned_name(text.to_owned(), &["f".to_owned()].into()));
    }),
    ("catalog", |text| keep(parse_catalog(text.as_bytes()))),
    ("media_type", |text| keep((media_type(text, text, text), media_type("", text, text)))),
    ("quoted", |text| keep((quoted(text), boundary(text, text.len())))),
];

fn check_text(cases: &mut Cases, start: &str, unit: &str) {
    for (name, function) in FUNCTIONS {
        cases.check(&format!("{name} of {start:?} and {unit:?}"), &|units| {
            let text = repeated(start, unit, units);
            Box::new(move || function(&text))
        });
    }
    for (name, stage) in STAGES {
        cases.check(&format!("{name} of {start:?} and {unit:?}"), &|units| {
            let text = repeated(start, unit, units);
            Box::new(move || staged(&text, 5, *stage))
        });
    }
}

#[test]
fn any_text_through_every_function() {
    let mut cases = Cases::default();
    for unit in UNITS {
        check_text(&mut cases, "", unit);
    }
}

#[test]
fn any_mixture_of_texts_through_every_function() {
    let mut cases = Cases::default();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..12 {
        let start = *random.one_of(STARTS);
        let unit: String = (0..2 + random.below(3)).map(|_| *random.one_of(UNITS)).collect();
        check_text(&mut cases, start, &unit);
    }
    for start in STARTS {
        check_text(&mut cases, start, random.one_of::<&str>(UNITS));
    }
}

/// What opens, and then what closes it as often.
#[test]
fn nesting_through_every_function() {
    let mut cases = Cases::default();
    for (open, close) in [
        ("[", "]"),
        ("{\"a\":", "}"),
        ("<think>", "</think>"),
        ("![", "](x)"),
        ("<tool_call>", "</tool_call>"),
    ] {
        for (name, function) in FUNCTIONS {
            cases.check(&format!("{name} of nested {open:?}"), &|units| {
                let text = open.repeat(units) + "1" + &close.repeat(units);
                Box::new(move || function(&text))
            });
        }
        for (name, stage) in STAGES {
            cases.check(&format!("{name} of nested {open:?}"), &|units| {
                let text = open.repeat(units) + "1" + &close.repeat(units);
                Box::new(move || staged(&text, 7, *stage))
            });
        }
    }
}

/// A list or object with `units` members, written by `member`.
fn list(units: usize, member: impl Fn(usize) -> Value) -> Value {
    (0..units).map(member).collect()
}

fn object(units: usize, member: impl Fn(usize) -> Value) -> Value {
    Value::Object((0..units).map(|at| (format!("p{at}"), member(at))).collect())
}

#[test]
fn schemas_and_values_of_any_size() {
    let mut cases = Cases::default();
    let rows: &[(&str, fn(usize) -> (Value, Value))] = &[
        ("required", |n| (json!({}), json!({"required": list(n, |at| json!(format!("p{at}")))}))),
        ("required of a large object", |n| {
            (object(n, |_| json!(1)), json!({"required": list(n, |at| json!(format!("p{at}")))}))
        }),
        ("properties", |n| {
            (object(n, |_| json!(1)), json!({"properties": object(n, |_| json!({"type": "integer"}))}))
        }),
        ("no more properties", |n| (object(n, |_| json!(1)), json!({"additionalProperties": false}))),
        ("pattern", |n| (json!("a".repeat(n)), json!({"pattern": "^(a+)+$"}))),
        ("patternProperties", |n| {
            (object(n, |_| json!(1)), json!({"patternProperties": {"^p(1+)+$": {"type": "string"}}}))
        }),
        ("enum", |n| (json!(0), json!({"enum": list(n, |at| json!(format!("x{at}")))}))),
        ("enum in items", |n| {
            (list(n, |at| json!(at)), json!({"items": {"enum": list(n, |at| json!(n + at))}}))
        }),
        ("anyOf", |n| (json!(1), json!({"anyOf": list(n, |_| json!({"const": "x".repeat(100)}))}))),
        ("a long const", |n| (json!(1), json!({"anyOf": vec![json!({"const": "x".repeat(n)}); 100]}))),
        ("oneOf", |n| (json!(1), json!({"oneOf": list(n, |_| json!({"type": "integer"}))}))),
        ("equal values in an enum", |n| {
            (list(n, |_| json!(1)), json!({"items": {"enum": list(n, |_| json!(1))}}))
        }),
        ("allOf", |n| (object(8, |_| json!(1)), json!({"allOf": list(n, |_| json!({"required": ["p0"]}))}))),
        ("uniqueItems", |n| (list(n, |at| json!({"a": at})), json!({"uniqueItems": true}))),
        ("items", |n| (list(n, |at| json!(at)), json!({"items": {"type": "string"}}))),
        ("prefixItems", |n| (list(n, |at| json!(at)), json!({"prefixItems": list(n, |_| json!({}))}))),
        ("references", |n| {
            let defs: serde_json::Map<_, _> =
                (0..n).map(|at| (at.to_string(), json!({"$ref": format!("#/$defs/{}", at + 1)}))).collect();
            (json!(1), json!({"$ref": "#/$defs/0", "$defs": defs}))
        }),
        ("dependentRequired", |n| {
            (object(n, |_| json!(1)), json!({"dependentRequired": object(n, |at| json!([format!("p{at}")]))}))
        }),
        ("contains", |n| (list(n, |at| json!(at)), json!({"contains": {"const": "x"}}))),
    ];
    for (name, row) in rows {
        cases.check(&format!("schema::check {name}"), &|units| {
            let (value, schema) = row(units);
            Box::new(move || keep(schema::check(&value, &schema)))
        });
        cases.check(&format!("format::check {name}"), &|units| {
            let (value, schema) = row(units);
            let (text, format) = (value.to_string(), Format::JsonSchema { name: "n".into(), schema });
            Box::new(move || keep((format::check(&text, &format), format::fitting(&text, &format))))
        });
        cases.check(&format!("ToolXml {name}"), &|units| {
            let (value, schema) = row(units);
            let tool = Tool { name: "f".into(), description: None, parameters: Some(schema) };
            let mut text = "<tool_call>\n<invoke name=\"f\">\n".to_owned();
            let members =
                value.as_object().cloned().unwrap_or_else(|| [("a".to_owned(), value)].into_iter().collect());
            for (name, value) in members {
                text += &format!("<parameter name=\"{name}\">{value}</parameter>\n");
            }
            text += "</invoke>\n</tool_call>";
            Box::new(move || {
                let events = [Ok(Event::Text(text)), Ok(Event::Finish(Finish::default()))].into_iter();
                events.through(ToolXml::new(&[tool], id)).for_each(drop);
            })
        });
    }
}

#[test]
fn directories_of_any_size() {
    let mut cases = Cases::default();
    let directory = |units: usize| {
        let yaml = repeated(
            "enable: true\nmodels:\n",
            "  bot#:\n    mapping: name#\n    aliases: [x#, y#]\n",
            units,
        );
        let (file, _) = ModelsFile::parse(&yaml).expect("valid");
        let list = json!({"data": list(units, |at| json!({"id": format!("Bot{at}"), "parameters": []}))});
        let entries = Entries::from(parse_catalog(list.to_string().as_bytes()).expect("valid"));
        let catalog = Catalog { entries, fetched: std::time::UNIX_EPOCH, source: ListSource::Poe };
        (std::sync::Arc::new(file), std::sync::Arc::new(catalog))
    };
    cases.check("a directory is made", &|units| {
        let (file, catalog) = directory(units / 16);
        Box::new(move || keep(ModelDirectory::new(file, Some(catalog)).warnings()))
    });
    cases.check("a name is looked for", &|units| {
        let (file, catalog) = directory(units / 16);
        let directory = ModelDirectory::new(file, Some(catalog));
        Box::new(move || {
            let name = "a/".repeat(90) + "bot";
            (0..16).for_each(|_| keep(std::hint::black_box(directory.resolve(&name))));
        })
    });
    cases.check("similar names are looked for", &|units| {
        let (file, catalog) = directory(units / 16);
        let directory = ModelDirectory::new(file, Some(catalog));
        Box::new(move || keep(directory.nearest("bott7")))
    });
    for (name, member) in [("many keys", "  bot#: {}\n"), ("many tokens", "x#_token: s3cr3t-s3cr3t-#\n")] {
        let functions: [(&str, Function); 4] = [
            ("parse", |text| keep(ModelsFile::parse(text))),
            ("to_json", |text| keep(edit::to_json(text))),
            ("masked", |text| keep(edit::masked(text, &[]))),
            ("unmasked", |text| keep(edit::unmasked(text, text, &[]))),
        ];
        for (what, function) in functions {
            cases.check(&format!("{what} of {name}"), &|units| {
                let start = if member.starts_with(' ') { "models:\n" } else { "" };
                let text = repeated(start, member, units);
                Box::new(move || function(&text))
            });
        }
    }
}
