use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;
use crate::control::state::fixture;

const SECOND: Duration = Duration::from_secs(1);

fn limits(rate: u32) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (
        Limits::on_clock(
            &Config {
                events_per_second: NonZeroU32::new(rate).unwrap(),
            },
            clock.clone(),
        ),
        clock,
    )
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

#[test]
fn a_second_is_let_through_and_the_rest_told_when() {
    let (limits, clock) = limits(100);
    let state = State::default();
    assert!(limits.admit(&state, &tenant("a"), None, 100).is_ok());
    let refused = limits.admit(&state, &tenant("a"), None, 50).unwrap_err();
    assert_eq!(
        (refused.what, refused.retry_after),
        (Whose::Tenant, Duration::from_millis(500))
    );
    assert!(
        limits.admit(&state, &tenant("b"), None, 100).is_ok(),
        "another tenant is not held up"
    );
    clock.advance(refused.retry_after);
    assert!(limits.admit(&state, &tenant("a"), None, 50).is_ok());
    assert!(
        limits.admit(&state, &tenant("a"), None, 0).is_ok(),
        "nothing is always let through"
    );
}

#[test]
fn a_batch_larger_than_the_bucket_is_paid_for_before_anything_else() {
    let (limits, clock) = limits(10);
    let state = State::default();
    let admit = |events| {
        limits
            .admit(&state, &tenant("a"), None, events)
            .map_err(|limited| limited.retry_after)
    };
    assert_eq!(admit(1_000), Ok(()));
    assert_eq!(admit(1), Err(100 * SECOND));
    clock.advance(99 * SECOND);
    assert_eq!(admit(1), Err(SECOND));
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
            .admit(state, &tenant("a"), key, events)
            .map_err(|limited| limited.what)
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
fn buckets_that_are_full_again_are_let_go() {
    let (limits, clock) = limits(10);
    let state = State::default();
    assert!(limits.admit(&state, &tenant("in-debt"), None, 1_000).is_ok());
    for n in 0..3 * BUCKETS_MAX {
        assert!(limits.admit(&state, &tenant(&format!("t{n}")), None, 1).is_ok());
        clock.advance(Duration::from_millis(1));
    }
    let buckets = limits.tenants.read().unwrap();
    assert!(buckets.len() <= BUCKETS_MAX, "{}", buckets.len());
    assert!(buckets.contains_key("in-debt"));
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
            if limits.admit(&state, &tenant("a"), None, events).is_ok() {
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
            if let Err(refused) = limits.admit(&state, &tenant("a"), None, events) {
                clock.advance(refused.retry_after);
                prop_assert!(limits.admit(&state, &tenant("a"), None, events).is_ok());
            }
        }
    }
}
