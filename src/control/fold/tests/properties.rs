//! What holds whatever is written.

use proptest::prelude::*;

use super::*;

/// Any command on a few entities, with versions near the right ones.
fn any_command() -> impl Strategy<Value = (String, u64, Option<&'static str>, Command)> {
    let name = prop::sample::select(vec!["ann", "Ann", "bob", "eve"]);
    let place = prop::sample::select(vec!["a", "b", "c"]);
    let roles = prop::sample::subsequence(Role::ALL.to_vec(), 1..3).prop_map(|roles| Roles::of(&roles));
    let rate = prop_oneof![
        Just(Patch::Keep),
        Just(Patch::Unset),
        Just(Patch::Set(5.try_into().unwrap()))
    ];
    let limit = prop_oneof![
        Just(Patch::Keep),
        Just(Patch::Unset),
        Just(Patch::Set("action=VIEW".to_owned()))
    ];
    let disabled = prop::option::of(any::<bool>());
    let moment = (0i64..200).prop_map(Timestamp::from_millis);
    let of_people = prop_oneof![
        Just(create_tenant()),
        (rate, disabled.clone()).prop_map(|(events_per_second, disabled)| Command::UpdateTenant {
            name: None,
            limits: LimitsPatch {
                events_per_second,
                ..LimitsPatch::default()
            },
            disabled
        }),
        moment.clone().prop_map(|before| Command::CleanUp { before }),
        (name, place.clone(), roles.clone())
            .prop_map(|(name, place, roles)| create_user_with(name, place, roles)),
        (prop::option::of(roles), limit.clone(), disabled).prop_map(|(roles, limit, disabled)| {
            Command::UpdateUser {
                roles,
                limit,
                disabled,
            }
        }),
        Just(Command::SetPassword { password: sealed() }),
        (0u128..4, moment).prop_map(|(session, until)| Command::RevokeSession {
            session: Uuid::from_u128(session),
            until
        }),
        Just(Command::EndSessions),
        place.clone().prop_map(create_key),
        limit.prop_map(|limit| Command::UpdateKey {
            name: None,
            limit,
            limits: LimitsPatch::default(),
            expires_at: Patch::Keep
        }),
        Just(Command::RevokeKey),
        Just(Command::Bootstrap {
            log_id: Uuid::from_u128(5),
            partitions: 1
        }),
    ];
    let of_what_is_kept = prop_oneof![
        place.clone().prop_map(create_search),
        Just(Command::UpdateSearch {
            name: None,
            query: Some("a=b".into())
        }),
        Just(Command::DeleteSearch),
        Just(Command::PutSchema { schema: "{}".into() }),
        Just(Command::DeleteSchema),
        place.prop_map(create_export),
        Just(Command::UpdateExport {
            state: ExportState::Running
        }),
        Just(Command::DeleteExport),
    ];
    let command = prop_oneof![3 => of_people, 2 => of_what_is_kept];
    let id = prop::sample::select(vec!["a", "b", "c", "op", "u1", "u2", "a/login", "b/login"])
        .prop_map(str::to_owned);
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
            for tenant in ["a", "b", "c"].map(tenant) {
                let now = state.visible_from(&tenant);
                prop_assert!(before.visible_from(&tenant) <= now, "what is hidden stays hidden");
                prop_assert!(state.users_of(&tenant).all(|user| user.tenant == tenant));
                prop_assert_eq!(state.has_schemas(&tenant), state.schemas_of(&tenant).next().is_some());
                let mut ids: Vec<_> = state.searches_of(&tenant).map(|search| search.id.clone()).collect();
                prop_assert!(ids.is_sorted());
                ids.retain(|id| state.search(id).is_none_or(|search| search.tenant != tenant));
                prop_assert!(ids.is_empty());
            }
            let of_tenants: usize = state.tenants().map(|tenant| state.users_of(&tenant.id).count()).sum();
            prop_assert_eq!(of_tenants, state.users().count(), "each user is in one tenant's list");
            let able = |user: &&std::sync::Arc<crate::control::User>| {
                user.roles.has(Role::Operator) && !user.disabled && user.password.is_some() && !state.tenant(&user.tenant).unwrap().disabled
            };
            prop_assert!(state.users().any(|user| able(&user)), "somebody can still log in as operator");
        }
    }
}
