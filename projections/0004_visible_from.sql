-- From when on a tenant's events are shown: a clean-up raises it, and views obey it at once, before the rows of earlier
-- events are deleted. A copy of control state, which is the truth.
CREATE TABLE IF NOT EXISTS visible_from
(
    tenant_id    String,
    visible_from DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(visible_from)
ORDER BY tenant_id
