//! Recognizes progress lines, which a bot shows while it works, such as "Generating image (3s)" or "███░░░ 50%".

/// The longest text that is looked at, in bytes; its most lines; the longest of them, in characters.
const LONGEST: usize = 640;
const MOST_LINES: usize = 6;
const LONGEST_LINE: usize = 120;
/// What is longer and nothing but a number measures nothing.
const LONGEST_NUMBER: usize = 12;

/// The words that rows of progress are known to begin with.
const BEGINNINGS: &[&str] = &[
    "Thinking",
    "Reasoning",
    "Generating",
    "Creating",
    "Searching",
    "Researching",
    "Processing",
    "Preparing",
    "Loading",
    "Waiting",
    "Working",
    "Rendering",
    "Running",
    "Reading",
    "Writing",
    "Drawing",
    "Painting",
    "Analyzing",
    "Encoding",
    "Upscaling",
    "Uploading",
    "Downloading",
    "Queued",
    "Starting",
    "Step",
    "Progress",
];

/// What a row that begins so ends with.
const ENDINGS: &[&str] =
    &["...", "…", "s)", "elapsed)", "seconds)", "%", "%)", "sec)", "elapsed", "s…", "s..."];

/// The words of a counter: `ETA 5s`, `12s elapsed`, `frame 7 of 20`.
const UNITS: &[&str] = &[
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "m",
    "min",
    "mins",
    "of",
    "eta",
    "elapsed",
    "remaining",
    "left",
];

/// Whether `text` is nothing but rows of progress.
pub fn is_progress(text: &str) -> bool {
    if text.len() > LONGEST || shows_file(text) {
        return false;
    }
    let mut rows = 0;
    for (number, line) in text.trim().lines().enumerate() {
        match is_row(line) {
            true => rows += 1,
            false if is_decoration(line) => {}
            false => return false,
        }
        if number >= MOST_LINES {
            return false;
        }
    }
    rows > 0
}

/// How far the work is by the last of the rows that states it: `40%`, `3/20`, `7 of 20`, or a bar's filled part.
pub fn percentage(rows: &str) -> Option<u8> {
    let of_line = |line: &str| stated(line).or_else(|| counted(bare(line))).or_else(|| filled(line));
    // a finished answer says so itself
    rows.lines().rev().find_map(of_line).map(|part| (part.clamp(0.0, 0.99) * 100.0) as u8)
}

fn stated(line: &str) -> Option<f64> {
    let before = line[..line.rfind('%')?].trim_end();
    let is_digit = |char: char| char.is_ascii_digit() || char == '.';
    let number = &before[before.trim_end_matches(is_digit).len()..];
    number.parse().ok().map(|percent: f64| percent / 100.0)
}

fn counted(bare: &str) -> Option<f64> {
    let plain = bare.replace(" of ", "/");
    let (before, after) = plain.rsplit_once('/')?;
    let done: f64 = before.rsplit(|char: char| !char.is_ascii_digit()).next()?.parse().ok()?;
    let all: f64 = after.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()?;
    (all > 0.0).then_some(done / all)
}

/// The dark part of a bar.
fn filled(line: &str) -> Option<f64> {
    if !has_bar(line) {
        return None;
    }
    let inside = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inside, _)| inside);
    let is_dark =
        |char: char| "\u{2588}\u{2593}\u{25A0}\u{25B0}\u{25CF}\u{25FC}⬛🟥🟧🟨🟩🟦🟪🟫━#=>".contains(char);
    let bar: Vec<bool> = match inside {
        Some(inside) => inside.chars().map(is_dark).collect(),
        None => line.chars().filter(|char| is_bar(*char)).map(is_dark).collect(),
    };
    (!bar.is_empty()).then(|| bar.iter().filter(|is_dark| **is_dark).count() as f64 / bar.len() as f64)
}

/// Whether `text` may become rows of progress when more follows.
pub fn may_be_progress(text: &str) -> bool {
    if text.len() > LONGEST || shows_file(text) {
        return false;
    }
    let (whole, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let is_fine = |line: &str| is_row(line) || is_decoration(line);
    whole.lines().count() < MOST_LINES && whole.lines().all(is_fine) && may_be_row(last)
}

/// Whether a picture or a link stands in the text: rows have none.
fn shows_file(text: &str) -> bool {
    text.contains("](")
}

fn is_row(line: &str) -> bool {
    let bare = bare(line);
    let is_known = || {
        let begins = BEGINNINGS.iter().any(|word| begins_with(bare, word));
        begins && (ENDINGS.iter().any(|ending| bare.ends_with(ending)) || has_bar(line) || is_counted(bare))
    };
    is_short(line) && (is_known() || is_gauge(line))
}

fn may_be_row(line: &str) -> bool {
    let bare = bare_start(line);
    let begins = || BEGINNINGS.iter().any(|word| word.starts_with(bare) || begins_with(bare, word));
    is_short(line) && (bare.is_empty() || begins() || may_be_gauge(line))
}

fn is_short(line: &str) -> bool {
    line.len() <= LONGEST_LINE || line.chars().nth(LONGEST_LINE).is_none()
}

/// Whether `text` begins with the word.
fn begins_with(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
}

/// The line without emphasis, spinners and pictures around its words.
fn bare(line: &str) -> &str {
    let is_mark = |char: char| matches!(char, '*' | '_' | '`') || char.is_whitespace();
    bare_start(line).trim_end_matches(is_mark)
}

fn bare_start(line: &str) -> &str {
    line.trim_start_matches(is_decor)
}

/// A character that adorns a row: white space, emphasis, quotes, pictures, spinners, bars.
fn is_decor(char: char) -> bool {
    char.is_whitespace() || matches!(char, '*' | '_' | '`' | '>') || is_bar(char) || is_pictogram(char)
}

fn is_decoration(line: &str) -> bool {
    line.trim().is_empty() || is_short(line) && !line.contains("```") && line.chars().all(is_decor)
}

/// Emoji, arrows, spinners and the marks that join emoji.
fn is_pictogram(char: char) -> bool {
    matches!(char, '\u{200D}' | '\u{FE0E}' | '\u{FE0F}' | '\u{2190}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
}

/// A piece of a bar.
fn is_bar(char: char) -> bool {
    matches!(char, '\u{2580}'..='\u{25FF}' | '⬛' | '⬜' | '🟥'..='🟫' | '━' | '─' | '╸' | '╺')
}

fn has_bar(line: &str) -> bool {
    let mut run = 0;
    line.chars().any(|char| {
        run = if is_bar(char) { run + 1 } else { 0 };
        run >= 3
    }) || has_ascii_bar(line)
}

/// `[####    ]`, `[===>  ]`
fn has_ascii_bar(line: &str) -> bool {
    let inside = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inside, _)| inside);
    inside.is_some_and(|inside| {
        inside.len() >= 4
            && inside.bytes().all(|byte| b"#=->. *".contains(&byte))
            && inside.contains(['#', '=', '-'])
    })
}

/// `3/20` and `3 of 20`
fn is_counted(bare: &str) -> bool {
    let plain = bare.replace(" of ", "/");
    let digits = |text: &str| text.trim().chars().next_back().is_some_and(|char| char.is_ascii_digit());
    plain.rsplit_once('/').is_some_and(|(before, after)| {
        digits(before) && after.trim_end_matches([')', ']', '.']).trim().parse::<u32>().is_ok()
    })
}

/// A line of bars, numbers and units that measures something.
fn is_gauge(line: &str) -> bool {
    let measures = || has_bar(line) || has_percentage(line) || has_time(line);
    !begins_with_plain_number(line)
        && words(line).all(|word| UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(word)))
        && measures()
}

fn may_be_gauge(line: &str) -> bool {
    if line.contains("```") || line.starts_with(['#', '-', '|']) || begins_with_plain_number(line) {
        return false;
    }
    let mut words = words(line).peekable();
    while let Some(word) = words.next() {
        let is_last = words.peek().is_none() && line.ends_with(word);
        let fits = |unit: &&str| {
            unit.eq_ignore_ascii_case(word) || is_last && unit.starts_with(&word.to_lowercase())
        };
        if !UNITS.iter().any(fits) {
            return false;
        }
    }
    let is_symbol = |char: char| char.is_alphanumeric() || is_decor(char) || "%()[]#=->.:,/|~".contains(char);
    let counts = line.contains('%')
        || line.contains(char::is_alphabetic)
        || has_bar(line)
        || line.contains(['[', '(']);
    if !line.chars().all(is_symbol) || line.len() > LONGEST_NUMBER && !counts {
        return false;
    }
    // a unit alone measures nothing
    line.starts_with(|char: char| char.is_ascii_digit() || matches!(char, '[' | '(' | '~'))
        || bare_start(line) != line
}

/// Whether the line begins with a number and a blank, as answers do and rows do not: a stream of numbers is not held back.
fn begins_with_plain_number(line: &str) -> bool {
    let rest = line.trim_start_matches(|char: char| char.is_ascii_digit() || matches!(char, '.' | ','));
    rest.len() < line.len() && rest.starts_with(char::is_whitespace)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|char: char| !char.is_alphabetic()).filter(|word| !word.is_empty())
}

fn has_percentage(line: &str) -> bool {
    let before = |(at, _): (usize, &str)| line[..at].trim_end().ends_with(|char: char| char.is_ascii_digit());
    line.match_indices('%').any(before)
}

/// `(12s)`, `12s elapsed`
fn has_time(line: &str) -> bool {
    let counts = |(at, _): (usize, &str)| line[..at].ends_with(|char: char| char.is_ascii_digit());
    line.match_indices("s)").any(counts) || words(line).any(|word| word.eq_ignore_ascii_case("elapsed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[&str] = &[
        "Generating… (12s)",
        "Generating image (3s)",
        "*Generating image (3s elapsed)*",
        "🎨 Generating image… 40%",
        "⏳ Waiting... (2s)",
        "⠋ Loading...",
        "█░ 40%",
        "█░░ 40%",
        "████████████████████████████████████████░░░░░░░░░░░░░░░░░░░░ 66% (12s)",
        "▓▓▓▓▒▒▒▒",
        "🟩🟩🟩⬜⬜ 60%",
        "[####      ] 40%",
        "[=====>    ]",
        "40%",
        "12s elapsed",
        "(12s)",
        "Step 3/20",
        "Rendering frame 7 of 20",
        "Generating video...\n\n█████░░░░░ 50%\n(12s elapsed)",
        "🎬\nGenerating video…\n▰▰▰▱▱▱▱ 43%",
        "**Progress:** ━━━━━━━━━━ 100%",
        "> Generating image...\n> ███░░░ 50%",
    ];

    const ANSWERS: &[&str] = &[
        "",
        "🎨",
        "Here is your picture.",
        "Generating functions are sums.",
        "Thinking about it… I'd say 4",
        "50% of the people agree.",
        "In 40% of all cases",
        "42",
        "1. First",
        "- item",
        "| a | b |",
        "███ is a block",
        "Generating image...\nHere it is.",
        "![cat](https://x/y) 40%",
        "Stepwise refinement...",
        "```\n40%\n```",
    ];

    #[test]
    fn progress_rows_are_distinguished_from_answers() {
        for row in ROWS {
            assert!(is_progress(row), "{row}");
        }
        for answer in ANSWERS {
            assert!(!is_progress(answer), "{answer}");
        }
        assert!(!is_progress(&"40%\n".repeat(MOST_LINES + 1)) && !is_progress(&"█".repeat(LONGEST)));
    }

    #[test]
    fn rows_state_how_far_the_work_is() {
        for (rows, expected) in [
            ("Generating… (12s)", None),
            ("🎨 Generating image… 40%", Some(40)),
            ("Rendering 33.3 % (12s)", Some(33)),
            ("10%\n20%\n", Some(20)),
            ("Step 3/20", Some(15)),
            ("Rendering frame 7 of 20", Some(35)),
            ("███░░░", Some(50)),
            ("🟩🟩🟩⬜", Some(75)),
            ("[####    ]", Some(50)),
            ("[=====>    ]", Some(60)),
            ("**Progress:** ━━━━━━━━━━ 100%", Some(99)),
            ("Step 3/0", None),
            ("", None),
        ] {
            assert_eq!(percentage(rows), expected, "{rows}");
        }
    }

    #[test]
    fn what_begins_a_row_may_become_one() {
        for row in ROWS {
            for (end, _) in row.char_indices() {
                assert!(may_be_progress(&row[..end]), "{:?} of {row:?}", &row[..end]);
            }
            assert!(may_be_progress(row), "{row}");
        }
    }

    #[test]
    fn an_answer_is_not_held_for_long() {
        let rows = [
            ("Here is your picture.", 1),
            ("The answer", 2),
            ("So what", 2),
            ("I think", 1),
            ("1. First", 2),
            ("0 1 2 3 4 5", 1),
            ("2024 was a year", 4),
            ("3.14 is", 4),
            ("- item", 1),
            ("# Title", 1),
            ("```rust", 3),
            ("50% of the people", 8),
            ("🎨 Art", 4),
        ];
        for (answer, most) in rows {
            let held = answer
                .char_indices()
                .take_while(|&(end, char)| may_be_progress(&answer[..end + char.len_utf8()]));
            assert!(held.count() <= most, "{answer}");
        }
    }
}
