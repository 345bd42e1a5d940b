//! The map of the modules holds: imports point down the list below, never up, and never between siblings.
//!
//! It reads the source as text: every `crate::name` outside comments is an arrow from the file's module to `name`.
//! And no file of `src` grows past what can be read in one sitting.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules, lowest first; names on one row are siblings.
const ROWS: &[&[&str]] = &[
    &["clock", "crypto", "meters"],
    &["event"],
    &["log"],
    &["store"],
    &["keyring"],
    &["control"],
    &["auth", "limit"],
    &["schemas"],
    &["ingest"],
    &["gate", "projections", "trail"],
    &["connectors", "query"],
    &["exports", "stream"],
    &["web"],
    &["engines", "chdb", "lifecycle", "telemetry"],
    &["config"],
    &["app"],
    &["cli"],
];

/// Readers of the log know nothing of one another, whatever their rows.
const READERS: &[&str] = &["gate", "projections", "trail", "stream"];

/// Modules that may import less than their row allows: mappings stay pure, and the engines know nothing of us.
const NARROW: &[(&str, &[&str])] = &[
    ("connectors", &["clock", "event"]),
    ("chdb", &["crypto"]),
    ("engines", &[]),
];

/// Lines of code a file may have; its tests come on top.
const LINES_MAX: usize = 400;

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(module) = module_of(&file) else { continue };
        for import in imports(&text).into_iter().filter(|import| *import != module) {
            if !allowed(&module, &import) {
                wrong.push(format!("{}: {module} must not import {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place_on_the_map() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let declared = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let placed: BTreeSet<_> = ROWS.iter().copied().flatten().copied().collect();
    assert_eq!(declared.collect::<BTreeSet<_>>(), placed);
}

#[test]
fn no_file_is_too_long() {
    let lengths = sources()
        .into_iter()
        .map(|(file, text)| (lines_of_code(&file, &text), file));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines: {long:?}");
}

#[test]
fn arrows_are_seen_in_every_form_of_import() {
    let text = "
        use crate::log::Log;
        pub use crate::{clock, event::{Event, crate_like}, auth::Principal as P}; // not crate::web
        /// [`crate::cli`] is only mentioned.
        fn f() -> crate::query::Page { my_crate::ingest(); $crate::gate!() }";
    let seen: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(seen, ["auth", "clock", "event", "log", "query"]);
    assert!(allowed("web", "query") && allowed("query", "clock") && allowed("cli", "app"));
    assert!(!allowed("log", "web") && !allowed("log", "store") && !allowed("chdb", "event"));
    assert!(!allowed("stream", "projections") && !allowed("trail", "gate"));
}

fn allowed(from: &str, to: &str) -> bool {
    if READERS.contains(&from) && READERS.contains(&to) {
        return false;
    }
    match NARROW.iter().find(|(module, _)| *module == from) {
        Some((_, only)) => only.contains(&to),
        None => row(to) < row(from),
    }
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The names after `crate::`, alone or in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<_> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_names(group)),
            None => names.extend(first_name(rest)),
        }
    }
    names
}

/// The first name of each member of `a::{b, c}, d}`, which ends at the brace that closes it.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut begin, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(first_name(&group[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
        if c == '}' && begin == at + 1 {
            break;
        }
    }
    names
}

fn first_name(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(path.len());
    let name = &path[..end];
    // A type or a macro of the crate's root is no module.
    name.starts_with(|c: char| c.is_ascii_lowercase())
        .then(|| name.to_owned())
}

/// The module a file belongs to: `log/kafka.rs` to `log`. `main.rs` and `lib.rs` see everything.
fn module_of(file: &Path) -> Option<String> {
    let first = file.components().next()?.as_os_str().to_str()?;
    let name = first.trim_end_matches(".rs").to_owned();
    (!matches!(name.as_str(), "main" | "lib")).then_some(name)
}

fn lines_of_code(file: &Path, text: &str) -> usize {
    if file.ends_with("tests.rs") {
        return 0;
    }
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|two| two[0] == "#[cfg(test)]" && two[1] == "mod tests {");
    tests.unwrap_or(lines.len())
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of `src`, by its path inside it.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut folders, mut files) = (vec![src()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(src()).unwrap().to_owned(), text));
            }
        }
    }
    files
}
