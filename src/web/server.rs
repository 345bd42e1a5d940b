//! The listening socket: connections, with TLS or without, what a slow one may take, and an end in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::client::Peer;
use super::tls::Offered;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may be silent before or within a request's head. Proxies keep idle connections for 60 s; one
/// that is closed before its proxy gives it up costs a request.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// How often the other end of an HTTP/2 connection is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// When no connection can be taken because there are too many files open, some will be closed after this.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Answers whoever connects, until `stop`; then finishes the requests there are. HTTP/1.1 and HTTP/2.
pub async fn serve(listener: TcpListener, tls: Option<Offered>, app: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some((stream, peer)) = stop.run_until_cancelled(accept(&listener)).await {
        let tls = tls.as_ref().map(|offered| offered.borrow().clone());
        connections.spawn(connected(stream, peer, tls, app.clone(), stop.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // It went away again while it waited: nobody is to be answered.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken, trying again");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn connected(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    app: Router,
    stop: CancellationToken,
) {
    // An answer goes out at once; where the system refuses, it is only later.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else {
        return converse(stream, peer, app, stop).await;
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, handshake);
    match stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => converse(stream, peer, app, stop).await,
        Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
        None => {}
    }
}

async fn converse<S>(stream: S, peer: SocketAddr, app: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.map(Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY);
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::AsyncReadExt;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::web::tls::{Certificates, Config};

    /// A server with a route that answers at once, and one that waits until it may.
    struct Fixture {
        at: SocketAddr,
        stop: CancellationToken,
        served: JoinHandle<()>,
        asked: Arc<Notify>,
        may: Arc<Notify>,
    }

    async fn begun(tls: Option<Offered>) -> Fixture {
        let (asked, may) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (asked, may) = (asked.clone(), may.clone());
            async move || {
                asked.notify_one();
                may.notified().await;
                "done"
            }
        };
        let app = Router::new()
            .route("/who", get(async |Extension(Peer(peer))| peer.ip().to_string()))
            .route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = tokio::spawn(serve(listener, tls, app, stop.clone()));
        Fixture {
            at,
            stop,
            served,
            asked,
            may,
        }
    }

    fn client() -> reqwest::ClientBuilder {
        reqwest::Client::builder().no_proxy()
    }

    #[tokio::test]
    async fn a_stop_finishes_what_was_asked_and_waits_for_nobody_else() {
        let server = begun(None).await;
        let client = client().build().unwrap();
        let url = format!("http://{}", server.at);
        let who = client.get(format!("{url}/who")).send().await.unwrap();
        assert_eq!(who.text().await.unwrap(), "127.0.0.1");
        let mut silent = TcpStream::connect(server.at).await.unwrap();
        let slow = tokio::spawn(client.get(format!("{url}/slow")).send());
        server.asked.notified().await;
        server.stop.cancel();
        assert_eq!(
            silent.read(&mut [0]).await.unwrap(),
            0,
            "who asks nothing is let go"
        );
        server.may.notify_one();
        let answer = slow.await.unwrap().unwrap();
        assert_eq!(answer.text().await.unwrap(), "done");
        server.served.await.unwrap();
        assert!(TcpStream::connect(server.at).await.is_err(), "the door is shut");
    }

    #[tokio::test]
    async fn whoever_never_shakes_hands_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = Config {
            cert: Some(folder.path().join("cert.pem")),
            key: Some(folder.path().join("key.pem")),
        };
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let certificates = Certificates::open(config.files().unwrap().unwrap()).unwrap();

        let server = begun(Some(certificates.offered())).await;
        let mut silent = TcpStream::connect(server.at).await.unwrap();
        let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = client().tls_certs_only([root]).build().unwrap();
        let url = format!("https://localhost:{}/who", server.at.port());
        let answer = client.get(url).send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        assert_eq!(answer.text().await.unwrap(), "127.0.0.1");
        server.stop.cancel();
        server.served.await.unwrap();
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    }
}
