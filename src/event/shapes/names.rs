//! The names under which clients may write the fields of an event.

/// The fields of an event that a client can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the field of `Event` with that name
pub enum Slot {
    Id,
    Tenant,
    Time,
    Type,
    Action,
    Severity,
    Outcome,
    ActorId,
    ActorKind,
    ActorName,
    ActorEmail,
    Session,
    Ip,
    UserAgent,
    ResourceKind,
    ResourceId,
    ResourceName,
    Message,
    Before,
    After,
    Details,
    Request,
    Trace,
    Tags,
}

/// How many there are.
pub(super) const SLOTS: usize = Slot::Tags as usize + 1;

/// What a key at the outermost level means.
pub(super) enum Known {
    /// A field.
    Slot(Slot),
    /// The object of the actor's fields.
    Actor,
    /// The object of the resource's fields.
    Resource,
}

/// The table of names at the outermost level, each with its camelCase twin.
pub(super) fn known(key: &str) -> Option<Known> {
    Some(Known::Slot(match key {
        "event_id" | "eventId" => Slot::Id,
        "tenant_id" | "tenantId" => Slot::Tenant,
        "time" | "timestamp" | "event_time" | "eventTime" => Slot::Time,
        "event_type" | "eventType" => Slot::Type,
        "action" => Slot::Action,
        "severity" => Slot::Severity,
        "outcome" => Slot::Outcome,
        "user_id" | "userId" | "actor_id" | "actorId" => Slot::ActorId,
        "actor_type" | "actorType" => Slot::ActorKind,
        "user_name" | "userName" | "actor_name" | "actorName" => Slot::ActorName,
        "user_email" | "userEmail" | "actor_email" | "actorEmail" => Slot::ActorEmail,
        "session_id" | "sessionId" => Slot::Session,
        "ip_address" | "ipAddress" | "ip" => Slot::Ip,
        "user_agent" | "userAgent" => Slot::UserAgent,
        "resource_type" | "resourceType" => Slot::ResourceKind,
        "resource_id" | "resourceId" => Slot::ResourceId,
        "resource_name" | "resourceName" => Slot::ResourceName,
        "message" => Slot::Message,
        "before" => Slot::Before,
        "after" => Slot::After,
        "details" | "metadata" | "event_details" | "eventDetails" => Slot::Details,
        "request_id" | "requestId" => Slot::Request,
        "trace_id" | "traceId" => Slot::Trace,
        "tags" => Slot::Tags,
        "actor" => return Some(Known::Actor),
        "resource" => return Some(Known::Resource),
        _ => return None,
    }))
}

/// The names inside `actor`.
pub(super) fn known_of_actor(key: &str) -> Option<Slot> {
    Some(match key {
        "id" => Slot::ActorId,
        "type" => Slot::ActorKind,
        "name" => Slot::ActorName,
        "email" => Slot::ActorEmail,
        "session_id" | "sessionId" => Slot::Session,
        "ip" | "ip_address" | "ipAddress" => Slot::Ip,
        "user_agent" | "userAgent" => Slot::UserAgent,
        _ => return None,
    })
}

/// The names inside `resource`.
pub(super) fn known_of_resource(key: &str) -> Option<Slot> {
    Some(match key {
        "type" => Slot::ResourceKind,
        "id" => Slot::ResourceId,
        "name" => Slot::ResourceName,
        _ => return None,
    })
}
