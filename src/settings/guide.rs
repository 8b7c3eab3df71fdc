//! What the program says about itself: help, completions for shells, the manual page and the table of the documentation.

use super::line::{COMMANDS, SHELLS};
use super::{Setting, Shape, TABLE, keys};

/// The settings that `--help` shows: it fits a screen.
const COMMON: &[&str] =
    &["HOST", "PORT", "CONFIG_DIR", "DEMO", "POE_API_KEY", "PROXY_API_KEYS", "ADMIN_PASSWORD", "LOG_LEVEL"];
const ABOUT: &str = "use any Poe bot from programs that speak OpenAI's or Anthropic's API";
/// The most characters of a meaning on one line of `--help` and of completions.
const BRIEF: usize = 54;

/// The text of `--help`.
pub fn help() -> String {
    let mut text = format!("poe2openai: {ABOUT}\n\nUsage: poe2openai [COMMAND] [FLAGS]\n\n");
    for command in COMMANDS {
        text += &format!("  {:<19} {}\n", command.usage(), command.about);
    }
    text += "\nFlags, each also a variable (--poe-api-key is POE_API_KEY); the most used:\n";
    for setting in TABLE.iter().filter(|setting| COMMON.contains(&setting.name)) {
        text += &format!("  --{:<17} {}\n", setting.flag(), setting.brief());
    }
    text + "\nAll flags: poe2openai help settings. Secrets as files: --poe-api-key-file PATH.\n"
}

/// The text of `help settings`: every flag with its whole meaning.
pub fn help_settings() -> String {
    let mut text = String::from("Flags, each also an environment variable; flags win:\n");
    for setting in TABLE {
        let (flag, meaning, name) = (setting.usage(), setting.meaning, setting.name);
        text += &format!("  {flag}\n      {meaning} [{name}, default {}]\n", setting.shown_default());
    }
    text += "\nSecrets can come from a file: --poe-api-key-file PATH, or POE_API_KEY_FILE.\n\nClient keys:\n";
    text + keys::HELP
}

/// The table of settings for the documentation, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from("| variable | flag | default | meaning |\n|---|---|---|---|\n");
    for setting in TABLE {
        let default =
            if setting.default.is_empty() { "unset".into() } else { format!("`{}`", setting.default) };
        text +=
            &format!("| `{}` | `--{}` | {default} | {} |\n", setting.name, setting.flag(), setting.meaning);
    }
    text
}

/// The script that completes commands and flags in `shell`, one of those that the command takes.
pub fn completions(shell: &str) -> String {
    match shell {
        "bash" => bash(),
        "zsh" => zsh(),
        _ => fish(),
    }
}

/// A flag that a shell completes.
struct Flag {
    name: String,
    about: String,
    /// What its value can be; `None` where it has none.
    value: Option<Values>,
}

enum Values {
    Words(&'static [&'static str]),
    Files,
    Directories,
    Any,
}

fn flags() -> Vec<Flag> {
    let mut all = Vec::new();
    for setting in TABLE {
        let value = match setting.name {
            _ if setting.shape == Shape::Switch => None,
            _ if !setting.choices.is_empty() => Some(Values::Words(setting.choices)),
            name if name.ends_with("_DIR") => Some(Values::Directories),
            name if name.ends_with("_FILE") => Some(Values::Files),
            _ => Some(Values::Any),
        };
        all.push(Flag { name: setting.flag(), about: setting.brief(), value });
        if setting.secret() {
            let about = format!("file with {}", setting.name);
            all.push(Flag { name: format!("{}-file", setting.flag()), about, value: Some(Values::Files) });
        }
    }
    for command in COMMANDS {
        let own = command.flags.iter().map(|(name, about)| Flag {
            name: (*name).into(),
            about: (*about).into(),
            value: None,
        });
        all.extend(own);
    }
    all.extend(keys::FLAGS.iter().map(|(name, _)| Flag {
        name: (*name).into(),
        about: "keys add: limit of the new key".into(),
        value: Some(Values::Any),
    }));
    all
}

fn commands() -> String {
    COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let (mut cases, mut words) = (String::new(), vec![commands()]);
    for flag in flags() {
        let name = &flag.name;
        match &flag.value {
            Some(Values::Words(choices)) => {
                cases += &format!("    --{name}) words='{}' ;;\n", choices.join(" "));
            }
            Some(Values::Files) => cases += &format!("    --{name}) kind=-f ;;\n"),
            Some(Values::Directories) => cases += &format!("    --{name}) kind=-d ;;\n"),
            Some(Values::Any) => cases += &format!("    --{name}) return ;;\n"),
            None => {}
        }
        words.push(format!("--{name}"));
    }
    format!(
        "# poe2openai completions bash > /etc/bash_completion.d/poe2openai\n\
         _poe2openai() {{\n  \
           local words='{}' kind=-W\n  \
           case ${{COMP_WORDS[COMP_CWORD - 1]}} in\n    \
             completions) words='{}' ;;\n    help) words=settings ;;\n{cases}  \
           esac\n  \
           if [ \"$kind\" = -W ]; then set -- -W \"$words\"; else set -- \"$kind\"; fi\n  \
           mapfile -t COMPREPLY < <(compgen \"$@\" -- \"${{COMP_WORDS[COMP_CWORD]}}\")\n\
         }}\n\
         complete -o filenames -F _poe2openai poe2openai\n",
        words.join(" "),
        SHELLS.join(" "),
    )
}

fn zsh() -> String {
    let mut text = String::from("#compdef poe2openai\n_arguments \\\n");
    for flag in flags() {
        let about = flag.about.replace(['[', ']', '\''], "");
        let (sign, value) = match flag.value {
            None => ("", String::new()),
            Some(Values::Words(choices)) => ("=", format!(":value:({})", choices.join(" "))),
            Some(Values::Files) => ("=", ":file:_files".into()),
            Some(Values::Directories) => ("=", ":directory:_files -/".into()),
            Some(Values::Any) => ("=", ":value: ".into()),
        };
        text += &format!("  '--{}{sign}[{about}]{value}' \\\n", flag.name);
    }
    text + &format!("  '1:command:({})' '2:argument:({} settings)'\n", commands(), SHELLS.join(" "))
}

fn fish() -> String {
    let mut text = String::new();
    let begin = "complete -c poe2openai";
    for command in COMMANDS {
        let about = command.about.replace('\'', "\\'");
        text += &format!("{begin} -f -n __fish_use_subcommand -a {} -d '{about}'\n", command.name);
    }
    text += &format!("{begin} -f -n '__fish_seen_subcommand_from completions' -a '{}'\n", SHELLS.join(" "));
    text += &format!("{begin} -f -n '__fish_seen_subcommand_from help' -a settings\n");
    for flag in flags() {
        let about = flag.about.replace('\'', "\\'");
        let value = match flag.value {
            None => "-f".into(),
            Some(Values::Words(choices)) => format!("-x -a '{}'", choices.join(" ")),
            Some(Values::Files) => "-r -F".into(),
            Some(Values::Directories) => "-x -a '(__fish_complete_directories)'".into(),
            Some(Values::Any) => "-x".into(),
        };
        text += &format!("{begin} -l {} {value} -d '{about}'\n", flag.name);
    }
    text
}

/// The manual page, in roff.
pub fn man() -> String {
    let mut text = format!(
        ".TH POE2OPENAI 1 \"\" \"poe2openai {}\"\n.SH NAME\npoe2openai \\- {}\n.SH SYNOPSIS\n.B poe2openai\n\
         [\\fICOMMAND\\fR] [\\fIFLAGS\\fR]\n.SH COMMANDS\n",
        env!("CARGO_PKG_VERSION"),
        roff(ABOUT)
    );
    for command in COMMANDS {
        text += &format!(".TP\n.B {}\n{}\n", roff(&command.usage()), roff(command.about));
        for (flag, about) in command.flags {
            text += &format!(".RS\n.TP\n.B \\-\\-{}\n{}\n.RE\n", roff(flag), roff(about));
        }
    }
    text += ".SH SETTINGS\nEach is a flag and an environment variable; the flag wins. An empty variable counts as unset.\n";
    for setting in TABLE {
        let usage = roff(&setting.usage());
        text += &format!(".TP\n\\fB{usage}\\fR, \\fB{}\\fR\n", setting.name);
        text += &format!("{}. Default: {}.\n", roff(setting.meaning), roff(setting.shown_default()));
        if setting.secret() {
            text += &format!("It can come from a file: \\fB{}_FILE\\fR.\n", setting.name);
        }
    }
    text + ".SH SIGNALS\n.TP\n.B TERM, INT\nStop: running answers may finish; the second one ends at once.\n\
            .TP\n.B HUP\nRead models.yaml again.\n\
            .SH EXIT STATUS\n0 on success, 1 on a failure or a finding of check, 2 on an invalid argument or value.\n"
}

/// `text` as roff takes it literally.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

impl Setting {
    fn usage(&self) -> String {
        let value = if self.shape == Shape::Switch { "" } else { " VALUE" };
        format!("--{}{value}", self.flag())
    }

    fn shown_default(&self) -> &'static str {
        if self.default.is_empty() { "unset" } else { self.default }
    }

    /// The beginning of the meaning, which makes sense by itself.
    fn brief(&self) -> String {
        let meaning = self.meaning.split(';').next().unwrap_or_default();
        let ends = meaning.match_indices([':', ',', '(']).map(|(at, _)| at);
        let ends = ends.chain([meaning.len()]).filter(|end| *end <= BRIEF);
        ends.max().map_or(meaning, |end| &meaning[..end]).trim_end().to_owned()
    }
}
