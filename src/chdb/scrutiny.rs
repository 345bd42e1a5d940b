//! What the read-only user may not use, and how it is found in its query: by two witnesses, both of the engine. The
//! syntax tree says what each name is, but leaves out what stands in a few places (a named window, the function of
//! `APPLY`); the text, printed anew by the engine, has everything, but only its words. What either shows is refused,
//! and so is what the text shows and the tree does not.

use std::collections::HashMap;

use super::lexer::{Kind, Lexer, Token};

/// Table functions that make rows out of nothing but their numbers.
const TABLE_FUNCTIONS: [&str; 7] = [
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "generate_series",
    "generateSeries",
    "primes",
];

/// Functions that read files, reach out, tell of the server, or hold a thread for nothing. In lower case.
const FUNCTIONS: [&str; 19] = [
    "file",
    "catboostevaluate",
    "naivebayesclassifier",
    "evalmlmethod",
    "aiclassify",
    "aiextract",
    "aigenerate",
    "aitranslate",
    "hascolumnintable",
    "getserversetting",
    "getserverport",
    "getclienthttpheader",
    "getmacro",
    "showcertificate",
    "reversednsquery",
    "logtrace",
    "sleep",
    "sleepeachrow",
    "serveruuid",
];

/// Tables of `system` that say what the engine can do and what the data look like, not what others do.
const SYSTEM_TABLES: [&str; 20] = [
    "one",
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "tables",
    "columns",
    "databases",
    "data_skipping_indices",
    "settings",
    "functions",
    "formats",
    "data_type_families",
    "table_functions",
    "table_engines",
    "aggregate_function_combinators",
    "collations",
    "keywords",
    "time_zones",
    "tokenizers",
];

/// Why a query is refused: `printed` is its text and `tree` its syntax tree, as `EXPLAIN AST` prints it, one node a
/// line, children indented. `table_functions` are the names of all of them, in lower case.
pub(super) fn refusal(printed: &str, tree: &str, table_functions: &[String]) -> Option<String> {
    by_text(printed)
        .or_else(|| by_tree(tree))
        .or_else(|| out_of_sight(printed, tree, table_functions))
}

/// The words of a text.
struct Words<'a> {
    text: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            tokens: Lexer::new(text.as_bytes()).collect(),
        }
    }

    /// A name, without its quotes and in lower case.
    fn name(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at).filter(|token| token.is_name())?;
        let name = self.text.get(token.start..token.end)?;
        Some(name.trim_matches(['`', '"']).to_ascii_lowercase())
    }

    fn is_mark(&self, at: usize, mark: u8) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::Mark(mark))
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.is(self.text.as_bytes(), word))
    }
}

fn by_text(printed: &str) -> Option<String> {
    let words = Words::new(printed);
    for (at, token) in words.tokens.iter().enumerate() {
        let text = &printed.as_bytes()[token.start..token.end];
        let odd = |byte: &u8| *byte == b'\\' || byte.is_ascii_control();
        // A line end in a name could write lines into the tree.
        if token.kind == Kind::Open || (token.kind == Kind::Quoted && text.iter().any(odd)) {
            return Some("a name with an escape in it".to_owned());
        }
        // Its value would stand in the tree at best, in the text never.
        if words.is_mark(at, b':') && words.is_word(at + 1, "Identifier") && words.is_mark(at + 2, b'}') {
            return Some("a parameter of type Identifier".to_owned());
        }
        // In a subquery the engine takes settings without asking whether they may be changed.
        if words.is_word(at, "SETTINGS") && words.is_mark(at + 2, b'=') {
            return Some("settings in the query".to_owned());
        }
        let Some(name) = words.name(at) else { continue };
        // Not only where it is called: a function's bare name is a function to arrayMap.
        if FUNCTIONS.contains(&name.as_str()) {
            return Some(format!(
                "the name {name}, which is a function that is not for this user"
            ));
        }
        let second = words.is_mark(at + 1, b'.').then(|| words.name(at + 2)).flatten();
        if name == "system" && second.is_some_and(|table| !SYSTEM_TABLES.contains(&table.as_str())) {
            return Some("a table of system that is not for this user".to_owned());
        }
    }
    None
}

fn by_tree(tree: &str) -> Option<String> {
    let mut parents: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let (depth, kind, name) = node(line);
        parents.truncate(depth);
        let parent = parents.last().copied().unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        let reason = match kind {
            "Function" if parent == "TableExpression" && !TABLE_FUNCTIONS.contains(&name) => {
                Some(format!("table function {name}"))
            }
            "Function" if name.starts_with("__") || FUNCTIONS.contains(&lower.as_str()) => {
                Some(format!("function {name}"))
            }
            "TableIdentifier" | "Identifier" if is_hidden(name) => Some(format!("table {name}")),
            "Set" => Some("settings in the query".to_owned()),
            _ if kind.starts_with("ColumnsApply") => Some("APPLY, which can name any function".to_owned()),
            _ => None,
        };
        if reason.is_some() {
            return reason;
        }
        parents.push(kind);
    }
    None
}

/// A node's depth, kind and name.
fn node(line: &str) -> (usize, &str, &str) {
    let node = line.trim_start_matches(' ');
    let mut words = node.split(' ');
    (
        line.len() - node.len(),
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    )
}

/// Whether a name is of a system table outside [`SYSTEM_TABLES`].
fn is_hidden(name: &str) -> bool {
    let mut parts = name.split('.');
    parts
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case("system"))
        && parts
            .next()
            .is_some_and(|second| !SYSTEM_TABLES.contains(&second))
}

/// Table functions that the text calls more often than the tree knows of.
fn out_of_sight(printed: &str, tree: &str, table_functions: &[String]) -> Option<String> {
    let mut calls: HashMap<String, usize> = HashMap::new();
    for line in tree.lines() {
        if let (_, "Function", name) = node(line) {
            *calls.entry(name.to_ascii_lowercase()).or_default() += 1;
        }
    }
    let words = Words::new(printed);
    for at in 0..words.tokens.len() {
        let Some(name) = words.name(at).filter(|_| words.is_mark(at + 1, b'(')) else {
            continue;
        };
        if !table_functions.contains(&name) {
            continue;
        }
        match calls.get_mut(&name).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => return Some(format!("{name} in a place where it cannot be checked")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_searched_for_what_is_refused() {
        let tree = |lines: &[&str]| lines.join("\n");
        assert_eq!(
            by_tree(&tree(&[
                "TableExpression (children 1)",
                " Function numbers (children 1)"
            ])),
            None
        );
        assert_eq!(
            by_tree(&tree(&["ExpressionList", " Function format (children 1)"])),
            None
        );
        assert_eq!(
            by_tree(&tree(&["TableIdentifier t", "Identifier t.system"])),
            None
        );
        assert_eq!(
            by_tree(&tree(&[
                "TableIdentifier system.one",
                "Identifier system.settings.name"
            ])),
            None
        );
        for refused in [
            tree(&["TableExpression (children 1)", " Function format (children 1)"]),
            tree(&["ExpressionList", " Function file (children 1)"]),
            tree(&["ExpressionList", " Function FILE (alias x) (children 1)"]),
            tree(&["TableIdentifier system.processes (alias p)"]),
            tree(&["Function in", " ExpressionList", "  Identifier system.processes"]),
            tree(&["ColumnsTransformerList", " ColumnsApplyTransformer"]),
            tree(&["SelectQuery (children 2)", " ExpressionList", " Set"]),
        ] {
            assert!(by_tree(&refused).is_some(), "{refused}");
        }
    }

    #[test]
    fn the_text_is_searched_for_what_the_tree_may_leave_out() {
        for allowed in [
            "SELECT 'file', `files` FROM system.one",
            "SELECT name FROM system.settings",
            "SELECT {x:String}",
        ] {
            assert_eq!(by_text(allowed), None, "{allowed}");
        }
        for refused in [
            "SELECT arrayMap(file, ['x'])",
            "SELECT arrayMap(`FILE`, ['x'])",
            "SELECT 1 AS `a\\nFunction b`",
            "SELECT 'open",
            "SELECT f({x:Identifier})",
            "SELECT sum(1) OVER w WINDOW w AS (ORDER BY (SELECT 1 FROM `system`.processes))",
            "SELECT (SELECT 1 SETTINGS max_threads = 64)",
        ] {
            assert!(by_text(refused).is_some(), "{refused}");
        }
    }

    #[test]
    fn a_table_function_out_of_sight_is_refused() {
        let names = ["format".to_owned(), "numbers".to_owned()];
        let tree = "Function format (children 1)\nFunction numbers (children 1)";
        assert_eq!(
            out_of_sight("SELECT format('{}', a) FROM numbers(3)", tree, &names),
            None
        );
        let hidden = "SELECT format('{}', a) OVER w FROM numbers(3) WINDOW w AS (ORDER BY (SELECT 1 FROM format(CSV, '')))";
        assert!(out_of_sight(hidden, tree, &names).is_some());
    }
}
