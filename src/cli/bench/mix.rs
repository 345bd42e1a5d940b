//! The two kinds of events that the figures stand on, made fresh for every request.
//!
//! Every event has a time, a request id and values of its own, drawn from a seeded generator with the cardinalities
//! of a mid-sized company: so many people, documents, addresses. CloudTrail records bring their ids, the others get
//! them from the server. All are written straight into the request, without a tree in between, so that making them
//! costs a few per cent of what taking them costs.

mod write;

use clap::ValueEnum;

use crate::clock::Timestamp;
pub(super) use write::Random;
use write::{push_address, push_hex, push_id, push_number, put};

const PEOPLE: u64 = 2_000;
const THINGS: u64 = 50_000;
const ADDRESSES: u64 = 3_000;

const FIRST: [&str; 8] = ["anna", "ben", "carl", "dora", "emil", "fay", "gus", "hana"];
const LAST: [&str; 7] = ["adler", "brown", "chen", "diaz", "evans", "fox", "garcia"];
const STATES: [&str; 5] = ["draft", "review", "approved", "rejected", "archived"];
const CHANGES: [(&str, &str); 5] = [
    ("document.update", "document"),
    ("invoice.approve", "invoice"),
    ("user.role.change", "user"),
    ("order.update", "order"),
    ("settings.change", "settings"),
];
const BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5)",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
];
const CURRENCIES: [&str; 3] = ["EUR", "USD", "GBP"];
const CHANNELS: [&str; 3] = ["web", "mobile", "api"];
pub(super) const DEPARTMENTS: [&str; 5] = ["sales", "finance", "legal", "hr", "it"];
const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-south-1"];
const CALLS: [(&str, &str, &str, bool); 8] = [
    ("s3", "GetObject", "bucketName", true),
    ("s3", "PutObject", "bucketName", false),
    ("ec2", "DescribeInstances", "instanceId", true),
    ("ec2", "RunInstances", "imageId", false),
    ("iam", "GetRole", "roleName", true),
    ("iam", "AttachRolePolicy", "roleName", false),
    ("kms", "Decrypt", "keyId", true),
    ("dynamodb", "UpdateItem", "tableName", false),
];
const AGENTS: [&str; 3] = [
    "aws-cli/2.15.30 Python/3.11.8 Linux/6.1.0 exe/x86_64",
    "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#6.1.0",
    "aws-sdk-go-v2/1.26.1 os/linux lang/go#1.22.1",
];

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mix {
    /// Application events of about 560 bytes, with before, after and details
    App,
    /// CloudTrail records of about 1.2 KB, whose originals are kept
    Cloudtrail,
}

impl Mix {
    /// The route for many.
    pub(super) fn bulk_path(self) -> &'static str {
        match self {
            Self::App => "/api/v1/logs/bulk",
            Self::Cloudtrail => "/api/v1/logs/bulk?source=aws_cloudtrail",
        }
    }

    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::App => "application events",
            Self::Cloudtrail => "CloudTrail records",
        }
    }
}

/// Makes events.
pub(super) struct Maker {
    mix: Mix,
    random: Random,
    /// The second that `date` is, so that the calendar is asked once a second.
    second: i64,
    date: String,
}

impl Maker {
    pub(super) fn new(mix: Mix, seed: u64) -> Self {
        Self {
            mix,
            random: Random::new(seed),
            second: i64::MIN,
            date: String::new(),
        }
    }

    /// Adds an event that happens at `now`.
    pub(super) fn push(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        let second = now.micros().div_euclid(1_000_000);
        if second != self.second {
            self.second = second;
            self.date = Timestamp::from_millis(second * 1_000)
                .to_string()
                .chars()
                .take(19)
                .collect();
        }
        match self.mix {
            Mix::App => self.application(now, out),
            Mix::Cloudtrail => self.record(out),
        }
    }

    /// A JSON array of so many.
    pub(super) fn array(&mut self, events: usize, now: Timestamp, out: &mut Vec<u8>) {
        out.clear();
        for index in 0..events {
            out.push(if index == 0 { b'[' } else { b',' });
            self.push(now.plus(std::time::Duration::from_micros(index as u64)), out);
        }
        out.push(b']');
    }

    fn application(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        let random = &mut self.random;
        let (person, thing) = (random.below(PEOPLE), random.below(THINGS));
        let (event_type, kind) = random.pick(&CHANGES);
        let (from, to) = (random.pick(&STATES), random.pick(&STATES));
        let version = random.below(40);
        put(
            out,
            &[
                "{\"event_type\":\"",
                event_type,
                "\",\"timestamp\":\"",
                &self.date,
                ".",
            ],
        );
        push_number(now.micros().rem_euclid(1_000_000) as u64, 6, out);
        put(out, &["Z\",\"user_id\":\"u-"]);
        push_number(person, 5, out);
        put(out, &["\",\"session_id\":\"s-"]);
        push_hex(person.wrapping_mul(7_919) % 100_000, 6, out);
        put(out, &["\",\"ip_address\":\""]);
        push_address(person % ADDRESSES, out);
        let browser = BROWSERS
            .get(person as usize % BROWSERS.len())
            .copied()
            .unwrap_or_default();
        put(
            out,
            &[
                "\",\"user_agent\":\"",
                browser,
                "\",\"action\":\"UPDATE\",\"resource_type\":\"",
                kind,
            ],
        );
        put(
            out,
            &["\",\"resource_id\":\"", kind.get(..3).unwrap_or(kind), "-"],
        );
        push_number(thing, 6, out);
        put(
            out,
            &[
                "\",\"message\":\"",
                name(person),
                ".",
                LAST[person as usize % LAST.len()],
                " changed ",
                kind,
                " ",
            ],
        );
        push_number(thing, 6, out);
        put(out, &[" from ", from, " to ", to, "\",\"request_id\":\""]);
        push_hex(random.next() >> 16, 12, out);
        put(out, &["\",\"before\":{\"status\":\"", from, "\",\"version\":"]);
        push_number(version, 1, out);
        put(out, &["},\"after\":{\"status\":\"", to, "\",\"version\":"]);
        push_number(version + 1, 1, out);
        put(out, &["},\"details\":{\"amount\":"]);
        push_number(random.below(1_000), 1, out);
        out.push(b'.');
        push_number(random.below(100), 2, out);
        put(
            out,
            &[
                ",\"currency\":\"",
                random.pick(&CURRENCIES),
                "\",\"channel\":\"",
                random.pick(&CHANNELS),
            ],
        );
        put(
            out,
            &[
                "\",\"department\":\"",
                random.pick(&DEPARTMENTS),
                "\",\"region\":\"",
                random.pick(&REGIONS),
            ],
        );
        put(out, &["\"},\"outcome\":\"success\"}"]);
    }

    fn record(&mut self, out: &mut Vec<u8>) {
        let random = &mut self.random;
        let (person, thing) = (random.below(PEOPLE), random.below(THINGS));
        let (service, call, parameter, reads) = random.pick(&CALLS);
        let region = random.pick(&REGIONS);
        let mut session = Vec::with_capacity(24);
        put(
            &mut session,
            &[name(person), ".", LAST[person as usize % LAST.len()]],
        );
        push_number(person, 1, &mut session);
        let session = String::from_utf8_lossy(&session).into_owned();
        put(
            out,
            &[
                "{\"eventVersion\":\"1.09\",\"userIdentity\":{\"type\":\"AssumedRole\",\"principalId\":\"AROAEXAMPLEROLE00",
                &session[..2],
                ":",
                &session,
                "\",\"arn\":\"arn:aws:sts::123456789012:assumed-role/Engineer/",
                &session,
                "\",\"accountId\":\"123456789012\",\"accessKeyId\":\"ASIAEXAMPLE",
            ],
        );
        push_number(person, 9, out);
        put(
            out,
            &[
                "\",\"sessionContext\":{\"sessionIssuer\":{\"type\":\"Role\",\"principalId\":\"AROAEXAMPLEROLE00",
                &session[..2],
                "\",\"arn\":\"arn:aws:iam::123456789012:role/Engineer\",\"accountId\":\"123456789012\",\"userName\":\"Engineer\"},\"attributes\":{\"creationDate\":\"",
                self.date.get(..10).unwrap_or_default(),
                "T00:00:00Z\",\"mfaAuthenticated\":\"true\"}}},\"eventTime\":\"",
                &self.date,
                "Z\",\"eventSource\":\"",
                service,
                ".amazonaws.com\",\"eventName\":\"",
                call,
                "\",\"awsRegion\":\"",
                region,
                "\",\"sourceIPAddress\":\"",
            ],
        );
        push_address(person % ADDRESSES, out);
        let agent = AGENTS
            .get(person as usize % AGENTS.len())
            .copied()
            .unwrap_or_default();
        put(
            out,
            &[
                "\",\"userAgent\":\"",
                agent,
                "\",\"requestParameters\":{\"",
                parameter,
                "\":\"",
                service,
                "-",
            ],
        );
        push_number(thing, 6, out);
        put(out, &["\"},\"responseElements\":null,\"requestID\":\""]);
        push_id(4, random.next(), random, out);
        put(out, &["\",\"eventID\":\""]);
        push_id(4, random.next(), random, out);
        let host = [service, ".", region, ".amazonaws.com"].concat();
        put(
            out,
            &[
                "\",\"readOnly\":",
                if reads { "true" } else { "false" },
                ",\"eventType\":\"AwsApiCall\",\"managementEvent\":true,",
            ],
        );
        put(
            out,
            &[
                "\"recipientAccountId\":\"123456789012\",\"eventCategory\":\"Management\",\"tlsDetails\":{\"tlsVersion\":\"TLSv1.3\",",
            ],
        );
        put(
            out,
            &[
                "\"cipherSuite\":\"TLS_AES_128_GCM_SHA256\",\"clientProvidedHostHeader\":\"",
                &host,
                "\"}}",
            ],
        );
    }
}

fn name(person: u64) -> &'static str {
    FIRST[person as usize / LAST.len() % FIRST.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;
    use crate::clock::{Clock, FixedClock};
    use crate::connectors::aws_cloudtrail;
    use crate::event::TenantId;
    use crate::event::batch::{BatchForm, split};
    use crate::event::draft::{FallbackId, Intake, accept};
    use crate::store::EventRow;

    #[test]
    fn both_mixes_are_taken_whole_and_are_as_large_as_said() {
        let (now, _) = Timestamp::parse_rfc3339("2026-11-20T12:00:00.5Z").unwrap();
        let (clock, tenant) = (FixedClock::at(now), TenantId::default_tenant());
        let intake = Intake {
            tenant: &tenant,
            received_at: clock.now(),
            source_kind: "http",
            source_id: None,
            client_id: None,
            fallback: FallbackId::Mint(&clock),
            actor: None,
        };
        for (mix, bytes) in [(Mix::App, 540..590), (Mix::Cloudtrail, 1_150..1_300)] {
            let mut body = Vec::new();
            Maker::new(mix, 7).array(1_000, now, &mut body);
            let items = split(&body, BatchForm::Posted).unwrap();
            let mut ids = HashSet::new();
            for item in &items {
                let accepted = match mix {
                    Mix::App => accept(item, &intake),
                    Mix::Cloudtrail => aws_cloudtrail::map(item, &intake),
                };
                let accepted =
                    accepted.unwrap_or_else(|refusal| panic!("{refusal}: {}", String::from_utf8_lossy(item)));
                assert_eq!(accepted.warnings, []);
                ids.insert(accepted.event.event_id);
                let row = EventRow::from_event(&accepted.event, Uuid::nil(), 0, 1);
                assert!(
                    row.raw.len() < 650,
                    "the row holds the original twice: {:?}",
                    row.raw
                );
                assert_eq!(row.into_event(), Ok(accepted.event.clone()));
            }
            assert_eq!((items.len(), ids.len()), (1_000, 1_000));
            assert!(
                bytes.contains(&(body.len() / 1_000)),
                "{mix:?}: {} bytes an event",
                body.len() / 1_000
            );
        }
    }
}
