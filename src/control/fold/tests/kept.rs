//! What tenants keep, what they hide, and how much of everything they may have.

use super::*;
use crate::control::state::{KEYS_MAX, SCHEMA_BYTES_MAX, SEARCHES_MAX};

fn accepted(fold: &mut Fold, record: &Envelope) -> u64 {
    match fold.apply(record).unwrap() {
        Outcome::Accepted { version } => version,
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn searches_and_exports_stand_behind_their_tenants_wall_and_are_gone_when_deleted() {
    let mut fold = begun();
    accepted(&mut fold, &envelope(1, 0, Some("a"), "s1", create_search("a")));
    accepted(&mut fold, &envelope(2, 0, Some("a"), "e1", create_export("a")));
    let rename = Command::UpdateSearch {
        name: Some("n".into()),
        query: None,
    };
    let run = Command::UpdateExport {
        state: ExportState::Running,
    };
    for (request, id, command) in [
        (10, "s1", rename.clone()),
        (11, "s1", Command::DeleteSearch),
        (12, "e1", run.clone()),
        (13, "e1", Command::DeleteExport),
    ] {
        let beyond = envelope(request, 1, Some("b"), id, command);
        assert_eq!(refused(&mut fold, &beyond), Refusal::NotFound, "{request}");
    }
    let elsewhere = envelope(14, 0, Some("b"), "s2", create_search("a"));
    assert_eq!(refused(&mut fold, &elsewhere), Refusal::NoSuchTenant);
    let taken = envelope(15, 0, Some("b"), "s1", create_search("b"));
    assert_eq!(refused(&mut fold, &taken), Refusal::NotFound);

    assert_eq!(accepted(&mut fold, &envelope(20, 1, Some("a"), "s1", rename)), 2);
    assert_eq!(accepted(&mut fold, &envelope(21, 1, None, "e1", run)), 2);
    let late = envelope(22, 1, Some("a"), "s1", Command::DeleteSearch);
    assert_eq!(
        refused(&mut fold, &late),
        Refusal::Conflict {
            expected: 1,
            found: 2
        }
    );
    accepted(
        &mut fold,
        &envelope(23, 2, Some("a"), "s1", Command::DeleteSearch),
    );
    accepted(
        &mut fold,
        &envelope(24, 2, Some("a"), "e1", Command::DeleteExport),
    );
    let state = fold.state();
    assert!(state.search("s1").is_none() && state.export("e1").is_none());
    for (request, id, command) in [
        (23, "s1", Command::DeleteSearch),
        (24, "e1", Command::DeleteExport),
    ] {
        let request = Uuid::from_u128(request);
        let owner = fold.owner(request, command.fingerprint(id));
        assert_eq!(owner, Some(tenant("a")), "whose it was is remembered");
        assert_eq!(fold.owner(request, command.fingerprint("other")), None);
    }
    assert_eq!(
        state.searches_of(&tenant("a")).count() + state.exports().count(),
        0
    );
}

#[test]
fn an_export_that_is_finished_stays_as_it_is_until_its_file_goes() {
    let done = |events| ExportState::Done {
        events,
        bytes: 1,
        sha256: "00".into(),
        redactions: String::new(),
    };
    let failed = || ExportState::Failed { reason: "x".into() };
    let mut fold = begun();
    accepted(&mut fold, &envelope(1, 0, Some("a"), "e1", create_export("a")));
    let mut version = 1;
    for (request, state, counts) in [
        (2, ExportState::Running, true),
        (3, done(5), true),
        (4, done(6), false),
        (5, failed(), false),
        (6, ExportState::Running, false),
        (7, ExportState::Expired, true),
        (8, done(5), false),
    ] {
        let expected = match counts {
            true => Outcome::Accepted { version: version + 1 },
            false => Outcome::Refused(Refusal::Conflict {
                expected: version,
                found: version,
            }),
        };
        let update = envelope(request, version, None, "e1", Command::UpdateExport { state });
        assert_eq!(fold.apply(&update).unwrap(), expected, "{request}");
        version += u64::from(counts);
    }
}

#[test]
fn a_schema_has_versions_and_the_oldest_of_many_are_let_go() {
    let mut fold = begun();
    let put = |request: u128, version, by: &'static str| {
        let schema = format!("{{\"$comment\": \"{request}\"}}");
        envelope(
            request,
            version,
            Some(by),
            "a/login",
            Command::PutSchema { schema },
        )
    };
    assert_eq!(refused(&mut fold, &put(1, 0, "b")), Refusal::NoSuchTenant);
    for version in 0..25 {
        let put = put(10 + u128::from(version), version, "a");
        assert_eq!(accepted(&mut fold, &put), version + 1);
    }
    let stale = Refusal::Conflict {
        expected: 3,
        found: 25,
    };
    assert_eq!(refused(&mut fold, &put(50, 3, "a")), stale);
    let state = fold.state();
    let schema = state.schema(&tenant("a"), "login").unwrap();
    assert_eq!((schema.version, schema.versions.len()), (25, 20));
    assert_eq!(schema.versions.last().unwrap().as_ref(), "{\"$comment\": \"34\"}");
    assert!(state.has_schemas(&tenant("a")) && !state.has_schemas(&tenant("b")));
    accepted(
        &mut fold,
        &envelope(60, 25, Some("a"), "a/login", Command::DeleteSchema),
    );
    assert!(!fold.state().has_schemas(&tenant("a")));
}

#[test]
fn a_clean_up_is_the_tenants_own_and_only_ever_rises() {
    let mut fold = begun();
    let clean = |request, version, by, before| {
        let before = Timestamp::from_millis(before);
        envelope(request, version, by, "a", Command::CleanUp { before })
    };
    assert_eq!(
        refused(&mut fold, &clean(1, 1, Some("b"), 500)),
        Refusal::NotFound
    );
    accepted(&mut fold, &clean(2, 1, Some("a"), 500));
    accepted(&mut fold, &clean(3, 2, None, 400));
    let state = fold.state();
    assert_eq!(
        state.visible_from(&tenant("a")),
        Some(Timestamp::from_millis(500))
    );
    assert_eq!(state.visible_from(&tenant("b")), None);
}

#[test]
fn a_tenant_has_so_many_of_each_and_no_more() {
    let mut fold = begun();
    for n in 0..SEARCHES_MAX as u128 {
        accepted(
            &mut fold,
            &envelope(n, 0, None, &format!("s{n}"), create_search("a")),
        );
    }
    let one_more = envelope(10_000, 0, None, "more", create_search("a"));
    assert_eq!(
        refused(&mut fold, &one_more),
        Refusal::TooMany { max: SEARCHES_MAX }
    );
    accepted(
        &mut fold,
        &envelope(10_001, 0, None, "theirs", create_search("b")),
    );
    accepted(&mut fold, &envelope(10_002, 1, None, "s7", Command::DeleteSearch));
    accepted(&mut fold, &envelope(10_003, 0, None, "more", create_search("a")));
}

#[test]
fn schemas_of_a_tenant_have_so_many_bytes_with_all_their_versions() {
    let mut fold = begun();
    let put = |request: u128, version, id: &str| {
        let schema = "x".repeat(SCHEMA_BYTES_MAX / 16);
        envelope(request, version, None, id, Command::PutSchema { schema })
    };
    for version in 0..12 {
        accepted(&mut fold, &put(u128::from(version), version, "a/first"));
    }
    for n in 12..16 {
        accepted(&mut fold, &put(n, 0, &format!("a/t{n}")));
    }
    let too_long = Refusal::TooLong {
        max: SCHEMA_BYTES_MAX,
    };
    assert_eq!(refused(&mut fold, &put(20, 0, "a/one.more")), too_long);
    assert_eq!(refused(&mut fold, &put(21, 12, "a/first")), too_long);
    accepted(&mut fold, &put(22, 0, "b/theirs"));
}

#[test]
fn revoked_keys_make_room_for_new_ones() {
    let mut fold = begun();
    for n in 0..KEYS_MAX as u128 {
        accepted(
            &mut fold,
            &envelope(n, 0, None, &format!("k{n}"), create_key("a")),
        );
    }
    let one_more = |request| envelope(request, 0, None, "more", create_key("a"));
    assert_eq!(
        refused(&mut fold, &one_more(20_000)),
        Refusal::TooMany { max: KEYS_MAX }
    );
    for (request, id) in [(20_001, "k5"), (20_002, "k3")] {
        accepted(&mut fold, &envelope(request, 1, None, id, Command::RevokeKey));
    }
    accepted(&mut fold, &one_more(20_003));
    let state = fold.state();
    assert!(state.key("k5").is_none() && state.key("k3").is_some());
    assert_eq!(state.keys_of(&tenant("a")).count(), KEYS_MAX);
}

#[test]
fn one_session_ends_without_a_version_and_very_many_end_all() {
    let mut fold = begun();
    let revoke = |request: u128, until: i64| {
        let (session, until) = (Uuid::from_u128(request), Timestamp::from_millis(until));
        // Whatever version its sender has seen.
        let command = Command::RevokeSession { session, until };
        envelope(request, 99, None, "op", command)
    };
    assert_eq!(accepted(&mut fold, &revoke(1, 10)), 1);
    assert_eq!(accepted(&mut fold, &revoke(2, 100_000)), 1);
    accepted(&mut fold, &revoke(50, 100_000));
    let ended = |fold: &Fold| fold.state().user("op").unwrap().revoked_sessions.len();
    assert_eq!(ended(&fold), 2, "what would have expired is forgotten");
    for request in 100..100 + 4_094 {
        accepted(&mut fold, &revoke(request, 100_000));
    }
    assert_eq!((ended(&fold), fold.state().user("op").unwrap().epoch), (4_096, 1));
    accepted(&mut fold, &revoke(9_000, 100_000));
    assert_eq!((ended(&fold), fold.state().user("op").unwrap().epoch), (0, 2));
    let beyond = Envelope {
        by: By {
            tenant: Some(tenant("b")),
            ..By::system()
        },
        ..revoke(9_001, 100_000)
    };
    assert_eq!(refused(&mut fold, &beyond), Refusal::NotFound);
}

#[test]
fn a_revoked_key_stays_as_it_is() {
    let mut fold = begun();
    accepted(&mut fold, &envelope(1, 0, Some("a"), "k", create_key("a")));
    let rename = |request, version| {
        let command = Command::UpdateKey {
            name: Some("n".into()),
            limit: Patch::Set("action=VIEW".into()),
            limits: LimitsPatch::default(),
            expires_at: Patch::Keep,
        };
        envelope(request, version, Some("a"), "k", command)
    };
    assert_eq!(accepted(&mut fold, &rename(2, 1)), 2);
    accepted(&mut fold, &envelope(3, 2, Some("a"), "k", Command::RevokeKey));
    assert_eq!(refused(&mut fold, &rename(4, 3)), Refusal::Revoked);
}
