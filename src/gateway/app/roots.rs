//! The root certificates that the settings name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::settings::Settings;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Where systems keep all their roots in one file; the first that exists is taken.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// PEM text of all roots that `SSL_CERT_FILE` and `SSL_CERT_DIR` name; nothing where neither is set.
pub(super) fn certificates(settings: &Settings) -> Result<Option<Vec<u8>>, String> {
    let file = settings.ssl_cert_file.as_deref().map(read_file).transpose()?;
    let directory = settings.ssl_cert_dir.as_deref().and_then(read_directory);
    Ok(match (file, directory) {
        (Some(file), Some(directory)) => Some([file, directory].join(&b'\n')),
        (file, directory) => file.or(directory),
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let path =
        match path.as_os_str() == "system" {
            true => SYSTEM_FILES.iter().map(Path::new).find(|path| path.is_file()).ok_or(
                "SSL_CERT_FILE=system: no root certificates found in the usual files of this machine",
            )?,
            false => path,
        };
    fs::read(path).map_err(|e| format!("SSL_CERT_FILE: {}: {e}", path.display()))
}

/// The certificates of all files in `path`, each once: such directories hold links, bundles and other things. One without
/// certificates is no reason not to start, for many systems set the variable for programs that use it or not.
fn read_directory(path: &Path) -> Option<Vec<u8>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
        found.extend(blocks.map(|(block, _)| block.trim().to_owned()));
    }
    if found.is_empty() {
        log::warn!("SSL_CERT_DIR: no certificate in {}; it is not used", path.display());
        return None;
    }
    let pem: String = found.iter().map(|block| format!("{BEGIN}\n{block}\n{END}\n")).collect();
    Some(pem.into_bytes())
}
