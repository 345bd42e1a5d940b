//! A command with who sends it, when, from where, and under which name.

use std::net::IpAddr;

use uuid::Uuid;

use super::Command;
use crate::clock::Timestamp;
use crate::event::TenantId;

/// Who sends a command, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The user's name or the key's id; `system` for what the server does of its own accord.
    pub who: String,
    /// The tenant it is walled in; `None`: an operator or the server itself, who may touch every tenant.
    pub tenant: Option<TenantId>,
    /// The address it came from, where it came over HTTP.
    pub ip: Option<IpAddr>,
    /// The `x-request-id` of that request.
    pub request_id: Option<String>,
}

impl By {
    /// The server itself.
    pub fn system() -> Self {
        Self {
            who: "system".into(),
            tenant: None,
            ip: None,
            request_id: None,
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
pub(super) mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::control) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub(in crate::control) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
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
