//! Who: `userIdentity` in its many types, to an actor.
//!
//! The id is the ARN where there is one, since it is the only name that tells two accounts apart: for an assumed role
//! it includes the session, which with single sign-on is the person. The name is what a person would call it.

use std::net::IpAddr;

use super::record::{Record, fit};
use crate::event::Actor;
use crate::event::problem::USER_AGENT_MAX;

/// The actor of a record.
pub fn actor(record: &Record<'_>) -> Actor {
    let mut actor = record
        .object("userIdentity")
        .map_or_else(Actor::default, |identity| of_identity(&identity));
    actor.ip = record
        .text("sourceIPAddress")
        .and_then(|text| text.parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical());
    actor.user_agent = record.text("userAgent").map(|text| fit(&text, USER_AGENT_MAX));
    actor
}

fn of_identity(identity: &Record<'_>) -> Actor {
    let kind = identity.short("type");
    let arn = identity.short("arn");
    let invoked_by = identity.short("invokedBy");
    let person = identity
        .object("onBehalfOf")
        .and_then(|person| person.short("userId"));
    let id = arn
        .clone()
        .or(person)
        .or_else(|| identity.short("principalId"))
        .or_else(|| {
            if kind.as_deref() == Some("AWSAccount") {
                None
            } else {
                invoked_by.clone()
            }
        })
        .or_else(|| identity.short("accountId"));
    let name = match kind.as_deref() {
        Some("Root") => Some("root".to_owned()),
        Some("AssumedRole" | "FederatedUser") => {
            arn.as_deref().and_then(last_step).or_else(|| session(identity))
        }
        Some("AWSAccount") => identity.short("accountId"),
        _ => identity
            .short("userName")
            .or_else(|| arn.as_deref().and_then(last_step))
            .or_else(|| invoked_by.clone()),
    };
    Actor {
        // Records of AWS's own services have no type when they act on an account's behalf.
        kind: kind.or_else(|| invoked_by.is_some().then(|| "AWSService".to_owned())),
        email: name.as_deref().filter(|name| is_mail(name)).map(str::to_owned),
        session_id: identity
            .short("accessKeyId")
            .filter(|key| key.starts_with("ASIA")),
        id,
        name,
        ..Actor::default()
    }
}

/// `alice` of `arn:aws:iam::123456789012:user/alice`.
fn last_step(arn: &str) -> Option<String> {
    let (_, name) = arn.rsplit_once('/')?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The session in `AROA…:session`.
fn session(identity: &Record<'_>) -> Option<String> {
    let principal = identity.short("principalId")?;
    Some(
        principal
            .split_once(':')
            .map_or(principal.as_str(), |(_, session)| session)
            .to_owned(),
    )
}

fn is_mail(name: &str) -> bool {
    name.split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}
