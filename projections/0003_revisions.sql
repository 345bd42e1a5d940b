-- Amendments and redactions: the history of an event that was revised, and where a revision stands in the log.
--
-- A revision is a row of its own, with the key of the event that it revises. The version of revision n, at offset o of
-- the log, is 2^63 + r * 2^62 + n * 2^44 + (2^44 - 1 - o), where r is 1 when it redacts, or was made of what was
-- redacted, else 0. So it stands above every original's; what was redacted counts before all that does not know of it;
-- then the higher number counts, and of two with the same number, which two writers made at once, the first in the log.
ALTER TABLE {table:Identifier}
    ADD COLUMN IF NOT EXISTS history String COMMENT 'JSON: every revision of the event, empty for none' CODEC(ZSTD(3)) AFTER raw_redacted,
    MODIFY COLUMN log_offset UInt64 ALIAS if(version <= 4611686018427387904, 4611686018427387904 - version, 17592186044415 - bitAnd(version, 17592186044415))
