-- What people and their tools read with SQL: docs/sql.md. Each event once, as its last revision leaves it, and nothing
-- that was cleaned up. The names and the meaning of these columns stay; new ones come at the end.
--
-- FINAL: until a merge, a copy or what was revised may stand in the table as well. A key lies in one month, so months
-- need not be compared with each other.
CREATE OR REPLACE VIEW v1_all_events AS
WITH (
    SELECT mapFromArrays(groupArray(tenant), groupArray(since))
    FROM (SELECT tenant_id AS tenant, max(visible_from) AS since FROM visible_from GROUP BY tenant_id)
) AS cleaned_up
SELECT
    events.tenant_id AS tenant_id,
    events.event_id AS event_id,
    events.time AS time,
    events.received_at AS received_at,
    events.event_type AS event_type,
    events.action AS action,
    CAST(events.severity, 'String') AS severity,
    CAST(events.outcome, 'String') AS outcome,
    events.actor_id AS actor_id,
    events.actor_type AS actor_type,
    events.actor_name AS actor_name,
    events.actor_email AS actor_email,
    events.session_id AS session_id,
    if(events.ip = toIPv6('::'), '', replaceOne(toString(events.ip), '::ffff:', '')) AS ip,
    events.user_agent AS user_agent,
    events.resource_type AS resource_type,
    events.resource_id AS resource_id,
    events.resource_name AS resource_name,
    events.message AS message,
    events.before AS before,
    events.after AS after,
    events.details AS details,
    events.request_id AS request_id,
    events.trace_id AS trace_id,
    events.tags AS tags,
    events.source AS source,
    events.source_id AS source_id,
    events.source_event_id AS source_event_id,
    if(events.version < 9223372036854775808, 0, toUInt32(bitAnd(bitShiftRight(events.version, 44), 262143))) AS revision
FROM events FINAL
WHERE events.time >= cleaned_up[events.tenant_id]
SETTINGS do_not_merge_across_partitions_select_final = 1
;
-- The events that searches show.
CREATE OR REPLACE VIEW v1_events AS
SELECT * FROM v1_all_events WHERE NOT startsWith(event_type, 'trailhouse.')
;
-- The server's own: who read what, who logged in, what was changed in the settings.
CREATE OR REPLACE VIEW v1_trail AS
SELECT * FROM v1_all_events WHERE startsWith(event_type, 'trailhouse.')
;
-- Events by day (UTC) and kind. Here and below, nobody is not counted among the actors, nor nowhere among the addresses:
-- so does `distinct` in the statistics.
CREATE OR REPLACE VIEW v1_daily AS
SELECT
    tenant_id,
    toDate(time) AS day,
    event_type,
    action,
    severity,
    outcome,
    source,
    count() AS events,
    uniqExactIf(actor_id, actor_id != '') AS actors
FROM v1_events
GROUP BY tenant_id, day, event_type, action, severity, outcome, source
;
-- Who does things.
CREATE OR REPLACE VIEW v1_actors AS
SELECT
    tenant_id,
    actor_id,
    argMax(actor_type, time) AS type,
    argMax(actor_name, time) AS name,
    argMax(actor_email, time) AS email,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count() AS events,
    countIf(outcome = 'failure') AS failures,
    uniqExact(event_type) AS event_types,
    uniqExactIf(ip, ip != '') AS addresses
FROM v1_events
WHERE actor_id != ''
GROUP BY tenant_id, actor_id
;
-- What things are done to.
CREATE OR REPLACE VIEW v1_resources AS
SELECT
    tenant_id,
    resource_type,
    resource_id,
    argMax(resource_name, time) AS name,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count() AS events,
    countIf(outcome = 'failure') AS failures,
    uniqExactIf(actor_id, actor_id != '') AS actors
FROM v1_events
WHERE resource_id != ''
GROUP BY tenant_id, resource_type, resource_id
