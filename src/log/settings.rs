//! What every client of the brokers is told: where they are, how to reach them, and what is not for anybody to change.

use rdkafka::ClientConfig;
use secrecy::ExposeSecret;

use super::Config;

/// Settings of librdkafka that are not for anybody to change: durability, order, and what counts as read.
pub(super) const KEPT: [&str; 9] = [
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "partitioner",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "group.id",
    "group.instance.id",
];

/// The connection, as configured. Readers and the writer add their own settings.
pub(super) fn client_config(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("client.id", "trailhouse")
        .set("bootstrap.servers", &config.brokers)
        .set("security.protocol", &config.security_protocol)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        .set("broker.address.family", "any")
        .set("log.connection.close", "false");
    if config.security_protocol.starts_with("sasl") {
        client
            .set("sasl.mechanism", &config.sasl_mechanism)
            .set("sasl.username", &config.sasl_username);
        if let Some(password) = &config.sasl_password {
            client.set("sasl.password", password.expose_secret());
        }
    }
    for (name, value) in [
        ("ssl.ca.location", &config.ssl_ca_location),
        ("ssl.certificate.location", &config.ssl_certificate_location),
        ("ssl.key.location", &config.ssl_key_location),
    ] {
        if !value.is_empty() {
            client.set(name, value);
        }
    }
    for (name, value) in &config.librdkafka {
        client.set(name, value);
    }
    client
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use confique::Config as _;

    use super::*;

    #[test]
    fn sasl_and_tls_settings_reach_librdkafka() {
        let config = Config {
            brokers: "a:1,b:2".into(),
            security_protocol: "sasl_ssl".into(),
            sasl_username: "trail".into(),
            sasl_password: Some("s3cret".to_owned().into()),
            ssl_ca_location: "/etc/ca.pem".into(),
            librdkafka: HashMap::from([("linger.ms".to_owned(), "7".to_owned())]),
            ..Config::builder().load().unwrap()
        };
        let client = client_config(&config);
        for (name, value) in [
            ("bootstrap.servers", "a:1,b:2"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "trail"),
            ("sasl.password", "s3cret"),
            ("ssl.ca.location", "/etc/ca.pem"),
            ("linger.ms", "7"),
        ] {
            assert_eq!(client.get(name), Some(value), "{name}");
        }
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
