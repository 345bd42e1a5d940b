//! Full text: what `q=` says, and the words that a text has.
//!
//! `q` holds words, `"phrases"`, `-not` and `OR`. All of it must be found, in the message or in the details; `OR`
//! binds closer than the rest: `login alice OR bob` is `login` and one of the two. A word with signs in it, such as a
//! mail address, is a phrase of its parts.
//!
//! A word is a run of letters, marks and digits of any script, in lower case: what ClickHouse's `splitByNonAlpha` finds
//! in the column `search_text`, so that both sides agree. Scripts that set no blanks between words are not taken apart.

use std::sync::LazyLock;

use regex::Regex;

/// A requirement on a text: every group must have a term that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The groups; none: every text will do.
    pub groups: Vec<Vec<Term>>,
}

/// A word or a phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its words, one or more; they must follow one another.
    pub words: Vec<String>,
    /// Whether it must not be found instead.
    pub negated: bool,
}

/// The most words of one search: the server's bound on the tokens of one index lookup.
pub const WORDS_MAX: usize = 64;

impl Words {
    /// Reads `q`. What it says in words is complete where something is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut groups: Vec<Vec<Term>> = Vec::new();
        let mut or = false;
        for piece in pieces(text)? {
            match piece {
                Piece::Or if groups.is_empty() || or => {
                    return Err("OR stands between two words or phrases".to_owned());
                }
                Piece::Or => or = true,
                Piece::Term { text, negated } => {
                    let words = tokens(&text);
                    if words.is_empty() {
                        // Signs alone are no word in the index either: "a - b" asks for a and b.
                        continue;
                    }
                    let term = Term { words, negated };
                    match groups.last_mut() {
                        Some(group) if or => group.push(term),
                        _ => groups.push(vec![term]),
                    }
                    or = false;
                }
            }
        }
        if or {
            return Err("OR stands between two words or phrases".to_owned());
        }
        if groups.is_empty() && !text.trim().is_empty() {
            return Err("there is no word in it: words are letters and digits".to_owned());
        }
        let count: usize = groups.iter().flatten().map(|term| term.words.len()).sum();
        if count > WORDS_MAX {
            return Err(format!("{count} words are too many; at most {WORDS_MAX}"));
        }
        Ok(Self { groups })
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// The words of a text.
pub fn tokens(text: &str) -> Vec<String> {
    if text.is_ascii() {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        return words
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
    }
    let words = BETWEEN_WORDS
        .split(&text.to_lowercase())
        .map(str::to_owned)
        .collect::<Vec<_>>();
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// As `projections/0001_events.sql` has it.
#[allow(clippy::expect_used)] // a constant, which a test reads
static BETWEEN_WORDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[^\p{L}\p{M}\p{N}]+").expect("a regular expression"));

enum Piece {
    Or,
    Term { text: String, negated: bool },
}

/// Splits at blanks, except inside double quotes.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (negated, body) = match rest.strip_prefix('-') {
            Some(body) if !body.is_empty() && !body.starts_with(char::is_whitespace) => (true, body),
            _ => (false, rest),
        };
        let (word, after) = match body.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a phrase lacks its closing quote")?,
            None => body.split_at(
                body.find(|c: char| c.is_whitespace() || c == '"')
                    .unwrap_or(body.len()),
            ),
        };
        pieces.push(match (word, negated, body.starts_with('"')) {
            ("OR", false, false) => Piece::Or,
            _ => Piece::Term {
                text: word.to_owned(),
                negated,
            },
        });
        rest = after.trim_start();
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Groups in brackets, phrases in quotes.
    fn read(q: &str) -> String {
        let term = |term: &Term| {
            format!(
                "{}{:?}",
                if term.negated { "-" } else { "" },
                term.words.join(" ")
            )
        };
        let group = |group: &Vec<Term>| group.iter().map(term).collect::<Vec<_>>().join(" OR ");
        let groups = Words::parse(q).unwrap().groups;
        groups.iter().map(|found| format!("({})", group(found))).collect()
    }

    #[test]
    fn every_word_must_be_found_and_or_binds_closer() {
        for (q, expected) in [
            ("anna", r#"("anna")"#),
            ("ANNA  Review", r#"("anna")("review")"#),
            (r#""from Draft""#, r#"("from draft")"#),
            ("anna -ben", r#"("anna")(-"ben")"#),
            ("carl OR anna doc", r#"("carl" OR "anna")("doc")"#),
            ("a OR b OR -c d", r#"("a" OR "b" OR -"c")("d")"#),
            ("doc-17", r#"("doc 17")"#),
            (r#"-"to draft""#, r#"(-"to draft")"#),
            ("-doc-17", r#"(-"doc 17")"#),
            ("ann@example.com", r#"("ann example com")"#),
            ("a - b \"or\" or", r#"("a")("b")("or")("or")"#),
        ] {
            assert_eq!(read(q), expected, "{q}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for q in [
            "OR",
            "a OR",
            "OR a",
            "a OR OR b",
            "\"open",
            "a \"",
            "---",
            "%%",
            &"a ".repeat(65),
        ] {
            assert!(Words::parse(q).is_err(), "{q}");
        }
        assert!(Words::parse("  ").unwrap().is_empty());
    }

    #[test]
    fn words_are_letters_and_digits_of_any_script() {
        for (text, words) in [
            ("Zoë's ÉTÉ-2026…x", vec!["zoë", "s", "été", "2026", "x"]),
            ("“hello”—world\u{a0}again", vec!["hello", "world", "again"]),
            ("ΟΔΟΣ İstanbul STRAẞE", vec!["οδος", "i\u{307}stanbul", "straße"]),
            ("日本語。句点", vec!["日本語", "句点"]),
            ("e\u{301}te\u{301} 😀", vec!["e\u{301}te\u{301}"]),
        ] {
            assert_eq!(tokens(text), words, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(q in any::<String>()) {
            let _ = Words::parse(&q);
        }

        #[test]
        fn a_quoted_text_asks_for_its_own_words(text in "[^\"]*") {
            let words = tokens(&text);
            prop_assume!(!words.is_empty() && words.len() <= WORDS_MAX);
            let whole = vec![vec![Term { words, negated: false }]];
            prop_assert_eq!(Words::parse(&format!("\"{text}\"")).map(|words| words.groups), Ok(whole));
        }
    }
}
