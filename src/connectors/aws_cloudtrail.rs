//! AWS CloudTrail: one record, in whichever envelope it comes, to one event.
//!
//! A log file is `{"Records": […]}`; LookupEvents puts the record as a string into `CloudTrailEvent`; EventBridge
//! puts it into `detail`; Logstash and others print it bare. [`recognise`] tells them apart, [`map`] takes the record
//! out, redacts its secrets ([`redact`]), reads who ([`identity`]), what ([`deed`]) and to what ([`target`]), and
//! keeps everything else in the details and the original in `raw`. Texts that are too long for their field are cut:
//! an outside record is never refused for its looks, and `raw` has all of it.

mod deed;
mod identity;
mod record;
mod redact;
#[cfg(test)]
mod samples;
mod target;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::draft::{Accepted, EVENT_BYTES_MAX, Intake, Problem, Refusal};
use crate::event::id::{self, IdOrigin};
use crate::event::json::text::quote_into;
use crate::event::json::{Json, Limits, scan};
use crate::event::moment::{self, Moment};
use crate::event::{Event, Raw, Source, TimeFrom};
use record::Record;

/// The `source.kind` of these events, and part of their ids.
pub const KIND: &str = "aws_cloudtrail";

/// The version of this mapping, kept in the provenance.
pub const VERSION: u32 = 1;

/// How a CloudTrail record is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As in the `Records` of a log file.
    Record,
    /// An item of LookupEvents, the record in its `CloudTrailEvent` string.
    LookupEvent,
    /// An EventBridge event, the record in its `detail`.
    EventBridge,
}

impl Form {
    /// Its name in the provenance.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::LookupEvent => "lookup_events",
            Self::EventBridge => "eventbridge",
        }
    }
}

/// Whether an item of a file is a CloudTrail record, and in which envelope. The items of a file come from
/// [`batch::split`](crate::event::batch::split).
pub fn recognise(item: &[u8]) -> Option<Form> {
    let text = std::str::from_utf8(item).ok()?;
    let record = Record::read(text)?;
    if is_record(&record) {
        return Some(Form::Record);
    }
    if record.text("CloudTrailEvent").is_some() {
        return Some(Form::LookupEvent);
    }
    let detail = record.object("detail")?;
    (record.has("detail-type") && is_record(&detail)).then_some(Form::EventBridge)
}

fn is_record(record: &Record<'_>) -> bool {
    record.has("eventVersion")
        && record.has("awsRegion")
        && (record.has("userIdentity") || record.has("insightDetails") || record.has("eventSource"))
        && !is_notification(record)
}

/// S3's notifications look much like records; `eventSource` is `aws:s3`.
fn is_notification(record: &Record<'_>) -> bool {
    record.has("s3")
        && record
            .text("eventSource")
            .is_some_and(|source| source.starts_with("aws:"))
}

/// What an item of a file is when it is one of those that lie beside CloudTrail's logs and hold no events.
pub fn beside_logs(item: &[u8]) -> Option<&'static str> {
    let record = Record::read(std::str::from_utf8(item).ok()?)?;
    if record.has("digestStartTime") && record.has("logFiles") {
        Some("a digest of CloudTrail")
    } else if is_notification(&record) {
        Some("a notification of S3")
    } else {
        None
    }
}

/// Turns a recognised item into an event.
///
/// Refused are items that are no CloudTrail record or no JSON, that are larger than an event may be, or that have no
/// readable time.
pub fn map(item: &[u8], intake: &Intake<'_>) -> Result<Accepted, Refusal> {
    map_from(item, intake, &[])
}

/// As [`map`], with what is known about the item's origin added to its provenance: the file, the page, the window.
pub fn map_from(item: &[u8], intake: &Intake<'_>, from: &[(&str, &str)]) -> Result<Accepted, Refusal> {
    if item.len() > EVENT_BYTES_MAX {
        return Err(Refusal::TooLarge {
            bytes: item.len(),
            limit: EVENT_BYTES_MAX,
        });
    }
    if let Some(own) = intake.actor {
        return Err(Refusal::of(
            "",
            format!("this credential writes only as `{own}`, not what others did"),
        ));
    }
    let form = recognise(item).ok_or_else(|| Refusal::of("", "not a CloudTrail record"))?;
    let text = std::str::from_utf8(item).map_err(|_| Refusal::of("", "invalid UTF-8"))?;
    let envelope = Record::read(text).ok_or_else(|| Refusal::of("", "not a JSON object"))?;
    let original = match form {
        Form::Record => text.to_owned(),
        Form::LookupEvent => envelope.text("CloudTrailEvent").unwrap_or_default(),
        Form::EventBridge => envelope
            .object("detail")
            .map(|detail| detail.as_str().to_owned())
            .unwrap_or_default(),
    };
    let (redacted, pointers) = redact::redact(&original);
    let record = Record::read(&redacted).ok_or_else(|| {
        Refusal::of(
            "/CloudTrailEvent",
            "expected the JSON text of a CloudTrail record",
        )
    })?;
    let raw = Raw {
        bytes: redacted.clone().into_bytes(),
        sha256: Sha256::digest(original.as_bytes()).into(),
        redacted: pointers,
    };
    let when = when(&record, &envelope, intake.received_at)?;
    Ok(assemble(&record, raw, when, form, intake, from))
}

fn assemble(
    record: &Record<'_>,
    raw: Raw,
    when: Moment,
    form: Form,
    intake: &Intake<'_>,
    from: &[(&str, &str)],
) -> Accepted {
    let native_id = native_id(record);
    let (actor, outcome) = (identity::actor(record), deed::outcome(record));
    let resource = target::resource(record);
    let event = Event {
        event_id: id::of_source(intake.tenant, KIND, &native_id),
        tenant_id: intake.tenant.clone(),
        time: when.at,
        time_offset: when.offset,
        time_from: TimeFrom::Client,
        received_at: intake.received_at,
        event_type: deed::event_type(record),
        action: deed::action(record).map(str::to_owned),
        severity: deed::severity(record, outcome),
        outcome,
        message: Some(deed::message(record, &actor, &resource, outcome)),
        before: None,
        after: None,
        details: details(record, actor.ip.is_some()),
        request_id: record.short("requestID"),
        trace_id: None,
        tags: Vec::new(),
        source_event_id: Some(native_id),
        source: Source {
            kind: KIND.to_owned(),
            id: intake.source_id.map(str::to_owned),
            provenance: Some(provenance(form, from)),
        },
        actor,
        resource,
        raw: Some(raw),
        revision: 0,
    };
    Accepted {
        event,
        warnings: warnings(record),
        id: IdOrigin::Derived,
    }
}

/// What CloudTrail calls the record: its `eventID` where that is a GUID, else a hash of what it says. Records older
/// than `eventVersion` 1.01 have none, and sanitised ones have placeholders.
fn native_id(record: &Record<'_>) -> String {
    let given = record.text("eventID").filter(|given| given.len() == 36);
    match given.and_then(|given| uuid::Uuid::try_parse(&given).ok()) {
        Some(guid) => guid.to_string(),
        None => format!("sha256:{}", hex(&Sha256::digest(record.canonical().as_bytes()))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `eventTime`; in records that another tool has altered, its `@timestamp` or the time of the envelope.
fn when(record: &Record<'_>, envelope: &Record<'_>, received_at: Timestamp) -> Result<Moment, Refusal> {
    let latest = received_at.plus(crate::event::draft::AHEAD_MAX);
    let candidates = [
        (record, "eventTime"),
        (record, "@timestamp"),
        (envelope, "time"),
        (envelope, "EventTime"),
    ]
    .into_iter();
    let mut read = candidates.filter_map(|(record, key)| moment::parse(&record.text(key)?));
    let Some(moment) = read.next() else {
        return Err(Refusal::of(
            "/eventTime",
            "expected a date such as 2026-11-20T09:00:00Z",
        ));
    };
    if moment.at.micros() < 0 || moment.at > latest {
        let detail = format!(
            "{} is not between 1970-01-01T00:00:00Z and {latest}, a day after its receipt",
            moment.at
        );
        return Err(Refusal::of("/eventTime", detail));
    }
    Ok(moment)
}

/// Members that have a field of their own.
const NAMED: [&str; 6] = [
    "eventID",
    "eventTime",
    "@timestamp",
    "@version",
    "userAgent",
    "requestID",
];

/// Everything without a field of its own. Nulls are left out.
fn details(record: &Record<'_>, address_known: bool) -> Option<Json> {
    let write = |quoted: bool| {
        let mut out = String::from("{");
        for (key, value) in record.members() {
            let named = NAMED.contains(&key.as_ref()) || (address_known && key == "sourceIPAddress");
            if named || matches!(value, scan::Value::Null) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            quote_into(&key.replace('\0', "\u{fffd}"), &mut out);
            out.push(':');
            record::write(value, quoted, &mut out);
        }
        out.push('}');
        out
    };
    let mut text = write(false);
    // What a store could not hold as a tree (too wide, too deep, a key twice, a NUL) stays there as text.
    if !matches!(scan::whole(&text, Limits::EVENT), Ok((_, faults)) if faults.is_empty()) {
        text = write(true);
    }
    (text.len() > 2).then(|| Json::from_compact(text))
}

fn provenance(form: Form, from: &[(&str, &str)]) -> Json {
    let mut out = format!(r#"{{"connector_version":{VERSION},"form":"{}""#, form.as_str());
    for (key, value) in from {
        out.push(',');
        quote_into(key, &mut out);
        out.push(':');
        quote_into(value, &mut out);
    }
    out.push('}');
    Json::from_compact(out)
}

fn warnings(record: &Record<'_>) -> Vec<Problem> {
    match record.version() {
        Some((1, _)) => Vec::new(),
        _ => vec![Problem::new(
            "/eventVersion",
            "not a version 1 of CloudTrail's record: mapped as far as known",
        )],
    }
}
