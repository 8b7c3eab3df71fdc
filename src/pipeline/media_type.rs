//! Detects the MIME type of a file that was sent without one.

/// Folders in which Poe keeps files by kind, with the usual type of the kind.
const FOLDERS: &[(&str, &str)] =
    &[("/image/", "image/png"), ("/video/", "video/mp4"), ("/audio/", "audio/mpeg")];

const EXTENSIONS: &[(&str, &str)] = &[
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("heic", "image/heic"),
    ("bmp", "image/bmp"),
    ("svg", "image/svg+xml"),
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/opus"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("pdf", "application/pdf"),
    ("json", "application/json"),
    ("csv", "text/csv"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("zip", "application/zip"),
];

/// The type that `declared` is; where it says nothing, the one that the name or the path of the URL states. Empty if
/// nothing does.
pub fn media_type<'t>(declared: &'t str, name: &str, url: &str) -> &'t str {
    let plain = declared.split(';').next().unwrap_or_default().trim();
    if !matches!(plain.to_ascii_lowercase().as_str(), "" | "application/octet-stream" | "binary/octet-stream")
    {
        return declared;
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let folder = || FOLDERS.iter().find(|(folder, _)| path.contains(folder)).map(|(_, kind)| *kind);
    by_extension(name).or_else(|| by_extension(path)).or_else(folder).unwrap_or(declared)
}

fn by_extension(name: &str) -> Option<&'static str> {
    let (stem, extension) = name.rsplit(['/', '\\']).next()?.rsplit_once('.')?;
    let known = |(known, _): &&(&str, &str)| known.eq_ignore_ascii_case(extension.trim());
    EXTENSIONS.iter().find(known).filter(|_| !stem.is_empty()).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_detected_by_name_and_path() {
        let base = "https://pfst.cf2.poecdn.net/base";
        let rows = [
            ("image/webp", "a.png", "/video/1", "image/webp"),
            ("", "", "/image/8f3?w=1024&h=768", "image/png"),
            ("", "", "/video/8f3", "video/mp4"),
            ("", "", "/audio/8f3", "audio/mpeg"),
            ("", "a cat.JPG", "/image/8f3", "image/jpeg"),
            ("", "song", "/x/song.wav?dl=1", "audio/wav"),
            ("application/octet-stream", "clip.webm", "/x", "video/webm"),
            ("application/octet-stream", "data", "/x", "application/octet-stream"),
            ("Binary/Octet-Stream; x=y", "", "/image/1", "image/png"),
            ("", "v1.2", "/x?name=/image/", ""),
            ("", ".png", "/x", ""),
        ];
        for (declared, name, path, expected) in rows {
            assert_eq!(media_type(declared, name, &format!("{base}{path}")), expected, "{name} {path}");
        }
    }
}
