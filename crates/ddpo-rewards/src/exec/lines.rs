//! The lines that a reward program prints.

use std::io::{BufRead, BufReader, Read, Write};

use crate::protocol::{Reply, read_reply, shortened};

/// More than any answer has. A line that does not end would otherwise fill the memory.
const LONGEST: u64 = 1 << 24;

/// What the standard output of a program tells.
pub enum Line {
    /// An answer, or what was meant as one, and how it begins.
    Reply(Reply, String),
    /// A line that is no answer, which has been passed on: how it begins.
    Skipped(String),
}

/// Hands the lines of `output` to `take` until it wants no more; what is no answer goes on to the standard error, where messages
/// belong. The error is why there are no more lines: the end, where nothing went wrong.
pub fn read(output: impl Read, mut take: impl FnMut(Line) -> bool) -> std::io::Error {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match output.by_ref().take(LONGEST).read_until(b'\n', &mut bytes) {
            Ok(0) => return std::io::ErrorKind::UnexpectedEof.into(),
            Ok(length) if length as u64 == LONGEST => {
                return std::io::Error::other(format!("it printed a line of more than {LONGEST} bytes"));
            }
            Ok(_) => {}
            Err(error) => return error,
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = match read_reply(&text) {
            Reply::Chatter => {
                pass_on(&bytes);
                Line::Skipped(shortened(&text))
            }
            reply => Line::Reply(reply, shortened(&text)),
        };
        if !take(line) {
            return std::io::ErrorKind::Interrupted.into();
        }
    }
}

/// Where the program's own standard error goes. Nothing can be done about one that is closed.
fn pass_on(line: &[u8]) {
    let _ = std::io::stderr().lock().write_all(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_picked_out_of_whatever_else_is_printed() {
        let printed: &[u8] = b"loading \xff\n\n[0.5]\n{\"id\": 1, \"scores\": [1]}\n0.5";
        let mut lines = Vec::new();
        let end = read(printed, |line| {
            lines.push(match line {
                Line::Reply(reply, text) => format!("{text} is {reply:?}"),
                Line::Skipped(text) => format!("{text} is skipped"),
            });
            true
        });
        assert_eq!(
            lines,
            [
                "loading \u{fffd} is skipped",
                " is skipped",
                "[0.5] is Scores { id: None, scores: [0.5] }",
                "{\"id\": 1, \"scores\": [1]} is Scores { id: Some(1), scores: [1.0] }",
                "0.5 is Malformed",
            ]
        );
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let end = read(std::io::repeat(b'x'), |_| true);
        assert_eq!(end.to_string(), "it printed a line of more than 16777216 bytes");
    }
}
