//! Tools of a request: the functions offered to the bot, and the names by which the client knows them.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::dialect::tools;
use crate::error::{Error, Result};
use crate::pipeline::{Tool, ToolChoice};

/// A client's name for a function that the bot is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The namespace that it stands in.
    pub namespace: Option<String>,
    /// It takes plain text.
    pub is_custom: bool,
}

/// What the bot's functions are to the client.
#[derive(Debug, Clone, Default)]
pub struct Names {
    named: HashMap<String, Named>,
    offered: HashMap<Named, String>,
    /// Of all functions that the client calls by a name, the first in order, whatever their namespaces.
    first: HashMap<String, String>,
}

impl Names {
    /// What the client calls the function that the bot knows as `offered`.
    pub fn rendered(&self, offered: &str) -> Named {
        let plain = || Named { name: offered.to_owned(), ..Named::default() };
        self.named.get(offered).cloned().unwrap_or_else(plain)
    }

    /// Whether the function that the bot knows as `offered` takes plain text.
    pub fn is_custom(&self, offered: &str) -> bool {
        self.named.get(offered).is_some_and(|named| named.is_custom)
    }

    /// What the bot knows the client's tool as.
    pub fn offered(&self, name: &str, namespace: Option<&str>, is_custom: bool) -> String {
        self.find(name, namespace, is_custom).unwrap_or(name).to_owned()
    }

    /// The same, if there is such a tool. Clients forget of which type it is, or its namespace.
    fn find(&self, name: &str, namespace: Option<&str>, is_custom: bool) -> Option<&str> {
        let mut named = Named { name: name.to_owned(), namespace: namespace.map(str::to_owned), is_custom };
        if let Some(offered) = self.offered.get(&named) {
            return Some(offered);
        }
        named.is_custom = !is_custom;
        let first = || self.first.get(name).filter(|_| namespace.is_none());
        let found = self.offered.get(&named).map(String::as_str);
        found
            .or_else(|| self.named.get_key_value(name).map(|(offered, _)| offered.as_str()))
            .or_else(|| first().map(String::as_str))
    }

    fn add(&mut self, offered: &str, named: Named) {
        let first = self.first.entry(named.name.clone()).or_insert_with(|| offered.to_owned());
        if offered < first.as_str() {
            offered.clone_into(first);
        }
        self.offered.insert(named.clone(), offered.to_owned());
        self.named.insert(offered.to_owned(), named);
    }
}

/// All that a request says of tools.
#[derive(Debug, Default)]
pub struct Tools {
    /// What the bot is offered.
    pub offered: Vec<Tool>,
    /// What the client calls them.
    pub names: Names,
    /// Fields that stand for tools which the model itself may have.
    pub hints: Map<String, Value>,
    /// Types and names of those that are not offered.
    ignored: Vec<String>,
    /// Where in `offered` a function lies, until a choice takes some away.
    places: HashMap<String, usize>,
    /// The last number that was appended to a name to make it unique.
    numbers: HashMap<String, usize>,
}

impl Tools {
    /// Adds the tools in `raw`, which lie at `path` of the request; those that are offered, as a response repeats them.
    pub fn add(&mut self, path: &str, raw: &[Value]) -> Result<Vec<Value>> {
        let rendered =
            raw.iter().enumerate().map(|(at, tool)| self.add_one(&format!("{path}[{at}]"), tool, None));
        rendered.filter_map(Result::transpose).collect()
    }

    fn add_one(&mut self, path: &str, raw: &Value, namespace: Option<&str>) -> Result<Option<Value>> {
        let kind = match raw.get("type") {
            None | Some(Value::Null) => "function",
            Some(Value::String(kind)) => kind.as_str(),
            Some(_) => {
                let param = format!("{path}.type");
                return Err(Error::invalid(&param, format!("{param} must be a string")));
            }
        };
        match kind {
            "function" => {
                let tool = tools::function(path, raw)?;
                let strict = raw.get("strict").or_else(|| raw.get("function")?.get("strict"));
                let rendered = json!({
                    "type": "function", "name": tool.name, "description": tool.description,
                    "parameters": tool.parameters, "strict": strict == Some(&Value::Bool(true)),
                });
                self.offer(tool, namespace, false);
                Ok(Some(rendered))
            }
            "custom" => {
                let (tool, format) = tools::plain_text(path, raw)?;
                let mut rendered = json!({"type": "custom", "name": tool.name});
                let description = raw.get("description").or_else(|| raw.get("custom")?.get("description"));
                if let Some(description) = description.filter(|description| description.is_string()) {
                    rendered["description"] = description.clone();
                }
                if let Some(format) = format.and_then(echoed_format) {
                    rendered["format"] = format;
                }
                self.offer(tool, namespace, true);
                Ok(Some(rendered))
            }
            "namespace" => {
                let name = raw.get("name").and_then(Value::as_str);
                let tools = raw.get("tools").and_then(Value::as_array);
                let mut rendered = Vec::new();
                for (at, tool) in tools.into_iter().flatten().enumerate() {
                    rendered.extend(self.add_one(&format!("{path}.tools[{at}]"), tool, name)?);
                }
                rendered.retain(|tool| tool["type"] != "namespace");
                let Some(name) = name.filter(|name| !name.is_empty() && !rendered.is_empty()) else {
                    return Ok(None);
                };
                let description = raw.get("description").and_then(Value::as_str).unwrap_or_default();
                Ok(Some(json!({"type": kind, "name": name, "description": description, "tools": rendered})))
            }
            kind if kind.starts_with("web_search") => {
                self.ignored.push(kind.to_owned());
                // a client that wants to search in a cache alone has nothing of a model that searches the web
                if raw.get("external_web_access") != Some(&Value::Bool(false)) {
                    self.hints.insert("web_search_options".into(), json!({}));
                }
                Ok(None)
            }
            other => {
                log::debug!("a tool of type {other:?} was ignored: Poe's bots do not support it");
                let name = raw.get("name").and_then(Value::as_str);
                self.ignored.extend([Some(other), name].into_iter().flatten().map(str::to_owned));
                Ok(None)
            }
        }
    }

    fn offer(&mut self, mut tool: Tool, namespace: Option<&str>, is_custom: bool) {
        let named = Named { name: tool.name.clone(), namespace: namespace.map(str::to_owned), is_custom };
        if let Some(offered) = self.names.offered.get(&named) {
            // said once more, as in items of each turn: what is said last holds
            tool.name.clone_from(offered);
            if let Some(place) = self.places.get(&tool.name) {
                self.offered[*place] = tool;
            }
            return;
        }
        let is_taken = |name: &str| self.names.named.contains_key(name);
        let reasoning_setting = match namespace {
            Some(namespace) if is_taken(&tool.name) => format!("{namespace}__{}", tool.name),
            _ => tool.name,
        };
        tool.name = reasoning_setting.clone();
        let mut number = self.numbers.get(&reasoning_setting).copied().unwrap_or(1);
        while is_taken(&tool.name) {
            number += 1;
            tool.name = format!("{reasoning_setting}_{number}");
        }
        if number > 1 {
            self.numbers.insert(reasoning_setting, number);
        }
        self.names.add(&tool.name, named);
        self.places.insert(tool.name.clone(), self.offered.len());
        self.offered.push(tool);
    }

    /// `tool_choice`, which may take away tools.
    pub fn choice(&mut self, choice: Option<&Value>) -> Result<ToolChoice> {
        const PARAM: &str = "tool_choice";
        let choice = match choice {
            None | Some(Value::Null) => return Ok(ToolChoice::Auto),
            Some(Value::String(word)) => return Ok(self.required(by_word(PARAM, word)?)),
            Some(choice) => choice,
        };
        match choice.get("type").and_then(Value::as_str) {
            Some("function" | "custom") => {
                const NAME: &str = "tool_choice.name";
                let name =
                    name_in(choice).ok_or_else(|| Error::invalid(NAME, format!("{NAME} is missing")))?;
                match self.chosen(choice) {
                    Some(offered) => Ok(ToolChoice::Named(offered)),
                    None if self.ignored.iter().any(|ignored| ignored == name) => {
                        Ok(ToolChoice::Named(name.to_owned()))
                    }
                    None => Err(Error::invalid(
                        NAME,
                        format!("{NAME} is `{name}`, which is not one of the tools"),
                    )),
                }
            }
            Some("allowed_tools") => {
                // Chat Completions has it one level deeper
                let choice = choice.get("allowed_tools").unwrap_or(choice);
                let list = choice.get("tools").and_then(Value::as_array);
                let list =
                    list.ok_or_else(|| Error::invalid("tool_choice.tools", "tool_choice.tools is missing"))?;
                let allowed: HashSet<String> = list.iter().filter_map(|tool| self.chosen(tool)).collect();
                self.places.clear();
                self.offered.retain(|tool| allowed.contains(&tool.name));
                let is_ignored = |tool: &Value| {
                    let words = [name_in(tool), tool.get("type").and_then(Value::as_str)];
                    words.iter().flatten().any(|word| self.ignored.iter().any(|ignored| ignored == word))
                };
                if self.offered.is_empty() && !list.is_empty() && !list.iter().any(is_ignored) {
                    let fault = "tool_choice.tools names none of the tools";
                    return Err(Error::invalid("tool_choice.tools", fault));
                }
                let mode = choice.get("mode").and_then(Value::as_str).unwrap_or("auto");
                Ok(self.required(by_word("tool_choice.mode", mode)?))
            }
            // a native endpoint may have it
            Some(other) => Ok(ToolChoice::Named(other.to_owned())),
            None => Err(Error::invalid(
                PARAM,
                "tool_choice must be none, auto, required or an object with a type",
            )),
        }
    }

    /// `choice`; where only built-in tools can be meant by `required`, these.
    fn required(&self, choice: ToolChoice) -> ToolChoice {
        match choice {
            ToolChoice::Required if self.offered.is_empty() && !self.ignored.is_empty() => {
                ToolChoice::Named(self.ignored.join(", "))
            }
            choice => choice,
        }
    }

    /// `choice`, read from `raw`, as a response repeats it.
    pub fn echoed_choice(&self, choice: &ToolChoice, raw: Option<&Value>) -> Value {
        let rendered = |offered: &str| {
            let named = self.names.rendered(offered);
            json!({"type": if named.is_custom { "custom" } else { "function" }, "name": named.name})
        };
        let is_list = raw.and_then(|raw| raw.get("type")).is_some_and(|kind| kind == "allowed_tools");
        let mode = match choice {
            ToolChoice::None => return "none".into(),
            ToolChoice::Named(offered) if self.names.named.contains_key(offered) => return rendered(offered),
            // a built-in tool is the model's own parameter
            ToolChoice::Auto | ToolChoice::Named(_) => "auto",
            ToolChoice::Required => "required",
        };
        let allowed = || self.offered.iter().map(|tool| rendered(&tool.name)).collect::<Vec<_>>();
        if is_list { json!({"type": "allowed_tools", "mode": mode, "tools": allowed()}) } else { mode.into() }
    }

    fn chosen(&self, choice: &Value) -> Option<String> {
        let is_custom = choice.get("type").is_some_and(|kind| kind == "custom");
        let namespace = choice.get("namespace").and_then(Value::as_str);
        self.names.find(name_in(choice)?, namespace, is_custom).map(str::to_owned)
    }
}

/// The name in a choice, or in what Chat Completions has inside it.
fn name_in(choice: &Value) -> Option<&str> {
    let nested = ["function", "custom"].iter().find_map(|kind| choice.get(kind)?.get("name"));
    choice.get("name").or(nested)?.as_str()
}

fn by_word(param: &str, word: &str) -> Result<ToolChoice> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" | "any" => Ok(ToolChoice::Required),
        other => {
            Err(Error::invalid(param, format!("{param} is `{other}`, it must be none, auto or required")))
        }
    }
}

/// The format of a custom tool as a response repeats it.
fn echoed_format(format: &Value) -> Option<Value> {
    let field = |name: &str| format.get(name).or_else(|| format.get("grammar")?.get(name))?.as_str();
    match format.get("type")?.as_str()? {
        "text" => Some(json!({"type": "text"})),
        "grammar" => {
            let syntax = field("syntax").filter(|syntax| ["lark", "regex"].contains(syntax))?;
            Some(json!({"type": "grammar", "syntax": syntax, "definition": field("definition")?}))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(raw: Value) -> Tools {
        let mut tools = Tools::default();
        tools.add("tools", raw.as_array().unwrap()).unwrap();
        tools
    }

    fn names(tools: &Tools) -> Vec<&str> {
        tools.offered.iter().map(|tool| tool.name.as_str()).collect()
    }

    #[test]
    fn functions_custom_tools_and_namespaces_are_offered_and_all_else_is_not() {
        let tools = tools(json!([
            {"type": "function", "name": "a", "strict": true, "parameters": {"type": "object"}},
            {"type": "custom", "name": "patch", "format": {"type": "text"}},
            {"type": "namespace", "name": "mcp__x", "tools": [
                {"type": "function", "name": "a"}, {"type": "custom", "name": "b"}, {"type": "function", "name": "c"}]},
            {"type": "function", "function": {"name": "nested"}},
            {"type": "file_search", "vector_store_ids": []}, {"type": "mcp"}, {"type": "invented"},
            {"type": "local_shell"}, {"type": "image_generation"}
        ]));
        assert_eq!(names(&tools), ["a", "patch", "mcp__x__a", "b", "c", "nested"]);
        let rendered = |name: &str| tools.names.rendered(name);
        assert_eq!(rendered("a"), Named { name: "a".into(), ..Named::default() });
        assert!(rendered("patch").is_custom && rendered("patch").namespace.is_none());
        assert_eq!(
            (rendered("mcp__x__a").name.as_str(), rendered("b").namespace.as_deref()),
            ("a", Some("mcp__x"))
        );
        assert_eq!(tools.names.offered("a", Some("mcp__x"), false), "mcp__x__a");
        assert_eq!(tools.names.offered("a", None, false), "a");
        assert!(tools.hints.is_empty());
    }

    #[test]
    fn of_tools_with_one_name_each_is_offered_under_its_own_and_found_again() {
        let one = |kind: &str| json!({"type": kind, "name": "f"});
        let spaced = |kind: &str| json!({"type": "namespace", "name": "n", "tools": [one(kind)]});
        let mut all = vec![
            json!({"type": "function", "name": "n__f"}),
            json!({"type": "function", "name": "f_2"}),
            one("function"),
            one("custom"),
            spaced("function"),
            spaced("custom"),
        ];
        for _ in 0..all.len() {
            all.rotate_left(1);
            let tools = tools(all.clone().into());
            let offered: std::collections::BTreeSet<_> = names(&tools).into_iter().collect();
            assert_eq!(offered.len(), all.len(), "{offered:?}");
            for namespace in [None, Some("n")] {
                for is_custom in [false, true] {
                    let offered = tools.names.offered("f", namespace, is_custom);
                    let named =
                        Named { name: "f".into(), namespace: namespace.map(str::to_owned), is_custom };
                    assert_eq!(tools.names.rendered(&offered), named, "{offered}");
                }
            }
        }
    }

    #[test]
    fn a_tool_that_is_said_again_is_offered_once_as_it_was_said_last() {
        let tools = tools(json!([{"type": "function", "name": "f"}, {"type": "custom", "name": "c"},
            {"type": "function", "name": "f", "description": "new"}]));
        assert_eq!(names(&tools), ["f", "c"]);
        assert_eq!(tools.offered[0].description.as_deref(), Some("new"));
    }

    #[test]
    fn a_web_search_tool_becomes_a_model_parameter() {
        for kind in ["web_search", "web_search_preview", "web_search_2025_08_26"] {
            assert!(tools(json!([{"type": kind}])).hints.contains_key("web_search_options"), "{kind}");
        }
        assert!(tools(json!([{"type": "web_search", "external_web_access": false}])).hints.is_empty());
    }

    #[test]
    fn tool_choice_in_every_form() {
        let raw = json!([{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]);
        let cases = [
            (json!(null), ToolChoice::Auto),
            (json!("none"), ToolChoice::None),
            (json!("required"), ToolChoice::Required),
            (json!({"type": "function", "name": "f"}), ToolChoice::Named("f".into())),
            (json!({"type": "function", "function": {"name": "f"}}), ToolChoice::Named("f".into())),
            (json!({"type": "custom", "name": "c"}), ToolChoice::Named("c".into())),
            (json!({"type": "web_search_preview"}), ToolChoice::Named("web_search_preview".into())),
        ];
        for (choice, expected) in cases {
            assert_eq!(tools(raw.clone()).choice(Some(&choice)).unwrap(), expected, "{choice}");
        }
        let named = json!({"type": "function", "name": "f"});
        let allowed = |tools: Value| json!({"type": "allowed_tools", "mode": "required", "tools": tools});
        for (choice, expected) in [
            (json!(null), json!("auto")),
            (json!("any"), json!("required")),
            (json!({"type": "function", "function": {"name": "f"}}), named.clone()),
            (json!({"type": "custom", "name": "c"}), json!({"type": "custom", "name": "c"})),
            (json!({"type": "web_search_preview"}), json!("auto")),
            (allowed(json!([{"type": "function", "function": {"name": "f"}}, 7])), allowed(json!([named]))),
        ] {
            let mut tools = tools(raw.clone());
            let read = tools.choice(Some(&choice)).unwrap();
            assert_eq!(tools.echoed_choice(&read, Some(&choice)), expected, "{choice}");
        }
        let built_in = json!([{"type": "web_search"}, {"type": "mcp", "name": "own"}]);
        for name in ["web_search", "mcp", "own"] {
            let choice = json!({"type": "function", "name": name});
            let expected = ToolChoice::Named(name.into());
            assert_eq!(tools(built_in.clone()).choice(Some(&choice)).unwrap(), expected, "{name}");
        }
        for required in [
            json!("required"),
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp"}]}),
        ] {
            let choice = tools(built_in.clone()).choice(Some(&required)).unwrap();
            assert_eq!(choice, ToolChoice::Named("web_search, mcp, own".into()), "{required}");
        }
        let mut few = tools(raw.clone());
        let choice =
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "c"}]});
        assert_eq!(few.choice(Some(&choice)).unwrap(), ToolChoice::Required);
        assert_eq!(names(&few), ["c"]);
        let wrong = [
            (json!("maybe"), "tool_choice"),
            (json!({"type": "function"}), "tool_choice.name"),
            (json!({"type": "function", "name": "g"}), "tool_choice.name"),
            (json!({"type": "custom", "custom": {"name": "web_search"}}), "tool_choice.name"),
            (json!({"type": "allowed_tools"}), "tool_choice.tools"),
            (json!({"type": "allowed_tools", "mode": "x", "tools": []}), "tool_choice.mode"),
            (json!({}), "tool_choice"),
            (json!(7), "tool_choice"),
        ];
        for (choice, param) in wrong {
            assert_eq!(
                tools(raw.clone()).choice(Some(&choice)).unwrap_err().param.as_deref(),
                Some(param),
                "{choice}"
            );
        }
    }

    #[test]
    fn a_response_repeats_what_bots_were_offered_in_one_form() {
        let rendered = |raw: Value| Tools::default().add("tools", raw.as_array().unwrap()).unwrap();
        let function =
            json!({"type": "function", "name": "f", "description": null, "parameters": {}, "strict": false});
        let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "x"});
        let deeper = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}});
        let custom = json!({"type": "custom", "name": "c", "format": grammar});
        let rows = [
            (json!({"type": "function", "function": {"name": "f", "parameters": {}}}), json!([function])),
            (json!({"name": "f", "parameters": {}, "odd": 1}), json!([function])),
            (json!({"type": "custom", "custom": {"name": "c", "format": deeper}}), json!([custom])),
            (
                json!({"type": "custom", "name": "c", "format": {"type": "odd"}}),
                json!([{"type": "custom", "name": "c"}]),
            ),
            (
                json!({"type": "namespace", "name": "n", "tools": [{"name": "f", "parameters": {}}, {"type": "odd"}]}),
                json!([{"type": "namespace", "name": "n", "description": "", "tools": [function]}]),
            ),
            (json!({"type": "namespace", "name": "n", "tools": []}), json!([])),
            (json!({"type": "web_search"}), json!([])),
            (json!({"type": "odd", "x": 1}), json!([])),
        ];
        for (raw, expected) in rows {
            assert_eq!(Value::from(rendered(json!([raw]))), expected, "{raw}");
        }
    }

    #[test]
    fn a_tool_without_its_name_is_refused_by_place() {
        let fault =
            |raw: Value| Tools::default().add("tools", raw.as_array().unwrap()).unwrap_err().param.unwrap();
        assert_eq!(fault(json!([{"type": "x"}, {"type": "function"}])), "tools[1].name");
        assert_eq!(fault(json!([{"type": "custom", "name": 7}])), "tools[0].name");
        let inner =
            json!([{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": null}]}]);
        assert_eq!(fault(inner), "tools[0].tools[0].name");
    }
}
