//! `schemas/examples`: every file is a test, and every test is documentation.
//!
//! A valid example stands beside the event that it becomes, and beside its warnings where it has some; an invalid one
//! beside its problems. `TRAILHOUSE_BLESS=1` writes what is seen into these files, to be read before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Accepted, FallbackId, Intake, Problem, Refusal, accept, accept_cloudevent_binary};
use crate::clock::{FixedClock, Timestamp};
use crate::event::schema;
use crate::event::view::to_json_with_changes;
use crate::event::{Event, TenantId};

fn examples(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas/examples")
        .join(folder);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".http") || (name.ends_with(".json") && name.matches('.').count() == 1)
        })
        .collect();
    inputs.sort();
    assert!(
        inputs.len() > 10,
        "{} holds {} examples",
        folder.display(),
        inputs.len()
    );
    inputs
}

fn run(path: &Path) -> Result<Accepted, Refusal> {
    let tenant = TenantId::default_tenant();
    let received_at = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap().0;
    let clock = FixedClock::at(received_at);
    let intake = Intake {
        tenant: &tenant,
        received_at,
        source_kind: "http",
        source_id: None,
        client_id: None,
        fallback: FallbackId::Mint(&clock),
        actor: None,
    };
    let body = fs::read(path).unwrap();
    if path.extension().unwrap() == "json" {
        return accept(&body, &intake);
    }
    let text = std::str::from_utf8(&body).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    let headers: Vec<_> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let content_type = headers
        .iter()
        .find(|(name, _)| *name == "content-type")
        .map(|(_, value)| *value);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    accept_cloudevent_binary(&headers, content_type, body.trim_end().as_bytes(), &intake)
}

/// Compares with a file, byte for byte: the order of keys is part of what is documented.
fn expect(path: &Path, kind: &str, seen: Option<&impl serde::Serialize>) {
    let file = path.with_extension(kind);
    let seen = seen.map(|seen| serde_json::to_string_pretty(seen).unwrap() + "\n");
    if std::env::var_os("TRAILHOUSE_BLESS").is_some() {
        match &seen {
            Some(seen) => fs::write(&file, seen).unwrap(),
            None => drop(fs::remove_file(&file)),
        }
    }
    assert_eq!(seen, fs::read_to_string(&file).ok(), "{}", file.display());
}

#[derive(Default, serde::Serialize)]
struct Refused {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_tenant: Option<String>,
}

fn through_the_log(event: &Event) -> Event {
    let mut bytes = Vec::new();
    schema::encode(event, &mut bytes);
    schema::decode(&bytes).unwrap()
}

#[test]
fn valid_examples_become_their_events() {
    for path in examples("valid") {
        let accepted = run(&path).unwrap_or_else(|refusal| panic!("{}: {refusal}", path.display()));
        expect(&path, "event.json", Some(&to_json_with_changes(&accepted.event)));
        expect(
            &path,
            "warnings.json",
            Some(&accepted.warnings).filter(|warnings| !warnings.is_empty()),
        );
        assert_eq!(
            through_the_log(&accepted.event),
            accepted.event,
            "{}",
            path.display()
        );
    }
}

#[test]
fn invalid_examples_are_refused_for_their_reasons() {
    for path in examples("invalid") {
        let seen = match run(&path).expect_err(&path.display().to_string()) {
            Refusal::Invalid(problems) => Refused {
                problems,
                ..Refused::default()
            },
            Refusal::OtherTenant { field } => Refused {
                other_tenant: Some(field),
                ..Refused::default()
            },
            Refusal::TooLarge { .. } => panic!("an example should be small"),
        };
        expect(&path, "problems.json", Some(&seen));
    }
}
