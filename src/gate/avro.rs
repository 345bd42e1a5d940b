//! Avro of any schema as JSON, so that a producer's own record goes through the same shapes as everybody's.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::{Map, Number, Value as Json};

/// What a datum says, as JSON text. `Err` says why it can't be read.
pub(super) fn to_json(schema: &Schema, datum: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = datum;
    let value = GenericDatumReader::builder(schema)
        .build()
        .and_then(|reader| reader.read_value(&mut rest))
        .map_err(|error| format!("unreadable Avro: {error}"))?;
    if !rest.is_empty() {
        return Err(format!(
            "{} bytes are left over after the Avro record",
            rest.len()
        ));
    }
    let json = json_of(value)?;
    serde_json::to_vec(&json).map_err(|error| error.to_string())
}

fn json_of(value: Value) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(bool) => Json::Bool(bool),
        Value::Int(int) | Value::Date(int) | Value::TimeMillis(int) => Json::from(int),
        Value::Long(long)
        | Value::TimeMicros(long)
        | Value::TimestampMillis(long)
        | Value::TimestampMicros(long)
        | Value::TimestampNanos(long)
        | Value::LocalTimestampMillis(long)
        | Value::LocalTimestampMicros(long)
        | Value::LocalTimestampNanos(long) => Json::from(long),
        Value::Float(float) => number(f64::from(float)),
        Value::Double(double) => number(double),
        Value::String(text) | Value::Enum(_, text) => Json::String(text),
        Value::Uuid(uuid) => Json::String(uuid.to_string()),
        Value::Union(_, inner) => json_of(*inner)?,
        Value::Array(items) => Json::Array(items.into_iter().map(json_of).collect::<Result<_, _>>()?),
        Value::Map(entries) => object(entries)?,
        Value::Record(fields) => object(fields)?,
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => Json::String(
            String::from_utf8(bytes)
                .map_err(|_| "bytes that are no UTF-8 can't be part of an event".to_owned())?,
        ),
        other => return Err(format!("Avro {other:?} can't be part of an event")),
    })
}

/// Members that are null say nothing: a union with null is Avro's way to leave a field out.
fn object(entries: impl IntoIterator<Item = (String, Value)>) -> Result<Json, String> {
    let mut object = Map::new();
    for (name, value) in entries {
        match json_of(value)? {
            Json::Null => {}
            value => {
                object.insert(name, value);
            }
        }
    }
    Ok(Json::Object(object))
}

/// JSON has no NaN and no infinity.
fn number(double: f64) -> Json {
    Number::from_f64(double).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producers_record_becomes_plain_json() {
        let schema = Schema::parse_str(
            r#"{"type":"record","name":"Login","fields":[
                {"name":"user_id","type":"string"},
                {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"note","type":["null","string"],"default":null}]}"#,
        )
        .unwrap();
        let mut record = apache_avro::types::Record::new(&schema).unwrap();
        record.put("user_id", "ada");
        record.put("timestamp", Value::TimestampMillis(1_700_000_000_000));
        record.put("note", Value::Union(0, Box::new(Value::Null)));
        let datum = apache_avro::to_avro_datum(&schema, record).unwrap();
        let json = to_json(&schema, &datum).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"timestamp":1700000000000,"user_id":"ada"}"#
        );
        assert!(to_json(&schema, &datum[..3]).is_err());
    }
}
