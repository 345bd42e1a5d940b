-- Months in which a record may stand twice until they are merged: marked before an insert of unknown outcome is
-- repeated, cleared after OPTIMIZE ... FINAL. Queries that touch a dirty month read it with FINAL.
CREATE TABLE IF NOT EXISTS dirty_months
(
    month     UInt32 COMMENT 'yyyymm',
    dirty     Bool,
    marked_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(marked_at)
ORDER BY month
