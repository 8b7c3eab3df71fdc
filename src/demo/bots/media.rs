//! Bots that send files, one that makes a video, and one that rejects files.

use super::Turn;
use super::talk::echoed;
use crate::demo::script::{
    EVEN, Script, Step, error, file, pause, pieces, replace, say, stream, text, whole,
};

/// The paths and bytes of the files that bots send: path, MIME type, content in base64.
pub const MEDIA: &[(&str, &str, &str)] = &[
    ("/art/cat.png", "image/png", CAT),
    ("/art/hello.wav", "audio/wav", HELLO),
    ("/art/orange.mp4", "video/mp4", ORANGE),
    ("/art/report.csv", "text/csv", "YSxiCjEsMgo="),
    ("/art/notes.txt", "text/plain", "Q2F0cyBhcmUgcm91bmQuCg=="),
];

/// A PNG of 16 × 16 pixels. Cats are round.
const CAT: &str = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAABQElEQVR42pXSoY7dMBBA0f264GDDyCjAwMgyHGgZGRgYXRkOtIIMAoKq\
    /FRb6VVptd1dtZcNOGRm3r7/Z2/v5s2xBTZhy2yVDb4Cu2V37IFd2DN7ZYdd+Rh4g7d4hw94wWd8xYNX/MF7EFeiIVqiIwaiEDOxEiEq8SCe/AayICti\
    EIs4JCCCZKQiIIocyIl84xdIC2klGZIlOVIgCSmTKgmSkg7SSXpAWSgrxVAsxVECRSiZUilQlHJQTsoD2kJbaYZmaY4WaELLtEqDprSDdtIe0Bf6Sjd0\
    S3f0QBd6plc6dKUf9JP+AF3QFTWoRR0aUEEzWlFQRQ/0RB/ws7EyDMMyHCMwhJEZlQFDGQfjz7W+moZpmY4ZmMLMzMqEqcy/D/fqslyOK3AJV+aqXHB9\
    9hqvbscduIU7c1fur5/vX/oBiaI6H+yi0ckAAAAASUVORK5CYII=";

/// A WAV file of a fiftieth of a second: a hum.
const HELLO: &str = "UklGRsQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YaAAAABESlBWXGJobnR6gIaMkpiepKqwtkRKUFZcYmhudHqAhoySmJ6kqr\
    C2REpQVlxiaG50eoCGjJKYnqSqsLZESlBWXGJobnR6gIaMkpiepKqwtkRKUFZcYmhudHqAhoySmJ6kqrC2REpQVlxiaG50eoCGjJKYnqSqsLZE\
    SlBWXGJobnR6gIaMkpiepKqwtkRKUFZcYmhudHqAhoySmJ6kqrC2";

/// An MP4 of one second in H.264: orange.
const ORANGE: &str = "AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAAMMbW9vdgAAAGxtdmhkAAAAAAAAAAAAAAAAAAAD6AAAA+gAAQAAAQAAAAAAAAAAAAAAAA\
    EAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAAAlt0cmFrAAAAXHRraGQAAAADAAAA\
    AAAAAAAAAAABAAAAAAAAA+gAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAABAAAAAABAAAAAQAAAAAAAkZWR0cw\
    AAABxlbHN0AAAAAAAAAAEAAAPoAAAAAAABAAAAAAHTbWRpYQAAACBtZGhkAAAAAAAAAAAAAAAAAABAAAAAQABVxAAAAAAALWhkbHIAAAAAAAAAAHZp\
    ZGUAAAAAAAAAAAAAAABWaWRlb0hhbmRsZXIAAAABfm1pbmYAAAAUdm1oZAAAAAEAAAAAAAAAAAAAACRkaW5mAAAAHGRyZWYAAAAAAAAAAQAAAAx1cm\
    wgAAAAAQAAAT5zdGJsAAAAvnN0c2QAAAAAAAAAAQAAAK5hdmMxAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAABAAEABIAAAASAAAAAAAAAABDExhdmMg\
    bGlieDI2NAAAAAAAAAAAAAAAAAAAAAAAAAAAGP//AAAANGF2Y0MBZAAK/+EAF2dkAAqs2V7ARAAAAwAEAAADABA8SJZYAQAGaOvjyyLA/fj4AAAAAB\
    BwYXNwAAAAAQAAAAEAAAAUYnRydAAAAAAAAAEwAAAAAAAAABhzdHRzAAAAAAAAAAEAAAACAAAgAAAAABRzdHNzAAAAAAAAAAEAAAABAAAAHHN0c2MA\
    AAAAAAAAAQAAAAEAAAACAAAAAQAAABxzdHN6AAAAAAAAAAAAAAACAAAAGgAAAAwAAAAUc3RjbwAAAAAAAAABAAADPAAAAD11ZHRhAAAANW1ldGEAAA\
    AAAAAAIWhkbHIAAAAAAAAAAG1kaXJhcHBsAAAAAAAAAAAAAAAACGlsc3QAAAAIZnJlZQAAAC5tZGF0AAAAFmWIhAAU//7s2n4FNcYjZ9U2VeplQoEA\
    AAAIQZohbEEv/uA=";

const CAT_REF: &str = "f3a9c1";

fn cat(turn: &Turn, inline_ref: Option<&str>) -> Step {
    file(format!("{}/art/cat.png", turn.base), "image/png", "cat.png", inline_ref)
}

fn caption(turn: &Turn) -> String {
    match turn.query.attachments().count() {
        0 => "Here is your cat:".into(),
        count => format!("Here is your cat, painted after {count} of your pictures:"),
    }
}

fn rows() -> Vec<Step> {
    (1..=3).flat_map(|second| [replace(format!("Generating image ({second}s)…")), pause(200)]).collect()
}

/// Progress, the file, and then the text that refers to it.
pub fn image_bot(turn: &Turn) -> Script {
    let mut steps = rows();
    steps.push(cat(turn, Some(CAT_REF)));
    steps.push(replace(caption(turn)));
    steps.extend(pieces(&format!("\n\n![cat][{CAT_REF}]"), &[5]));
    whole(steps)
}

/// The text first, with the reference alone; the file after it.
pub fn late(turn: &Turn) -> Script {
    let mut steps = rows();
    steps.push(replace(caption(turn)));
    steps.extend(pieces(&format!("\n\n[{CAT_REF}]\n"), &[3]));
    steps.push(cat(turn, Some(CAT_REF)));
    whole(steps)
}

/// As most media bots answer through Poe's native endpoints: no `file` event at all.
pub fn link(turn: &Turn) -> Script {
    let link = format!("{}/art/cat.png", turn.base);
    whole([rows(), vec![replace(format!("![cat.png]({link})\n\n{link}"))]].concat())
}

/// Sound as a file, with nothing said about it.
pub fn voice(turn: &Turn) -> Script {
    whole(vec![file(format!("{}/art/hello.wav", turn.base), "audio/wav", "hello.wav", None)])
}

/// As audio bots answer through Poe's native endpoints: the bare link.
pub fn voice_link(turn: &Turn) -> Script {
    say(&format!("{}/art/hello.wav", turn.base))
}

/// Rows of progress with percentages, and the file.
pub fn video(turn: &Turn) -> Script {
    let bar = |done: usize| format!("{}{} {done}0%", "█".repeat(done), "░".repeat(10 - done));
    let rows = (0..=10).step_by(2).flat_map(|done| [replace(bar(done)), pause(150)]);
    let film = file(format!("{}/art/orange.mp4", turn.base), "video/mp4", "orange.mp4", None);
    whole([replace("Generating video (1s)…")].into_iter().chain(rows).chain([replace(""), film]).collect())
}

/// As video bots answer through Poe's native endpoints: the bare link.
pub fn video_link(turn: &Turn) -> Script {
    say(&format!("{}/art/orange.mp4", turn.base))
}

/// Half of a video, and then nothing for minutes.
pub fn video_slow(_: &Turn) -> Script {
    stream(vec![replace("Generating video… 50%"), Step::Stall])
}

/// A picture on a foreign host, from which it must not be fetched.
pub fn foreign(turn: &Turn) -> Script {
    let elsewhere = turn.base.replace("127.0.0.1", "localhost");
    say(&format!("![cat]({elsewhere}/art/cat.png)"))
}

/// One file that the text refers to, and one without a reference.
pub fn reporter(turn: &Turn) -> Script {
    let at = |name: &str| format!("{}/art/{name}", turn.base);
    whole(vec![
        file(at("report.csv"), "text/csv", "report.csv", Some("b2d4")),
        text("The numbers are in [b2d4]."),
        file(at("notes.txt"), "text/plain", "notes.txt", None),
    ])
}

/// Poe promises for minutes only that an attachment stays where it is.
pub fn dead_file(turn: &Turn) -> Script {
    match turn.dead_file {
        Some(url) => stream(vec![error(false, None, &format!("Failed to fetch attachment: {url}"))]),
        None if turn.query.attachments().next().is_none() => {
            say("Attach a file and I will look whether it is there.")
        }
        None => whole(pieces(&echoed(turn.query), EVEN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::bots::tests::{steps, text as said};
    use crate::demo::query::tests::asking;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    #[test]
    fn the_painting_is_a_png_and_every_work_decodes() {
        assert!(BASE64_STANDARD.decode(CAT).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        assert!(MEDIA.iter().all(|(_, _, content)| BASE64_STANDARD.decode(content).is_ok()));
    }

    #[test]
    fn the_file_comes_before_the_text_or_after_it() {
        let place = |bot: &str| {
            let steps = steps(bot, &asking("a cat"));
            let files: Vec<usize> = (0..steps.len())
                .filter(|at| matches!(steps[*at], Step::Event { name: "file", .. }))
                .collect();
            (said(&steps), files[0] + 2 == steps.len())
        };
        assert_eq!(place("demo-painter"), ("Here is your cat:\n\n![cat][f3a9c1]".into(), false));
        assert_eq!(place("demo-painter-late"), ("Here is your cat:\n\n[f3a9c1]\n".into(), true));
    }

    #[test]
    fn a_dead_file_is_an_error() {
        let query = asking("look");
        let turn = Turn { query: &query, nth: 1, base: "", dead_file: Some("http://gone") };
        let Script::Stream(mut steps) = dead_file(&turn) else { panic!("no stream") };
        assert_eq!(steps.next(), Some(error(false, None, "Failed to fetch attachment: http://gone")));
    }
}
