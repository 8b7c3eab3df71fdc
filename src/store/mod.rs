//! The cellar: what outlives a request.

pub mod tokens;
