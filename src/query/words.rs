//! Full text: what `q=` says, and the words that a text has.
//!
//! `q` holds words, `"phrases"`, `-not` and `OR`. All of it must be found, in the message or in the details; `OR`
//! binds closer than the rest: `login alice OR bob` is `login` and one of the two. A word with signs in it, such as a
//! mail address, is a phrase of its parts.
//!
//! A word is a run of ASCII letters and digits and of anything beyond ASCII, ASCII letters in lower case: exactly
//! what ClickHouse's `splitByNonAlpha` finds in `lower(text)`, so that both sides agree.

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

    /// Whether a text, lower case or not, satisfies this.
    pub fn hold_in(&self, text: &str) -> bool {
        if self.is_empty() {
            return true;
        }
        let words = tokens(text);
        let found = |term: &Term| words.windows(term.words.len()).any(|window| window == term.words);
        self.groups.iter().all(|group| group.iter().any(|term| found(term) != term.negated))
    }
}

/// The words of a text.
pub fn tokens(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

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
            None => body.split_at(body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len())),
        };
        pieces.push(match (word, negated, body.starts_with('"')) {
            ("OR", false, false) => Piece::Or,
            _ => Piece::Term { text: word.to_owned(), negated },
        });
        rest = after.trim_start();
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(q: &str, text: &str) -> bool {
        Words::parse(q).unwrap().hold_in(text)
    }

    #[test]
    fn every_word_must_be_found_and_or_binds_closer() {
        let text = "Anna changed DOC-17 from draft to review";
        for q in ["anna", "ANNA review", "\"from draft\"", "anna -ben", "carl OR anna doc", "doc-17", "-\"to draft\""] {
            assert!(holds(q, text), "{q}");
        }
        for q in ["ann", "anna ben", "\"draft from\"", "-anna", "anna carl OR ben", "doc-18", "17-doc", "-doc-17"] {
            assert!(!holds(q, text), "{q}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for q in ["OR", "a OR", "OR a", "a OR OR b", "\"open", "a \"", "---", "%%", &"a ".repeat(65)] {
            assert!(Words::parse(q).is_err(), "{q}");
        }
        assert!(Words::parse("  ").unwrap().is_empty());
        assert_eq!(Words::parse("a - b \"or\" or").unwrap().groups.len(), 4);
    }

    #[test]
    fn words_beyond_ascii_stay_whole_and_as_they_are() {
        assert_eq!(tokens("Zoë's ÉTÉ-2026…x"), ["zoë", "s", "ÉtÉ", "2026…x"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(q in any::<String>(), text in any::<String>()) {
            if let Ok(words) = Words::parse(&q) {
                words.hold_in(&text);
            }
        }

        #[test]
        fn a_text_holds_its_own_words(text in any::<String>()) {
            let words = tokens(&text);
            prop_assume!(!words.is_empty() && words.len() <= WORDS_MAX);
            let whole = Words { groups: vec![vec![Term { words, negated: false }]] };
            prop_assert!(whole.hold_in(&text));
        }
    }
}
