//! One slot of a draft to one field: the type, the length, the words it may be.

use std::net::IpAddr;

use super::{Intake, Problem};
use crate::event::Actor;
use crate::event::json::Value;
use crate::event::json::scan::elements;
use crate::event::problem::{NAME_MAX, TAG_MAX, TAGS_MAX, USER_AGENT_MAX};
use crate::event::shapes::{Draft, Slot};

pub(super) fn actor(draft: &mut Draft<'_>, intake: &Intake<'_>) -> Actor {
    let mut actor = Actor {
        id: None,
        kind: text(draft, Slot::ActorKind, NAME_MAX),
        name: text(draft, Slot::ActorName, NAME_MAX),
        email: text(draft, Slot::ActorEmail, NAME_MAX),
        session_id: text(draft, Slot::Session, NAME_MAX),
        ip: ip(draft),
        user_agent: text(draft, Slot::UserAgent, USER_AGENT_MAX),
    };
    let location = draft.given(Slot::ActorId).map(|given| given.location.clone());
    actor.id = text(draft, Slot::ActorId, NAME_MAX);
    if let Some(own) = intake.actor {
        if let (Some(id), Some(location)) = (&actor.id, location)
            && id != own
        {
            draft.problem(&location, format!("this credential writes only as `{own}`"));
        }
        actor.id = Some(own.to_owned());
    }
    actor
}

fn ip(draft: &mut Draft<'_>) -> Option<IpAddr> {
    let location = draft.given(Slot::Ip)?.location.clone();
    let text = text(draft, Slot::Ip, NAME_MAX)?;
    match text.parse::<IpAddr>() {
        // RFC 4291: "the absence of an address". The table has it for events that have none.
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => {
            let detail = "`::` is the unspecified address, which says nothing: left out";
            draft.warnings.push(Problem::new(location.pointer(), detail));
            None
        }
        Ok(ip) => Some(ip.to_canonical()),
        Err(_) => {
            draft.problem(&location, "expected an IPv4 or IPv6 address");
            None
        }
    }
}

pub(super) fn text(draft: &mut Draft<'_>, slot: Slot, limit: usize) -> Option<String> {
    let given = draft.take(slot)?;
    let Value::Text(text) = given.value else {
        draft.problem(
            &given.location,
            format!("expected a string, found {}", given.value.kind()),
        );
        return None;
    };
    let text = text.decode();
    if text.len() > limit {
        draft.problem(
            &given.location,
            format!("at most {limit} bytes are kept, this has {}", text.len()),
        );
        return None;
    }
    Some(text.into_owned())
}

pub(super) fn word<T: Default>(
    draft: &mut Draft<'_>,
    slot: Slot,
    parse: fn(&str) -> Option<T>,
    expected: &str,
) -> T {
    let Some(given) = draft.take(slot) else {
        return T::default();
    };
    let word = match given.value {
        Value::Text(text) => parse(&text.decode()),
        _ => None,
    };
    word.unwrap_or_else(|| {
        draft.problem(&given.location, format!("expected {expected}"));
        T::default()
    })
}

pub(super) fn tags(draft: &mut Draft<'_>) -> Vec<String> {
    let Some(given) = draft.take(Slot::Tags) else {
        return Vec::new();
    };
    let Value::Array(span) = given.value else {
        draft.problem(
            &given.location,
            format!("expected an array of strings, found {}", given.value.kind()),
        );
        return Vec::new();
    };
    let elements = elements(span);
    if elements.len() > TAGS_MAX {
        draft.problem(
            &given.location,
            format!("at most {TAGS_MAX} tags are kept, this has {}", elements.len()),
        );
    }
    let mut tags = Vec::with_capacity(elements.len().min(TAGS_MAX));
    for (i, element) in elements.iter().take(TAGS_MAX).enumerate() {
        match element {
            Value::Text(text) if text.decode().len() <= TAG_MAX => tags.push(text.decode().into_owned()),
            Value::Text(_) => draft.problems.push(Problem::new(
                format!("{}/{i}", given.location.pointer()),
                format!("at most {TAG_MAX} bytes are kept of a tag"),
            )),
            other => draft.problems.push(Problem::new(
                format!("{}/{i}", given.location.pointer()),
                format!("expected a string, found {}", other.kind()),
            )),
        }
    }
    tags
}
