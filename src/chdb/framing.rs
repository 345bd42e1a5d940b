//! Where the parts of a statement are: its `FORMAT`, the data that follow an `INSERT`, the places where our own
//! `INTO OUTFILE` and `FROM INFILE` belong. The engine does not stream results and reads binary data wrongly from
//! the text, so rows leave through a pipe and data come in from a file, and both must be named in the statement.

use super::exception::Exception;
use super::lexer::{Kind, Lexer, Token};

/// A statement, taken apart as far as needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// Answers rows, which can be sent through a pipe. `query` ends before `FORMAT`; `settings` is what follows it.
    Rows {
        query: Vec<u8>,
        format: Option<String>,
        settings: Vec<u8>,
    },
    /// `INSERT` with data in `format`, starting at byte `data` of the text. `head` ends where `FROM INFILE`
    /// belongs; `settings` stood between it and the format.
    Insert {
        head: Vec<u8>,
        settings: Vec<u8>,
        format: String,
        data: usize,
    },
    /// `KILL QUERY`: has its own lane, so that a full house can be emptied.
    Kill { statement: Vec<u8> },
    /// Anything else: run as it is, its answer small. `format` is only what the answer's header says.
    Plain {
        statement: Vec<u8>,
        format: Option<String>,
    },
}

/// Takes a statement apart. `complete` says whether `text` is all there is; an `INSERT` needs its head only, and
/// `None` asks for more text.
pub(super) fn frame(text: &[u8], complete: bool) -> Result<Option<Frame>, Exception> {
    let Some(first) = Lexer::new(text).next() else {
        return if complete {
            Err(syntax("Empty query"))
        } else {
            Ok(None)
        };
    };
    if first.is(text, "INSERT")
        && let Some(insert) = insert(text, complete)
    {
        return Ok(Some(insert));
    }
    if !complete {
        return Ok(None);
    }
    let (tokens, end) = single_statement(text)?;
    let statement = &text[..end];
    let is = |keyword| first.is(text, keyword);
    if is("KILL") {
        return Ok(Some(Frame::Kill {
            statement: name_our_query_ids(statement, &tokens),
        }));
    }
    let (query, format, settings) = split_format(statement, &tokens);
    let answers_rows = ["SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS"]
        .into_iter()
        .any(is)
        || first.kind == Kind::Mark(b'(');
    let writes = tokens
        .iter()
        .any(|token| token.depth == 0 && token.is(text, "INSERT"));
    Ok(Some(match answers_rows && !writes {
        true => Frame::Rows {
            query: query.to_vec(),
            format,
            settings: settings.to_vec(),
        },
        false => Frame::Plain {
            statement: statement.to_vec(),
            format,
        },
    }))
}

/// The tokens up to the first `;` outside brackets and that place. Anything behind it is a second statement.
fn single_statement(text: &[u8]) -> Result<(Vec<Token>, usize), Exception> {
    let mut tokens: Vec<Token> = Lexer::new(text).collect();
    let Some(at) = tokens
        .iter()
        .position(|token| token.kind == Kind::Mark(b';') && token.depth == 0)
    else {
        return Ok((tokens, text.len()));
    };
    if tokens[at..].iter().any(|token| token.kind != Kind::Mark(b';')) {
        return Err(syntax("Multi-statements are not allowed"));
    }
    if at == 0 {
        return Err(syntax("Empty query"));
    }
    let end = tokens[at].start;
    tokens.truncate(at);
    Ok((tokens, end))
}

/// Splits `query FORMAT name [SETTINGS …]` at its end.
fn split_format<'a>(text: &'a [u8], tokens: &[Token]) -> (&'a [u8], Option<String>, &'a [u8]) {
    let found = tokens.iter().enumerate().rev().find(|(at, token)| {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let after = tokens.get(at + 2);
        token.depth == 0
            && token.is(text, "FORMAT")
            && before.is_some_and(|token| {
                token.kind != Kind::Mark(b'.')
                    && !["SELECT", "FROM", "JOIN", "AS", "BY", "WHERE"]
                        .iter()
                        .any(|word| token.is(text, word))
            })
            && tokens.get(at + 1).is_some_and(Token::is_name)
            && after.is_none_or(|token| token.is(text, "SETTINGS"))
    });
    let Some((at, format)) = found else {
        return (text, None, &[]);
    };
    let name = tokens[at + 1];
    (
        &text[..format.start],
        Some(unquote(&text[name.start..name.end])),
        &text[name.end..],
    )
}

/// `INSERT INTO [TABLE] [FUNCTION] name … [SETTINGS …] FORMAT name` or `… VALUES`; `None` for one that selects,
/// or whose head is not all here.
fn insert(text: &[u8], complete: bool) -> Option<Frame> {
    let mut tokens = Lexer::new(text).peekable();
    let mut settings_at = None;
    tokens.next();
    tokens.next_if(|token| token.is(text, "INTO"));
    tokens.next_if(|token| token.is(text, "TABLE"));
    tokens.next_if(|token| token.is(text, "FUNCTION"));
    tokens.next();
    while tokens.next_if(|token| token.kind == Kind::Mark(b'.')).is_some() {
        tokens.next();
    }
    while let Some(token) = tokens.next() {
        if token.depth > 0 || token.kind != Kind::Word {
            continue;
        }
        if token.is(text, "SETTINGS") {
            settings_at = Some(token.start);
        } else if token.is(text, "VALUES") {
            let (head, settings) = cut(text, settings_at, token.start);
            return Some(Frame::Insert {
                head,
                settings,
                format: "Values".to_owned(),
                data: token.end,
            });
        } else if token.is(text, "FORMAT") {
            let name = tokens.next().filter(Token::is_name)?;
            if name.end == text.len() && !complete {
                return None;
            }
            let (head, settings) = cut(text, settings_at, token.start);
            let format = unquote(&text[name.start..name.end]);
            return Some(Frame::Insert {
                head,
                settings,
                format,
                data: data_start(text, name.end),
            });
        } else if ["SELECT", "WITH", "FROM", "WATCH"]
            .iter()
            .any(|word| token.is(text, word))
        {
            return None;
        }
    }
    None
}

fn cut(text: &[u8], settings_at: Option<usize>, format_at: usize) -> (Vec<u8>, Vec<u8>) {
    let at = settings_at.unwrap_or(format_at);
    (text[..at].to_vec(), text[at..format_at].to_vec())
}

/// Data start after the first line end behind the format's name, or after the blanks when there is none.
fn data_start(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if text.get(at) == Some(&b';') {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// The engine names queries itself; a client's `query_id` travels as `log_comment`. In `KILL QUERY WHERE query_id`
/// the client's name is meant.
fn name_our_query_ids(statement: &[u8], tokens: &[Token]) -> Vec<u8> {
    let mut named = Vec::with_capacity(statement.len() + 64);
    let mut at = 0;
    for token in tokens.iter().filter(|token| token.is(statement, "query_id")) {
        named.extend_from_slice(&statement[at..token.start]);
        named.extend_from_slice(b"if(Settings['log_comment'] = '', query_id, Settings['log_comment'])");
        at = token.end;
    }
    named.extend_from_slice(&statement[at..]);
    named
}

fn unquote(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_matches(['`', '"']).to_owned()
}

fn syntax(message: &str) -> Exception {
    Exception::new(62, "SYNTAX_ERROR", format!("Syntax error: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str) -> Frame {
        frame(text.as_bytes(), true)
            .expect("a statement")
            .expect("complete")
    }

    fn rows(text: &str) -> (String, Option<String>, String) {
        match framed(text) {
            Frame::Rows {
                query,
                format,
                settings,
            } => (
                String::from_utf8(query).unwrap(),
                format,
                String::from_utf8(settings).unwrap(),
            ),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_format_is_found_at_the_end_only() {
        assert_eq!(rows("SELECT 1"), ("SELECT 1".into(), None, String::new()));
        assert_eq!(rows("SELECT 1;"), ("SELECT 1".into(), None, String::new()));
        assert_eq!(
            rows("SELECT 1\n FORMAT JSON"),
            ("SELECT 1\n ".into(), Some("JSON".into()), String::new())
        );
        assert_eq!(
            rows("select 1 format CSV settings max_threads=1 ;"),
            (
                "select 1 ".into(),
                Some("CSV".into()),
                " settings max_threads=1 ".into()
            )
        );
        for text in [
            "SELECT format FROM t",
            "SELECT a AS format FROM t",
            "SELECT 'x FORMAT JSON'",
            "SELECT format('{}', a)",
            "SELECT * FROM format f",
            "SELECT * FROM (SELECT 1 FORMAT JSON)",
            "SELECT 1 -- FORMAT JSON",
        ] {
            assert_eq!(rows(text).1, None, "{text}");
        }
    }

    #[test]
    fn an_insert_is_cut_at_its_data() {
        let text = "INSERT INTO db.`values` (a, format) SETTINGS x=1 FORMAT RowBinary\r\n\0\x01;";
        let Frame::Insert {
            head,
            settings,
            format,
            data,
        } = framed(text)
        else {
            panic!()
        };
        assert_eq!(head, b"INSERT INTO db.`values` (a, format) ");
        assert_eq!(settings, b"SETTINGS x=1 ");
        assert_eq!(format, "RowBinary");
        assert_eq!(&text[data..], "\0\x01;");
        let Frame::Insert { format, data, .. } = framed("insert into t values (1,';'), (2)") else {
            panic!()
        };
        assert_eq!((format.as_str(), data), ("Values", 20));
        let Frame::Insert { head, .. } = framed("INSERT INTO format FORMAT CSV") else {
            panic!()
        };
        assert_eq!(head, b"INSERT INTO format ");
    }

    #[test]
    fn other_statements_are_left_alone() {
        for text in [
            "INSERT INTO t SELECT 1",
            "INSERT INTO t (a) WITH 1 AS x SELECT x FORMAT Null",
            "CREATE TABLE t (a Int8) ENGINE = Memory",
            "WITH 1 AS x INSERT INTO t SELECT x",
            "EXPLAIN SELECT 1",
        ] {
            assert!(matches!(framed(text), Frame::Plain { .. }), "{text}");
        }
        assert!(matches!(
            framed("/* c */ (SELECT 1) UNION ALL (SELECT 2)"),
            Frame::Rows { .. }
        ));
    }

    #[test]
    fn a_head_without_its_end_asks_for_more() {
        assert_eq!(frame(b"INSERT INTO t (a", false), Ok(None));
        assert_eq!(frame(b"INSERT INTO t FORMAT Row", false), Ok(None));
        assert_eq!(frame(b"SELECT 1", false), Ok(None));
        assert!(frame(b"INSERT INTO t FORMAT CSV\n1", false).unwrap().is_some());
    }

    #[test]
    fn one_statement_at_a_time() {
        assert!(frame(b"SELECT 1; DROP TABLE t", true).is_err());
        assert!(frame(b" ; ", true).is_err());
        assert!(frame(b"-- nothing", true).is_err());
        assert!(frame(b"SELECT ';'; -- end", true).is_ok());
    }

    #[test]
    fn a_kill_means_the_clients_query_id() {
        let Frame::Kill { statement } = framed("KILL QUERY WHERE query_id = 'query_id' SYNC") else {
            panic!()
        };
        let statement = String::from_utf8(statement).unwrap();
        assert!(
            statement.ends_with("Settings['log_comment']) = 'query_id' SYNC"),
            "{statement}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_framed_without_a_panic(text in ".{0,120}", complete in proptest::bool::ANY) {
            let _ = frame(text.as_bytes(), complete);
            let _ = frame(format!("INSERT INTO {text}").as_bytes(), complete);
            let _ = frame(format!("SELECT {text} FORMAT {text}").as_bytes(), complete);
        }
    }
}
