//! Naming a place in JSON text: by JSON pointer (RFC 6901), and by line and column.

use super::text::Text;

/// The JSON pointer of the value in which byte `at` stands, for text that is JSON up to there.
pub fn pointer_at(text: &str, at: usize) -> String {
    enum Step<'a> {
        Key(Option<Text<'a>>, bool),
        Index(usize),
    }
    let bytes = text.as_bytes();
    let mut steps: Vec<Step> = Vec::new();
    let mut i = 0;
    while i < at.min(bytes.len()) {
        match bytes[i] {
            b'{' => steps.push(Step::Key(None, true)),
            b'[' => steps.push(Step::Index(0)),
            b'}' | b']' => drop(steps.pop()),
            b':' => {
                if let Some(Step::Key(_, naming)) = steps.last_mut() {
                    *naming = false;
                }
            }
            b',' => match steps.last_mut() {
                Some(Step::Key(key, naming)) => (*key, *naming) = (None, true),
                Some(Step::Index(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let start = i + 1;
                i = start;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                if let (Some(Step::Key(key, true)), true) = (steps.last_mut(), i < at)
                    && let Some(name) = text.get(start..i)
                {
                    *key = Some(Text::new(name, name.contains('\\')));
                }
            }
            _ => {}
        }
        i += 1;
    }
    let mut pointer = String::new();
    for step in &steps {
        match step {
            Step::Key(Some(key), _) => push_step(&mut pointer, &key.decode()),
            Step::Key(None, _) => {}
            Step::Index(index) => push_step(&mut pointer, &index.to_string()),
        }
    }
    pointer
}

/// Adds one step to a JSON pointer (RFC 6901).
pub fn push_step(pointer: &mut String, step: &str) {
    pointer.push('/');
    for c in step.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(c),
        }
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    (
        line,
        String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
    )
}
