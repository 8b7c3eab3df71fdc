//! Prices of Poe's list, and what a request is expected to take by them.

use serde_json::Value;

/// What a point costs, in dollars.
pub const DOLLARS_A_POINT: f64 = 0.00003;
/// A price of a request from here on is in points, as in older lists: no request costs so many dollars.
const FIRST_POINTS: f64 = 10.0;
/// How many tokens a picture has whose price is given by the token.
const TOKENS_A_PICTURE: f64 = 1300.0;

/// A model's price, in dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    input: f64,
    output: f64,
    cached: f64,
    picture: f64,
    request: f64,
}

/// What is priced.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consumption {
    /// Tokens of the question.
    pub input: u64,
    /// Those of them that came out of Poe's cache.
    pub cached: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// How many answers.
    pub answers: u64,
    /// How many pictures they brought.
    pub pictures: u64,
}

/// Of a text model that Poe's list has no price for: that of a large model. Poe's account states later what it was.
impl Default for Price {
    fn default() -> Price {
        Price { input: 3e-6, output: 15e-6, cached: 3e-6, picture: 0.03, request: 0.0 }
    }
}

impl Price {
    /// The price in an entry of Poe's list; where it has none, what models with such output usually cost.
    pub fn of(entry: &Value) -> Price {
        let pricing = entry.get("pricing");
        let part =
            |name: &str| pricing.and_then(|pricing| number(pricing.get(name)?)).filter(|price| *price > 0.0);
        let each = |price: f64| if price >= FIRST_POINTS { price * DOLLARS_A_POINT } else { price };
        let (input, output, request) = (part("prompt"), part("completion"), part("request").map(each));
        if input.is_none() && output.is_none() && request.is_none() {
            return Price::usual(entry);
        }
        let input = input.unwrap_or(0.0);
        Price {
            input,
            output: output.unwrap_or(0.0),
            cached: part("input_cache_read").unwrap_or(input),
            picture: part("image").map_or(0.0, |price| price * TOKENS_A_PICTURE),
            request: request.unwrap_or(0.0),
        }
    }

    fn usual(entry: &Value) -> Price {
        let outputs =
            entry.pointer("/architecture/output_modalities").map(Value::to_string).unwrap_or_default();
        let dearest = [("video", 0.5), ("image", 0.03), ("audio", 0.02)];
        match dearest.into_iter().find(|(kind, _)| outputs.contains(kind)) {
            Some((_, request)) => Price { input: 0.0, output: 0.0, cached: 0.0, picture: 0.0, request },
            None => Price::default(),
        }
    }

    /// What it takes, in thousandths of a point.
    pub fn millipoints(&self, amount: &Consumption) -> u64 {
        let fresh = amount.input.saturating_sub(amount.cached) as f64;
        let dollars = fresh * self.input
            + amount.cached.min(amount.input) as f64 * self.cached
            + amount.output as f64 * self.output
            + amount.pictures as f64 * self.picture
            + amount.answers as f64 * self.request;
        (dollars / DOLLARS_A_POINT * 1000.0).round() as u64
    }
}

/// A number, which may have been written as a text.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().replace([',', '_'], "").parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn points(entry: Value, amount: Consumption) -> u64 {
        Price::of(&entry).millipoints(&amount)
    }

    #[test]
    fn a_request_costs_what_the_list_says() {
        let amount = Consumption { input: 1000, cached: 400, output: 100, answers: 2, pictures: 1 };
        let by_token = json!({"pricing": {"prompt": "0.0000030", "completion": 0.000015, "input_cache_read": "0.0000003", "request": null}});
        // 600 × 0.000003 + 400 × 0.0000003 + 100 × 0.000015 = 0.00342 dollars
        assert_eq!(points(by_token, amount), 114_000);
        assert_eq!(points(json!({"pricing": {"request": "0.0030"}}), amount), 200_000);
        assert_eq!(points(json!({"pricing": {"request": "300"}}), amount), 600_000, "in points");
        assert_eq!(
            points(json!({"pricing": {"image": "0.00003", "completion": "0.000003"}}), amount),
            1_310_000
        );
    }

    #[test]
    fn a_model_without_a_price_is_not_free() {
        let amount = Consumption { input: 100, output: 100, answers: 1, ..Consumption::default() };
        let video = json!({"pricing": null, "architecture": {"output_modalities": ["video"]}});
        for entry in [
            json!({}),
            json!({"pricing": {"request": "0.00"}}),
            json!({"pricing": {"prompt": {}}}),
            json!({"pricing": []}),
        ] {
            assert_eq!(points(entry, amount), 60_000);
        }
        assert!(points(video, amount) > 10_000_000);
    }
}
