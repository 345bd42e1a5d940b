//! What was done, how it ended, and how serious that is.

use super::record::{Record, fit};
use crate::event::problem::{MESSAGE_MAX, TYPE_MAX};
use crate::event::{Actor, Outcome, Resource, Severity};

/// `aws.<service>.<event name>`, such as `aws.iam.CreateUser`; `aws.cloudtrail.Insight` for Insights, which have no
/// event name of their own.
pub fn event_type(record: &Record<'_>) -> String {
    if record.has("insightDetails") {
        return "aws.cloudtrail.Insight".to_owned();
    }
    let service = record.service().unwrap_or_else(|| "unknown".to_owned());
    let name = record
        .text("eventName")
        .or_else(|| record.text("eventType"))
        .unwrap_or_else(|| "Unknown".to_owned());
    fit(&format!("aws.{service}.{name}"), TYPE_MAX)
}

/// Calls that begin a session.
const LOGINS: [&str; 12] = [
    "ConsoleLogin",
    "SwitchRole",
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoot",
    "GetSessionToken",
    "GetFederationToken",
    "GetSigninToken",
    "Authenticate",
    "Federate",
    "UserAuthentication",
];

/// First words of event names, by what they do.
const VERBS: [(&str, &[&str]); 5] = [
    (
        "CREATE",
        &[
            "Create", "Run", "Allocate", "Register", "Add", "Upload", "Import", "Generate", "Request",
            "Issue", "Copy", "Restore", "Purchase",
        ],
    ),
    (
        "DELETE",
        &[
            "Delete",
            "Terminate",
            "Remove",
            "Release",
            "Deregister",
            "Destroy",
            "Purge",
            "Cancel",
            "Leave",
        ],
    ),
    (
        "VIEW",
        &[
            "Get", "List", "Describe", "Head", "Lookup", "Search", "Select", "Query", "Scan", "Check",
            "View", "Download",
        ],
    ),
    (
        "EXECUTE",
        &[
            "Start", "Stop", "Invoke", "Send", "Execute", "Reboot", "Encrypt", "Decrypt", "Publish", "Test",
        ],
    ),
    (
        "UPDATE",
        &[
            "Update",
            "Modify",
            "Set",
            "Put",
            "Attach",
            "Detach",
            "Associate",
            "Disassociate",
            "Enable",
            "Disable",
            "Tag",
            "Untag",
            "Authorize",
            "Revoke",
            "Change",
            "Reset",
            "Replace",
            "Rotate",
        ],
    ),
];

/// The verb: a login, VIEW for whatever CloudTrail calls read-only, else by the first word of the event's name.
pub fn action(record: &Record<'_>) -> Option<&'static str> {
    let name = record.text("eventName")?;
    if LOGINS.contains(&name.as_str()) {
        return Some("LOGIN");
    }
    if record.flag("readOnly") == Some(true) {
        return Some("VIEW");
    }
    let words = name.strip_prefix("Batch").unwrap_or(&name);
    let begins = |verb: &&str| {
        let rest = words.strip_prefix(*verb);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let known = VERBS
        .iter()
        .find(|(_, verbs)| verbs.iter().any(|verb| begins(verb)));
    known
        .map(|(action, _)| *action)
        .or_else(|| record.has("readOnly").then_some("UPDATE"))
}

/// An error is a failure; so is an answer of `Failure` under the event's own name, as of a console login. An Insight
/// is no deed and has no outcome.
pub fn outcome(record: &Record<'_>) -> Outcome {
    if record.has("insightDetails") {
        return Outcome::Unknown;
    }
    let answer = || {
        record
            .object("responseElements")?
            .text(&record.text("eventName")?)
    };
    if record.has("errorCode") || record.has("errorMessage") || answer().as_deref() == Some("Failure") {
        Outcome::Failure
    } else {
        Outcome::Success
    }
}

/// Calls that blind those who watch.
const BLINDING: [&str; 8] = [
    "StopLogging",
    "DeleteTrail",
    "DeleteEventDataStore",
    "StopEventDataStoreIngestion",
    "DeleteFlowLogs",
    "DeleteDetector",
    "StopConfigurationRecorder",
    "DeleteConfigurationRecorder",
];

/// CRITICAL when logging was switched off; WARNING for failures, Insights, and what the root user changes; else INFO.
pub fn severity(record: &Record<'_>, outcome: Outcome) -> Severity {
    let name = record.text("eventName").unwrap_or_default();
    let root = || {
        record
            .object("userIdentity")
            .and_then(|identity| identity.text("type"))
            .as_deref()
            == Some("Root")
    };
    match outcome {
        Outcome::Success if BLINDING.contains(&name.as_str()) => Severity::Critical,
        Outcome::Success if record.flag("readOnly") != Some(true) && root() => Severity::Warning,
        Outcome::Success => Severity::Info,
        Outcome::Failure | Outcome::Unknown => Severity::Warning,
    }
}

/// One sentence: `alice called CreateUser on bob (iam): AccessDenied`.
pub fn message(record: &Record<'_>, actor: &Actor, resource: &Resource, outcome: Outcome) -> String {
    if let Some(insight) = record.object("insightDetails") {
        return insight_message(&insight);
    }
    let who = actor.name.as_deref().or(actor.id.as_deref()).unwrap_or("someone");
    let name = record
        .text("eventName")
        .or_else(|| record.text("eventType"))
        .unwrap_or_else(|| "an unnamed call".to_owned());
    let mut sentence = match (name.as_str(), outcome) {
        ("ConsoleLogin", Outcome::Failure) => format!("{who} failed to sign in to the console"),
        ("ConsoleLogin", _) => format!("{who} signed in to the console"),
        _ => format!("{who} called {name}"),
    };
    if let Some(what) = resource.name.as_deref().or(resource.id.as_deref()) {
        sentence.push_str(" on ");
        sentence.push_str(what);
    }
    if let Some(service) = record.service() {
        sentence.push_str(&format!(" ({service})"));
    }
    if outcome == Outcome::Failure {
        let why = record.text("errorCode").or_else(|| record.text("errorMessage"));
        sentence.push_str(&format!(": {}", why.as_deref().unwrap_or("failed")));
    }
    fit(&sentence, MESSAGE_MAX)
}

fn insight_message(insight: &Record<'_>) -> String {
    let text = |key: &str| insight.text(key).unwrap_or_else(|| "unknown".to_owned());
    let sentence = format!(
        "CloudTrail Insights: {} of {} at {} ({})",
        text("insightType"),
        text("eventName"),
        text("eventSource"),
        text("state")
    );
    fit(&sentence, MESSAGE_MAX)
}
