//! Records of `audit.events` that give no row go to `audit.rejected`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::batch::Row;
use crate::event::revision::HEADER;
use crate::event::{TenantId, schema};
use crate::log::framing::Framing;
use crate::log::rejected::{Reason, Rejection, reject};
use crate::log::{Log, Record, topics};
use crate::meters;

/// Keeps a record in `audit.rejected`, as long as it takes: it counts as done only afterwards. False when the process
/// stops first.
pub(super) async fn reject_record(
    log: &Log,
    record: &Record,
    tenant: Option<&TenantId>,
    (reason, why): (Reason, &str),
    stop: &CancellationToken,
) -> bool {
    metrics::counter!(meters::REJECTED, "reason" => reason.as_str()).increment(1);
    let origin = format!("{}/{}/{}", record.topic, record.partition, record.offset);
    loop {
        let rejection = Rejection {
            reason,
            detail: why,
            tenant,
            origin: &origin,
            key: &record.key,
            payload: &record.payload,
            headers: &record.headers,
        };
        match reject(log, rejection).await {
            Ok(_) => return true,
            Err(error) => tracing::warn!(%error, origin, "a rejection can't be written yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// The same for a row.
pub(super) async fn reject_row(log: &Log, row: &Row, why: (Reason, &str), stop: &CancellationToken) -> bool {
    let history = row.history.iter();
    let headers = history.map(|history| (HEADER.to_owned(), history.to_json().into_bytes()));
    let mut payload = Vec::with_capacity(row.bytes + 10);
    Framing::SingleObject(schema::fingerprint()).begin(&mut payload);
    schema::encode(&row.event, &mut payload);
    let record = Record {
        topic: Arc::from(topics::EVENTS),
        partition: row.at.partition,
        offset: row.at.offset,
        appended_at: row.event.received_at,
        key: row.event.event_id.as_bytes().to_vec(),
        payload,
        headers: headers.collect(),
    };
    let tenant = Some(&row.event.tenant_id);
    reject_record(log, &record, tenant, why, stop).await
}
