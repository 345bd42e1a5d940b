-- The table that every question about events starts from: one row an event, tenant first, then time.
--
-- ReplacingMergeTree keeps the row with the highest version of each (tenant_id, time, event_id). The version of a
-- record at offset o is 2^62 - o: it falls as the offset rises, so the first copy in the log wins, whenever the
-- later ones come. Versions from 2^63 on are those of revisions, which replace an original: 0003_revisions.sql.
--
-- toUInt128(event_id): ClickHouse orders UUIDs by their second half; as a number they sort as they are written.
CREATE TABLE IF NOT EXISTS {table:Identifier}
(
    tenant_id       LowCardinality(String),
    time            DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id        UUID CODEC(ZSTD(1)),
    received_at     DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    time_offset     Nullable(Int16) COMMENT 'minutes east of UTC, as the client wrote it',
    time_from       Enum8('client' = 0, 'id' = 1, 'received' = 2),
    source_event_id String CODEC(ZSTD(1)),

    event_type      LowCardinality(String),
    action          LowCardinality(String),
    severity        Enum8('INFO' = 1, 'WARNING' = 2, 'ERROR' = 3, 'CRITICAL' = 4),
    outcome         Enum8('unknown' = 0, 'success' = 1, 'failure' = 2),

    actor_id        String CODEC(ZSTD(3)),
    actor_type      LowCardinality(String),
    actor_name      String CODEC(ZSTD(3)),
    actor_email     String CODEC(ZSTD(3)),
    session_id      String CODEC(ZSTD(3)),
    ip              IPv6 COMMENT '::ffff:a.b.c.d for IPv4, :: for none' CODEC(ZSTD(1)),
    user_agent      LowCardinality(String),

    resource_type   LowCardinality(String),
    resource_id     String CODEC(ZSTD(3)),
    resource_name   String CODEC(ZSTD(3)),

    message         String CODEC(ZSTD(3)),
    before          String COMMENT 'JSON text, empty for none' CODEC(ZSTD(3)),
    after           String COMMENT 'JSON text, empty for none' CODEC(ZSTD(3)),
    details         Map(LowCardinality(String), String) COMMENT 'path to value, one entry a leaf, in document order: a.b[0].c' CODEC(ZSTD(6)),
    details_types   LowCardinality(String) COMMENT 'one letter a leaf: s string, j any other JSON',

    request_id      String CODEC(ZSTD(1)),
    trace_id        String CODEC(ZSTD(1)),
    tags            Array(LowCardinality(String)),

    source          LowCardinality(String) COMMENT 'kind: http, kafka, aws_cloudtrail, ...',
    source_id       LowCardinality(String),
    provenance      String CODEC(ZSTD(3)),
    raw             String COMMENT 'as it came, but for what other columns hold: src/store/original.rs' CODEC(ZSTD(3)),
    raw_sha256      String COMMENT 'of the bytes before redaction; empty where nothing was redacted and it can be computed' CODEC(ZSTD(1)),
    raw_redacted    Array(String) COMMENT 'JSON pointers' CODEC(ZSTD(3)),

    log_id          UUID CODEC(ZSTD(1)),
    log_partition   UInt16 CODEC(ZSTD(1)),
    version         UInt64 CODEC(Delta(8), ZSTD(1)),

    log_offset      UInt64 ALIAS if(version <= 4611686018427387904, 4611686018427387904 - version, version - 9223372036854775808),
    detail_items    Array(String) ALIAS arrayMap((k, v) -> concat(replaceRegexpAll(k, '\\[[0-9]+\\]', ''), '=', v), mapKeys(details), mapValues(details)),
    -- Beyond ASCII the tokenizer splits nowhere, so whatever is no letter, mark or digit becomes a blank first.
    all_text        String ALIAS concat(message, ' ', arrayStringConcat(mapValues(details), ' ')),
    search_text     String ALIAS if(isValidASCII(all_text), lower(all_text), replaceRegexpAll(lowerUTF8(all_text), '[^\\p{L}\\p{M}\\p{N}]+', ' ')),

    -- Everything that can be asked for has an index: what is in no block of 1,024 rows then costs milliseconds, not the
    -- reading of the whole table. Filters of columns with few values take next to no room.
    INDEX ix_details         detail_items TYPE text(tokenizer = 'array'),
    INDEX ix_text            search_text TYPE text(tokenizer = 'splitByNonAlpha'),
    INDEX ix_event_id        event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_source_event_id source_event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_event_type      event_type TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_action          action TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_actor_id        actor_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_actor_type      actor_type TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_actor_name      actor_name TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_actor_email     actor_email TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_session_id      session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_ip              ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_user_agent      user_agent TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_resource_type   resource_type TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_resource_id     resource_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_resource_name   resource_name TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_request_id      request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_trace_id        trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_tags            tags TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_source          source TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_source_id       source_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_severity        severity TYPE minmax GRANULARITY 1,
    INDEX ix_outcome         outcome TYPE minmax GRANULARITY 1,
    INDEX ix_received_at     received_at TYPE minmax GRANULARITY 1,
    INDEX ix_version         version TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(time)
PRIMARY KEY (tenant_id, time)
ORDER BY (tenant_id, time, toUInt128(event_id))
-- default_compression_codec: for what has no codec of its own; LZ4 costs the enumerated columns twice the bytes.
-- vertical merges from the first row on: parts follow each other in time, so columns are copied in long runs; row by
-- row, all columns at once, a merge costs a fifth more.
-- index_granularity, min_compress_block_size: a selective search unpacks whole granules, and whole blocks of the columns,
-- for a row each. 18 rows far apart in 2 million, all columns: 62 ms of CPU with granules of 2,048 rows and blocks from
-- 64 KiB on, 36 ms with these; a row takes 2.5 bytes more, and an insert with its merges a tenth more CPU.
-- auto_statistics_types: no query plan here depends on them, and every insert and merge would pay for them.
-- min_bytes_for_wide_part: an insert writes one file instead of 150 (11.8 instead of 17 us of CPU a row in inserts of
-- 20,000); what is merged beyond that size has a file a column.
SETTINGS index_granularity = 1024,
         min_compress_block_size = 16384,
         min_bytes_for_wide_part = 67108864,
         default_compression_codec = 'ZSTD(1)',
         vertical_merge_algorithm_min_rows_to_activate = 1,
         auto_statistics_types = ''
