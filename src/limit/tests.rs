use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;
use crate::control::state::fixture;
use crate::event::TenantId;

const SECOND: Duration = Duration::from_secs(1);

fn limits(rate: u32) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (
        Limits::on_clock(
            &Config {
                events_per_second: NonZeroU32::new(rate).unwrap(),
                searches_per_second: NonZeroU32::new(5).unwrap(),
                changes_per_second: NonZeroU32::new(3).unwrap(),
                exports_at_once: NonZeroU32::new(2).unwrap(),
                all_exports_at_once: NonZeroU32::new(4).unwrap(),
                streams_at_once: NonZeroU32::new(4).unwrap(),
                requests_per_second_by_address: NonZeroU32::new(3).unwrap(),
            },
            clock.clone(),
        ),
        clock,
    )
}

fn by<'a>(tenant: &'a TenantId, key: Option<&'a str>) -> Spender<'a> {
    Spender {
        tenant,
        key,
        user: None,
        manages: false,
    }
}

fn whose(limited: Limited) -> Whose {
    match limited {
        Limited::Spent { whose, .. } => whose,
        limited => panic!("nobody's budget is spent: {limited}"),
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

#[test]
fn a_second_is_let_through_and_the_rest_told_when() {
    let (limits, clock) = limits(100);
    let state = State::default();
    assert!(
        limits
            .spend(&state, by(&tenant("a"), None), 100, Budget::Writing)
            .is_ok()
    );
    let refused = limits
        .spend(&state, by(&tenant("a"), None), 50, Budget::Writing)
        .unwrap_err();
    assert_eq!(
        (whose(refused), refused.retry_after()),
        (Whose::Tenant, Duration::from_millis(500))
    );
    assert!(
        limits
            .spend(&state, by(&tenant("b"), None), 100, Budget::Writing)
            .is_ok(),
        "another tenant is not held up"
    );
    clock.advance(refused.retry_after());
    assert!(
        limits
            .spend(&state, by(&tenant("a"), None), 50, Budget::Writing)
            .is_ok()
    );
    assert!(
        limits
            .spend(&state, by(&tenant("a"), None), 0, Budget::Writing)
            .is_ok(),
        "nothing is always let through"
    );
}

#[test]
fn a_batch_larger_than_the_bucket_is_paid_for_before_there_is_room_again() {
    let (limits, clock) = limits(10);
    let state = State::default();
    let admit = |events| {
        limits
            .spend(&state, by(&tenant("a"), None), events, Budget::Writing)
            .map_err(|limited| limited.retry_after())
    };
    assert_eq!(admit(1_000), Ok(()));
    assert_eq!(admit(10), Err(100 * SECOND));
    assert_eq!(admit(1), Err(99 * SECOND + SECOND / 10));
    clock.advance(99 * SECOND);
    assert_eq!(admit(1), Err(SECOND / 10));
    clock.advance(SECOND);
    assert_eq!(admit(10), Ok(()));
    assert!(admit(1).is_err());
}

#[test]
fn control_state_says_other_rates_and_a_change_holds_at_once() {
    let (limits, _) = limits(1_000);
    let slow = fixture::state_with("a", Some(5), Some(("key", 2)));
    let admit = |state: &State, key, events| {
        limits
            .spend(state, by(&tenant("a"), key), events, Budget::Writing)
            .map_err(whose)
    };
    assert_eq!(admit(&slow, Some("key"), 2), Ok(()));
    assert_eq!(admit(&slow, Some("key"), 1), Err(Whose::Key));
    assert_eq!(
        admit(&slow, None, 3),
        Ok(()),
        "what the key was refused took nothing from the tenant"
    );
    assert_eq!(admit(&slow, None, 1), Err(Whose::Tenant));
    let raised = fixture::state_with("a", Some(500), Some(("key", 2)));
    assert_eq!(admit(&raised, None, 500), Ok(()));
}

#[test]
fn what_the_tenant_is_refused_takes_nothing_from_the_caller() {
    let (limits, clock) = limits(1_000);
    let state = fixture::state_with("a", Some(5), Some(("key", 2)));
    let admit = |key, events| {
        let admitted = limits.spend(&state, by(&tenant("a"), key), events, Budget::Writing);
        admitted.map_err(whose)
    };
    assert_eq!(admit(None, 5), Ok(()));
    for _ in 0..9 {
        assert_eq!(admit(Some("key"), 2), Err(Whose::Tenant));
    }
    clock.advance(SECOND);
    assert_eq!(admit(Some("key"), 2), Ok(()));
}

#[test]
fn buckets_that_are_full_again_are_let_go() {
    let (limits, clock) = limits(10);
    let state = State::default();
    assert!(
        limits
            .spend(&state, by(&tenant("in-debt"), None), 1_000, Budget::Writing)
            .is_ok()
    );
    for n in 0..3 * buckets::BUCKETS_MAX {
        assert!(
            limits
                .spend(&state, by(&tenant(&format!("t{n}")), None), 1, Budget::Writing)
                .is_ok()
        );
        clock.advance(Duration::from_millis(1));
    }
    let buckets = limits.writing.tenants.by_name.read().unwrap();
    assert!(buckets.len() <= buckets::BUCKETS_MAX, "{}", buckets.len());
    assert!(buckets.contains_key("in-debt"));
}

#[test]
fn each_budget_stands_for_itself_and_says_what_is_left() {
    let (limits, clock) = limits(10);
    let state = State::default();
    let a = tenant("a");
    let a = by(&a, None);
    let left = |budget| limits.standing(&state, a, budget).map(|standing| standing.left);
    assert_eq!(left(Budget::Free), None);
    for n in (0..5).rev() {
        assert!(limits.spend(&state, a, 1, Budget::Searching).is_ok());
        assert_eq!(left(Budget::Searching), Some(n));
    }
    let refused = limits.spend(&state, a, 1, Budget::Searching).unwrap_err();
    assert_eq!(refused.retry_after(), Duration::from_millis(200));
    assert!(
        refused.to_string().contains("the tenant may search no more"),
        "{refused}"
    );
    assert_eq!(left(Budget::Writing), Some(10), "writing is another budget");
    clock.advance(Duration::from_millis(400));
    assert_eq!(left(Budget::Searching), Some(2));
    assert!(limits.spend(&state, a, 100, Budget::Writing).is_ok());
    let standing = limits.standing(&state, a, Budget::Writing).unwrap();
    assert_eq!((standing.left, standing.more_in), (0, Some(9 * SECOND)));
}

#[test]
fn exports_at_once_are_counted_until_they_end() {
    let (limits, _) = limits(10);
    let state = State::default();
    let (a, b) = (tenant("a"), tenant("b"));
    let running = [
        limits.begin(&state, by(&a, None), Budget::Exporting),
        limits.begin(&state, by(&a, None), Budget::Exporting),
    ];
    assert!(running.iter().all(Result::is_ok));
    let refused = limits
        .begin(&state, by(&a, None), Budget::Exporting)
        .err()
        .unwrap();
    assert_eq!(whose(refused), Whose::Tenant);
    assert!(
        limits.begin(&state, by(&b, None), Budget::Exporting).is_ok(),
        "another tenant is not held up"
    );
    let standing = limits.standing(&state, by(&a, None), Budget::Exporting).unwrap();
    assert_eq!(
        (standing.quota.get(), standing.left, standing.more_in),
        (2, 0, None)
    );
    drop(running);
    assert!(limits.begin(&state, by(&a, None), Budget::Exporting).is_ok());
}

#[test]
fn changes_come_ten_seconds_worth_at_once_and_nobody_keeps_an_admin_from_them() {
    let (limits, clock) = limits(10);
    let state = State::default();
    let a = tenant("a");
    let user = |user, manages| Spender {
        user: Some(user),
        manages,
        ..by(&a, None)
    };
    let changes = |spender| {
        let granted = std::iter::repeat_with(|| limits.spend(&state, spender, 1, Budget::Managing)).take(100);
        let (granted, refused): (Vec<_>, Vec<_>) = granted.partition(Result::is_ok);
        (granted.len(), refused[0].map_err(whose).unwrap_err())
    };
    assert_eq!(changes(user("ada", false)), (20, Whose::User));
    assert_eq!(changes(by(&a, Some("key"))), (10, Whose::Tenant));
    assert_eq!(changes(user("ben", false)), (0, Whose::Tenant));
    assert_eq!(changes(user("root", true)), (20, Whose::User));
    let standing = limits
        .standing(&state, user("carl", true), Budget::Managing)
        .unwrap();
    assert_eq!(
        (standing.quota.get(), standing.left, standing.window),
        (30, 10, 10 * SECOND)
    );
    clock.advance(SECOND);
    assert_eq!(changes(user("root", true)), (2, Whose::User));
    assert_eq!(changes(user("carl", false)), (3, Whose::Tenant));
}

#[test]
fn the_last_exports_of_all_are_for_those_who_run_none() {
    let (limits, _) = limits(10);
    let state = State::default();
    let export = |name: &str| limits.begin(&state, by(&tenant(name), None), Budget::Exporting);
    let mut running = vec![export("a"), export("a"), export("b")];
    assert!(matches!(export("b"), Err(Limited::Full)));
    running.push(export("c"));
    assert!(running.iter().all(Result::is_ok));
    let refused = export("d").err().unwrap();
    assert_eq!(refused.retry_after(), running::RETRY_AFTER);
    running.pop();
    assert!(export("d").is_ok());
}

#[test]
fn streams_at_once_are_counted_and_one_caller_has_half_of_them() {
    let (limits, _) = limits(10);
    let state = State::default();
    let a = tenant("a");
    let user = |user| Spender {
        user: Some(user),
        ..by(&a, None)
    };
    let open = |spender| limits.begin(&state, spender, Budget::Streaming);
    let streams = [open(user("ada")), open(user("ada"))];
    assert!(streams.iter().all(Result::is_ok));
    assert_eq!(open(user("ada")).err().map(whose), Some(Whose::User));
    let keys = [open(by(&a, Some("k"))), open(by(&a, Some("k")))];
    assert!(keys.iter().all(Result::is_ok));
    let refused = open(user("ben")).err().unwrap();
    assert_eq!(whose(refused), Whose::Tenant);
    assert!(
        refused.to_string().contains("have no more streams open"),
        "{refused}"
    );
    let b = tenant("b");
    assert!(limits.begin(&state, by(&b, None), Budget::Streaming).is_ok());
    drop(streams);
    assert!(open(user("ben")).is_ok());
}

#[test]
fn requests_are_counted_by_address() {
    let (limits, _) = limits(10);
    let from = |last: u8| limits.request([192, 0, 2, last].into());
    for _ in 0..3 {
        assert_eq!(from(1), Ok(()));
    }
    assert!(matches!(from(1), Err(Limited::Address { .. })));
}

proptest! {
    /// Whatever the batches: what is let through never exceeds one bucket, plus the rate, plus one batch (which is
    /// still being paid for).
    #[test]
    fn the_rate_holds_over_time(batches in prop::collection::vec((1usize..400, 0u64..2_000), 1..200)) {
        let (limits, clock) = limits(100);
        let state = State::default();
        let (mut taken, mut largest, mut elapsed) = (0, 0, 0);
        for (events, pause_ms) in batches {
            if limits.spend(&state, by(&tenant("a"), None), events, Budget::Writing).is_ok() {
                taken += events;
                largest = largest.max(events);
            }
            prop_assert!(taken as u64 <= 100 + elapsed / 10 + largest as u64 + 1);
            clock.advance(Duration::from_millis(pause_ms));
            elapsed += pause_ms;
        }
    }

    /// Whoever waits as long as was said is let through.
    #[test]
    fn the_wait_is_long_enough(batches in prop::collection::vec(1usize..400, 1..50)) {
        let (limits, clock) = limits(100);
        let state = State::default();
        for events in batches {
            if let Err(refused) = limits.spend(&state, by(&tenant("a"), None), events, Budget::Writing) {
                clock.advance(refused.retry_after());
                prop_assert!(limits.spend(&state, by(&tenant("a"), None), events, Budget::Writing).is_ok());
            }
        }
    }
}
