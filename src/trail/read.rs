//! What is recorded of a read: a pure function from who, from where and what to an event.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::{Principal, PrincipalKind};
use crate::clock::Timestamp;
use crate::control::Permission;
use crate::event::{Actor, Event, Json, Outcome, Resource, Severity, Source, TenantId, TimeFrom};
use crate::ingest::OWN;

/// Where a request came from, and what it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// The caller's address, as far as trusted proxies tell it.
    pub address: Option<IpAddr>,
    /// The program it came with.
    pub user_agent: Option<String>,
    /// The answer's `x-request-id`.
    pub request_id: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
}

/// Something that was asked.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    kind: Kind,
    tenant: Option<&'a TenantId>,
    resource: Resource,
    question: Value,
}

/// How something was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A search: its first page.
    Search,
    /// One event.
    Get,
    /// An export.
    Export,
    /// Statistics.
    Stats,
    /// What belongs together.
    Correlate,
    /// A stream: its start.
    Stream,
    /// A statement of one's own.
    Sql,
}

impl Kind {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Search => ("trailhouse.search", "Events were searched"),
            Self::Get => ("trailhouse.get", "An event was looked at"),
            Self::Export => ("trailhouse.export", "Events were exported"),
            Self::Stats => ("trailhouse.stats", "Events were counted"),
            Self::Correlate => (
                "trailhouse.correlate",
                "Events that belong together were looked at",
            ),
            Self::Stream => ("trailhouse.stream", "Events were watched"),
            Self::Sql => ("trailhouse.sql", "Events were queried with SQL"),
        }
    }
}

/// Parameters that are no part of the question: how it goes on, and what lets one in.
const NO_QUESTION: [&str; 3] = ["cursor", "ticket", "tenant_id"];

impl<'a> Reading<'a> {
    /// A question as the parameters of a request put it, on the events of the tenant that they name, or of the
    /// asker's own.
    pub fn of(kind: Kind, tenant: Option<&'a TenantId>, params: &[(String, String)]) -> Self {
        let mut question: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in params {
            if !NO_QUESTION.contains(&name.as_str()) {
                question.entry(name).or_default().push(value);
            }
        }
        let question = question
            .into_iter()
            .map(|(name, values)| match values.as_slice() {
                [one] => (name.to_owned(), json!(one)),
                many => (name.to_owned(), json!(many)),
            });
        Self::with(kind, tenant, question.collect())
    }

    /// The same with a question in words of its own, a JSON object.
    pub fn with(kind: Kind, tenant: Option<&'a TenantId>, question: Value) -> Self {
        Self {
            kind,
            tenant,
            resource: Resource::default(),
            question,
        }
    }

    /// One event, by the id that was given.
    pub fn get(tenant: Option<&'a TenantId>, id: &str) -> Self {
        let resource = Resource {
            kind: Some("event".to_owned()),
            id: Some(cut(id, 1_024)),
            name: None,
        };
        Self {
            resource,
            ..Self::with(Kind::Get, tenant, json!({}))
        }
    }

    /// The event. It belongs to the tenant that is read, but where the asker may not read that one: nobody writes into
    /// the log of strangers.
    pub fn event(self, principal: &Principal, occasion: &Occasion, now: Timestamp, id: Uuid) -> Event {
        let (event_type, message) = self.kind.words();
        let tenant = self
            .tenant
            .filter(|tenant| principal.can_in(tenant, Permission::Read))
            .unwrap_or_else(|| principal.tenant());
        let question = self.question.as_object().is_some_and(|all| !all.is_empty());
        Event {
            action: Some("VIEW".to_owned()),
            actor: actor(principal, occasion),
            resource: self.resource,
            message: Some(message.to_owned()),
            details: question.then(|| Json::from_value(&json!({"query": self.question}))),
            ..own(tenant.clone(), event_type, occasion, now, id)
        }
    }
}

/// A login that was tried. `user` is the name of a user that there is; what else was typed is not kept, for people type
/// passwords there.
pub fn login(
    tenant: TenantId,
    user: Option<&str>,
    succeeded: bool,
    occasion: &Occasion,
    now: Timestamp,
    id: Uuid,
) -> Event {
    let (outcome, severity, message) = match succeeded {
        true => (Outcome::Success, Severity::Info, "Somebody logged in"),
        false => (Outcome::Failure, Severity::Warning, "A login was refused"),
    };
    Event {
        action: Some("LOGIN".to_owned()),
        severity,
        outcome,
        message: Some(message.to_owned()),
        actor: Actor {
            id: user.map(str::to_owned),
            kind: user.map(|_| "user".to_owned()),
            ip: occasion.address,
            user_agent: occasion.user_agent.clone(),
            ..Actor::default()
        },
        ..own(tenant, "trailhouse.login", occasion, now, id)
    }
}

fn actor(principal: &Principal, occasion: &Occasion) -> Actor {
    let kind = match principal.kind() {
        PrincipalKind::User => "user",
        PrincipalKind::Key => "api_key",
        PrincipalKind::System => "system",
    };
    Actor {
        id: Some(principal.actor_id().to_owned()),
        kind: Some(kind.to_owned()),
        session_id: principal.session().map(|session| session.to_string()),
        ip: occasion.address,
        user_agent: occasion.user_agent.clone(),
        ..Actor::default()
    }
}

/// An event of the server's own, yet to say what it is about.
pub(super) fn own(
    tenant: TenantId,
    event_type: &str,
    occasion: &Occasion,
    now: Timestamp,
    id: Uuid,
) -> Event {
    Event {
        event_id: id,
        source_event_id: None,
        tenant_id: tenant,
        time: now,
        time_offset: None,
        time_from: TimeFrom::Client,
        received_at: now,
        event_type: event_type.to_owned(),
        action: None,
        severity: Severity::Info,
        outcome: Outcome::Unknown,
        actor: Actor::default(),
        resource: Resource::default(),
        message: None,
        before: None,
        after: None,
        details: None,
        request_id: occasion.request_id.clone(),
        trace_id: occasion.trace_id.clone(),
        tags: Vec::new(),
        source: Source {
            kind: OWN.to_owned(),
            id: None,
            provenance: None,
        },
        raw: None,
        revision: 0,
    }
}

/// The beginning of a text, in bytes.
pub(super) fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tenant: Option<&str>, params: &[(&str, &str)]) -> Event {
        let tenant = tenant.and_then(TenantId::parse);
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let principal = Principal::system(TenantId::parse("acme").unwrap(), "gate");
        let occasion = Occasion {
            request_id: Some("r1".into()),
            ..Occasion::default()
        };
        let read = Reading::of(Kind::Search, tenant.as_ref(), &params);
        read.event(
            &principal,
            &occasion,
            Timestamp::from_micros(5),
            Uuid::from_u128(1),
        )
    }

    #[test]
    fn the_question_is_kept_and_what_lets_one_in_is_not() {
        let event = read(
            None,
            &[
                ("tag", "a"),
                ("tag", "b"),
                ("q", "x"),
                ("cursor", "c"),
                ("ticket", "t"),
            ],
        );
        assert_eq!(
            event.details.unwrap().as_str(),
            r#"{"query":{"q":"x","tag":["a","b"]}}"#
        );
        assert_eq!(event.event_type, "trailhouse.search");
        assert_eq!(event.request_id.as_deref(), Some("r1"));
        assert_eq!(read(None, &[]).details, None);
    }

    #[test]
    fn nobody_writes_into_the_log_of_strangers() {
        assert_eq!(read(Some("other"), &[]).tenant_id.as_str(), "acme");
    }

    #[test]
    fn a_failed_login_of_nobody_names_nobody() {
        let tenant = TenantId::default_tenant();
        let now = Timestamp::from_micros(5);
        let event = login(tenant, None, false, &Occasion::default(), now, Uuid::from_u128(1));
        assert_eq!((event.actor.id, event.outcome), (None, Outcome::Failure));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 9), "aé");
    }
}
