-- Who may read with SQL, on a ClickHouse server of yours; run by its administrator after `trailhouse migrate`, and again
-- after an upgrade that adds views or columns. Not for the embedded ClickHouse, which has its read-only user. Replace
-- `trailhouse` where clickhouse.database is another.
--
-- A reader sees views of its tenant, in a database of the tenant's own, and no table: there, what was amended or redacted
-- stands beside its revision until both are merged, and what was cleaned up until it is deleted. The views read with the
-- rights of a user of their own, as whom nobody can log in. What holds for that user is a row policy on the table, so
-- that other tenants' rows are out of sight before anything else of a reader's query is computed.
--
-- Whoever reads the table and has no policy would see every tenant, so the first policy is for Trailhouse itself, which
-- must, and from then on nobody sees anything without one.

-- What the users of the views have in common: Trailhouse's views, and of the tables what these show.
CREATE ROLE IF NOT EXISTS trailhouse_views
;
GRANT SELECT ON trailhouse.v1_events TO trailhouse_views
;
GRANT SELECT ON trailhouse.v1_all_events TO trailhouse_views
;
GRANT SELECT ON trailhouse.v1_trail TO trailhouse_views
;
GRANT SELECT ON trailhouse.v1_daily TO trailhouse_views
;
GRANT SELECT ON trailhouse.v1_actors TO trailhouse_views
;
GRANT SELECT ON trailhouse.v1_resources TO trailhouse_views
;
GRANT SELECT(tenant_id, visible_from) ON trailhouse.visible_from TO trailhouse_views
;
GRANT SELECT(tenant_id, event_id, time, received_at, event_type, action, severity, outcome, actor_id, actor_type, actor_name,
    actor_email, session_id, ip, user_agent, resource_type, resource_id, resource_name, message, before, after, details,
    request_id, trace_id, tags, source, source_id, source_event_id, version) ON trailhouse.events TO trailhouse_views
;
-- What readers have in common: one SELECT after another, bounded.
CREATE ROLE IF NOT EXISTS trailhouse_reader
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
-- Then for each tenant: the user of its views, which sees its rows alone,
CREATE USER IF NOT EXISTS trailhouse_acme_views IDENTIFIED WITH no_password HOST NONE DEFAULT ROLE trailhouse_views
;
GRANT trailhouse_views TO trailhouse_acme_views
;
CREATE ROW POLICY IF NOT EXISTS acme ON trailhouse.events USING tenant_id = 'acme' TO trailhouse_acme_views
;
CREATE ROW POLICY IF NOT EXISTS acme ON trailhouse.visible_from USING tenant_id = 'acme' TO trailhouse_acme_views
;
-- the views,
CREATE DATABASE IF NOT EXISTS trailhouse_acme
;
CREATE OR REPLACE VIEW trailhouse_acme.v1_events DEFINER = trailhouse_acme_views SQL SECURITY DEFINER
    AS SELECT * FROM trailhouse.v1_events
;
CREATE OR REPLACE VIEW trailhouse_acme.v1_all_events DEFINER = trailhouse_acme_views SQL SECURITY DEFINER
    AS SELECT * FROM trailhouse.v1_all_events
;
CREATE OR REPLACE VIEW trailhouse_acme.v1_trail DEFINER = trailhouse_acme_views SQL SECURITY DEFINER
    AS SELECT * FROM trailhouse.v1_trail
;
CREATE OR REPLACE VIEW trailhouse_acme.v1_daily DEFINER = trailhouse_acme_views SQL SECURITY DEFINER
    AS SELECT * FROM trailhouse.v1_daily
;
CREATE OR REPLACE VIEW trailhouse_acme.v1_actors DEFINER = trailhouse_acme_views SQL SECURITY DEFINER
    AS SELECT * FROM trailhouse.v1_actors
;
CREATE OR REPLACE VIEW trailhouse_acme.v1_resources DEFINER = trailhouse_acme_views SQL SECURITY DEFINER
    AS SELECT * FROM trailhouse.v1_resources
;
-- a role that reads them, and users of that role.
CREATE ROLE IF NOT EXISTS trailhouse_acme
;
GRANT trailhouse_reader TO trailhouse_acme
;
GRANT SELECT ON trailhouse_acme.* TO trailhouse_acme
;
CREATE USER IF NOT EXISTS acme_analyst IDENTIFIED WITH sha256_password BY 'change-me' DEFAULT ROLE trailhouse_acme
    DEFAULT DATABASE trailhouse_acme
;
GRANT trailhouse_acme TO acme_analyst
