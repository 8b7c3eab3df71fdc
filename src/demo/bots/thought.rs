//! Bots that send reasoning, report progress or replace their text.

use serde_json::Value;

use super::talk::echoed;
use super::{Turn, native, toolbox};
use crate::demo::query::Query;
use crate::demo::script::{AWKWARD, EVEN, Script, Step, pause, pieces, replace, text, whole};

/// Poe has no event for thought: it is text, a first line in italics and then a quotation.
pub const THOUGHT: &str = "*Thinking...*\n> The user said something.\n>\n> I shall repeat it.\n\n";

pub fn think(turn: &Turn) -> Script {
    whole(pieces(&format!("{THOUGHT}You said: {}", turn.query.said()), AWKWARD))
}

/// No italics, a blank line before the thought and two after it.
pub fn think_plain(turn: &Turn) -> Script {
    let words = format!("Thinking...\n\n> One thought.\n> - and a list\n\n\nYou said: {}", turn.query.said());
    whole(pieces(&words, AWKWARD))
}

/// As models write it whose template opens the thought for them to close.
pub fn think_tags(turn: &Turn) -> Script {
    whole(pieces(&format!("<think>\n{TAGGED}{}", turn.query.said()), AWKWARD))
}

/// The same where the template has opened it already.
pub fn think_unopened(turn: &Turn) -> Script {
    whole(pieces(&format!("{TAGGED}{}", turn.query.said()), AWKWARD))
}

const TAGGED: &str = "The user said something.\n\nIf a < b, I repeat it.\n</think>\n\nYou said: ";

const NO_THOUGHT: &str =
    "Thinking about it, I would say no.\n\n> a quotation\n\n*Thinking...*\n> not a thought\n\nThe end.";

pub fn not_thinking(_: &Turn) -> Script {
    whole(pieces(NO_THOUGHT, AWKWARD))
}

/// Three rows that count seconds, then the answer: its begin replaces the last row, its rest follows as text.
pub fn progress(turn: &Turn) -> Script {
    let row = |second| [replace(format!("Thinking... ({second}s elapsed)")), pause(200)];
    let mut steps: Vec<Step> = (1..=3).flat_map(row).collect();
    steps.push(replace("You said"));
    steps.extend(pieces(&format!(": {}", turn.query.said()), EVEN));
    whole(steps)
}

/// Each replacement continues the text it replaces.
pub fn growing(_: &Turn) -> Script {
    whole(vec![replace("Hello"), replace("Hello, wor"), replace("Hello, world"), text("!")])
}

/// The replacement has nothing in common with the text that it withdraws.
pub fn rewrite(_: &Turn) -> Script {
    whole(vec![text("A first draft "), text("that was wrong."), replace("The final"), text(" answer.")])
}

/// Thinks if one of its parameters says so; calls functions if any are offered, else repeats.
pub fn rich(turn: &Turn) -> Script {
    let mut steps = if thinks(turn.query) { pieces(THOUGHT, AWKWARD) } else { Vec::new() };
    steps.extend(match turn.query.tools.is_empty() && turn.query.tool_results.is_empty() {
        true => pieces(&echoed(turn.query), EVEN),
        false => {
            let bench = toolbox::from_query(turn.query);
            native::steps(&bench, &toolbox::plan(&bench))
        }
    });
    whole(steps)
}

/// The parameters by which models of the three families are instructed to think.
const EFFORTS: &[&str] =
    &["reasoning_effort", "output_effort", "thinking_budget", "thinking_level", "enable_thinking"];

fn thinks(query: &Query) -> bool {
    EFFORTS.iter().filter_map(|name| query.parameter(name)).any(|value| match value {
        Value::String(word) => word != "none",
        Value::Number(budget) => budget.as_f64() != Some(0.0),
        other => *other == Value::Bool(true),
    })
}

#[cfg(test)]
mod tests {
    use crate::demo::bots::tests::{steps, text as said};
    use crate::demo::query::tests::asking;
    use crate::demo::script::Step;

    #[test]
    fn thought_comes_first_and_in_awkward_pieces() {
        let steps = steps("demo-think", &asking("hi"));
        assert_eq!(
            said(&steps),
            "*Thinking...*\n> The user said something.\n>\n> I shall repeat it.\n\nYou said: hi"
        );
        assert!(steps.len() > 15);
    }

    #[test]
    fn replacements_leave_only_the_last_text() {
        assert_eq!(said(&steps("demo-progress", &asking("hi"))), "You said: hi");
        assert_eq!(said(&steps("demo-growing", &asking("hi"))), "Hello, world!");
        assert_eq!(said(&steps("demo-rewrite", &asking("hi"))), "The final answer.");
    }

    #[test]
    fn progress_begins_with_rows() {
        let steps = steps("demo-progress", &asking("hi"));
        let Step::Event { name, data } = &steps[0] else { panic!("no event") };
        assert_eq!((*name, data["text"].as_str()), ("replace_response", Some("Thinking... (1s elapsed)")));
    }
}
