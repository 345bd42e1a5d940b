//! Which records count, and in which order.

use super::*;

#[test]
fn the_first_bootstrap_counts_and_no_other() {
    let mut fold = begun();
    let other = Command::Bootstrap {
        log_id: Uuid::from_u128(9),
        partitions: 8,
    };
    let refusal = refused(&mut fold, &envelope(1, 0, None, "this", other));
    assert_eq!(
        refusal,
        Refusal::Conflict {
            expected: 0,
            found: 1
        }
    );
    assert_eq!(fold.state().deployment().unwrap().log_id, LOG);
}

#[test]
fn records_of_another_log_and_records_before_the_first_do_not_count() {
    let mut fold = begun();
    let foreign = Envelope {
        log_id: Uuid::from_u128(9),
        ..envelope(1, 0, None, "c", create_tenant())
    };
    assert_eq!(fold.apply(&foreign), Err(Skip::Foreign));
    assert_eq!(fold, begun());
    assert_eq!(
        Fold::default().apply(&envelope(1, 0, None, "c", create_tenant())),
        Err(Skip::Foreign)
    );
}

#[test]
fn the_expected_version_decides() {
    let mut fold = begun();
    let rename = |request, version| {
        let command = Command::UpdateTenant {
            name: Some("N".into()),
            limits: LimitsPatch::default(),
            disabled: None,
        };
        envelope(request, version, None, "b", command)
    };
    assert_eq!(
        refused(&mut fold, &rename(1, 2)),
        Refusal::Conflict {
            expected: 2,
            found: 1
        }
    );
    assert_eq!(fold.apply(&rename(2, 1)), Ok(Outcome::Accepted { version: 2 }));
    assert_eq!(
        refused(&mut fold, &rename(3, 1)),
        Refusal::Conflict {
            expected: 1,
            found: 2
        }
    );
    let again = envelope(4, 0, None, "b", create_tenant());
    assert_eq!(
        refused(&mut fold, &again),
        Refusal::Conflict {
            expected: 0,
            found: 2
        }
    );
    assert_eq!(
        refused(&mut fold, &envelope(5, 1, None, "zz", disable())),
        Refusal::NotFound
    );
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_another_of_its_name_is_refused() {
    let mut fold = begun();
    let first = envelope(7, 1, None, "op", Command::EndSessions);
    assert_eq!(fold.apply(&first), Ok(Outcome::Accepted { version: 2 }));
    let after = fold.clone();
    assert_eq!(fold.apply(&first), Ok(Outcome::Accepted { version: 2 }));
    let other = envelope(7, 2, None, "op", disable());
    assert_eq!(refused(&mut fold, &other), Refusal::OtherRequest);
    assert_eq!(fold, after);
    let refusal = envelope(8, 0, None, "b", create_tenant());
    let found = refused(&mut fold, &refusal);
    assert_eq!(refused(&mut fold, &refusal), found);
}

#[test]
fn answers_are_remembered_for_so_many_requests_and_then_versions_refuse() {
    let mut fold = begun();
    let first = envelope(1, 1, None, "op", Command::EndSessions);
    fold.apply(&first).unwrap();
    for request in 0..REMEMBERED as u128 {
        fold.apply(&envelope(100 + request, 9, None, "none", disable()))
            .unwrap();
    }
    assert_eq!(fold.answers.len(), REMEMBERED);
    assert!(
        fold.answer(first.request_id, first.command.fingerprint(&first.id))
            .is_none()
    );
    assert_eq!(
        refused(&mut fold, &first),
        Refusal::Conflict {
            expected: 1,
            found: 2
        }
    );
}
