//! Counts tokens exactly as o200k_base does, on read-only tables in the binary: nothing to load, nothing on the heap.
//!
//! Text is split into pieces (`scan`), and each piece is merged by itself (`merge`). What looks like a special
//! token (`<|endoftext|>`) is ordinary text here. The tables are made by `build.rs` from `assets/o200k`, and those
//! files by `examples/o200k_assets.rs` from the public rank file.

mod merge;
mod running;
mod scan;
mod tables;
mod vocabulary;

pub use running::Running;

use running::Growing;
use scan::Scan;

/// Tokens of `text` in o200k_base.
///
/// Linear in the length of `text` whatever it contains, without recursion, and with at most a few KiB of heap, and
/// that only for texts with an unbroken piece (a word, a run of spaces or punctuation) of more than 128 bytes.
pub fn count(text: &str) -> usize {
    let mut rest = text;
    let mut tokens = 0;
    let mut growing = Growing::default();
    while !rest.is_empty() {
        let mut scan = Scan::default();
        let len = scan.resume(rest).unwrap_or_else(|| scan.len_at_end());
        let (piece, behind) = rest.split_at(len);
        growing.reset();
        tokens += growing.tokens(piece.as_bytes());
        rest = behind;
    }
    tokens
}
