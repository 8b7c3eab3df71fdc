//! Tests of models.yaml: what it may contain, and the messages about faults.

use super::*;

const EXAMPLE: &str = include_str!("../../../models.yaml.example");

fn parse(text: &str) -> ModelsFile {
    let (file, warnings) = ModelsFile::parse(text).unwrap();
    assert_eq!(warnings, [""; 0], "{text}");
    file
}

#[test]
fn the_example_covers_every_key_and_parses_without_warnings() {
    let file = parse(EXAMPLE);
    assert!(file.is_applied());
    for key in KEYS.iter().chain(MODEL_KEYS).chain(CUSTOM_KEYS) {
        let active =
            EXAMPLE.lines().any(|line| line.trim().trim_start_matches("- ").starts_with(&format!("{key}:")));
        assert!(active, "{key} is not in the example");
    }
    let Lookup::Bot { name, config } = file.bot_for("SONNET") else { panic!("sonnet is listed") };
    assert_eq!(name, "Claude-Sonnet-4.5");
    assert_eq!(config.parameters["thinking_budget"], 4096);
    assert_eq!(config.reasoning, Some(true));
    assert_eq!(file.bot_for("gpt-4o"), Lookup::Disabled);
    assert_eq!(file.custom_models().count(), 1);
}

#[test]
fn the_example_of_the_readme_is_a_good_one() {
    let readme = include_str!("../../../docs/configuration.md");
    let section = readme.split_once("\n## models.yaml\n").unwrap().1;
    let yaml = section.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let file = parse(yaml);
    assert!(matches!(file.bot_for("claude"), Lookup::Bot { name: "Claude-Sonnet-4.5", .. }), "{yaml}");
}

#[test]
fn every_key_of_ours_is_read() {
    let file = parse(
        "enable: true\nmodels: {A: {tools: prompt, route: native, reasoning: false, description: d, replace_response: true}}",
    );
    let expected = ModelConfig {
        tools: Tools::Prompt,
        route: Some(Route::Native),
        reasoning: Some(false),
        description: Some("d".into()),
        replace_response: true,
        ..ModelConfig::default()
    };
    assert_eq!(file.config_of("a"), Some(&expected));
}

#[test]
fn names_find_their_bots() {
    // (file, name asked for, what is found: a bot, "-" disabled, "" unlisted)
    let cases = [
        ("enable: true\nmodels: {gpt-4o: {mapping: my-gpt, enable: true}}", "my-gpt", "gpt-4o"),
        ("enable: true\nmodels: {gpt-4o: {mapping: my-gpt}}", "MY-GPT", "gpt-4o"),
        ("enable: true\nmodels: {gpt-4o: {mapping: my-gpt}}", "GPT-4o", "gpt-4o"),
        ("enable: true\nmodels: {GPT-4o: {}}", "gpt-4O", "GPT-4o"),
        ("enable: true\nmodels: {gpt-4o: {mapping: my-gpt}}", "claude", ""),
        ("enable: true\nmodels: {a: {aliases: [x, y]}}", "Y", "a"),
        ("enable: true\nmodels: {a: {mapping: x, enable: false}}", "x", "-"),
        ("enable: true\nmodels: {a: {mapping: x, enable: false}}", "a", "-"),
        ("enable: true\nmodels: {a: {mapping: b}, b: {mapping: c}}", "b", "a"),
        ("enable: true\nmodels: {a: {mapping: b}, b: {mapping: c}}", "c", "b"),
        ("enable: true\nmodels: {a: {mapping: b}, b: {enable: false}}", "b", "a"),
        ("enable: true\nmodels: {a: {mapping: ' '}}", " ", ""),
        ("enable: true\nmodels: {a: {mapping: A}}", "a", "a"),
        ("enable: true\nmodels: {4: {mapping: four}}", "four", "4"),
        ("enable: true\nmodels: {a: }", "a", "a"),
        ("enable: true\nmodels: {ÄÖ: {mapping: é}}", "É", "ÄÖ"),
        ("enable: false\nmodels: {a: {mapping: x}}", "x", ""),
        ("enable: false\nmodels: {a: {enable: false}}", "a", ""),
        ("enable: true\nmodels:", "a", ""),
        ("", "a", ""),
        ("# nothing\n", "a", ""),
    ];
    for (text, asked, expected) in cases {
        let file = parse(text);
        let found = match file.bot_for(asked) {
            Lookup::Bot { name, .. } => name,
            Lookup::Disabled => "-",
            Lookup::Unlisted => "",
        };
        assert_eq!(found, expected, "{asked} in {text}");
    }
}

#[test]
fn bots_are_listed_under_their_names() {
    let text = "enable: true\nmodels: {A: {mapping: x, aliases: [z]}, B: {enable: false}, C: {}, D: {mapping: taken}}";
    let file = parse(text);
    let cases = [("a", Some("x")), ("b", None), ("c", Some("c")), ("Other", Some("Other")), ("taken", None)];
    for (bot, expected) in cases {
        assert_eq!(file.listed_name(bot), expected, "{bot}");
    }
    let off = parse(&text.replace("enable: true\n", "enable: false\n"));
    for bot in ["a", "b", "taken"] {
        assert_eq!(off.listed_name(bot), Some(bot));
    }
}

#[test]
fn custom_models_count_while_the_file_does() {
    let text = "enable: true\nmodels: {b: {enable: false}}\ncustom_models: [{id: A, created: 7}, {id: B}]";
    let ids = |text: &str| parse(text).custom_models().map(|model| model.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(text), ["A"]);
    assert_eq!(ids("enable: true\ncustom_models: [{id: ' x '}]"), ["x"]);
    assert_eq!(ids(&text.replace("enable: true", "enable: false")), [""; 0]);
    assert_eq!(ids("enable: true\ncustom_models:"), [""; 0]);
}

#[test]
fn what_is_wrong_is_named_by_line_and_field() {
    let cases = [
        ("enable: maybe", "line 1, column 9: enable: invalid type: string, expected a boolean"),
        (
            "enable: true\nmodels:\n  gpt-4o:\n    enable: 3\n",
            "line 4, column 13: models.gpt-4o.enable: invalid type: integer, expected a boolean",
        ),
        (
            "models:\n  a:\n    tools: always\n",
            "line 3, column 12: models.a.tools: unknown variant, expected one of `auto`, `native`, `prompt`",
        ),
        (
            "models:\n  a: [1]\n",
            "line 2, column 6: models.a: invalid type: sequence, expected a mapping with keys such as `mapping` and `enable`",
        ),
        (
            "models: [a]\n",
            "line 1, column 9: models: invalid type: sequence, expected a mapping from a bot's name to what to do with it",
        ),
        (
            "models:\n  a:\n    aliases: x\n",
            "line 3, column 14: models.a.aliases: invalid type: string, expected a sequence",
        ),
        (
            "models:\n  a:\n    parameters: 1\n",
            "line 3, column 17: models.a.parameters: invalid type: integer, expected a map",
        ),
        ("custom_models:\n  - created: 1\n", "line 2, column 5: custom_models[0]: missing field `id`"),
        (
            "custom_models:\n  - id: a\n    created: now\n",
            "line 3, column 14: custom_models[0].created: invalid type: string, expected i64",
        ),
        (
            "models:\n  a:\n    mapping: X\n  b:\n    mapping: x\n",
            "line 5, column 5: models.b.mapping: x is the name of models.a already",
        ),
        (
            "models:\n  a: {mapping: x}\n  b:\n    aliases: [y, x]\n",
            "line 4, column 18: models.b.aliases[1]: x is the name of models.a already",
        ),
        (
            "models:\n  a: {}\n  b:\n    mapping: A\n",
            "line 4, column 5: models.b.mapping: A is the name of models.a already",
        ),
        (
            "models:\n  b:\n    mapping: a\n  a: {}\n",
            "line 3, column 5: models.b.mapping: a is the name of models.a already",
        ),
        (
            "models:\n  a: {enable: true}\n  A: {enable: false}\n",
            "line 3, column 3: models.A: the same model as models.a, for case does not matter",
        ),
        ("enable: true\nmodels:\n  a: {}\n  a: {}\n", "line 4, column 3: models.a: given twice"),
        ("enable: true\nx: 1\nenable: true\n", "line 3, column 1: enable: given twice"),
        ("x: 1\nenable: true\nx: 2\n", "line 3, column 1: x: given twice"),
        ("enable: true\nz:\n  q: 1\n  q: 2\n", "line 4, column 3: z.q: given twice"),
        (
            "models:\n  a:\n    mapping: x\n    tools: auto\n    mapping: y\n",
            "line 5, column 5: models.a.mapping: given twice",
        ),
        ("custom_models:\n- id: a\n  id: b\n", "line 3, column 3: custom_models[0].id: given twice"),
        ("custom_models:\n- id: ' '\n", "line 2, column 3: custom_models[0].id: a model without a name"),
        (
            "custom_models:\n- id: foo\n- id: FOO\n",
            "line 3, column 3: custom_models[1].id: FOO is the name of custom_models[0] already",
        ),
        (
            "custom_models:\n- id: foo\n  created: -5\n",
            "line 3, column 3: custom_models[0].created: expected seconds since 1970, which are not negative",
        ),
        (
            "enable: true\nmodels: {GPT-4o: {mapping: x]\n",
            "line 2, column 29: models.GPT-4o: did not find expected ',' or '}', while parsing a flow mapping at line 2 column 18",
        ),
        (
            "# a\n---\na: 1\n---\nb: 2\n",
            "line 4, column 1: deserializing from YAML containing more than one document is not supported",
        ),
        ("models:\n  ' ': {}\n", "line 2, column 3: models: a model without a name"),
        (
            "- a\n",
            "line 1, column 1: invalid type: sequence, expected a mapping with keys such as `enable` and `models`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(ModelsFile::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn broken_yaml_is_rejected_in_one_line_with_its_place() {
    for text in
        ["models: {a: ", "a: b: c", "enable: true\n\tmodels: {}", "x: *nowhere", "enable: true\nenable: true"]
    {
        let error = ModelsFile::parse(text).unwrap_err().to_string();
        assert!(error.contains("line "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(ModelsFile::parse("a: 1\n---\nb: 2\n").is_err());
}

#[test]
fn unknown_keys_warn_and_the_rest_counts() {
    let text = "enable: true\nport: 80\nmodels:\n  a:\n    maping: x\n    mapping: y\ncustom_models:\n  - id: c\n    size: 3\n1: 2\n";
    let (file, warnings) = ModelsFile::parse(text).unwrap();
    let expected = [
        "line 2, column 1: port: unknown key, ignored",
        "line 10, column 1: 1: unknown key, ignored",
        "line 5, column 5: models.a.maping: unknown key, ignored",
        "line 9, column 5: custom_models[0].size: unknown key, ignored",
    ];
    assert_eq!(warnings, expected);
    assert!(matches!(file.bot_for("y"), Lookup::Bot { name: "a", .. }));
}

/// The parser's time grows with the square of such a depth; no real file has it.
#[test]
fn what_is_nested_without_end_is_refused_before_it_is_parsed() {
    let deep = format!("enable: true\nx: {}", "[".repeat(120 << 10));
    let fault = ModelsFile::parse(&deep).unwrap_err().to_string();
    assert_eq!(fault, "line 2, column 132: more than 128 open brackets");
    assert!(edit::masked(&deep, &[]).len() > 100 << 10, "shown all the same");
    let comments: String = (0..300).map(|_| "# :[ {\nx: \"(\" # [\n").collect();
    assert_eq!(faults::too_deep(&comments), None, "comments open nothing");
    parse(&format!("enable: true\nmodels: {{a: {{aliases: [{}]}}}}", vec!["x"; 3000].join(", ")));
}

#[test]
fn what_cannot_be_meant_warns() {
    let (_, warnings) = ModelsFile::parse("enable: ~\nmodels: {a: {mapping: b}}").unwrap();
    assert_eq!(warnings, ["enable: missing, so the file is not applied; expected enable: true"]);
    let (_, warnings) = ModelsFile::parse("models: {a: {mapping: b}}").unwrap();
    assert_eq!(warnings, ["enable: missing, so the file is not applied; expected enable: true"]);
    let (_, warnings) =
        ModelsFile::parse("enable: true\nmodels: {a: {mapping: b}}\ncustom_models:\n  - id: B\n").unwrap();
    assert_eq!(
        warnings,
        ["line 4, column 5: custom_models[0].id: B is already the name given to a, which wins"]
    );
}

#[test]
fn the_token_is_never_shown() {
    let file = parse("api_token: geheim\nuse_v1_api: true");
    assert!(!format!("{file:?}").contains("geheim"));
    assert_eq!(file.api_token(), Some("geheim"));
    assert_eq!(file.use_v1_api(), Some(true));
}

#[test]
fn no_value_of_the_file_is_repeated_in_a_fault() {
    for text in [
        "models: sk-geheim, expected x",
        "custom_models: 'sk-geheim'",
        "enable: sk-geheim",
        "models: {a: {tools: sk-geheim}}",
        "models: {a: {reasoning: sk-geheim}}",
        "api_token: [sk-geheim]",
    ] {
        let fault = ModelsFile::parse(text).unwrap_err();
        assert!(!fault.to_string().contains("geheim"), "{fault}");
        assert!(
            fault.location().starts_with("line 1, column ") && !fault.location().contains("invalid"),
            "{}",
            fault.location()
        );
    }
}

#[test]
fn of_many_unknown_keys_the_first_are_reported() {
    let text: String = (0..3000).map(|at| format!("key{at}: 1\n")).collect();
    let (_, warnings) = ModelsFile::parse(&text).unwrap();
    assert_eq!((warnings.len(), warnings[20].as_str()), (21, "2980 more unknown keys, ignored"));
    assert_eq!(warnings[19], "line 20, column 1: key19: unknown key, ignored");
}

#[test]
fn an_alias_bomb_is_broken_not_empty() {
    let mut text = "enable: true\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..10 {
        let before = format!("*a{}", at - 1);
        text += &format!("a{at}: &a{at} [{}]\n", vec![before; 10].join(", "));
    }
    assert!(ModelsFile::parse(&text).is_err());
    assert!(edit::to_json(&text).is_err());
    assert!(edit::merged(&text, &Map::new()).is_err());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    assert_eq!(as_text("\u{feff}enable: true".as_bytes()).unwrap(), "enable: true");
}

#[test]
fn every_secret_of_the_file_is_known() {
    let file = ModelsFile::parse("api_token: geheim-one\nmy_password: {a: [geheim-second]}").unwrap().0;
    assert_eq!(file.secrets(), ["geheim-second", "geheim-one"]);
    assert!(!format!("{file:?}").contains("geheim"));
}

#[test]
fn with_default_off_only_the_bots_of_the_file_are_served() {
    for off in ["off", "OFF", "false", "\"off\""] {
        let file = parse(&format!(
            "enable: true\ndefault: {off}\nmodels:\n  A:\n    mapping: b\n  C: {{enable: false}}\n  D:\ncustom_models: [{{id: E}}]\n"
        ));
        for (name, listed) in [("A", Some("b")), ("C", None), ("D", Some("D")), ("E", Some("E")), ("F", None)]
        {
            assert_eq!(file.listed_name(name), listed, "{name} with default: {off}");
        }
        assert!(matches!(file.bot_for("B"), Lookup::Bot { name: "A", .. }));
        for (name, lookup) in [("c", Lookup::Disabled), ("e", Lookup::Unlisted), ("F", Lookup::Disabled)] {
            assert_eq!(file.bot_for(name), lookup, "{name}");
        }
        assert_eq!(file.custom_models().count(), 1);
    }
    for on in ["on", "true", ""] {
        let file = parse(&format!("enable: true\ndefault: {on}\n"));
        assert_eq!((file.bot_for("F"), file.listed_name("F")), (Lookup::Unlisted, Some("F")), "{on}");
    }
    let unapplied = ModelsFile::parse("enable: false\ndefault: off\n").unwrap().0;
    assert_eq!(unapplied.listed_name("F"), Some("F"), "a file that is not applied forbids nothing");
    let fault = ModelsFile::parse("enable: true\ndefault: maybe\n").unwrap_err().to_string();
    assert!(fault.contains("default") && fault.contains("`on` or `off`"), "{fault}");
}
