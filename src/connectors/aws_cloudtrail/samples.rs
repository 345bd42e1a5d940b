//! `connectors/aws_cloudtrail/samples`: real records, and what they become.
//!
//! `mapped/` holds single records beside their events. `TRAILHOUSE_BLESS=1` writes what is seen into these files, to
//! be read before it is committed.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::clock::FixedClock;
use crate::event::batch::{BatchForm, split};
use crate::event::draft::FallbackId;
use crate::event::view::to_json;
use crate::event::{Outcome, TenantId, schema};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/aws_cloudtrail/samples")
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = samples().join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn mapped(item: &[u8]) -> Result<Accepted, Refusal> {
    let tenant = TenantId::default_tenant();
    let received_at = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap().0;
    let clock = FixedClock::at(received_at);
    let intake = Intake {
        tenant: &tenant,
        received_at,
        source_kind: "import",
        source_id: None,
        client_id: None,
        fallback: FallbackId::Mint(&clock),
        actor: None,
    };
    map_from(item, &intake, &[("file", "sample.json")])
}

fn event_of(item: &str) -> Event {
    mapped(item.as_bytes())
        .unwrap_or_else(|refusal| panic!("{refusal}: {item}"))
        .event
}

#[test]
fn mapped_samples_become_their_events() {
    for path in files("mapped", ".record.json") {
        let accepted = mapped(fs::read_to_string(&path).unwrap().trim_end().as_bytes()).unwrap();
        let seen = serde_json::to_string_pretty(&to_json(&accepted.event).without_raw()).unwrap() + "\n";
        let file = PathBuf::from(path.to_str().unwrap().replace(".record.json", ".event.json"));
        if std::env::var_os("TRAILHOUSE_BLESS").is_some() {
            fs::write(&file, &seen).unwrap();
        }
        assert_eq!(seen, fs::read_to_string(&file).unwrap(), "{}", file.display());
    }
}

#[test]
fn every_record_of_the_log_files_maps_and_survives_the_log() {
    let (mut ids, mut records) = (HashSet::new(), 0);
    for path in files("invictus-ir_aws_dataset", ".json") {
        let body = fs::read(&path).unwrap();
        let originals: Value = serde_json::from_slice(&body).unwrap();
        let items = split(&body, BatchForm::File).unwrap();
        assert_eq!(items.len(), originals["Records"].as_array().unwrap().len());
        for (item, original) in items.iter().zip(originals["Records"].as_array().unwrap()) {
            assert_eq!(recognise(item), Some(Form::Record));
            let event = mapped(item).unwrap().event;
            records += 1;
            assert_eq!(event.source_event_id.as_deref(), original["eventID"].as_str());
            assert_eq!(
                event.actor.name.is_some(),
                original["userIdentity"].as_object().unwrap().len() > 1
            );
            assert_eq!(
                event.outcome == Outcome::Failure,
                original.get("errorCode").is_some(),
                "{original}"
            );
            let raw = event.raw.as_ref().unwrap();
            assert_eq!(
                (raw.bytes.as_slice(), raw.redacted.len()),
                (*item, 0),
                "the samples hold no secrets"
            );
            assert!(event.action.is_some() && event.message.is_some() && event.details.is_some());
            let mut datum = Vec::new();
            schema::encode(&event, &mut datum);
            ids.insert(event.event_id);
            assert_eq!(schema::decode(&datum).unwrap(), event);
        }
    }
    assert_eq!((records, ids.len()), (2_900, 2_900));
}

#[test]
fn every_other_sample_is_recognised_and_only_what_has_no_time_is_refused() {
    let mut seen = BTreeMap::new();
    for (folder, ending) in [
        ("otrf_security_datasets", ".jsonl"),
        ("plaso_lookup_events", ".jsonl"),
        ("streamalert", ".jsonl"),
        ("trailscraper", ".json"),
    ] {
        for path in files(folder, ending) {
            let body = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let counts: &mut (usize, usize) = seen.entry(name).or_default();
            for item in split(&body, BatchForm::File).unwrap() {
                match mapped(item) {
                    Ok(_) => counts.0 += 1,
                    Err(Refusal::Invalid(problems)) if problems[0].field == "/eventTime" => counts.1 += 1,
                    Err(refusal) => panic!("{refusal}: {}", String::from_utf8_lossy(item)),
                }
            }
        }
    }
    let expected = [
        (
            "111111111111_CloudTrail_eu-central-1_20171211T1505Z_A6kvhMoVeCsc7v8U.json",
            (2, 0),
        ),
        ("aws_cloudtrail.jsonl", (6, 0)),
        ("cloudtrail_records.jsonl", (1, 4)),
        ("ec2_proxy_s3_exfiltration_2020-09-14011940.jsonl", (103, 0)),
        ("eventbridge_cloudtrail.jsonl", (5, 10)),
        ("events-for-smoke-test.json", (3, 0)),
    ];
    assert_eq!(
        seen,
        expected.map(|(name, counts)| (name.to_owned(), counts)).into()
    );
}

#[test]
fn one_record_is_one_event_in_every_envelope() {
    let path = files("plaso_lookup_events", ".jsonl").remove(0);
    for line in fs::read_to_string(path).unwrap().lines() {
        let item: Value = serde_json::from_str(line).unwrap();
        let text = item["CloudTrailEvent"].as_str().unwrap();
        let bare = event_of(text);
        // Another printer: other order of keys, blanks.
        let record: Value = serde_json::from_str(text).unwrap();
        let pretty = serde_json::to_string_pretty(&record).unwrap();
        let bridge =
            serde_json::json!({ "detail-type": "AWS API Call via CloudTrail", "detail": record }).to_string();
        for other in [event_of(line), event_of(&pretty), event_of(&bridge)] {
            assert_eq!(other.event_id, bare.event_id);
            assert!(
                other.content().agrees_with(&bare.content()),
                "{other:?}\n{bare:?}"
            );
        }
        assert_eq!(event_of(line).raw, bare.raw);
    }
}

const RECORD: &str = r#"{"eventVersion":"1.10","awsRegion":"eu-west-1","eventTime":"2026-01-01T00:00:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole""#;

#[test]
fn secrets_are_taken_out_and_no_other_byte_is_touched() {
    let original = format!(
        r#"{RECORD} , "responseElements": {{ "credentials": {{"accessKeyId":"ASIA1","sessionToken" : "IQ\"oJ","secretAccessKey":"abc"}} }},
            "requestParameters":{{"list":[{{"masterUserPassword":"p"}},{{"newPassword":null,"password":"****"}}],"passwordResetRequired":true}}}}"#
    );
    let event = event_of(&original);
    let raw = event.raw.unwrap();
    assert_eq!(
        std::str::from_utf8(&raw.bytes).unwrap(),
        original
            .replace(r#""IQ\"oJ""#, r#""REDACTED""#)
            .replace(r#""abc""#, r#""REDACTED""#)
            .replace(r#":"p""#, r#":"REDACTED""#)
    );
    assert_eq!(
        raw.redacted,
        [
            "/responseElements/credentials/sessionToken",
            "/responseElements/credentials/secretAccessKey",
            "/requestParameters/list/0/masterUserPassword"
        ]
    );
    let digest: [u8; 32] = Sha256::digest(original.as_bytes()).into();
    assert_eq!(raw.sha256, digest);
    let details = event.details.unwrap();
    assert!(
        !details.as_str().contains("oJ") && !details.as_str().contains("abc"),
        "{details:?}"
    );
}

#[test]
fn a_record_without_a_guid_has_an_id_from_its_content() {
    let record = |rest: &str| event_of(&format!("{RECORD}{rest}}}"));
    let (a, b) = (
        record(r#","eventID":"...","requestID":"1""#),
        record(r#","eventID":"...","requestID":"2""#),
    );
    assert_ne!(a.event_id, b.event_id);
    assert_eq!(
        record(r#" , "requestID" : "1","eventID":"\u002e..""#).event_id,
        a.event_id
    );
    assert!(a.source_event_id.unwrap().starts_with("sha256:"));
    assert_eq!(
        record(r#","eventID":"8F14E45F-CEEA-167F-9A36-DCD2A5B1C0DE""#)
            .source_event_id
            .as_deref(),
        Some("8f14e45f-ceea-167f-9a36-dcd2a5b1c0de")
    );
}

#[test]
fn odd_records_are_mapped_rather_than_lost() {
    let wide: Vec<_> = (0..1_200).map(|i| format!(r#""k{i}":{i}"#)).collect();
    let event = event_of(&format!(
        r#"{RECORD},"requestParameters":{{{}}}}}"#,
        wide.join(",")
    ));
    assert!(
        event.details.unwrap().to_value()["requestParameters"]
            .as_str()
            .unwrap()
            .starts_with(r#"{"k0":0,"#)
    );
    let agent = format!(
        r#"{RECORD},"userAgent":"a\u0000{}","requestParameters":{{"x":1,"x":"\u0000"}}}}"#,
        "é".repeat(4_000)
    );
    let event = event_of(&agent);
    assert!(event.actor.user_agent.unwrap().starts_with("a\u{fffd}é"));
    assert!(event.details.unwrap().to_value()["requestParameters"].is_string());
    let accepted = mapped(format!("{}}}", RECORD.replace("1.10", "2.0")).as_bytes()).unwrap();
    assert_eq!(accepted.warnings.len(), 1);
}

const NOTIFICATION: &str = r#"{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-01-01T00:00:00Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AWS:X"},"s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}"#;

#[test]
fn what_is_no_record_is_not_recognised() {
    for item in [
        "",
        "7",
        "{}",
        r#"{"eventVersion":"1.0"}"#,
        r#"{"detail":{},"detail-type":"x"}"#,
        r#"{"eventVersion":"ObjectCreated:Put","awsRegion":"x","s3":{}}"#,
        r#"{"awsAccountId":"1","digestStartTime":"x","logFiles":[]}"#,
        NOTIFICATION,
    ] {
        assert_eq!(recognise(item.as_bytes()), None, "{item}");
        assert!(mapped(item.as_bytes()).is_err());
    }
    assert_eq!(beside_logs(NOTIFICATION.as_bytes()), Some("a notification of S3"));
    assert_eq!(
        beside_logs(br#"{"digestStartTime":"x","logFiles":[]}"#),
        Some("a digest of CloudTrail")
    );
    assert_eq!(beside_logs(RECORD.as_bytes()), None);
    assert_eq!(
        recognise(br#"{"CloudTrailEvent":"nonsense"}"#),
        Some(Form::LookupEvent)
    );
    assert!(mapped(br#"{"CloudTrailEvent":"nonsense"}"#).is_err());
}

#[test]
fn the_manifest_says_what_the_code_does() {
    let text = fs::read_to_string(samples().parent().unwrap().join("connector.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    assert_eq!(manifest["kind"].as_str(), Some(KIND));
    assert_eq!(manifest["mapping_version"].as_integer(), Some(VERSION.into()));
    let forms =
        [Form::Record, Form::LookupEvent, Form::EventBridge].map(|form| toml::Value::from(form.as_str()));
    assert_eq!(manifest["forms"].as_array().unwrap(), &forms);
    assert_eq!(
        manifest["record"]["bytes_max"].as_integer(),
        Some(EVENT_BYTES_MAX as i64)
    );
}
