//! Commands: what somebody wants changed, as it is written to the control log. Whether it *is* changed, the fold
//! decides; the log keeps refused commands too.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::role::{Role, Roles};
use crate::clock::Timestamp;
use crate::crypto;
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::keyring::Sealed;

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
}

impl Kind {
    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Key => "key",
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
        /// Events a second on each instance; `None`: the default.
        events_per_second: Option<NonZeroU32>,
    },
    /// Changes a tenant.
    UpdateTenant {
        /// New name.
        name: Option<String>,
        /// New rate; `Some(Default)` takes the override away.
        events_per_second: Option<Rate>,
        /// Refuse, or take again, its credentials.
        disabled: Option<bool>,
    },
    /// Makes a user.
    CreateUser {
        /// Unique in the deployment without regard to case.
        name: String,
        /// Where it belongs.
        tenant: TenantId,
        /// What it may do.
        roles: Roles,
        /// The password's hash, sealed for version 1 of this user.
        password: Sealed,
    },
    /// Changes a user. Disabling ends its tokens.
    UpdateUser {
        /// New roles.
        roles: Option<Roles>,
        /// Refuse, or take again, its credentials.
        disabled: Option<bool>,
    },
    /// Sets a password, and ends all tokens of the user.
    SetPassword {
        /// The hash, sealed for the version of the user that this command makes.
        password: Sealed,
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
        /// SHA-256 of the key's whole text, in hexadecimal.
        #[serde(with = "hex32")]
        sha256: [u8; 32],
        /// When it stops counting.
        expires_at: Option<Timestamp>,
        /// Events a second on each instance.
        events_per_second: Option<NonZeroU32>,
    },
    /// Revokes an API key, for good.
    RevokeKey,
}

/// A rate in an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// As configured.
    Default,
    /// This many a second.
    PerSecond(NonZeroU32),
}

impl Command {
    /// What it is about.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Bootstrap { .. } => Kind::Deployment,
            Self::CreateTenant { .. } | Self::UpdateTenant { .. } => Kind::Tenant,
            Self::CreateUser { .. }
            | Self::UpdateUser { .. }
            | Self::SetPassword { .. }
            | Self::EndSessions => Kind::User,
            Self::CreateKey { .. } | Self::RevokeKey => Kind::Key,
        }
    }

    /// Tells one wish about the entity `id` from another: all but the secrets, which each request makes anew.
    pub fn fingerprint(&self, id: &str) -> [u8; 32] {
        crypto::sha256(format!("{id}\0{}", self.shown()).as_bytes())
    }

    /// All of it but the secrets.
    pub fn shown(&self) -> serde_json::Value {
        let mut wish = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = wish.as_object_mut() {
            members.retain(|name, _| !SECRETS.contains(&name.as_str()));
        }
        wish
    }

    /// What is wrong with the command itself, whatever the state is; empty when nothing is.
    pub fn problems(&self, id: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self {
            Self::CreateTenant { name, .. } => {
                if TenantId::parse(id).is_none() {
                    let rule = "1 to 63 of a-z, 0-9, - and _, beginning with a letter or a digit";
                    problems.push(problem("/id", rule));
                }
                problems.extend(label_problem(name));
            }
            Self::UpdateTenant { name: Some(name), .. } => problems.extend(label_problem(name)),
            Self::CreateUser { name, roles, .. } => {
                if !is_user_name(name) {
                    problems.push(problem(
                        "/name",
                        "1 to 128 characters without spaces or control characters",
                    ));
                }
                problems.extend(roles.is_empty().then(|| problem("/roles", NO_ROLE)));
            }
            Self::UpdateUser {
                roles: Some(roles), ..
            } if roles.is_empty() => {
                problems.push(problem("/roles", NO_ROLE));
            }
            Self::CreateKey { name, roles, .. } => {
                problems.extend(label_problem(name));
                problems.extend(roles.is_empty().then(|| problem("/roles", NO_ROLE)));
                if roles.has(Role::Operator) || roles.has(Role::User) {
                    problems.push(problem("/roles", "a key may be admin, auditor or ingest"));
                }
            }
            _ => {}
        }
        problems
    }
}

/// The fields that hold what was made of a secret.
const SECRETS: [&str; 2] = ["password", "sha256"];
const NO_ROLE: &str = "at least one role is needed";

/// A user name: visible characters, so that two names that look alike in a log are the same bytes more often.
fn is_user_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn label_problem(name: &str) -> Option<Problem> {
    let fits = !name.trim().is_empty() && name.len() <= 200 && !name.chars().any(char::is_control);
    (!fits).then(|| problem("/name", "1 to 200 bytes without control characters"))
}

fn problem(field: &str, detail: &str) -> Problem {
    Problem {
        field: field.into(),
        detail: detail.into(),
    }
}

/// Who sends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The user's name or the key's id; `system` for what the server does of its own accord.
    pub who: String,
    /// The tenant it is walled in; `None`: an operator or the server itself, who may touch every tenant.
    pub tenant: Option<TenantId>,
}

impl By {
    /// The server itself.
    pub fn system() -> Self {
        Self {
            who: "system".into(),
            tenant: None,
        }
    }
}

/// A command with everything the fold needs to decide it: what one control record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Names the wish: the same id again gets the first answer.
    pub request_id: Uuid,
    /// The log this belongs to; nil in a [`Command::Bootstrap`].
    pub log_id: Uuid,
    /// Which version of the entity the sender has seen; 0: it must not exist.
    pub expected_version: u64,
    /// Who sends it.
    pub by: By,
    /// When it was sent, by the sender's clock.
    pub at: Timestamp,
    /// The entity's id; its kind follows from the command.
    pub id: String,
    /// What is wanted.
    pub command: Command,
}

/// 32 bytes as hexadecimal.
mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits
            .filter(|digits| digits.len() == 64)
            .ok_or_else(|| D::Error::custom("expected 64 hex digits"))?;
        Ok(std::array::from_fn(|i| {
            (digits[2 * i] * 16 + digits[2 * i + 1]) as u8
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
                events_per_second: Some(Rate::Default),
                disabled: Some(true),
            },
            Command::SetPassword { password: sealed() },
            Command::EndSessions,
            Command::CreateKey {
                name: "shop".into(),
                tenant: TenantId::default_tenant(),
                roles: Roles::of(&[Role::Ingest]),
                sha256: std::array::from_fn(|i| i as u8),
                expires_at: Some(Timestamp::from_millis(1_700_000_000_000)),
                events_per_second: NonZeroU32::new(5),
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
            password: sealed(),
        };
        assert_eq!(user("ann").fingerprint("u"), user("ann").fingerprint("u"));
        assert_ne!(user("ann").fingerprint("u"), user("bob").fingerprint("u"));
        assert_ne!(user("ann").fingerprint("u"), user("ann").fingerprint("v"));
        let key = |secret, rate| Command::CreateKey {
            name: "k".into(),
            tenant: TenantId::default_tenant(),
            roles: Roles::of(&[Role::Ingest]),
            sha256: [secret; 32],
            expires_at: None,
            events_per_second: NonZeroU32::new(rate),
        };
        assert_eq!(key(1, 5).fingerprint("k"), key(2, 5).fingerprint("k"));
        assert_ne!(key(1, 5).fingerprint("k"), key(1, 6).fingerprint("k"));
    }

    #[test]
    fn problems_name_their_fields() {
        let fields = |command: Command, id: &str| -> Vec<String> {
            command
                .problems(id)
                .into_iter()
                .map(|problem| problem.field)
                .collect()
        };
        let tenant = |name: &str| Command::CreateTenant {
            name: name.into(),
            events_per_second: None,
        };
        assert!(fields(tenant("Acme"), "acme").is_empty());
        assert_eq!(fields(tenant(""), "Acme!"), ["/id", "/name"]);
        let user = |name: &str, roles: &[Role]| Command::CreateUser {
            name: name.into(),
            tenant: TenantId::default_tenant(),
            roles: Roles::of(roles),
            password: sealed(),
        };
        assert!(fields(user("ann@example.org", &[Role::Admin]), "u").is_empty());
        assert_eq!(fields(user("a b", &[]), "u"), ["/name", "/roles"]);
        assert_eq!(fields(user("nul\0", &[Role::User]), "u"), ["/name"]);
    }

    #[test]
    fn a_key_spans_no_tenants_and_is_nobody() {
        for role in [Role::Operator, Role::User] {
            let command = Command::CreateKey {
                name: "k".into(),
                tenant: TenantId::default_tenant(),
                roles: Roles::of(&[Role::Ingest, role]),
                sha256: [0; 32],
                expires_at: None,
                events_per_second: None,
            };
            assert_eq!(command.problems("k")[0].field, "/roles");
        }
    }
}
