//! Table of the grammars in which bots write calls into their text.
//!
//! Marks are written here as the bots write them, with three simplifications: a namespace in front of a name
//! (`minimax:tool_call`) is left out, so is `|DSML|`, and full-width bars and `▁` are `|` and `_`.

/// DeepSeek's prefix of every tag, with bars of either kind.
pub const DSML: &str = "|DSML|";
/// What MiniMax M3 writes in front of every tag.
pub const SEPARATOR: &str = "]<]minimax[>[";
/// Marks that are no tags.
pub const LITERALS: &[&str] = &[
    "[TOOL_CALLS]",
    "[/TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "[TOOL_CALL]",
    "[/TOOL_CALL]",
    TOOL_CODE,
    "```json",
    FENCE,
    FUNCTOOLS,
];
/// A fence, with which the names of other literals begin: what goes on as one of them may turn out to be this.
pub const FENCE: &str = "```";
/// Gemma's and Gemini's fence: the one fence whose content is meant.
pub const TOOL_CODE: &str = "```tool_code";
/// Phi's word in front of an array of calls.
pub const FUNCTOOLS: &str = "functools";

/// Marks around calls. They mean nothing themselves.
pub struct Wrapper {
    /// What opens it.
    pub opens: &'static [&'static str],
    /// What closes it; where nothing does, the end of the text is enough.
    pub closes: &'static [&'static str],
}

/// Inside any of them calls may stand in any form: an element, JSON, a name and arguments.
pub const WRAPPERS: &[Wrapper] = &[
    // Hermes, Qwen, GLM, Granite 4, Seed, MiniMax 2 and 3, ERNIE, and the product's own prompt
    Wrapper { opens: &["<tool_call>"], closes: &["</tool_call>"] },
    // MiniMax M1, Jamba, Hunyuan, DeepSeek V4
    Wrapper { opens: &["<tool_calls>"], closes: &["</tool_calls>"] },
    // Claude, DeepSeek V3.2, OLMo 3
    Wrapper {
        opens: &["<function_calls>", "<function_call>"],
        closes: &["</function_calls>", "</function_call>"],
    },
    // Claude 2.1, whose call names its tool by a child
    Wrapper { opens: &["<invoke>", "<function>"], closes: &["</invoke>", "</function>"] },
    // Cherry Studio and other clients' prompts
    Wrapper { opens: &["<tool_use>", "<use_tool>"], closes: &["</tool_use>", "</use_tool>"] },
    // Nemotron
    Wrapper { opens: &["<TOOLCALL>", "<toolcall>"], closes: &["</TOOLCALL>", "</toolcall>"] },
    // LongCat
    Wrapper { opens: &["<longcat_tool_call>"], closes: &["</longcat_tool_call>"] },
    // Kimi K2
    Wrapper {
        opens: &["<|tool_calls_section_begin|>", "<|tool_call_begin|>"],
        closes: &["<|tool_calls_section_end|>", "<|tool_call_end|>"],
    },
    // DeepSeek V3, V3.1 and R1, Step 3
    Wrapper {
        opens: &["<|tool_calls_begin|>", "<|tool_call_begin|>"],
        closes: &["<|tool_calls_end|>", "<|tool_call_end|>"],
    },
    // Granite 3, Phi 4 mini
    Wrapper { opens: &["<|tool_call|>", "<|tool_calls|>"], closes: &["<|/tool_call|>", "<|/tool_calls|>"] },
    // Gemma 4
    Wrapper { opens: &["<|tool_call>"], closes: &["<tool_call|>"] },
    // FunctionGemma
    Wrapper { opens: &["<start_function_call>"], closes: &["<end_function_call>"] },
    // Gemma 3, Gemini
    Wrapper { opens: &[TOOL_CODE, "<tool_code>"], closes: &["```", "</tool_code>"] },
    // Llama 3 and 4
    Wrapper { opens: &["<|python_tag|>", "<|python_start|>"], closes: &["<|python_end|>"] },
    // Mistral, Devstral
    Wrapper { opens: &["[TOOL_CALLS]", "[TOOL_CALL]"], closes: &["[/TOOL_CALLS]", "[/TOOL_CALL]"] },
    // InternLM
    Wrapper { opens: &["<|action_start|>", "<|plugin|>", "<|interpreter|>"], closes: &["<|action_end|>"] },
    // Command R
    Wrapper { opens: &["<|START_ACTION|>"], closes: &["<|END_ACTION|>"] },
    // Apertus
    Wrapper { opens: &["<|tools_prefix|>"], closes: &["<|tools_suffix|>"] },
    // Phi 4
    Wrapper { opens: &[FUNCTOOLS], closes: &[] },
];

/// Tokens by which a model ends its turn; behind a call they belong to it.
pub const TURN_ENDS: &[&str] = &[
    "<|call|>",
    "<|end|>",
    "<|return|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|end_of_sentence|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<turn|>",
];
/// gpt-oss: its header names the tool as `to=functions.f`, and [`MESSAGE`] ends it.
pub const CHANNELS: &[&str] = &["<|start|>", "<|channel|>"];
/// Ends the header of a channel.
pub const MESSAGE: &str = "<|message|>";

/// Elements that are a call if they name a tool: `<invoke name="f">`, `<function=f>`, `<function_call name="f">`.
pub const CALLS: &[&str] = &[
    "<invoke>",
    "<function>",
    "<function_call>",
    "<tool_call>",
    "<tool_use>",
    "<use_tool>",
    "<tool>",
    "<call>",
];
/// Elements inside a wrapper that hold the tool's name.
pub const NAMES: &[&str] = &["<name>", "<tool_name>", "<function_name>"];
/// Elements around all arguments of a call.
pub const ARGUMENTS: &[&str] = &["<arguments>", "<parameters>", "<args>", "<params>", "<input>"];
/// Elements that are one argument and name it: `<parameter name="a">`, `<parameter=a>`.
pub const PARAMETERS: &[&str] = &["<parameter>", "<param>", "<argument>", "<arg>"];
/// Elements that hold an argument's name, each followed by one that holds its value.
pub const PAIRS: &[(&str, &str)] =
    &[("<arg_key>", "<arg_value>"), ("<longcat_arg_key>", "<longcat_arg_value>")];
/// Marks between a tool's name and its arguments.
pub const BETWEEN: &[&str] =
    &["<|tool_call_argument_begin|>", "<|tool_sep|>", "<tool_sep>", "[ARGS]", "```json", "```"];
/// Behind it stands the call's id, up to the next mark.
pub const CALL_ID: &str = "[CALL_ID]";
/// What may stand in front of a tool's name where calls are written as a name and arguments.
pub const PREFIXES: &[&str] = &["functions.", "default_api.", "default_api:"];
/// Gemma's word in front of a name.
pub const GEMMA_CALL: &str = "call:";

/// Keys under which JSON names a tool.
pub const NAME_KEYS: &[&str] = &["name", "tool", "tool_name", "function_name", "function"];
/// Keys under which JSON holds a call's arguments.
pub const ARGUMENT_KEYS: &[&str] =
    &["arguments", "parameters", "args", "input", "kwargs", "params", "tool_input"];
/// Keys under which JSON holds a call, or a list of them.
pub const CALL_KEYS: &[&str] = &["tool_calls", "function_call", "tool_call"];
