//! What holds whatever is written.

use proptest::prelude::*;

use super::*;

/// Any command on a few entities, with versions near the right ones.
fn any_command() -> impl Strategy<Value = (String, u64, Option<&'static str>, Command)> {
    let name = prop::sample::select(vec!["ann", "Ann", "bob", "eve"]);
    let place = prop::sample::select(vec!["a", "b", "c"]);
    let roles = prop::sample::subsequence(Role::ALL.to_vec(), 1..3).prop_map(|roles| Roles::of(&roles));
    let rate = prop::option::of(prop_oneof![
        Just(Rate::Default),
        Just(Rate::PerSecond(5.try_into().unwrap()))
    ]);
    let disabled = prop::option::of(any::<bool>());
    let command = prop_oneof![
        Just(create_tenant()),
        (rate, disabled.clone()).prop_map(|(events_per_second, disabled)| Command::UpdateTenant {
            name: None,
            events_per_second,
            disabled
        }),
        (name, place.clone(), roles.clone()).prop_map(|(name, place, roles)| Command::CreateUser {
            name: name.into(),
            tenant: tenant(place),
            roles,
            password: sealed(),
        }),
        (prop::option::of(roles), disabled)
            .prop_map(|(roles, disabled)| Command::UpdateUser { roles, disabled }),
        Just(Command::SetPassword { password: sealed() }),
        Just(Command::EndSessions),
        place.prop_map(create_key),
        Just(Command::RevokeKey),
        Just(Command::Bootstrap {
            log_id: Uuid::from_u128(5),
            partitions: 1
        }),
    ];
    let id = prop::sample::select(vec!["a", "b", "c", "op", "u1", "u2"]).prop_map(str::to_owned);
    let by = prop::sample::select(vec![None, Some("a"), Some("b")]);
    (id, 0u64..4, by, command)
}

/// Three writers' commands, and the order in which the log took them: some are written twice.
fn any_log() -> impl Strategy<Value = Vec<Envelope>> {
    prop::collection::vec((any_command(), 0u128..3, any::<bool>()), 1..60).prop_map(|records| {
        let mut log = Vec::new();
        for (n, ((id, version, by, command), writer, twice)) in records.into_iter().enumerate() {
            let record = envelope(writer * 1_000 + n as u128, version, by, &id, command);
            log.extend(twice.then(|| record.clone()));
            log.push(record);
        }
        log
    })
}

proptest! {
    /// Instances that fold one log, in pieces of their own, at their own pace, agree on every answer and every state;
    /// and what each of the writers wrote twice counts once.
    #[test]
    fn instances_decide_alike(log in any_log(), cut: prop::sample::Index) {
        let answers = |fold: &mut Fold, records: &[Envelope]| -> Vec<_> {
            records.iter().map(|record| fold.apply(record)).collect()
        };
        let (mut one, mut two) = (begun(), begun());
        let whole = answers(&mut one, &log);
        let (early, late) = log.split_at(cut.index(log.len()));
        let mut pieces = answers(&mut two, early);
        let snapshot = two.state().clone();
        let kept = State::clone(&snapshot);
        pieces.extend(answers(&mut two, late));
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(&*snapshot, &kept, "a snapshot that somebody holds does not change");

        let mut once = begun();
        let mut seen = std::collections::HashSet::new();
        log.iter().filter(|record| seen.insert(record.request_id)).for_each(|record| {
            let _ = once.apply(record);
        });
        prop_assert_eq!(&once, &one);
        let _ = answers(&mut one, &log);
        prop_assert_eq!(&once, &one, "replaying it all changes nothing");
    }

    /// What holds in every state that commands can lead to.
    #[test]
    fn states_are_sound(log in any_log()) {
        let mut fold = begun();
        for record in &log {
            let before = fold.state().clone();
            let outcome = fold.apply(record);
            let state = fold.state();
            if !matches!(outcome, Ok(Outcome::Accepted { .. })) {
                prop_assert_eq!(&before, state, "a refused command changes nothing");
            }
            let mut names: Vec<_> = state.users().map(|user| user.name.to_lowercase()).collect();
            names.sort();
            let count = names.len();
            names.dedup();
            prop_assert_eq!(names.len(), count, "names are unique");
            prop_assert!(state.users().all(|user| state.user_named(&user.name).unwrap().id == user.id));
            prop_assert!(state.users().all(|user| state.tenant(&user.tenant).is_some()));
            prop_assert!(state.keys().all(|key| state.tenant(&key.tenant).is_some()));
            let able = |user: &&std::sync::Arc<crate::control::User>| {
                user.roles.has(Role::Operator) && !user.disabled && !state.tenant(&user.tenant).unwrap().disabled
            };
            prop_assert!(state.users().any(|user| able(&user)), "somebody can still log in as operator");
        }
    }
}
