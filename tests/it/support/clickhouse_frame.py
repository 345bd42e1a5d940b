"""Inserts a frame with clickhouse-connect and reads it back, as anyone would: no option of the client is changed."""

import sys

try:
    import clickhouse_connect
    import pandas as pd
except ImportError as missing:
    sys.exit(f"{missing}: run scripts/test, or pip install clickhouse-connect pandas pyarrow for {sys.executable}")

host, port, operator, reader = sys.argv[1:5]
client = clickhouse_connect.get_client(host=host, port=int(port), username="default", password=operator)
client.command("CREATE TABLE frame (id UInt64, name String, at DateTime64(6, 'UTC'), score Nullable(Float64)) "
               "ENGINE = MergeTree ORDER BY id")
rows = 50_000
frame = pd.DataFrame({
    "id": pd.Series(range(rows), dtype="uint64"),
    "name": [f"name {n} \u00fc'\"\\\t" for n in range(rows)],
    "at": pd.date_range("2024-05-01", periods=rows, freq="ms", tz="UTC"),
    "score": [None if n % 7 == 0 else n / 8 for n in range(rows)],
})
summary = client.insert_df("frame", frame)
assert summary.written_rows == rows, summary.summary
back = client.query_df("SELECT * FROM frame ORDER BY id")
assert len(back) == rows
assert (back["id"] == frame["id"]).all()
assert (back["name"] == frame["name"]).all()
assert (pd.to_datetime(back["at"], utc=True) == frame["at"]).all()
assert (back["score"].fillna(-1) == frame["score"].fillna(-1)).all()

bound = client.query("SELECT name FROM frame WHERE id = {id:UInt64}", parameters={"id": 42})
assert bound.result_rows == [("name 42 \u00fc'\"\\\t",)], bound.result_rows
assert client.query_arrow("SELECT sum(id) AS total FROM frame").to_pydict() == {"total": [sum(range(rows))]}
client.raw_insert("frame", ["id", "name"], b"900000,raw\n", fmt="CSV")
assert client.command("SELECT count() FROM frame WHERE name = 'raw'") == 1
client.command("CREATE TEMPORARY TABLE scratch (a UInt8)")
client.command("INSERT INTO scratch VALUES (7)")
assert client.command("SELECT a FROM scratch") == 7
try:
    client.query("SELECT * FROM no_such_table")
    raise SystemExit("a table that is not there was read")
except clickhouse_connect.driver.exceptions.DatabaseError as refused:
    assert "UNKNOWN_TABLE" in str(refused), refused

looking = clickhouse_connect.get_client(host=host, port=int(port), username="readonly", password=reader)
assert looking.query_df("SELECT count() AS n FROM frame")["n"][0] == rows + 1
try:
    looking.command("DROP TABLE frame")
    raise SystemExit("the read-only user dropped a table")
except clickhouse_connect.driver.exceptions.DatabaseError as refused:
    assert "ACCESS_DENIED" in str(refused), refused
print("frame ok")
