//! What the `check` command finds: models.yaml, `CONFIG_DIR`, and with `--online` what Poe says.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{catalog, poe_client, roots};
use crate::config::directory::Dir;
use crate::config::models;
use crate::error::{Error, Kind, Result};
use crate::gateway::model_directory::ModelDirectory;
use crate::poe::{CancelCheck, Poe};
use crate::settings::{Secret, Settings};

/// How long each question to Poe may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `check` has found, a line each.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is as it should be.
    pub facts: Vec<String>,
    /// What is doubtful.
    pub warnings: Vec<String>,
    /// What is wrong.
    pub errors: Vec<String>,
}

/// Checks the files, by the list of models that an earlier start kept, and Poe if `online`.
pub fn check(settings: &Settings, online: bool) -> Findings {
    let mut found = Findings::default();
    let dir = Dir::new(&settings.config_dir);
    let kept = catalog::kept(&dir, settings).map(Arc::new);
    let report = models::report(&settings.config_dir, |file| {
        ModelDirectory::new(Arc::new(file.clone()), kept).warnings().to_vec()
    });
    match report {
        Ok((summary, warnings)) => {
            found.facts.push(summary);
            found.warnings = warnings;
        }
        Err(error) => found.errors.push(error),
    }
    found.warnings.extend(dir.fault());
    if online {
        match roots::certificates(settings).and_then(|roots| poe_client(settings, roots)) {
            Ok(poe) => found.ask(&poe, settings),
            Err(error) => found.errors.push(error),
        }
    }
    found
}

impl Findings {
    fn ask(&mut self, poe: &Poe, settings: &Settings) {
        let models = poe.models(None, &deadline());
        self.add("Poe's list of models", models.map(|list| format!("{} models", list.len())));
        match settings.poe_api_key.as_ref().map(Secret::expose) {
            None => self.facts.push("POE_API_KEY: unset, so each client sends its own key".into()),
            Some(key) => {
                let balance = poe.balance(key, &deadline());
                let left = |points: Option<f64>| match points {
                    Some(points) => format!("valid, {} points left", points.round()),
                    None => "valid".into(),
                };
                self.add("POE_API_KEY", balance.map(left));
            }
        }
        let upload = poe.reach_upload_host(&deadline());
        self.add("upload host", upload.map(|()| format!("{} answers", settings.poe_file_upload_url)));
    }

    fn add(&mut self, what: &str, outcome: Result<String>) {
        match outcome {
            Ok(fact) => self.facts.push(format!("{what}: {fact}")),
            Err(error) => self.errors.push(format!("{what}: {error}")),
        }
    }
}

/// Ends a wait after [`PATIENCE`].
fn deadline() -> CancelCheck {
    let end = Instant::now() + PATIENCE;
    Rc::new(move || match Instant::now() < end {
        true => Ok(()),
        false => {
            let message = format!("no answer within {} seconds", PATIENCE.as_secs());
            Err(Error::new(Kind::UpstreamTimeout, message))
        }
    })
}
