//! Every metric, named and explained once. The list is the operator's manual: `docs/runbook.md` refers to it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Events that came in by a door and were taken, by `source`.
pub const TAKEN: &str = "trailhouse_events_taken_total";
/// Events that were answered as held already: nothing was appended.
pub const DUPLICATES: &str = "trailhouse_events_duplicate_total";
/// Events and records that were rejected, by `reason`.
pub const REJECTED: &str = "trailhouse_events_rejected_total";
/// Events the log has acknowledged.
pub const APPENDED: &str = "trailhouse_events_appended_total";
/// Seconds from handing events to the log until it had them.
pub const APPEND_SECONDS: &str = "trailhouse_log_append_seconds";
/// Rows that are in ClickHouse.
pub const PROJECTED: &str = "trailhouse_events_projected_total";
/// Later copies of events that the projector dropped.
pub const COPIES: &str = "trailhouse_events_copies_total";
/// Records between the projector and the end of the log, by `partition`.
pub const LAG: &str = "trailhouse_projection_lag_records";
/// Rows in a batch.
pub const BATCH_ROWS: &str = "trailhouse_projection_batch_rows";
/// Seconds to write a batch.
pub const BATCH_SECONDS: &str = "trailhouse_projection_batch_seconds";
/// Inserts whose outcome was unknown or that failed, and were repeated.
pub const INSERTS_REPEATED: &str = "trailhouse_projection_inserts_repeated_total";
/// Records of the inbox the gate has dealt with, by `outcome`.
pub const GATE: &str = "trailhouse_gate_records_total";
/// HTTP answers, by `method`, `route` and `status`.
pub const HTTP_REQUESTS: &str = "trailhouse_http_requests_total";
/// Seconds until an HTTP answer, by `method` and `route`.
pub const HTTP_SECONDS: &str = "trailhouse_http_request_seconds";
/// Requests that were pushed back for their rate, by `what` (tenant, key or address) and `budget`.
pub const LIMITED: &str = "trailhouse_limited_total";
/// Seconds since the control state was known to be complete.
pub const CONTROL_AGE: &str = "trailhouse_control_age_seconds";
/// Control records that were skipped because nobody with the master key wrote them.
pub const CONTROL_FORGED: &str = "trailhouse_control_forged_total";
/// Streams that are open.
pub const STREAMS: &str = "trailhouse_streams";
/// How often a stream was too slow for what came, and was served from the log instead.
pub const STREAMS_LAGGED: &str = "trailhouse_streams_lagged_total";
/// 1 while an engine this process started answers, by `engine`.
pub const ENGINE_UP: &str = "trailhouse_engine_up";

/// Upper bounds of what is waited for: from an append in memory to the timeouts.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Upper bounds of batches: one INSERT holds at most 500,000 rows.
const ROWS: &[f64] = &[
    1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 50_000.0, 100_000.0, 500_000.0,
];

/// The buckets of every histogram, so that those of many instances can be added up.
pub const BUCKETS: [(&str, &[f64]); 4] = [
    (APPEND_SECONDS, SECONDS),
    (BATCH_SECONDS, SECONDS),
    (HTTP_SECONDS, SECONDS),
    (BATCH_ROWS, ROWS),
];

/// Gives every metric its sentence.
pub fn describe() {
    for (name, text) in [
        (TAKEN, "Events taken, by source"),
        (DUPLICATES, "Events that were held already"),
        (REJECTED, "Events and records rejected, by reason"),
        (APPENDED, "Events the log has acknowledged"),
        (PROJECTED, "Rows that are in ClickHouse"),
        (COPIES, "Later copies of events that the projector dropped"),
        (INSERTS_REPEATED, "Inserts that were repeated"),
        (GATE, "Records of the inbox dealt with, by outcome"),
        (HTTP_REQUESTS, "HTTP answers, by method, route and status"),
        (STREAMS_LAGGED, "Times that a stream was too slow for what came"),
        (LIMITED, "Requests pushed back for their rate"),
        (CONTROL_FORGED, "Control records skipped for a wrong signature"),
    ] {
        describe_counter!(name, Unit::Count, text);
    }
    for (name, text) in [
        (
            LAG,
            "Records between the projector and the end of the log, by partition",
        ),
        (
            CONTROL_AGE,
            "Seconds since the control state was known to be complete",
        ),
        (STREAMS, "Streams that are open"),
        (ENGINE_UP, "1 while an engine this process started answers"),
    ] {
        describe_gauge!(name, text);
    }
    for (name, text) in [
        (
            APPEND_SECONDS,
            "Seconds from handing events to the log until it had them",
        ),
        (BATCH_SECONDS, "Seconds to write a batch"),
        (HTTP_SECONDS, "Seconds until an HTTP answer, by method and route"),
    ] {
        describe_histogram!(name, Unit::Seconds, text);
    }
    describe_histogram!(BATCH_ROWS, Unit::Count, "Rows in a batch");
}
