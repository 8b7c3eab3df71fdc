//! poe2openai: any Poe bot for any program that speaks OpenAI's API.

fn main() {}
