//! Records as the tests write them.

mod kept;
mod order;
mod properties;
mod rules;

use super::*;
use crate::clock::Timestamp;
use crate::control::command::{By, LimitsPatch, Patch};
use crate::control::entity::{ExportState, Limits};
use crate::control::role::{Role, Roles};
use crate::control::state::Refusal;
use crate::event::TenantId;
use crate::keyring::{Keyring, Sealed};

const LOG: Uuid = Uuid::from_u128(0x106);

fn sealed() -> Sealed {
    static SEALED: std::sync::LazyLock<Sealed> =
        std::sync::LazyLock::new(|| Keyring::ephemeral().seal("test", b"", b"hash").unwrap());
    SEALED.clone()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn envelope(request: u128, expected_version: u64, by: Option<&str>, id: &str, command: Command) -> Envelope {
    let log_id = if matches!(command, Command::Bootstrap { .. }) {
        Uuid::nil()
    } else {
        LOG
    };
    Envelope {
        request_id: Uuid::from_u128(request),
        log_id,
        expected_version,
        by: By {
            who: by.unwrap_or("root").into(),
            tenant: by.map(tenant),
            ip: None,
            request_id: None,
        },
        at: Timestamp::from_millis(request as i64),
        id: id.into(),
        command,
    }
}

fn bootstrap() -> Envelope {
    envelope(
        1 << 64,
        0,
        None,
        "this",
        Command::Bootstrap {
            log_id: LOG,
            partitions: 4,
        },
    )
}

fn create_tenant() -> Command {
    Command::CreateTenant {
        name: "T".into(),
        limits: Limits::default(),
    }
}

fn create_user(name: &str, at: &str, roles: &[Role]) -> Command {
    create_user_with(name, at, Roles::of(roles))
}

fn create_user_with(name: &str, at: &str, roles: Roles) -> Command {
    Command::CreateUser {
        name: name.into(),
        tenant: tenant(at),
        roles,
        limit: None,
        password: Some(sealed()),
    }
}

fn create_search(at: &str) -> Command {
    Command::CreateSearch {
        tenant: tenant(at),
        name: "s".into(),
        query: "action=VIEW".into(),
    }
}

fn create_export(at: &str) -> Command {
    Command::CreateExport {
        tenant: tenant(at),
        query: "".into(),
        format: "csv".into(),
        compression: None,
        instance: "i".into(),
        expires_at: Timestamp::from_millis(1_000),
    }
}

fn create_key(at: &str) -> Command {
    let (name, tenant, roles) = ("k".into(), tenant(at), Roles::of(&[Role::Ingest]));
    Command::CreateKey {
        name,
        tenant,
        roles,
        sha256: [1; 32],
        limit: None,
        expires_at: None,
        limits: Limits::default(),
    }
}

fn disable() -> Command {
    Command::UpdateUser {
        roles: None,
        limit: Patch::Keep,
        disabled: Some(true),
    }
}

/// A fold with tenants `a` and `b` and operator `op` in `a`.
fn begun() -> Fold {
    let mut fold = Fold::default();
    let records = [
        bootstrap(),
        envelope((1 << 64) + 1, 0, None, "a", create_tenant()),
        envelope((1 << 64) + 2, 0, None, "b", create_tenant()),
        envelope(
            (1 << 64) + 3,
            0,
            None,
            "op",
            create_user("op", "a", &[Role::Operator]),
        ),
    ];
    for record in records {
        assert_eq!(fold.apply(&record), Ok(Outcome::Accepted { version: 1 }));
    }
    fold
}

fn refused(fold: &mut Fold, record: &Envelope) -> Refusal {
    match fold.apply(record).unwrap() {
        Outcome::Refused(refusal) => refusal,
        accepted => panic!("{accepted:?}"),
    }
}
