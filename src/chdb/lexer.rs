//! Words, strings and brackets of a statement: as much of SQL as framing needs, and no more. Nothing here decides
//! what a statement may do; that is the engine's business.

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: keyword, name or number.
    Word,
    /// A name in back or double quotes.
    Quoted,
    /// A string literal, a heredoc among them.
    Text,
    /// Any other single character.
    Mark(u8),
    /// A quote or comment that the text ends in.
    Open,
}

/// A piece of the statement between two byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// How many brackets are open around it.
    pub depth: usize,
}

impl Token {
    /// Whether this is the given keyword, in any case.
    pub(super) fn is(&self, text: &[u8], keyword: &str) -> bool {
        self.kind == Kind::Word && text[self.start..self.end].eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// Whether this is a name, quoted or not.
    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }
}

/// Walks the tokens of a statement, leaving out white space and comments.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Skips white space and comments; false when a comment has no end.
    fn skip(&mut self) -> bool {
        loop {
            let rest = self.rest();
            match rest {
                [b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0, ..] => self.at += 1,
                [0xc2, 0xa0, ..] => self.at += 2,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => self.at += line_length(rest),
                [b'/', b'*', ..] => match find(&rest[2..], b"*/") {
                    Some(length) => self.at += length + 4,
                    None => return false,
                },
                _ => return true,
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let closed = self.skip();
        let start = self.at;
        let rest = self.rest();
        let first = *rest.first()?;
        let mut depth = self.depth;
        let (kind, length) = match first {
            _ if !closed => (Kind::Open, rest.len()),
            b'\'' => quoted(rest, Kind::Text),
            b'`' | b'"' => quoted(rest, Kind::Quoted),
            b'$' => heredoc(rest).unwrap_or((Kind::Mark(b'$'), 1)),
            0xe2 if matches!(rest, [_, 0x80, 0x98, ..]) => between(rest, &[0xe2, 0x80, 0x99], Kind::Text),
            0xe2 if matches!(rest, [_, 0x80, 0x9c, ..]) => between(rest, &[0xe2, 0x80, 0x9d], Kind::Quoted),
            b'(' | b'[' | b'{' => {
                self.depth += 1;
                (Kind::Mark(first), 1)
            }
            b')' | b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                depth = self.depth;
                (Kind::Mark(first), 1)
            }
            _ if is_word(first) => (Kind::Word, rest.iter().take_while(|byte| is_word(**byte)).count()),
            _ => (Kind::Mark(first), 1),
        };
        self.at = start + length;
        Some(Token {
            kind,
            start,
            end: self.at,
            depth,
        })
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_length(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len())
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// A quote ends at the same quote, unless that is doubled or stands behind a backslash.
fn quoted(text: &[u8], kind: Kind) -> (Kind, usize) {
    let quote = text[0];
    let mut at = 1;
    while at < text.len() {
        if text[at] == b'\\' {
            at += 2;
        } else if text[at] != quote {
            at += 1;
        } else if text.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return (kind, at + 1);
        }
    }
    (Kind::Open, text.len())
}

fn between(text: &[u8], end: &[u8], kind: Kind) -> (Kind, usize) {
    match find(&text[3..], end) {
        Some(length) => (kind, length + 6),
        None => (Kind::Open, text.len()),
    }
}

/// `$tag$ … $tag$`.
fn heredoc(text: &[u8]) -> Option<(Kind, usize)> {
    let tag = 2 + text[1..]
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    if text[tag - 1] != b'$' {
        return None;
    }
    let length = find(&text[tag..], &text[..tag])?;
    Some((Kind::Text, length + 2 * tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        Lexer::new(text.as_bytes())
            .map(|token| &text[token.start..token.end])
            .collect()
    }

    #[test]
    fn comments_and_quotes_hide_what_is_in_them() {
        assert_eq!(
            words("select 'it''s \\' format', /* format */ `a``b` -- format\n x # y\n"),
            ["select", "'it''s \\' format'", ",", "`a``b`", "x"]
        );
        assert_eq!(
            words("select $a$ 'format $a$ , $$x$$"),
            ["select", "$a$ 'format $a$", ",", "$$x$$"]
        );
    }

    #[test]
    fn an_open_quote_or_comment_is_told() {
        for text in ["select 'abc", "select /* abc", "select `a\\`"] {
            assert_eq!(
                Lexer::new(text.as_bytes()).last().map(|token| token.kind),
                Some(Kind::Open),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_walked_to_their_end(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut at = 0;
            for token in Lexer::new(&text) {
                assert!(token.start >= at && token.end > token.start && token.end <= text.len());
                at = token.end;
            }
        }
    }
}
