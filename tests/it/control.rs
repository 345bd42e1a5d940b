//! Control state on a real log: three instances that write at once, and that start anew, decide alike.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trailhouse::clock::SystemClock;
use trailhouse::control::{By, Change, Command, Control, Limits, LimitsPatch, Outcome, Refusal, State};
use trailhouse::event::TenantId;
use trailhouse::keyring::Keyring;
use trailhouse::log::{self, Log, NewRecord, topics};
use uuid::Uuid;

use crate::support::brokers::Bare;

const INSTANCES: usize = 3;
const TENANTS: usize = 20;

/// An instance's connection and its control state.
struct Instances(Bare);

impl Instances {
    fn log(&self, member: &str) -> Log {
        use confique::Config as _;
        let mut config = log::Config::builder().load().unwrap();
        config.brokers = self.0.address.clone();
        config.prefix = self.0.prefix.clone();
        Log::new(&config, member).unwrap()
    }

    async fn instance(&self, member: &str, keyring: &Keyring, stop: &CancellationToken) -> Control {
        let (journal, clock) = (Arc::new(self.log(member)), Arc::new(SystemClock));
        Control::start(journal, keyring.clone(), clock, 4, stop.child_token())
            .await
            .unwrap()
    }
}

fn tenant(name: &str) -> Change {
    let command = Command::CreateTenant {
        name: name.into(),
        limits: Limits::default(),
    };
    Change {
        request_id: Uuid::now_v7(),
        expected_version: 0,
        by: By::system(),
        id: name.into(),
        command,
    }
}

fn rename(id: &str, version: u64, name: &str) -> Change {
    let command = Command::UpdateTenant {
        name: Some(name.into()),
        limits: LimitsPatch::default(),
        disabled: None,
    };
    Change {
        request_id: Uuid::now_v7(),
        expected_version: version,
        by: By::system(),
        id: id.into(),
        command,
    }
}

/// Every instance makes and renames the same tenants; gives how often each wish was granted.
async fn race(instances: &[Control]) -> (usize, usize) {
    let mut writers = Vec::new();
    for n in 0..TENANTS {
        for (i, instance) in instances.iter().cloned().enumerate() {
            writers.push(tokio::spawn(async move {
                let id = format!("t{n}");
                let made = instance.submit(tenant(&id)).await.unwrap();
                let renamed = instance.submit(rename(&id, 1, &format!("by {i}"))).await.unwrap();
                (granted(&made), granted(&renamed))
            }));
        }
    }
    let (mut made, mut renamed) = (0, 0);
    for writer in writers {
        let (a, b) = writer.await.unwrap();
        (made, renamed) = (made + usize::from(a), renamed + usize::from(b));
    }
    (made, renamed)
}

fn granted(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted { .. } => true,
        Outcome::Refused(Refusal::Conflict { .. }) => false,
        Outcome::Refused(other) => panic!("{other}"),
    }
}

async fn states_at(end: i64, instances: &[Control]) -> Vec<Arc<State>> {
    let mut states = Vec::new();
    for instance in instances {
        let mut view = instance.watch();
        states.push(
            view.wait_for(|view| view.position >= end)
                .await
                .unwrap()
                .state
                .clone(),
        );
    }
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_on_one_log_decide_alike() {
    let broker = Instances(Bare::start().await);
    let log = broker.log("observer");
    topics::ensure(&log).await.unwrap();
    let (keyring, stop) = (Keyring::ephemeral(), CancellationToken::new());

    // All at once on an empty topic: one log id, one first user.
    let starts = (0..INSTANCES).map(|i| {
        let (broker, keyring, stop) = (&broker, &keyring, &stop);
        async move { broker.instance(&format!("member-{i}"), keyring, stop).await }
    });
    let instances = futures_util::future::join_all(starts).await;
    assert!(
        instances
            .iter()
            .all(|instance| instance.log_id() == instances[0].log_id())
    );
    let firsts = instances.iter().map(|instance| instance.first_start(None));
    let firsts = futures_util::future::join_all(firsts).await;
    assert_eq!(firsts.into_iter().filter_map(Result::unwrap).count(), 1);

    // All at once on the same things: each wish is granted to one of them.
    assert_eq!(race(&instances).await, (TENANTS, TENANTS));

    // Somebody who may write to the broker says nothing.
    let forged = NewRecord {
        partition: Some(0),
        key: b"tenant/evil",
        payload: b"{}",
        headers: &[],
    };
    let position = log.append(topics::CONTROL, forged).await.unwrap();

    let states = states_at(position.offset + 1, &instances).await;
    assert!(states.iter().all(|state| *state == states[0]));
    assert!(
        states[0]
            .tenant(&TenantId::parse("t7").unwrap())
            .unwrap()
            .name
            .starts_with("by ")
    );
    assert_eq!(states[0].tenants().count(), TENANTS + 1);
    assert_eq!(instances[0].skipped().count, 1);

    // A late one, which folds it all anew.
    let late = broker.instance("late", &keyring, &stop).await;
    assert_eq!(late.state(), states[0]);
    assert!(late.first_start(None).await.unwrap().is_none());

    stop.cancel();
    broker.0.stop().await;
}
