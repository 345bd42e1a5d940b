-- Who may read with SQL, on a ClickHouse server of yours; run by its administrator, once, after `trailhouse migrate`.
-- Not for the embedded ClickHouse, which has its read-only user. Replace `trailhouse` where clickhouse.database is another.
--
-- A reader sees what it was given alone: a row policy on the table holds for every view over it. Whoever reads the table
-- and has no policy would see every tenant, so the first policy is for Trailhouse itself, which must, and from then on
-- nobody sees anything without one.

-- What readers have in common: the views, and of the table what the views show. One SELECT after another, bounded.
CREATE ROLE IF NOT EXISTS trailhouse_reader
;
GRANT SELECT ON trailhouse.v1_events TO trailhouse_reader
;
GRANT SELECT ON trailhouse.v1_all_events TO trailhouse_reader
;
GRANT SELECT ON trailhouse.v1_trail TO trailhouse_reader
;
GRANT SELECT ON trailhouse.v1_daily TO trailhouse_reader
;
GRANT SELECT ON trailhouse.v1_actors TO trailhouse_reader
;
GRANT SELECT ON trailhouse.v1_resources TO trailhouse_reader
;
GRANT SELECT(tenant_id, visible_from) ON trailhouse.visible_from TO trailhouse_reader
;
GRANT SELECT(tenant_id, event_id, time, received_at, event_type, action, severity, outcome, actor_id, actor_type, actor_name,
    actor_email, session_id, ip, user_agent, resource_type, resource_id, resource_name, message, before, after, details,
    request_id, trace_id, tags, source, source_id, source_event_id, version) ON trailhouse.events TO trailhouse_reader
;
CREATE SETTINGS PROFILE IF NOT EXISTS trailhouse_reader
    SETTINGS readonly = 1, max_execution_time = 60, max_memory_usage = 2000000000, max_result_rows = 10000000
    TO trailhouse_reader
;
-- Trailhouse itself, by the name it has in clickhouse.user.
CREATE ROW POLICY IF NOT EXISTS trailhouse_itself ON trailhouse.events USING 1 TO trailhouse
;
CREATE ROW POLICY IF NOT EXISTS trailhouse_itself ON trailhouse.visible_from USING 1 TO trailhouse
;
-- Then for each tenant: a role that sees it, and users of that role.
CREATE ROLE IF NOT EXISTS trailhouse_acme
;
GRANT trailhouse_reader TO trailhouse_acme
;
CREATE ROW POLICY IF NOT EXISTS acme ON trailhouse.events USING tenant_id = 'acme' TO trailhouse_acme
;
CREATE ROW POLICY IF NOT EXISTS acme ON trailhouse.visible_from USING tenant_id = 'acme' TO trailhouse_acme
;
CREATE USER IF NOT EXISTS acme_analyst IDENTIFIED WITH sha256_password BY 'change-me' DEFAULT ROLE trailhouse_acme
;
GRANT trailhouse_acme TO acme_analyst
