//! Revisions follow one another, and say what was changed until that must go.

use std::cmp::Reverse;

use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use super::*;
use crate::event::{Json, Raw};

fn event() -> Event {
    let json = |tree: Tree| Some(Json::from_value(&tree));
    Event {
        message: Some("ada moved the file".into()),
        details: json(json!({"email": "ada@example.org", "list": [{"a": 1}, {"a": 2}], "n": 1})),
        before: json(json!({"a": 1})),
        tags: vec!["x".into(), "y".into()],
        raw: Some(Raw {
            bytes: b"{\"ada@example.org\": 1}".to_vec(),
            sha256: [7; 32],
            redacted: vec!["/password".into()],
        }),
        ..Event::sample(5)
    }
}

fn deed(wish: u128) -> Deed {
    Deed {
        wish: Uuid::from_u128(wish),
        asked: 0,
        by: "grace".into(),
        at: Timestamp::from_micros(9),
        ip: None,
        request_id: Some("r".into()),
        reason: Some("why".into()),
    }
}

fn amend(event: &Event, history: Option<&History>, patch: &Tree) -> Result<Option<Revised>, Refused> {
    amendment(Standing { event, history }, patch.to_string().as_bytes(), deed(1))
}

fn fields(result: Result<Option<Revised>, Refused>) -> Vec<String> {
    match result {
        Err(Refused::Invalid(Refusal::Invalid(problems))) => {
            problems.into_iter().map(|problem| problem.field).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_amendment_changes_what_it_names_and_says_what_that_was() {
    let event = event();
    let patch = json!({"message": "grace moved it", "details": {"n": null, "m": [1]}, "actor": {"ip": "10.0.0.1"}, "tags": null, "severity": "error"});
    let revised = amend(&event, None, &patch).unwrap().unwrap();
    assert_eq!(revised.event.message.as_deref(), Some("grace moved it"));
    assert_eq!(
        revised.event.details.as_ref().unwrap().to_value(),
        json!({"email": "ada@example.org", "list": [{"a": 1}, {"a": 2}], "m": [1]})
    );
    assert_eq!(revised.event.actor.ip, Some([10, 0, 0, 1].into()));
    assert_eq!((revised.event.tags.len(), revised.event.revision), (0, 1));
    assert_eq!(revised.event.before, event.before);
    let said = serde_json::to_value(revised.history.shown()).unwrap();
    let paths: Vec<_> = said[0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["path"].clone())
        .collect();
    let changed = [
        "/severity",
        "/actor/ip",
        "/message",
        "/details/n",
        "/details/m",
        "/tags",
    ];
    assert_eq!(paths, changed.map(Tree::from));
    assert_eq!(said[0]["number"], 1);
    assert_eq!(
        History::parse(&revised.history.to_json()),
        Some(revised.history.clone())
    );
    // What a copy of the first one is compared with is what the first one said.
    assert_eq!(revised.history.original(), event.content());
    let again = amend(&revised.event, Some(&revised.history), &json!({"message": "x"}))
        .unwrap()
        .unwrap();
    assert_eq!(
        (again.history.original(), again.event.revision),
        (event.content(), 2)
    );
    assert!(again.history.has(revised.history.revisions[0].id));
    assert_eq!(
        amend(&event, None, &json!({"message": "ada moved the file"})),
        Ok(None)
    );
}

#[test]
fn what_can_not_be_amended_is_named() {
    let refused = |patch| fields(amend(&event(), None, &patch));
    assert_eq!(
        refused(
            json!({"event_id": "x", "time": 1, "source": {}, "colour": 1, "actor": {"colour": 1}, "resource": 1, "event_type": null})
        ),
        [
            "/actor/colour",
            "/colour",
            "/event_id",
            "/event_type",
            "/resource",
            "/source",
            "/time"
        ]
    );
    assert_eq!(refused(json!({"actor": {"ip": "nowhere"}})), ["/actor/ip"]);
    assert_eq!(refused(json!({"event_type": "trailhouse.read"})), ["/event_type"]);
    assert_eq!(refused(json!({"details": 1})), ["/details"]);
    assert_eq!(refused(json!([1])), [""]);
    let own = Event {
        event_type: "trailhouse.search".into(),
        ..event()
    };
    assert_eq!(amend(&own, None, &json!({"message": "x"})), Err(Refused::System));
    let large = json!({"message": "x".repeat(60_000), "details": {"x": "y".repeat(210_000)}});
    assert!(matches!(
        amend(&event(), None, &large),
        Err(Refused::Invalid(Refusal::TooLarge { .. }))
    ));
}

#[test]
fn what_is_redacted_is_gone_from_the_event_and_from_its_history() {
    let event = event();
    let patch = json!({"details": {"email": "grace@example.org", "list": [{"a": 2}]}, "message": "hers"});
    let amended = amend(&event, None, &patch).unwrap().unwrap();
    let standing = Standing {
        event: &amended.event,
        history: Some(&amended.history),
    };
    let named = [
        "/details/email".to_owned(),
        "/details/list/1".to_owned(),
        "/tags/0".to_owned(),
    ];
    let redacted = redaction(standing, Some(&named), None, deed(2)).unwrap();
    let text = format!("{:?} {}", redacted.event, redacted.history.to_json());
    for gone in ["ada@example", "grace@example", r#"{"a":1}, "#] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert_eq!(redacted.event.tags, ["y"]);
    let raw = redacted.event.raw.as_ref().unwrap();
    assert_eq!((raw.bytes.len(), raw.sha256), (0, [7; 32]));
    assert_eq!(raw.redacted, ["", "/password"]);
    // The message was not named, and its story stays.
    assert!(text.contains("ada moved the file"), "{text}");
    let blanked: Vec<_> = redacted
        .history
        .edits()
        .filter(|edit| edit.redacted)
        .map(|edit| edit.path.as_str())
        .collect();
    assert_eq!(blanked, ["/details/email", "/details/list", "/details/list"]);

    let standing = Standing {
        event: &redacted.event,
        history: Some(&redacted.history),
    };
    let bare = redaction(standing, None, None, deed(3)).unwrap();
    let text = format!("{:?} {}", bare.event, bare.history.to_json());
    for gone in ["moved", "\"x\"", "/details/email", "/details/list"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert_eq!(
        (bare.event.event_type.as_str(), bare.event.revision),
        ("sample", 3)
    );
    assert!(
        redaction(
            Standing {
                event: &bare.event,
                history: Some(&bare.history)
            },
            None,
            None,
            deed(4)
        )
        .is_ok()
    );
}

#[test]
fn pointers_are_of_the_event_as_it_was_in_any_order_and_however_often_they_come() {
    let mut event = event();
    event.tags = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let left = |fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let standing = Standing {
            event: &event,
            history: None,
        };
        redaction(standing, Some(&fields), None, deed(1)).map(|made| made.event)
    };
    for (fields, tags) in [
        (&["/tags/0", "/tags/1"][..], &["c", "d"][..]),
        (&["/tags/3", "/tags/0", "/tags/3"], &["b", "c"]),
        (&["/tags", "/tags/2"], &[]),
        (&["/tags/0", "/tags/1", "/tags/2", "/tags/3", "/tags"], &[]),
    ] {
        assert_eq!(left(fields).unwrap().tags, tags, "{fields:?}");
    }
    for fields in [
        &["/details/email", "/message", "/details/email"][..],
        &["/message", "/details", "/details/email"],
        &["/details/email", "/message", "/details"],
    ] {
        let details = left(fields).unwrap().details;
        let email = details.as_ref().map(Json::as_str).unwrap_or_default();
        assert!(!email.contains("email"), "{fields:?}: {email}");
    }
    assert!(left(&["/details/nothing", "/details/nothing/at/all"]).is_err());
}

#[test]
fn what_is_not_there_can_not_be_redacted() {
    let event = event();
    let refused = |field: &str| {
        let standing = Standing {
            event: &event,
            history: None,
        };
        fields(redaction(standing, Some(&[field.to_owned()]), None, deed(1)).map(Some))
    };
    for field in [
        "/details/nothing",
        "/details/list/7",
        "message",
        "",
        "/event_id",
        "/source/kind",
        "/colour",
        "/~2",
        "/tags/9",
        "/tags/01",
        "/tags/+1",
    ] {
        assert_eq!(refused(field), ["field"], "{field}");
    }
}

#[test]
fn the_same_wish_applied_to_something_else_is_another_revision() {
    let event = event();
    let of = |standing: Option<&Revised>| {
        let (event, history) = standing.map_or((&event, None), |made| (&made.event, Some(&made.history)));
        let made = amendment(Standing { event, history }, br#"{"message": "hers"}"#, deed(1));
        made.unwrap().unwrap()
    };
    let standing = Standing {
        event: &event,
        history: None,
    };
    let redacted = redaction(standing, None, None, deed(2)).unwrap();
    let amended = amendment(standing, br#"{"tags": null}"#, deed(3))
        .unwrap()
        .unwrap();
    let (first, on_redacted, on_amended) = (of(None), of(Some(&redacted)), of(Some(&amended)));
    // Both are number 2; the seen window must not take one for a copy of the other.
    assert_eq!((on_redacted.event.revision, on_amended.event.revision), (2, 2));
    let id = |made: &Revised| made.history.last().unwrap().id;
    assert_eq!(id(&first), id(&of(None)));
    assert!(id(&first) != id(&on_redacted) && id(&on_redacted) != id(&on_amended));
}

proptest! {
    /// Whoever revises what, knowing whichever earlier revision: what was redacted is in none that counts.
    #[test]
    fn no_amendment_wins_over_a_redaction_that_it_did_not_know(
        deeds in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..12),
    ) {
        let original = event();
        let mut made: Vec<Revised> = Vec::new();
        for (n, (base, redacts)) in deeds.iter().enumerate() {
            let base = base.index(made.len() + 1).checked_sub(1).map(|base| &made[base]);
            let (event, history) = base.map_or((&original, None), |base| (&base.event, Some(&base.history)));
            let standing = Standing { event, history };
            let next = match redacts {
                true => redaction(standing, Some(&["/message".to_owned()]), None, deed(n as u128))
                    .or_else(|_| redaction(standing, None, None, deed(n as u128))),
                false => amendment(standing, format!("{{\"details\": {{\"by\": {n}}}}}").as_bytes(), deed(n as u128))
                    .map(Option::unwrap),
            };
            made.push(next.unwrap());
        }
        let places = made.iter().zip(0u64..);
        let (counts, _) = places.max_by_key(|(made, offset)| (made.history.rank(), Reverse(*offset))).unwrap();
        let is_redacted = deeds.iter().any(|(_, redacts)| *redacts);
        prop_assert_eq!(counts.history.rank().redacted, is_redacted);
        prop_assert_eq!(counts.event.message.is_none(), is_redacted);
    }
}
