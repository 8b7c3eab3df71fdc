//! File of usage totals and budgets in `CONFIG_DIR`.

use std::fs;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

use super::budgets::{Accounts, LocalBudgets};
use super::usage::{LocalUsage, Stored};
use crate::config::directory::{Dir, Staged};

/// The file's name inside the configuration directory.
pub const FILE_NAME: &str = "usage.json";
/// Where a file that cannot be read is put.
const BROKEN_NAME: &str = "usage.json.broken";
const FORMAT: u32 = 1;
/// How large the file may be; a larger one is none of this program's.
const MAX_BYTES: usize = 1_000_000;

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    usage: Stored,
    budgets: Accounts,
}

/// What an earlier start counted. A file that cannot be read is put aside with a warning.
pub fn read(dir: &Dir) -> (LocalUsage, LocalBudgets) {
    let path = dir.at(FILE_NAME);
    let read = || {
        let about = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            about => about.map_err(|error| error.to_string())?,
        };
        if !about.is_file() || about.len() > MAX_BYTES as u64 {
            return Err("not a regular file, or too large".to_owned());
        }
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        let file: File = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        match file.format {
            FORMAT => Ok(Some((LocalUsage::with(file.usage)?, LocalBudgets::with(file.budgets)))),
            other => Err(format!("its format is {other}")),
        }
    };
    match read() {
        Ok(kept) => kept.unwrap_or_default(),
        Err(error) => {
            let aside = dir.at(BROKEN_NAME);
            let moved = match fs::rename(&path, &aside) {
                Ok(()) => format!("it was renamed to {BROKEN_NAME}"),
                Err(error) => format!("it cannot be renamed: {error}"),
            };
            log::warn!("{} cannot be used, usage is counted anew; {moved}: {error}", path.display());
            Default::default()
        }
    }
}

/// Stores what was counted up to `now`, in seconds since 1970.
///
/// # Errors
/// The system's words.
pub fn write(dir: &Dir, usage: &LocalUsage, budgets: &LocalBudgets, now: u64) -> Result<(), String> {
    let encode = || {
        let file = File { format: FORMAT, usage: usage.stored(now), budgets: budgets.accounts() };
        serde_json::to_vec(&file).map_err(|error| error.to_string())
    };
    let mut bytes = encode()?;
    // the number of rows is bounded; a few halvings suffice for the longest of them
    for _ in 0..8 {
        if bytes.len() <= MAX_BYTES {
            break;
        }
        usage.shrink();
        bytes = encode()?;
    }
    let _lock = dir.lock()?;
    Staged::private(&dir.at(FILE_NAME), &bytes)?.put()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::budgets::Budgets;
    use crate::state::usage::{Amounts, Labels, Step, UsageTotals};
    use std::path::Path;

    fn requests(usage: &LocalUsage) -> u64 {
        let mut sum = 0;
        usage.visit(Step::Day, 0, u64::MAX, &mut |_, _, row| sum += u64::from(row.requests));
        sum
    }

    #[test]
    fn what_was_counted_survives_and_a_foreign_file_is_put_aside() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/usage-file-test");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let dir = Dir::new(&path);
        let now = 1_795_392_000;
        let (usage, budgets) = read(&dir);
        let labels = Labels { model: "m", key: "k", endpoint: "e" };
        usage.add(now, labels, "Kay", &Amounts { requests: 1, ..Amounts::default() });
        budgets.settle("k", 0, 77, now);
        write(&dir, &usage, &budgets, now).unwrap();
        let (usage, budgets) = read(&dir);
        assert_eq!((requests(&usage), budgets.spent("k", now).month), (1, 77));
        assert!(!path.join(BROKEN_NAME).exists());
        let good = fs::read(path.join(FILE_NAME)).unwrap();
        let torn = &good[..good.len() / 2];
        for bad in [torn, b"", b"{}", b"[1]", b"\xff\xfe", br#"{"format":2,"usage":{},"budgets":{}}"#] {
            fs::write(path.join(FILE_NAME), bad).unwrap();
            assert_eq!(requests(&read(&dir).0), 0);
            assert!(fs::read(path.join(BROKEN_NAME)).unwrap() == bad && !path.join(FILE_NAME).exists());
        }
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn the_file_is_bounded_whatever_was_counted() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/usage-size-test");
        fs::create_dir_all(&path).unwrap();
        let dir = Dir::new(&path);
        let (usage, budgets) = <(LocalUsage, LocalBudgets)>::default();
        let now = 1_795_392_000;
        for number in 0..100_000_u64 {
            let (model, key) =
                (format!("{number:0>90}", number = number % 389), format!("key_{:0>16}", number % 293));
            let large = u64::MAX / 2 - number;
            let amounts = Amounts {
                requests: u32::MAX / 2,
                input: large,
                output: large,
                exact: large,
                ..Amounts::default()
            };
            let labels = Labels { model: &model, key: &key, endpoint: "/v1/chat/completions" };
            usage.add(now + number % 190 * 3600, labels, &key, &amounts);
        }
        write(&dir, &usage, &budgets, now).unwrap();
        let size = fs::metadata(path.join(FILE_NAME)).unwrap().len();
        assert!(size <= MAX_BYTES as u64 && size > 50_000, "{size}");
        assert!(requests(&read(&dir).0) > 0 && !path.join(BROKEN_NAME).exists());
        fs::remove_dir_all(&path).unwrap();
    }
}
