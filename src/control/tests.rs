use super::journal::memory::MemoryJournal;
use super::record::Record;
use super::*;
use crate::clock::{FixedClock, SystemClock, Timestamp};
use crate::crypto::{ExposeSecret, password};
use crate::event::TenantId;

async fn start(journal: &MemoryJournal, keyring: &Keyring) -> Result<Control, ControlError> {
    let clock = Arc::new(SystemClock);
    Control::start(
        Arc::new(journal.clone()),
        keyring.clone(),
        clock,
        4,
        CancellationToken::new(),
    )
    .await
}

fn change(request: u128, expected_version: u64, id: &str, command: Command) -> Change {
    let request_id = Uuid::from_u128(request);
    Change {
        request_id,
        expected_version,
        by: By::system(),
        id: id.into(),
        command,
    }
}

fn tenant(request: u128, id: &str) -> Change {
    change(
        request,
        0,
        id,
        Command::CreateTenant {
            name: "T".into(),
            limits: Limits::default(),
        },
    )
}

#[tokio::test]
async fn instances_that_start_at_once_agree_on_the_log_and_on_the_first_user() {
    let (journal, keyring) = (MemoryJournal::new(), Keyring::ephemeral());
    let starts = (0..3).map(|_| start(&journal, &keyring));
    let controls: Vec<Control> = futures_util::future::join_all(starts)
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let log_id = controls[0].log_id();
    assert!(!log_id.is_nil());
    assert!(controls.iter().all(|control| control.log_id() == log_id));
    assert_eq!(controls[2].state().deployment().unwrap().partitions, 4);

    let firsts = controls.iter().map(|control| control.first_start(None));
    let firsts: Vec<_> = futures_util::future::join_all(firsts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let made: Vec<_> = firsts.into_iter().flatten().collect();
    assert_eq!(
        made.len(),
        1,
        "one of them made the user and may show its password"
    );
    let state = controls[0].state();
    let admin = state.user_named("admin").unwrap();
    assert!(admin.roles.has(Role::Operator) && admin.roles.has(Role::Admin));
    let hash = controls[0]
        .unseal(Kind::User, &admin.id, 1, &admin.password.as_ref().unwrap().1)
        .unwrap();
    let hash = String::from_utf8(hash.expose_secret().to_vec()).unwrap();
    assert!(password::verify(&made[0].password, &hash.into()));
    assert!(
        controls[1].first_start(None).await.unwrap().is_none(),
        "a later start makes none"
    );
}

#[tokio::test]
async fn the_first_password_may_be_given_but_must_be_one() {
    let control = start(&MemoryJournal::new(), &Keyring::ephemeral()).await.unwrap();
    assert!(matches!(
        control.first_start(Some("short".into())).await,
        Err(ControlError::Invalid(_))
    ));
    let first = control
        .first_start(Some("long enough".into()))
        .await
        .unwrap()
        .unwrap();
    assert!(!first.generated);
    assert_eq!(first.password.expose_secret(), "long enough");
}

#[tokio::test]
async fn writers_on_three_instances_decide_alike() {
    let (journal, keyring) = (MemoryJournal::new(), Keyring::ephemeral());
    let controls = [
        start(&journal, &keyring).await.unwrap(),
        start(&journal, &keyring).await.unwrap(),
        start(&journal, &keyring).await.unwrap(),
    ];
    // All three try to make the same tenants: each is made once, and everybody else is told so.
    let mut writers = Vec::new();
    for n in 0..20u128 {
        for (i, control) in controls.iter().cloned().enumerate() {
            let wish = tenant(n * 3 + i as u128, &format!("t{n}"));
            writers.push(tokio::spawn(async move { control.submit(wish).await.unwrap() }));
        }
    }
    let mut accepted = 0;
    for writer in writers {
        accepted += usize::from(matches!(writer.await.unwrap(), Outcome::Accepted { version: 1 }));
    }
    assert_eq!(accepted, 20);
    let end = journal.records().len() as i64;
    for control in &controls {
        control
            .watch()
            .wait_for(|view| view.position >= end)
            .await
            .unwrap();
    }
    assert_eq!(controls[0].state(), controls[1].state());
    assert_eq!(controls[0].state(), controls[2].state());
    assert_eq!(
        controls[0].state(),
        start(&journal, &keyring).await.unwrap().state(),
        "and so does a late one"
    );
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_on_any_instance() {
    let (journal, keyring) = (MemoryJournal::new(), Keyring::ephemeral());
    let (one, two) = (
        start(&journal, &keyring).await.unwrap(),
        start(&journal, &keyring).await.unwrap(),
    );
    let first = one.submit(tenant(7, "acme")).await.unwrap();
    assert_eq!(first, Outcome::Accepted { version: 1 });
    assert_eq!(two.submit(tenant(7, "acme")).await.unwrap(), first);
    let other = two.submit(tenant(8, "acme")).await.unwrap();
    assert_eq!(
        other,
        Outcome::Refused(Refusal::Conflict {
            expected: 0,
            found: 1
        })
    );
}

#[tokio::test]
async fn forged_records_change_nothing_and_are_counted() {
    let (journal, keyring) = (MemoryJournal::new(), Keyring::ephemeral());
    let control = start(&journal, &keyring).await.unwrap();
    let genuine = Envelope {
        request_id: Uuid::from_u128(1),
        log_id: control.log_id(),
        expected_version: 0,
        by: By::system(),
        at: Timestamp::from_millis(0),
        id: "evil".into(),
        command: Command::CreateTenant {
            name: "E".into(),
            limits: Limits::default(),
        },
    };
    let theirs = Keyring::ephemeral();
    journal.put(record::write(&genuine, &theirs).unwrap());
    journal.put(Record {
        mac: Vec::new(),
        ..record::write(&genuine, &keyring).unwrap()
    });
    journal.put(Record {
        key: b"x".to_vec(),
        payload: b"garbage".to_vec(),
        mac: b"\xff".to_vec(),
    });
    let elsewhere = Envelope {
        log_id: Uuid::from_u128(9),
        ..genuine
    };
    let last = journal.put(record::write(&elsewhere, &keyring).unwrap());
    control
        .watch()
        .wait_for(|view| view.position > last)
        .await
        .unwrap();
    assert!(
        control
            .state()
            .tenant(&TenantId::parse("evil").unwrap())
            .is_none()
    );
    let skipped = control.skipped();
    assert_eq!(skipped.count, 4);
    assert_eq!(
        skipped.unknown_keys.into_iter().collect::<Vec<_>>(),
        [theirs.active()]
    );
    assert_eq!(
        control.submit(tenant(2, "good")).await.unwrap(),
        Outcome::Accepted { version: 1 }
    );
}

#[tokio::test]
async fn a_log_that_belongs_to_other_keys_is_not_begun_anew() {
    let journal = MemoryJournal::new();
    start(&journal, &Keyring::ephemeral()).await.unwrap();
    let error = start(&journal, &Keyring::ephemeral())
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, ControlError::WrongKeys { records: 1, .. }),
        "{error}"
    );
    assert_eq!(journal.records().len(), 1);
}

#[tokio::test]
async fn a_rotated_keyring_reads_what_the_old_one_wrote() {
    use crate::keyring;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let clock = FixedClock::at(Timestamp::from_millis(0));
    let old = keyring::make(&path, &clock).unwrap();
    let journal = MemoryJournal::new();
    let before = start(&journal, &old).await.unwrap();
    before.submit(tenant(1, "acme")).await.unwrap();
    let new = keyring::rotate(&path, &clock).unwrap();
    let after = start(&journal, &new).await.unwrap();
    assert_eq!(after.state(), before.state());
    after.submit(tenant(2, "globex")).await.unwrap();
    let late = start(&journal, &new).await.unwrap();
    assert_eq!(late.state().tenants().count(), 2);
}

#[tokio::test]
async fn a_command_that_makes_no_sense_is_not_written() {
    let journal = MemoryJournal::new();
    let control = start(&journal, &Keyring::ephemeral()).await.unwrap();
    let before = journal.records().len();
    assert!(matches!(
        control.submit(tenant(1, "NOT A NAME")).await,
        Err(ControlError::Invalid(_))
    ));
    assert_eq!(journal.records().len(), before);
}

#[tokio::test]
async fn what_a_tenant_has_no_room_for_is_not_written() {
    let journal = MemoryJournal::new();
    let control = start(&journal, &Keyring::ephemeral()).await.unwrap();
    control.submit(tenant(1, "acme")).await.unwrap();
    let search = |request: u128| {
        let command = Command::CreateSearch {
            tenant: TenantId::parse("acme").unwrap(),
            name: "n".into(),
            query: "tag=x".into(),
        };
        control.submit(change(request, 0, &format!("s{request}"), command))
    };
    let many = (2..2 + state::SEARCHES_MAX as u128).map(search);
    for made in futures_util::future::join_all(many).await {
        assert!(matches!(made, Ok(Outcome::Accepted { .. })), "{made:?}");
    }
    let before = journal.records().len();
    let max = state::SEARCHES_MAX;
    assert_eq!(
        search(1_000_000).await.unwrap(),
        Outcome::Refused(Refusal::TooMany { max })
    );
    assert_eq!(journal.records().len(), before);
    let deleted = change(1_000_001, 1, "s7", Command::DeleteSearch);
    control.submit(deleted).await.unwrap();
    let again = search(1_000_000).await.unwrap();
    assert_eq!(again, Outcome::Accepted { version: 1 });
}

#[tokio::test]
async fn while_the_log_is_away_writes_fail_and_the_age_rises() {
    let (journal, clock) = (
        MemoryJournal::new(),
        Arc::new(FixedClock::at(Timestamp::from_millis(0))),
    );
    let (topic, stop) = (Arc::new(journal.clone()), CancellationToken::new());
    let control = Control::start(topic, Keyring::ephemeral(), clock.clone(), 4, stop)
        .await
        .unwrap();
    assert_eq!(control.freshness().age, Duration::ZERO);
    journal.set_away(true);
    assert!(matches!(
        control.submit(tenant(1, "acme")).await,
        Err(ControlError::Unavailable(_))
    ));
    clock.advance(Duration::from_secs(60));
    assert_eq!(control.freshness().age, Duration::from_secs(60));
    journal.set_away(false);
    control.catch_up().await.unwrap();
    assert_eq!(control.freshness().age, Duration::ZERO);
    assert_eq!(
        control.submit(tenant(1, "acme")).await.unwrap(),
        Outcome::Accepted { version: 1 }
    );
}

#[tokio::test]
async fn the_log_holds_no_secret_in_the_clear() {
    let journal = MemoryJournal::new();
    let control = start(&journal, &Keyring::ephemeral()).await.unwrap();
    control
        .first_start(Some("a secret password".into()))
        .await
        .unwrap();
    for record in journal.records() {
        let text = String::from_utf8_lossy(&record.payload).into_owned();
        assert!(
            !text.contains("a secret password") && !text.contains("argon2"),
            "{text}"
        );
    }
}
