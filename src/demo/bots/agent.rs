//! A scripted agent for real coding agents: does `create FILE with content "TEXT"`, and reads it back if asked to.

use serde_json::{Map, Value, json};

use super::toolbox::{Act, Bench, JOB};
use super::{Turn, native as in_json, xml as in_xml};
use crate::demo::query::Function;
use crate::demo::sample;
use crate::demo::script::Script;

pub fn native(turn: &Turn) -> Script {
    in_json::carry(plan, turn)
}

pub fn xml(turn: &Turn) -> Script {
    in_xml::carry(plan, turn)
}

/// The job, as the user's words give it.
#[derive(Debug, PartialEq)]
struct Job<'t> {
    file: &'t str,
    content: &'t str,
    read_back: bool,
}

/// Write, then read if asked, then say so; one call a turn, so the number of results or rounds states how far the job is.
fn plan(bench: &Bench) -> Act {
    let Some(job) = job(&bench.task).or_else(|| job(&bench.context)) else {
        return Act::Say(idle(bench));
    };
    let done = format!("Done: {} is written.", job.file);
    let (next, words) = match bench.results.len().max(bench.rounds) {
        0 => (write(bench, &job), without_tools(bench, &job)),
        1 if job.read_back => (read(bench, &job), done),
        1 => (None, done),
        _ => {
            (None, format!("{done} It reads: {}", bench.results.last().map_or("", |result| &result.content)))
        }
    };
    match next {
        Some((tool, arguments)) => {
            Act::Call(vec![bench.call(0, &tool.name, fill(tool, arguments, &bench.task))])
        }
        None => closing(bench, &words),
    }
}

fn idle(bench: &Bench) -> String {
    match bench.results.last() {
        Some(result) => format!("{} says: {}", result.name, result.content),
        None => "Tell me: create FILE with content \"TEXT\".".into(),
    }
}

/// Some agents accept an end only as a call.
fn closing(bench: &Bench, words: &str) -> Act {
    match bench.tools.iter().find(|tool| tool.name == "attempt_completion") {
        Some(tool) if bench.results.len() + bench.rounds > 0 => {
            Act::Call(vec![bench.call(0, &tool.name, fill(tool, json!({"result": words}), ""))])
        }
        _ => Act::Say(words.into()),
    }
}

/// The last `create FILE with content "TEXT"` in `words`; `\"` and `\n` count as in JSON.
fn job(words: &str) -> Option<Job<'_>> {
    let (middle, _) = words.match_indices(JOB).last()?;
    let before = &words[..middle];
    let verb = before.to_ascii_lowercase().rfind("create ")?;
    let file = before[verb + "create ".len()..].rsplit(' ').next()?.trim_matches(['`', '\'', '"']);
    let rest = &words[middle + JOB.len()..];
    let (end, _) = rest.match_indices('"').find(|(at, _)| !rest[..*at].ends_with('\\'))?;
    let read_back = rest[end..].to_ascii_lowercase().contains("read");
    (!file.is_empty()).then_some(Job { file, content: &rest[..end], read_back })
}

impl Job<'_> {
    /// The content with its escapes read.
    fn text(&self) -> String {
        serde_json::from_str(&format!("\"{}\"", self.content)).unwrap_or_else(|_| self.content.to_string())
    }
}

/// What agents call a tool that writes, one that reads, one that runs commands, and their parameters.
const WRITERS: &[&str] = &["write", "create", "edit"];
const READERS: &[&str] = &["read", "view", "cat", "open"];
const SHELLS: &[&str] = &["shell", "bash", "exec", "command", "terminal"];
const NOT_FILES: &[&str] = &["todo", "notebook", "task", "plan", "stdin", "resource", "web", "image"];
const PATHS: &[&str] = &["file_path", "filePath", "path", "absolute_path", "filename", "file", "file_name"];
const CONTENTS: &[&str] = &["content", "contents", "file_text", "text", "new_string", "newString"];
const COMMANDS: &[&str] = &["command", "cmd", "script"];

type Next<'t> = Option<(&'t Function, Value)>;

/// What agents call a tool that takes a patch, and its parameters.
const PATCHERS: &[&str] = &["apply_patch", "applypatch"];
const PATCHES: &[&str] = &["input", "patch"];

fn write<'t>(bench: &'t Bench, job: &Job) -> Next<'t> {
    if let Some((tool, patch)) = find(&bench.tools, PATCHERS, PATCHES) {
        let added: String = job.text().lines().map(|line| format!("+{line}\n")).collect();
        let text = format!("*** Begin Patch\n*** Add File: {}\n{added}*** End Patch\n", job.file);
        return Some((tool, json!({ patch: text })));
    }
    let writer = find(&bench.tools, WRITERS, PATHS).and_then(|(tool, path)| {
        let content = property(tool, CONTENTS)?;
        Some((tool, json!({path: whole_path(bench, tool, path, job.file), content: job.text()})))
    });
    writer.or_else(|| run(bench, &format!("printf '%s' '{}' > '{}'", quoted(&job.text()), quoted(job.file))))
}

fn read<'t>(bench: &'t Bench, job: &Job) -> Next<'t> {
    let reader = find(&bench.tools, READERS, PATHS)
        .map(|(tool, path)| (tool, json!({path: whole_path(bench, tool, path, job.file)})));
    reader.or_else(|| run(bench, &format!("cat '{}'", quoted(job.file))))
}

/// Agents without a tool for files have one for commands: a line of text, or a list for `execve`.
fn run<'t>(bench: &'t Bench, line: &str) -> Next<'t> {
    let (tool, command) = find(&bench.tools, SHELLS, COMMANDS)?;
    let list = sample::kind(&tool.parameters["properties"][command]) == "array";
    Some((tool, json!({command: if list { json!(["bash", "-lc", line]) } else { json!(line) }})))
}

fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// The tool whose name holds the earliest of `words` and which has one of `properties`.
fn find<'t>(
    tools: &'t [Function],
    words: &[&str],
    properties: &[&'static str],
) -> Option<(&'t Function, &'static str)> {
    words.iter().find_map(|word| {
        tools.iter().find_map(|tool| {
            let name = tool.name.to_lowercase();
            let fits = name.contains(word) && !NOT_FILES.iter().any(|other| name.contains(other));
            if fits { property(tool, properties).map(|property| (tool, property)) } else { None }
        })
    })
}

fn property(tool: &Function, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| tool.parameters["properties"].get(name).is_some())
}

/// Required parameters that the job says nothing of are made up, all else is left out.
fn fill(tool: &Function, rendered: Value, task: &str) -> Value {
    let mut schema = tool.parameters.clone();
    if schema.get("required").is_none_or(Value::is_null) {
        schema["required"] = json!([]);
    }
    let mut arguments = sample::fitting(&schema, task).as_object().cloned().unwrap_or_else(Map::new);
    // A text to be replaced can only be empty in a file that does not exist yet.
    for old in ["old_string", "oldString", "old_str"] {
        if let Some(old) = arguments.get_mut(old) {
            *old = "".into();
        }
    }
    arguments.extend(rendered.as_object().cloned().unwrap_or_default());
    Value::Object(arguments)
}

/// A tool that wants absolute paths gets one if the agent has said where it works.
fn whole_path(bench: &Bench, tool: &Function, property: &str, file: &str) -> String {
    let about = tool.parameters["properties"][property]["description"].as_str().unwrap_or("");
    let absolute = property == "absolute_path" || about.to_lowercase().contains("absolute");
    match working_directory(&bench.context) {
        Some(directory) if absolute && !file.starts_with('/') => {
            format!("{}/{file}", directory.trim_end_matches('/'))
        }
        _ => file.into(),
    }
}

fn working_directory(context: &str) -> Option<&str> {
    const MARKS: &[&str] =
        &["working directory: ", "working directory is ", "working directory is: ", "<cwd>"];
    let lower = context.to_ascii_lowercase();
    let start = MARKS.iter().find_map(|mark| Some(lower.find(mark)? + mark.len()))?;
    let path = context[start..].trim_start_matches(['`', '"', '\'']);
    let end = path.find(['\n', '<', '`', '"', '\'', ',']).unwrap_or(path.len());
    path.starts_with('/').then(|| path[..end].trim_end_matches(['.', ' ']))
}

/// Agents without any tools read edits out of the text: aider's blocks, or whole files.
fn without_tools(bench: &Bench, job: &Job) -> String {
    let (file, text) = (job.file, job.text());
    if !bench.tools.is_empty() {
        return "I found no tool that writes files.".into();
    }
    if bench.context.contains("SEARCH/REPLACE") {
        return format!(
            "Here is the new file:\n\n{file}\n```\n<<<<<<< SEARCH\n=======\n{text}\n>>>>>>> REPLACE\n```\n"
        );
    }
    if bench.context.contains("file listing") {
        return format!("Here is the new file:\n\n{file}\n```\n{text}\n```\n");
    }
    format!("Create {file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::query::ToolResult;

    const TASK: &str = "Please create notes.txt with content \"a\\nb\", then read it back.";

    fn bench(task: &str, tools: &[(&str, Value)]) -> Bench {
        let tool = |(name, properties): &(&str, Value)| Function {
            name: (*name).into(),
            parameters: json!({"type": "object", "properties": properties}),
        };
        Bench {
            task: task.into(),
            context: task.into(),
            tools: tools.iter().map(tool).collect(),
            ..Bench::default()
        }
    }

    fn with_results(bench: Bench, results: &[&str]) -> Bench {
        let result = |content: &&str| ToolResult { name: "t".into(), content: (*content).into() };
        Bench { results: results.iter().map(result).collect(), ..bench }
    }

    fn call(bench: &Bench) -> (String, Value) {
        match plan(bench) {
            Act::Call(mut calls) => calls.pop().map(|call| (call.name, call.arguments)).unwrap(),
            Act::Say(words) => panic!("{words}"),
        }
    }

    fn files() -> Vec<(&'static str, Value)> {
        let text = json!({"type": "string"});
        vec![
            ("TodoWrite", json!({"path": text, "content": text})),
            (
                "Write",
                json!({"file_path": {"type": "string", "description": "An absolute path"}, "content": text}),
            ),
            ("Read", json!({"file_path": text, "limit": {"type": "integer"}})),
            ("Bash", json!({"command": text})),
        ]
    }

    #[test]
    fn the_job_is_read_from_the_words() {
        let job = job(TASK).unwrap();
        assert_eq!((job.file, job.text().as_str(), job.read_back), ("notes.txt", "a\nb", true));
        let quoted = super::job("create `a.py` with content \"print(\\\"x\\\")\"").unwrap();
        assert_eq!((quoted.file, quoted.text().as_str(), quoted.read_back), ("a.py", "print(\"x\")", false));
        assert_eq!(super::job("create a file named b.txt with content \"\"").unwrap().file, "b.txt");
        assert_eq!(super::job("create something"), None);
    }

    #[test]
    fn it_writes_then_reads_then_says_so() {
        let fresh = bench(TASK, &files());
        assert_eq!(call(&fresh), ("Write".into(), json!({"file_path": "notes.txt", "content": "a\nb"})));
        let written = with_results(bench(TASK, &files()), &["ok"]);
        assert_eq!(call(&written), ("Read".into(), json!({"file_path": "notes.txt"})));
        let read = with_results(bench(TASK, &files()), &["ok", "a\nb"]);
        assert_eq!(plan(&read), Act::Say("Done: notes.txt is written. It reads: a\nb".into()));
    }

    #[test]
    fn it_ends_though_results_come_as_plain_words() {
        let rounds = |rounds| Bench { rounds, ..bench(TASK, &files()) };
        assert_eq!(call(&rounds(1)).0, "Read");
        assert!(matches!(plan(&rounds(2)), Act::Say(_)));
    }

    #[test]
    fn absolute_paths_are_built_from_what_the_agent_says() {
        let mut bench = bench(TASK, &files());
        bench.context.push_str("\n  Working directory: /tmp/job\nIs a repository: no");
        assert_eq!(call(&bench).1["file_path"], "/tmp/job/notes.txt");
    }

    #[test]
    fn a_shell_will_do() {
        let line = json!({"cmd": {"type": "string"}});
        let list = json!({"command": {"type": "array", "items": {"type": "string"}}});
        let by_line = call(&bench(TASK, &[("exec_command", line)]));
        assert_eq!(by_line.1, json!({"cmd": "printf '%s' 'a\nb' > 'notes.txt'"}));
        let by_list = call(&with_results(bench(TASK, &[("shell", list)]), &["ok"]));
        assert_eq!(by_list.1, json!({"command": ["bash", "-lc", "cat 'notes.txt'"]}));
    }

    #[test]
    fn a_patch_comes_before_a_shell_and_pictures_are_not_read() {
        let text = json!({"type": "string"});
        let tools = [
            ("exec_command", json!({"cmd": text})),
            ("apply_patch", json!({"input": text})),
            ("view_image", json!({"path": text})),
        ];
        let (name, arguments) = call(&bench(TASK, &tools));
        let patch = "*** Begin Patch\n*** Add File: notes.txt\n+a\n+b\n*** End Patch\n";
        assert_eq!((name.as_str(), arguments), ("apply_patch", json!({"input": patch})));
        assert_eq!(call(&with_results(bench(TASK, &tools), &["ok"])).0, "exec_command");
    }

    #[test]
    fn an_end_may_have_to_be_a_call() {
        let tools = [("attempt_completion", json!({"result": {"type": "string"}}))];
        let ended = with_results(bench("create a with content \"b\"", &tools), &["ok"]);
        assert_eq!(call(&ended), ("attempt_completion".into(), json!({"result": "Done: a is written."})));
    }

    #[test]
    fn without_tools_it_edits_in_text() {
        let mut aider = bench("create a.txt with content \"b\"", &[]);
        aider.context.push_str("\nUse *SEARCH/REPLACE* blocks.");
        let expected =
            "Here is the new file:\n\na.txt\n```\n<<<<<<< SEARCH\n=======\nb\n>>>>>>> REPLACE\n```\n";
        assert_eq!(plan(&aider), Act::Say(expected.into()));
    }
}
