//! Converts OpenAI's parameters for pictures, sound and videos to those that the model declares.

use serde_json::Value;

use super::catalog::{Entry, Parameter};

/// Shapes by the names that models have for them, pixels by one number, and by two.
const SHAPE_NAMES: &[&str] = &["aspect_ratio", "aspect"];
const RESOLUTION_NAMES: &[&str] = &["image_size", "resolution"];
const SIZE_NAMES: &[&str] = &["size", "dimension"];
const SIDE_NAMES: &[(&str, &str)] = &[("width", "height")];
/// Resolutions in the words of models, with the longer side in pixels.
const RESOLUTIONS: &[(&str, f64)] = &[("1K", 1024.0), ("2K", 2048.0), ("4K", 4096.0)];
/// Shapes in the words of models.
const SHAPES: &[(&str, (f64, f64))] =
    &[("landscape", (16.0, 9.0)), ("portrait", (9.0, 16.0)), ("square", (1.0, 1.0))];
/// OpenAI's qualities of pictures, old and new, and what others call them, the best word first.
const QUALITIES: &[(&str, &[&str])] = &[
    ("hd", &["hd", "high", "premium"]),
    ("high", &["high", "hd", "premium"]),
    ("standard", &["standard", "medium"]),
    ("medium", &["medium", "standard"]),
    ("low", &["low", "standard"]),
];

/// The parameters by which the model is sent `name` of a request for pictures, sound or videos, each with its value; `None`
/// if this is nothing known here, an empty list if the model has no parameter for it.
pub fn fit(name: &str, value: &Value, entry: &Entry) -> Option<Vec<(String, Value)>> {
    match name {
        "size" => size(value.as_str()?, entry),
        "quality" => Some(word(value.as_str()?, entry, &["quality"], |text| {
            let known = QUALITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(text));
            known.map_or(&[], |(_, words)| words)
        })),
        "voice" => Some(word(value.as_str()?, entry, &["voice", "voice_id", "voice_1"], |_| &[])),
        "output_format" => Some(word(value.as_str()?, entry, &["output_format", "format"], |_| &[])),
        "instructions" => Some(word(value.as_str()?, entry, &["instructions", "style_prompt"], |_| &[])),
        "speed" => Some(number(value, entry, &["speed"])),
        "seconds" => Some(number(value, entry, &["duration", "seconds", "duration_seconds"])),
        _ => None,
    }
}

fn declared<'e>(entry: &'e Entry, names: &[&str]) -> Option<&'e Parameter> {
    names.iter().find_map(|name| entry.parameter(name))
}

fn options(parameter: &Parameter) -> Option<&Vec<Value>> {
    parameter.schema.get("enum").and_then(Value::as_array)
}

/// A word as the model's list spells it, or another that means the same; any word where there is no list.
fn word(
    text: &str,
    entry: &Entry,
    names: &[&str],
    others: impl Fn(&str) -> &'static [&'static str],
) -> Vec<(String, Value)> {
    let Some(parameter) = declared(entry, names) else { return Vec::new() };
    let Some(options) = options(parameter) else { return vec![(parameter.name.clone(), text.into())] };
    let find = |text: &str| {
        let same = |option: &&Value| option.as_str().is_some_and(|option| option.eq_ignore_ascii_case(text));
        options.iter().find(same)
    };
    let found = find(text).or_else(|| others(text).iter().find_map(|other| find(other)));
    found.map(|option| (parameter.name.clone(), option.clone())).into_iter().collect()
}

/// A number within the model's range, or the nearest of those it lists. `5s` is 5 there.
fn number(value: &Value, entry: &Entry, names: &[&str]) -> Vec<(String, Value)> {
    let read = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim_end_matches('s').parse().ok());
    let (Some(parameter), Some(wanted)) = (declared(entry, names), read(value)) else { return Vec::new() };
    let found = match options(parameter) {
        Some(options) => {
            let known = options.iter().filter_map(|option| Some(((read(option)? - wanted).abs(), option)));
            known.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, option)| option.clone())
        }
        None if parameter.schema.get("type").is_some_and(|kind| kind == "string") => {
            Some(wanted.to_string().into())
        }
        None => Some(clamped(wanted, &parameter.schema)),
    };
    found.map(|found| (parameter.name.clone(), found)).into_iter().collect()
}

/// `number` within the schema's bounds, as a whole number where it is one.
pub fn clamped(number: f64, schema: &Value) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let least = bound("minimum").unwrap_or(f64::NEG_INFINITY);
    let most = bound("maximum").unwrap_or(f64::INFINITY);
    // `clamp` refuses bounds that are crossed, and a schema may be wrong
    let number = number.min(most).max(least);
    match number.fract() == 0.0 && number.abs() < 9e15 {
        true => Value::from(number as i64),
        false => Value::from(number),
    }
}

/// Two numbers as in `1024x1536`, `1024*1536` or `16:9`.
fn pair(text: &str) -> Option<(f64, f64)> {
    let (one, other) = text.split_once(['x', 'X', '*', '×', ':'])?;
    let side = |text: &str| text.trim().parse().ok().filter(|side: &f64| side.is_finite() && *side > 0.0);
    Some((side(one)?, side(other)?))
}

/// `1024x1536`, or a shape such as `2:3`, by every parameter that the model has for it, and a word such as `720p` by the
/// one that lists it; `None` for other words, such as `auto`.
fn size(text: &str, entry: &Entry) -> Option<Vec<(String, Value)>> {
    let Some((width, height)) = pair(text) else {
        return lines(text).map(|_| word(text, entry, RESOLUTION_NAMES, |_| &[]));
    };
    let is_shape = text.contains(':');
    let mut fitted = Vec::new();
    let mut add = |parameter: &Parameter, value: Value| fitted.push((parameter.name.clone(), value));
    if let Some(parameter) = declared(entry, SHAPE_NAMES)
        && let Some(shape) = nearest(parameter, |(w, h)| apart(w / h, width / height))
    {
        add(parameter, shape);
    }
    if let Some(parameter) = declared(entry, SIZE_NAMES) {
        // the shape counts more than the number of pixels
        let area = |(w, h): (f64, f64)| if is_shape { 0.0 } else { apart(w * h, width * height) };
        let far = |(w, h): (f64, f64)| 100.0 * apart(w / h, width / height) + area((w, h));
        let size = if options(parameter).is_some() { nearest(parameter, far) } else { Some(text.into()) };
        size.into_iter().for_each(|size| add(parameter, size));
    }
    if is_shape {
        return Some(fitted);
    }
    if let Some(parameter) = declared(entry, RESOLUTION_NAMES) {
        let known = options(parameter).into_iter().flatten();
        let known = known.filter_map(|option| Some((resolution(option.as_str()?, width, height)?, option)));
        if let Some((_, option)) = known.min_by(|one, other| one.0.total_cmp(&other.0)) {
            add(parameter, option.clone());
        }
    }
    for (wide, high) in SIDE_NAMES {
        if let (Some(wide), Some(high)) = (entry.parameter(wide), entry.parameter(high)) {
            add(wide, side(wide, width));
            add(high, side(high, height));
        }
    }
    Some(fitted)
}

/// How far a resolution in the words of a model is from a size: `720p` by its lines, `2K` by its longer side.
fn resolution(option: &str, width: f64, height: f64) -> Option<f64> {
    let named = || RESOLUTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(option));
    match (pair(option), lines(option)) {
        (Some((w, h)), _) => Some(100.0 * apart(w / h, width / height) + apart(w * h, width * height)),
        (None, Some(lines)) => Some(apart(lines, width.min(height))),
        (None, None) => named().map(|(_, side)| apart(*side, width.max(height))),
    }
}

/// The lines of `720p`.
fn lines(text: &str) -> Option<f64> {
    text.strip_suffix(['p', 'P'])?.parse::<u32>().ok().filter(|lines| *lines > 0).map(f64::from)
}

/// How far two sizes are from each other: 0 is the same, twice as large as far as half as large.
fn apart(one: f64, other: f64) -> f64 {
    (one / other).ln().abs()
}

fn nearest(parameter: &Parameter, far: impl Fn((f64, f64)) -> f64) -> Option<Value> {
    let shape =
        |text: &str| SHAPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, sides)| *sides);
    let sides = |option: &Value| option.as_str().and_then(|text| pair(text).or_else(|| shape(text)));
    let known = options(parameter)?.iter().filter_map(|option| Some((far(sides(option)?), option)));
    known.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, option)| option.clone())
}

/// One side in pixels, as a number within the model's range or as text, as it is declared.
fn side(parameter: &Parameter, pixels: f64) -> Value {
    let bound = |name: &str| parameter.schema.get(name).and_then(Value::as_f64);
    let pixels = pixels.min(bound("maximum").unwrap_or(16384.0)).max(bound("minimum").unwrap_or(1.0)) as u64;
    match parameter.schema.get("type").and_then(Value::as_str) {
        Some("string") => pixels.to_string().into(),
        _ => pixels.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fitted(name: &str, value: Value, parameters: Value) -> Value {
        let entry = Entry { parameters: serde_json::from_value(parameters).unwrap(), ..Entry::default() };
        Value::Object(fit(name, &value, &entry).unwrap().into_iter().collect())
    }

    #[test]
    fn a_size_uses_the_models_own_parameters() {
        let shapes = |name: &str| json!([{"name": name, "schema": {"enum": ["16:9", "4:3", "1:1", "2:3", "9:16", "auto"]}}]);
        let stars =
            json!([{"name": "size", "schema": {"enum": ["512*512", "1024*1024", "1024*1536", "1536*1024"]}}]);
        let sides = json!([{"name": "width", "schema": {"type": "number", "maximum": 1920}},
                           {"name": "height", "schema": {"type": "string"}}]);
        let banana = json!([{"name": "aspect_ratio", "schema": {"enum": ["1:1", "3:2"]}},
                            {"name": "image_size", "schema": {"enum": ["1K", "2K", "4K"]}}]);
        for (size, parameters, expected) in [
            ("1024x1536", shapes("aspect"), json!({"aspect": "2:3"})),
            ("1792x1024", shapes("aspect_ratio"), json!({"aspect_ratio": "16:9"})),
            ("512x512", stars.clone(), json!({"size": "512*512"})),
            ("1792x1024", stars.clone(), json!({"size": "1536*1024"})),
            ("2:3", stars.clone(), json!({"size": "1024*1536"})),
            ("2048x1024", sides.clone(), json!({"width": 1920, "height": "1024"})),
            ("16:9", sides.clone(), json!({})),
            ("1536x1024", banana.clone(), json!({"aspect_ratio": "3:2", "image_size": "2K"})),
            ("1024x1024", banana, json!({"aspect_ratio": "1:1", "image_size": "1K"})),
            (
                "1536x1024",
                json!([{"name": "size", "schema": {"type": "string"}}]),
                json!({"size": "1536x1024"}),
            ),
            ("1024x1024", json!([]), json!({})),
        ] {
            assert_eq!(fitted("size", size.into(), parameters), expected, "{size}");
        }
    }

    #[test]
    fn words_and_numbers_are_those_the_model_lists() {
        let list = |name: &str, options: &[&str]| json!([{"name": name, "schema": {"enum": options}}]);
        for (name, value, parameters, expected) in [
            ("quality", json!("hd"), list("quality", &["low", "high"]), json!({"quality": "high"})),
            (
                "quality",
                json!("standard"),
                list("quality", &["standard", "premium"]),
                json!({"quality": "standard"}),
            ),
            ("quality", json!("auto"), list("quality", &["low"]), json!({})),
            ("voice", json!("sarah"), list("voice_id", &["Sarah", "Will"]), json!({"voice_id": "Sarah"})),
            ("voice", json!("alloy"), list("voice", &["Sarah"]), json!({})),
            (
                "voice",
                json!("any"),
                json!([{"name": "voice", "schema": {"type": "string"}}]),
                json!({"voice": "any"}),
            ),
            ("output_format", json!("mp3"), list("format", &["mp3", "wav"]), json!({"format": "mp3"})),
            (
                "instructions",
                json!("slow"),
                json!([{"name": "style_prompt", "schema": {"type": "string"}}]),
                json!({"style_prompt": "slow"}),
            ),
            ("speed", json!(1), list("speed", &["0.5", "1.0", "2.0"]), json!({"speed": "1.0"})),
            (
                "speed",
                json!(4),
                json!([{"name": "speed", "schema": {"type": "number", "maximum": 2}}]),
                json!({"speed": 2}),
            ),
            ("speed", json!("fast"), list("speed", &["1.0"]), json!({})),
            ("size", json!("2x2"), list("size", &["small"]), json!({})),
            ("speed", json!(1), json!([]), json!({})),
        ] {
            assert_eq!(fitted(name, value.clone(), parameters), expected, "{name} {value}");
        }
        let video = json!([{"name": "aspect", "schema": {"enum": ["16:9", "1:1", "9:16"]}},
            {"name": "resolution", "schema": {"enum": ["480p", "720p", "1080p"]}}]);
        let words = json!([{"name": "aspect_ratio", "schema": {"enum": ["landscape", "portrait"]}},
            {"name": "resolution", "schema": {"enum": ["832x480", "480x832", "720x1280", "1280x720"]}}]);
        let range = json!([{"name": "duration", "schema": {"type": "number", "minimum": 3, "maximum": 15}}]);
        for (name, value, parameters, expected) in [
            ("size", json!("720x1280"), video.clone(), json!({"aspect": "9:16", "resolution": "720p"})),
            ("size", json!("1792x1024"), video.clone(), json!({"aspect": "16:9", "resolution": "1080p"})),
            ("size", json!("1080p"), video, json!({"resolution": "1080p"})),
            (
                "size",
                json!("1280x720"),
                words.clone(),
                json!({"aspect_ratio": "landscape", "resolution": "1280x720"}),
            ),
            ("size", json!("9:16"), words, json!({"aspect_ratio": "portrait"})),
            ("size", json!("1920x1080"), list("dimension", &["1280x720"]), json!({"dimension": "1280x720"})),
            ("seconds", json!("4"), list("duration", &["5", "8"]), json!({"duration": "5"})),
            ("seconds", json!(8), list("duration", &["5s", "9s"]), json!({"duration": "9s"})),
            ("seconds", json!("12"), range.clone(), json!({"duration": 12})),
            ("seconds", json!(60), range, json!({"duration": 15})),
            (
                "seconds",
                json!("6"),
                json!([{"name": "seconds", "schema": {"type": "string"}}]),
                json!({"seconds": "6"}),
            ),
            ("seconds", json!("4"), json!([]), json!({})),
        ] {
            assert_eq!(fitted(name, value.clone(), parameters), expected, "{name} {value}");
        }
        // what is no word or size of OpenAI's goes the way of all parameters
        let others =
            [("seed", json!(1)), ("quality", json!(7)), ("size", json!("auto")), ("size", json!("0x5"))];
        for (name, value) in others.into_iter().chain([("size", json!("infxNaN")), ("size", json!("large"))])
        {
            assert_eq!(fit(name, &value, &Entry::default()), None, "{name} {value}");
        }
    }
}
