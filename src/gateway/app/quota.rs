//! What one request is expected to take, and what it took.

use super::App;
use crate::gateway::model_directory::Model;
use crate::poe::{Consumption, Price};
use crate::state::budgets::Millipoints;

/// What a request is expected to take.
#[derive(Debug, Clone)]
pub struct Quota {
    price: Price,
    /// By how much the bot has taken more than the list says.
    factor: f64,
    /// Queries to Poe.
    pub answers: u64,
    /// Tokens of the question, roughly.
    pub input: u64,
    /// Which bot.
    pub bot: String,
    /// What was reserved and has to be settled.
    pub reserved: Millipoints,
}

impl Quota {
    /// What an amount takes by the list alone, and by what the bot took before.
    pub fn millipoints(&self, amount: &Consumption) -> (Millipoints, Millipoints) {
        let by_list = self.price.millipoints(amount);
        (by_list, (by_list as f64 * self.factor).round() as Millipoints)
    }
}

impl App {
    /// What requests for `model` take.
    pub fn quota(&self, model: &Model) -> Quota {
        Quota {
            price: model.entry.as_ref().map(|entry| entry.price).unwrap_or_default(),
            factor: self.clients.points.factor(&model.bot),
            answers: 1,
            input: 0,
            bot: model.bot.clone(),
            reserved: 0,
        }
    }
}
