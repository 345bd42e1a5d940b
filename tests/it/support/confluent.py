"""Confluent's own client on a topic: reads all of it as JSON lines, or writes one record with a schema of its own."""

import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

what, brokers, url, topic = sys.argv[1:]
registry = SchemaRegistryClient({"url": url})
context = SerializationContext(topic, MessageField.VALUE)

ORDER = """{"type": "record", "name": "Order", "namespace": "shop", "fields": [
  {"name": "event_id", "type": "string"},
  {"name": "user_id", "type": "string"},
  {"name": "timestamp", "type": "string"},
  {"name": "note", "type": ["null", "string"], "default": null},
  {"name": "details", "type": {"type": "map", "values": "int"}}]}"""


def read():
    deserialise = AvroDeserializer(registry)
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "confluent-story", "enable.auto.commit": False})
    for partition in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        consumer.assign([TopicPartition(topic, partition, low)])
        while low < end:
            message = consumer.poll(20)
            if message is None or message.error():
                sys.exit(f"partition {partition} can't be read at {low}: {message and message.error()}")
            low = message.offset() + 1
            print(json.dumps(deserialise(message.value(), context), default=str))


def write():
    order = {
        "event_id": "written-by-confluent",
        "user_id": "bob",
        "timestamp": "2026-01-02T03:04:05Z",
        "note": None,
        "details": {"amount": 7},
    }
    producer = Producer({"bootstrap.servers": brokers, "acks": "all"})
    producer.produce(topic, value=AvroSerializer(registry, ORDER)(order, context))
    if producer.flush(20):
        sys.exit("the record was not taken")


{"read": read, "write": write}[what]()
