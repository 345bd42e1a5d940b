-- What the table holds of one stretch of a partition: every offset that is a first copy must come back once.
SELECT log_offset AS offset, count() AS copies
FROM {table:Identifier}
WHERE log_id = {log_id:UUID} AND log_partition = {partition:UInt16} AND version BETWEEN {lowest:UInt64} AND {highest:UInt64}
GROUP BY offset
ORDER BY offset
