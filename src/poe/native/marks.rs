//! Finds items in a request that only this server understands, because it created them in an answer over the bot protocol; such
//! a request cannot use a native endpoint.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{Edit, Field, Fields};
use super::request::MissingFeature;
use crate::pipeline::NativeEndpoint;

/// How such items are recognized.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// The signature of thoughts in Messages.
    pub signature: &'static str,
    /// What the content of a compaction begins with in Responses.
    pub seal: &'static str,
    /// Whether an id, or what stands for the thought's content, is one of ours in Responses.
    pub is_thought: fn(&str) -> bool,
}

/// The item that only this server can answer, if the request has one.
pub fn ours(endpoint: NativeEndpoint, body: &[u8], marks: &Marks) -> Option<MissingFeature> {
    if endpoint != NativeEndpoint::Responses {
        return None;
    }
    let fields = Fields::read(std::str::from_utf8(body).ok()?)?;
    let items: Vec<&RawValue> = serde_json::from_str(fields.get("input")?.value).ok()?;
    let why = items.iter().find_map(|item| {
        let item = Fields::read(item.get())?;
        let text = |name: &str| item.get(name).and_then(Field::text);
        match text("type")?.as_ref() {
            "item_reference" => Some("no items are kept"),
            "compaction" | "compaction_summary" => {
                let is_ours = text("encrypted_content")?.starts_with(marks.seal);
                is_ours.then_some("this compaction cannot be read")
            }
            _ => None,
        }
    });
    why.map(|why| MissingFeature { field: "input", why, is_ours: true })
}

/// `body` without thoughts that were marked here: bots are never sent them, and an endpoint refuses their marks. Every other
/// byte stays.
pub fn unmarked<'b>(endpoint: NativeEndpoint, body: &'b [u8], marks: &Marks) -> Cow<'b, [u8]> {
    let (name, edit): (_, fn(&str, &Marks) -> Edit) = match endpoint {
        NativeEndpoint::Chat => return Cow::Borrowed(body),
        NativeEndpoint::Responses => ("input", item),
        NativeEndpoint::Messages => ("messages", message),
    };
    let without = || {
        let fields = Fields::read(std::str::from_utf8(body).ok()?)?;
        let list = edited(fields.get(name)?.value, |one| edit(one, marks))?;
        Some(with(&fields, name, &list).into_bytes())
    };
    without().map_or(Cow::Borrowed(body), Cow::Owned)
}

fn item(text: &str, marks: &Marks) -> Edit {
    let is_ours = || {
        let item = Fields::read(text)?;
        let text = |name: &str| item.get(name).and_then(Field::text);
        let mark = text("encrypted_content").or_else(|| text("id"))?;
        Some(text("type")? == "reasoning" && (marks.is_thought)(&mark))
    };
    if is_ours() == Some(true) { Edit::Cut } else { Edit::Keep }
}

fn message(text: &str, marks: &Marks) -> Edit {
    let is_ours = |block: &str| {
        let block = Fields::read(block)?;
        let text = |name: &str| block.get(name).and_then(Field::text);
        Some(text("type")? == "thinking" && text("signature")? == marks.signature)
    };
    let without = || {
        let fields = Fields::read(text)?;
        let cut = |block: &str| if is_ours(block) == Some(true) { Edit::Cut } else { Edit::Keep };
        Some(match edited(fields.get("content")?.value, cut)?.as_str() {
            "[]" => Edit::Cut,
            content => Edit::Set(with(&fields, "content", content)),
        })
    };
    without().unwrap_or(Edit::Keep)
}

/// The list that `text` is with every element edited as `edit` says; `None`: nothing changes, or it is no list.
fn edited(text: &str, edit: impl Fn(&str) -> Edit) -> Option<String> {
    let all: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let edits: Vec<Edit> = all.iter().map(|one| edit(one.get())).collect();
    if edits.iter().all(|edit| *edit == Edit::Keep) {
        return None;
    }
    let left: Vec<&str> = all
        .iter()
        .zip(&edits)
        .filter_map(|(one, edit)| match edit {
            Edit::Keep => Some(one.get()),
            Edit::Cut => None,
            Edit::Set(new) => Some(new.as_str()),
        })
        .collect();
    Some(format!("[{}]", left.join(",")))
}

fn with(fields: &Fields<'_>, name: &str, value: &str) -> String {
    let edit = |field: &Field<'_>| match field.name == name {
        true => Edit::Set(value.to_owned()),
        false => Edit::Keep,
    };
    fields.edited(edit, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks =
        Marks { signature: "SIG", seal: "seal.", is_thought: |id| id.starts_with("rs_ours") };

    fn without(endpoint: NativeEndpoint, body: &str) -> String {
        String::from_utf8(unmarked(endpoint, body.as_bytes(), &MARKS).into_owned()).unwrap()
    }

    #[test]
    fn our_thoughts_go_and_every_other_byte_stays() {
        let rows = [
            (
                NativeEndpoint::Messages,
                r#"{ "messages" : [{"role":"user", "content":"a"}, {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"SIG"}, {"type":"text", "text":"b"}] } ],"model":"m"}"#,
                r#"{ "messages" : [{"role":"user", "content":"a"},{"role":"assistant","content":[{"type":"text", "text":"b"}] }],"model":"m"}"#,
            ),
            (
                NativeEndpoint::Messages,
                r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"SIG"}]},{"role":"user","content":"a"}]}"#,
                r#"{"messages":[{"role":"user","content":"a"}]}"#,
            ),
            (
                NativeEndpoint::Responses,
                r#"{"input":[ {"type":"reasoning","id":"rs_ours","summary":[]},{"role":"user","content":"a" }, {"type":"reasoning","id":"rs_1","encrypted_content":"rs_ours"}]}"#,
                r#"{"input":[{"role":"user","content":"a" }]}"#,
            ),
        ];
        for (endpoint, body, expected) in rows {
            assert_eq!(without(endpoint, body), expected);
        }
        let unknown_keys = [
            (
                NativeEndpoint::Messages,
                r#"{"messages":[{"content":[{"type":"thinking","signature":"other"} ]}]}"#,
            ),
            (NativeEndpoint::Messages, r#"{"messages":[{"content":[{"type":"text","text":"SIG"} ]}, 7]}"#),
            (
                NativeEndpoint::Responses,
                r#"{"input":[{"type":"reasoning","id":"rs_ours","encrypted_content":"gAAAA"} , 7]}"#,
            ),
            (NativeEndpoint::Responses, r#"{"input": "rs_ours"}"#),
            (NativeEndpoint::Chat, r#"{"messages":[{"content":[{"type":"thinking","signature":"SIG"}]}]}"#),
            (NativeEndpoint::Chat, "no JSON"),
        ];
        for (endpoint, body) in unknown_keys {
            assert!(matches!(unmarked(endpoint, body.as_bytes(), &MARKS), Cow::Borrowed(_)), "{body}");
        }
    }

    #[test]
    fn what_nobody_else_can_answer_is_known() {
        let is_ours = |input: &str| {
            let body = format!(r#"{{"model":"m","input":{input}}}"#);
            ours(NativeEndpoint::Responses, body.as_bytes(), &MARKS)
                .is_some_and(|missing_feature| missing_feature.is_ours)
        };
        assert!(is_ours(r#"[7,{"type":"item_reference","id":"msg_1"}]"#));
        assert!(is_ours(r#"[{"type":"compaction","encrypted_content":"seal.abc"}]"#));
        assert!(!is_ours(r#"[{"type":"compaction","encrypted_content":"gAAAA"}]"#));
        assert!(!is_ours(r#"[{"role":"user","content":"item_reference seal."}]"#));
        assert!(!is_ours(r#""item_reference""#));
    }
}
