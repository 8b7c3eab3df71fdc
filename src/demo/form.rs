//! Parses the body of an upload: `multipart/form-data`, or a URL-encoded form.

/// One field of a form.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// The file's name, if the field is a file.
    pub file_name: Option<String>,
    /// The file's MIME type, if it is given.
    pub content_type: Option<String>,
    /// The field's content.
    pub bytes: Vec<u8>,
}

/// The fields of `body`, read as its `content_type` says.
pub fn read(content_type: &str, body: &[u8]) -> Result<Vec<Field>, String> {
    let kind = content_type.split(';').next().unwrap_or("").trim();
    match kind.to_ascii_lowercase().as_str() {
        "multipart/form-data" => {
            let boundary = parameter(content_type, "boundary").ok_or("multipart body without a boundary")?;
            multipart(&boundary, body)
        }
        "application/x-www-form-urlencoded" => Ok(one_line(body)),
        other => Err(format!("a form cannot be of the type '{other}'")),
    }
}

/// RFC 7578: each part follows a line of two dashes and the boundary; the last such line ends with two more.
fn multipart(boundary: &str, body: &[u8]) -> Result<Vec<Field>, String> {
    let mark = format!("\r\n--{boundary}").into_bytes();
    let first = mark[2..].to_vec();
    let mut rest = body.strip_prefix(&first[..]).ok_or("the body does not begin with its boundary")?;
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        let part = rest.strip_prefix(b"\r\n").ok_or("a boundary is not followed by a line end")?;
        let end = find(part, &mark).ok_or("the last part does not end")?;
        fields.push(field(&part[..end])?);
        rest = &part[end + mark.len()..];
    }
    Ok(fields)
}

fn field(part: &[u8]) -> Result<Field, String> {
    let end = find(part, b"\r\n\r\n").ok_or("a part has no blank line after its head")?;
    let head = String::from_utf8_lossy(&part[..end]).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_string())
    };
    let disposition = header("content-disposition").ok_or("a part has no Content-Disposition")?;
    Ok(Field {
        name: parameter(&disposition, "name").ok_or("a part has no name")?,
        file_name: parameter(&disposition, "filename"),
        content_type: header("content-type"),
        bytes: part[end + 4..].to_vec(),
    })
}

/// `name=value` or `name="value"` among the parameters of a header; browsers write `%22` for a quotation mark within.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mark = format!("{name}=");
    let (at, _) = header.match_indices(&mark).find(|(at, _)| header[..*at].ends_with([' ', ';']))?;
    let rest = &header[at + mark.len()..];
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?.replace("%22", "\""),
        None => rest.split(';').next()?.trim().to_string(),
    };
    Some(value)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    // Most bytes of a file are not the first byte of a boundary.
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == what[0]);
    starts.map(|(at, _)| at).find(|at| bytes[*at..].starts_with(what))
}

fn one_line(body: &[u8]) -> Vec<Field> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let field = |(name, value): (&str, &str)| Field {
        name: decode(&name.replace('+', " ")),
        file_name: None,
        content_type: None,
        bytes: decode(&value.replace('+', " ")).into_bytes(),
    };
    pairs.map(field).collect()
}

/// Undoes percent-encoding; what is not an escape stays as it is.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes all but the unreserved characters.
pub fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_form_is_read_byte_for_byte() {
        let body = b"--xx\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n\
            --xx\r\ncontent-disposition: form-data; filename=\"a b.png\"; name=\"file\"\r\nContent-Type: image/png\r\n\r\n\
            \x89PNG\r\n--x\r\n\0\xff\r\n--xx--\r\n";
        let fields = read("multipart/form-data; boundary=xx", body).unwrap();
        assert_eq!((fields[0].name.as_str(), &fields[0].bytes[..]), ("note", &b"hi"[..]));
        let file = Field {
            name: "file".into(),
            file_name: Some("a b.png".into()),
            content_type: Some("image/png".into()),
            bytes: b"\x89PNG\r\n--x\r\n\0\xff".to_vec(),
        };
        assert_eq!(fields[1], file);
    }

    #[test]
    fn broken_forms_say_what_is_wrong() {
        let rows = [
            ("text/plain", "", "a form cannot be of the type 'text/plain'"),
            ("multipart/form-data", "", "multipart body without a boundary"),
            ("multipart/form-data; boundary=x", "hello", "the body does not begin with its boundary"),
            ("multipart/form-data; boundary=x", "--x\r\na", "the last part does not end"),
            (
                "multipart/form-data; boundary=x",
                "--x\r\na\r\n--x--",
                "a part has no blank line after its head",
            ),
            ("multipart/form-data; boundary=x", "--x", "a boundary is not followed by a line end"),
        ];
        for (kind, body, reason) in rows {
            assert_eq!(read(kind, body.as_bytes()).unwrap_err(), reason);
        }
    }

    #[test]
    fn a_form_in_one_line_is_decoded() {
        let body = b"download_url=https%3A%2F%2Fa.b%2Fc%20d.png%3Fe&download_filename=c+d.png";
        let fields = read("application/x-www-form-urlencoded", body).unwrap();
        assert_eq!(fields[0].bytes, b"https://a.b/c d.png?e");
        assert_eq!(fields[1].bytes, b"c d.png");
    }

    #[test]
    fn percent_encoding_goes_both_ways() {
        assert_eq!(encode("ä b/c.png"), "%C3%A4%20b%2Fc.png");
        assert_eq!(decode(&encode("ä b/c.png")), "ä b/c.png");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz"), "%zz");
    }
}
