//! models.yaml as a file: absent, good, and unreadable.

use std::fs;
use std::path::Path;

use poe2openai::config::models::{FILE_NAME, ModelsFile, report};

#[test]
fn files_are_read_from_their_directory() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models-are-read");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    assert_eq!(ModelsFile::read(&dir).unwrap().map(|(_, warnings)| warnings), None);
    let (summary, warnings) = report(&dir, |_| Vec::new()).unwrap();
    assert!(summary.ends_with("models.yaml: none") && warnings.is_empty());

    fs::write(dir.join(FILE_NAME), "enable: true\nmodels: {a: {mapping: b}}\nx: 1\n").unwrap();
    let (summary, warnings) = report(&dir, |_| vec!["doubtful".to_owned()]).unwrap();
    assert!(
        summary.ends_with("models.yaml: applied: 1 models, 1 renamed, 0 disabled, 0 custom"),
        "{summary}"
    );
    assert!(warnings[0].ends_with("models.yaml: line 3, column 1: x: unknown key, ignored"), "{warnings:?}");
    assert!(warnings[1].ends_with("models.yaml: doubtful"), "{warnings:?}");

    fs::write(dir.join(FILE_NAME), b"enable: \xff").unwrap();
    assert!(
        ModelsFile::read(&dir).unwrap_err().ends_with("models.yaml: line 1, column 9: expected UTF-8 text")
    );

    fs::remove_file(dir.join(FILE_NAME)).unwrap();
    fs::create_dir(dir.join(FILE_NAME)).unwrap();
    assert!(ModelsFile::read(&dir).unwrap_err().contains("models.yaml: cannot be read: "));
}
