//! Commands: what somebody wants changed, as it is written to the control log. Whether it *is* changed, the fold
//! decides; the log keeps refused commands too.
//!
//! [`check`] says what is wrong with a command whatever the state is, [`envelope`] who sends it, when and from where.

pub mod check;
pub mod envelope;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entity::{ExportState, Limits};
use super::role::Roles;
use crate::clock::Timestamp;
use crate::crypto;
use crate::event::TenantId;
use crate::keyring::Sealed;

pub use check::{LIMIT_BYTES_MAX, QUERY_BYTES_MAX, SCHEMA_BYTES_MAX};
pub use envelope::{By, Envelope};

/// The kinds of things a command can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The deployment as a whole.
    Deployment,
    /// A tenant.
    Tenant,
    /// A user.
    User,
    /// An API key.
    Key,
    /// A saved search.
    Search,
    /// The schema of an event type.
    Schema,
    /// A background export.
    Export,
}

impl Kind {
    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Key => "key",
            Self::Search => "search",
            Self::Schema => "schema",
            Self::Export => "export",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wanted. `None` in an update leaves the field as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Begins the log. Only the first valid record of the topic can be one that counts.
    Bootstrap {
        /// See [`super::Deployment::log_id`].
        log_id: Uuid,
        /// Partitions of `audit.events`.
        partitions: u32,
    },
    /// Makes a tenant; its id is the entity's.
    CreateTenant {
        /// For people.
        name: String,
        /// How much it may do.
        limits: Limits,
    },
    /// Changes a tenant.
    UpdateTenant {
        /// New name.
        name: Option<String>,
        /// How much it may do from now on.
        limits: LimitsPatch,
        /// Refuse, or take again, its credentials.
        disabled: Option<bool>,
    },
    /// Hides the tenant's events from before a moment, for good.
    CleanUp {
        /// The moment. An earlier one than that of a former clean-up changes nothing.
        before: Timestamp,
    },
    /// Makes a user.
    CreateUser {
        /// Unique in the deployment without regard to case.
        name: String,
        /// Where it belongs.
        tenant: TenantId,
        /// What it may do.
        roles: Roles,
        /// Which events that is about; `None`: all.
        limit: Option<String>,
        /// The password's hash, sealed for version 1 of this user; `None` for who comes by OIDC only.
        password: Option<Sealed>,
    },
    /// Changes a user. Disabling ends its tokens.
    UpdateUser {
        /// New roles.
        roles: Option<Roles>,
        /// Another limit, or none.
        limit: Patch<String>,
        /// Refuse, or take again, its credentials.
        disabled: Option<bool>,
    },
    /// Sets a password, and ends all tokens of the user.
    SetPassword {
        /// The hash, sealed for the version of the user that this command makes.
        password: Sealed,
    },
    /// Ends one session of the user. It asks for no version and makes none: it contradicts no other change.
    RevokeSession {
        /// The session that its tokens name.
        session: Uuid,
        /// When the last of them would have expired.
        until: Timestamp,
    },
    /// Ends all tokens of the user.
    EndSessions,
    /// Makes an API key.
    CreateKey {
        /// For people.
        name: String,
        /// Where it belongs.
        tenant: TenantId,
        /// Its scope.
        roles: Roles,
        /// Which events that is about; `None`: all.
        limit: Option<String>,
        /// SHA-256 of the key's whole text, in hexadecimal.
        #[serde(with = "envelope::hex32")]
        sha256: [u8; 32],
        /// When it stops counting.
        expires_at: Option<Timestamp>,
        /// How much it may do, within what its tenant may.
        limits: Limits,
    },
    /// Changes an API key.
    UpdateKey {
        /// New name.
        name: Option<String>,
        /// Another limit, or none.
        limit: Patch<String>,
        /// How much it may do from now on.
        limits: LimitsPatch,
        /// When it stops counting.
        expires_at: Patch<Timestamp>,
    },
    /// Revokes an API key, for good.
    RevokeKey,
    /// Saves a search.
    CreateSearch {
        /// Where it belongs.
        tenant: TenantId,
        /// For people.
        name: String,
        /// The search, as the query of a URL.
        query: String,
    },
    /// Changes a saved search.
    UpdateSearch {
        /// New name.
        name: Option<String>,
        /// Another search.
        query: Option<String>,
    },
    /// Takes a saved search away.
    DeleteSearch,
    /// Adds a version to the schema of an event type, or makes the first. The id is [`super::schema_id`].
    PutSchema {
        /// A JSON Schema.
        schema: String,
    },
    /// Takes the schema of an event type away, with all its versions.
    DeleteSchema,
    /// Begins a background export.
    CreateExport {
        /// Whose events.
        tenant: TenantId,
        /// The search, as the query of a URL.
        query: String,
        /// `json`, `ndjson`, `csv`, `parquet`.
        format: String,
        /// `gzip`, `zstd`; `None`: not compressed.
        compression: Option<String>,
        /// The instance that works on it and keeps the file.
        instance: String,
        /// When its file may go.
        expires_at: Timestamp,
    },
    /// Says how an export is getting on.
    UpdateExport {
        /// Where it stands now.
        state: ExportState,
    },
    /// Takes an export away.
    DeleteExport,
}

/// A field in an update that may also be taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patch<T> {
    /// Leave it as it is.
    #[default]
    Keep,
    /// Take it away: what is configured, or nothing, holds then.
    Unset,
    /// This, from now on.
    Set(T),
}

impl<T: Clone> Patch<T> {
    /// What becomes of `present`.
    pub fn onto(&self, present: &Option<T>) -> Option<T> {
        match self {
            Self::Keep => present.clone(),
            Self::Unset => None,
            Self::Set(next) => Some(next.clone()),
        }
    }
}

impl Patch<String> {
    /// The same for text that many share.
    pub fn text_onto(&self, present: &Option<Arc<str>>) -> Option<Arc<str>> {
        match self {
            Self::Keep => present.clone(),
            Self::Unset => None,
            Self::Set(next) => Some(next.as_str().into()),
        }
    }
}

/// Changes of [`Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsPatch {
    /// Events a second.
    pub events_per_second: Patch<NonZeroU32>,
    /// Searches a second.
    pub searches_per_second: Patch<NonZeroU32>,
    /// Exports at once.
    pub exports_at_once: Patch<NonZeroU32>,
}

impl LimitsPatch {
    /// What becomes of `present`.
    pub fn onto(&self, present: &Limits) -> Limits {
        Limits {
            events_per_second: self.events_per_second.onto(&present.events_per_second),
            searches_per_second: self.searches_per_second.onto(&present.searches_per_second),
            exports_at_once: self.exports_at_once.onto(&present.exports_at_once),
        }
    }
}

impl Command {
    /// What it is about.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Bootstrap { .. } => Kind::Deployment,
            Self::CreateTenant { .. } | Self::UpdateTenant { .. } | Self::CleanUp { .. } => Kind::Tenant,
            Self::CreateUser { .. }
            | Self::UpdateUser { .. }
            | Self::SetPassword { .. }
            | Self::RevokeSession { .. }
            | Self::EndSessions => Kind::User,
            Self::CreateKey { .. } | Self::UpdateKey { .. } | Self::RevokeKey => Kind::Key,
            Self::CreateSearch { .. } | Self::UpdateSearch { .. } | Self::DeleteSearch => Kind::Search,
            Self::PutSchema { .. } | Self::DeleteSchema => Kind::Schema,
            Self::CreateExport { .. } | Self::UpdateExport { .. } | Self::DeleteExport => Kind::Export,
        }
    }

    /// Tells one wish about the entity `id` from another: all but what each request makes anew of its own.
    pub fn fingerprint(&self, id: &str) -> [u8; 32] {
        crypto::sha256(format!("{id}\0{}", self.shown()).as_bytes())
    }

    /// All of it but the secrets.
    pub fn shown(&self) -> serde_json::Value {
        let mut wish = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = wish.as_object_mut() {
            members.retain(|name, _| !self.made_anew().contains(&name.as_str()));
        }
        wish
    }

    /// The fields that a repeated request fills with something else: what was made of a secret, and what the server
    /// adds.
    const fn made_anew(&self) -> &'static [&'static str] {
        match self {
            Self::CreateExport { .. } => &["instance", "expires_at"],
            _ => &["password", "sha256"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Role;
    use crate::keyring::Keyring;

    fn sealed() -> Sealed {
        Keyring::ephemeral().seal("test", b"", b"hash").unwrap()
    }

    #[test]
    fn a_command_survives_json() {
        let all = [
            Command::Bootstrap {
                log_id: Uuid::from_u128(7),
                partitions: 4,
            },
            Command::UpdateTenant {
                name: None,
                limits: LimitsPatch {
                    events_per_second: Patch::Unset,
                    searches_per_second: Patch::Set(NonZeroU32::MIN),
                    exports_at_once: Patch::Keep,
                },
                disabled: Some(true),
            },
            Command::UpdateUser {
                roles: None,
                limit: Patch::Set("resource_type=invoice".into()),
                disabled: None,
            },
            Command::RevokeSession {
                session: Uuid::from_u128(9),
                until: Timestamp::from_millis(1_700_000_000_000),
            },
            Command::PutSchema { schema: "{}".into() },
            Command::UpdateExport {
                state: ExportState::Done {
                    events: 1,
                    bytes: 2,
                    sha256: "ab".into(),
                    redactions: "cd".into(),
                },
            },
            Command::SetPassword { password: sealed() },
            Command::EndSessions,
            Command::CreateKey {
                name: "shop".into(),
                tenant: TenantId::default_tenant(),
                roles: Roles::of(&[Role::Ingest]),
                sha256: std::array::from_fn(|i| i as u8),
                limit: None,
                expires_at: Some(Timestamp::from_millis(1_700_000_000_000)),
                limits: Limits {
                    events_per_second: NonZeroU32::new(5),
                    ..Limits::default()
                },
            },
        ];
        for command in all {
            let json = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command, "{json}");
        }
    }

    #[test]
    fn a_wish_is_told_by_everything_but_its_secrets() {
        let user = |name: &str| Command::CreateUser {
            name: name.into(),
            tenant: TenantId::default_tenant(),
            roles: Roles::of(&[Role::User]),
            limit: None,
            password: Some(sealed()),
        };
        assert_eq!(user("ann").fingerprint("u"), user("ann").fingerprint("u"));
        assert_ne!(user("ann").fingerprint("u"), user("bob").fingerprint("u"));
        assert_ne!(user("ann").fingerprint("u"), user("ann").fingerprint("v"));
        let key = |secret, rate| Command::CreateKey {
            name: "k".into(),
            tenant: TenantId::default_tenant(),
            roles: Roles::of(&[Role::Ingest]),
            sha256: [secret; 32],
            limit: None,
            expires_at: None,
            limits: Limits {
                events_per_second: NonZeroU32::new(rate),
                ..Limits::default()
            },
        };
        assert_eq!(key(1, 5).fingerprint("k"), key(2, 5).fingerprint("k"));
        assert_ne!(key(1, 5).fingerprint("k"), key(1, 6).fingerprint("k"));
    }

    #[test]
    fn what_the_server_adds_to_a_wish_does_not_tell_it_from_its_repetition() {
        let export = |query: &str, instance: &str, millis| Command::CreateExport {
            tenant: TenantId::default_tenant(),
            query: query.into(),
            format: "csv".into(),
            compression: None,
            instance: instance.into(),
            expires_at: Timestamp::from_millis(millis),
        };
        assert_eq!(
            export("a=b", "i", 1).fingerprint("e"),
            export("a=b", "j", 2).fingerprint("e")
        );
        assert_ne!(
            export("a=b", "i", 1).fingerprint("e"),
            export("a=c", "i", 1).fingerprint("e")
        );
    }
}
