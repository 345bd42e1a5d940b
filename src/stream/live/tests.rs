use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::event::revision::Rank;

fn live(partitions: usize) -> Arc<Live> {
    let live = Arc::new(Live::new(partitions, 1_000));
    live.begin(vec![0; partitions], vec![0; partitions]);
    live
}

fn client(room: usize) -> Arc<Client> {
    let scope = Scope::for_test(&TenantId::default_tenant(), None);
    Arc::new(Client::new(scope, Filter::default(), None, room))
}

fn passed(partition: usize, offset: i64) -> Passed {
    Passed::new((partition, offset), Event::sample(1), Rank::default(), 100)
}

/// Small events are handed out at once.
fn publish(live: &Live, partition: usize, events: Vec<Passed>, next: i64) {
    live.publish(partition, events, next).now_or_never().unwrap();
}

fn places(events: impl IntoIterator<Item = Arc<Passed>>) -> Vec<(usize, i64)> {
    events
        .into_iter()
        .map(|passed| (passed.partition, passed.offset))
        .collect()
}

#[test]
fn a_buffer_that_overflows_says_where_it_was_cut() {
    let (live, client) = (live(2), client(2));
    assert!(matches!(live.join(&client, &vec![0, 0]), Joined::Live(backlog) if backlog.is_empty()));
    publish(&live, 1, vec![passed(1, 0)], 4);
    publish(&live, 0, vec![passed(0, 5), passed(0, 6), passed(0, 9)], 10);
    let (events, cut) = client.take();
    assert_eq!(places(events), [(1, 0), (0, 5)]);
    let cut = cut.unwrap();
    assert_eq!((cut.place.as_slice(), cut.events), (&[6, 4][..], 2));
    let Joined::Live(backlog) = live.join(&client, &cut.place) else {
        panic!("it is kept");
    };
    assert_eq!(places(backlog), [(0, 6), (0, 9)]);
}

#[test]
fn others_tenants_and_those_who_left_are_given_nothing() {
    let (live, ours) = (live(1), client(9));
    let scope = Scope::for_test(&TenantId::parse("other").unwrap(), None);
    let other = Arc::new(Client::new(scope, Filter::default(), None, 9));
    for client in [&ours, &other] {
        live.join(client, &vec![0]);
    }
    publish(&live, 0, vec![passed(0, 0)], 1);
    live.leave(&ours);
    publish(&live, 0, vec![passed(0, 1)], 2);
    assert_eq!(places(ours.take().0), [(0, 0)]);
    assert_eq!(places(other.take().0), []);
    assert!(live.inside().clients.len() == 1, "nothing of it is left");
}

#[test]
fn everybody_is_asked_about_its_own_events_alone_wherever_they_stand_among_others() {
    let live = live(1);
    let joined = |tenant| {
        let scope = Scope::for_test(&TenantId::parse(tenant).unwrap(), None);
        let client = Arc::new(Client::new(scope, Filter::default(), None, 99));
        live.join(&client, &vec![0]);
        client
    };
    let clients = ["a", "b", "a"].map(joined);
    let of = |tenant: &str, offset| {
        let mut passed = passed(0, offset);
        passed.event.tenant_id = TenantId::parse(tenant).unwrap();
        passed
    };
    let events = (0..9).map(|n| of(["a", "c", "b"][n as usize % 3], n)).collect();
    publish(&live, 0, events, 9);
    let taken = clients.map(|client| places(client.take().0));
    let [of_a, of_b] = [0, 2].map(|first| [0, 3, 6].map(|n| (0, first + n)));
    assert_eq!(taken, [of_a, of_b, of_a]);
}

#[tokio::test]
async fn who_comes_while_others_are_asked_is_shown_what_it_wants_all_the_same() {
    let (live, first, late) = (live(1), client(9), client(9));
    live.join(&first, &vec![0]);
    let large = |offset| Passed::new((0, offset), Event::sample(1), Rank::default(), 1 << 20);
    let mut publishing = Box::pin(live.publish(0, vec![large(0), large(1)], 2));
    assert!(
        (&mut publishing).now_or_never().is_none(),
        "others have their turn"
    );
    let Joined::Live(backlog) = live.join(&late, &vec![1]) else {
        panic!("it is kept");
    };
    assert!(backlog.is_empty());
    live.leave(&first);
    publishing.await;
    assert_eq!(places(late.take().0), [(0, 1)]);
    assert_eq!(places(first.take().0), []);
}

#[test]
fn a_redaction_before_what_is_kept_is_known_and_not_shown() {
    let (live, client) = (live(1), client(9));
    live.begin(vec![10], vec![20]);
    live.join(&client, &vec![10]);
    let revision = |redacted, offset| {
        let rank = Rank { redacted, number: 1 };
        Passed::new((0, offset), Event::sample(1), rank, 100)
    };
    // Whoever amended did not know of it.
    publish(&live, 0, vec![revision(true, 5)], 10);
    publish(&live, 0, vec![revision(false, 12)], 13);
    assert!(live.supersedes(&revision(false, 12)) && !live.supersedes(&revision(true, 5)));
    assert_eq!(places(client.take().0), [(0, 12)]);
    let Joined::Live(backlog) = live.join(&client, &vec![10]) else {
        panic!("it is kept");
    };
    assert_eq!(places(backlog), [(0, 12)]);
}

#[test]
fn it_ends_when_nobody_is_there_and_not_before() {
    let live = live(1);
    let somebody = live.arrive();
    assert!(!live.forget());
    drop(somebody);
    assert!(live.forget());
}

#[test]
fn what_passes_while_one_is_behind_its_cursor_is_not_shown_again() {
    let (live, client) = (live(1), client(9));
    live.join(&client, &vec![3]);
    publish(&live, 0, vec![passed(0, 2), passed(0, 3)], 4);
    assert_eq!(places(client.take().0), [(0, 3)]);
}

proptest! {
    /// However the buffer overflows and wherever the client takes from it, it sees every event once, in order.
    #[test]
    fn nothing_is_skipped_and_nothing_is_repeated(
        room in 1usize..6,
        steps in prop::collection::vec((0usize..3, 1i64..4, any::<bool>()), 1..60),
    ) {
        let (live, client) = (live(3), client(room));
        live.join(&client, &vec![0; 3]);
        let (mut ends, mut expected, mut seen) = ([0i64; 3], Vec::new(), Vec::new());
        let take = |seen: &mut Vec<(usize, i64)>| {
            let (events, cut) = client.take();
            seen.extend(places(events));
            if let Some(cut) = cut {
                let Joined::Live(backlog) = live.join(&client, &cut.place) else { panic!("it is kept") };
                seen.extend(places(backlog));
            }
        };
        for (partition, count, takes) in steps {
            let from = ends[partition];
            ends[partition] += count;
            // Every other offset holds an event.
            let events: Vec<i64> = (from..ends[partition]).filter(|offset| offset % 2 == 0).collect();
            expected.extend(events.iter().map(|offset| (partition, *offset)));
            publish(&live, partition, events.iter().map(|offset| passed(partition, *offset)).collect(), ends[partition]);
            if takes {
                take(&mut seen);
            }
        }
        take(&mut seen);
        for partition in 0..3 {
            let of = |all: &[(usize, i64)]| all.iter().filter(|(at, _)| *at == partition).copied().collect::<Vec<_>>();
            prop_assert_eq!(of(&seen), of(&expected));
        }
    }
}
