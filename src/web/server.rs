//! The listening socket: connections, with TLS or without, what a slow one may take, and an end in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt;

use super::client::Peer;
use super::patient::Patient;
use super::tls::Offered;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may take until its first request's head is there, whichever HTTP it speaks, and with HTTP/1.1
/// how long until that of each further one. Proxies keep idle connections for 60 s; one that is closed before its
/// proxy gives it up costs a request.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// How often the other end of an HTTP/2 connection is asked whether it is there. While it answers, and has asked for
/// something once, it stays.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How many requests one HTTP/2 connection may have under way: enough for a client that sends in bulk, and a bound on
/// what a stranger opens through one.
const STREAMS_MAX: u32 = 64;
/// When no connection can be taken because there are too many files open, some will be closed after this.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often it is said that all places are taken.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many there may be at once.
    pub connections: usize,
    /// How long one may ask for nothing.
    pub silence: Duration,
}

impl Bounds {
    /// So many connections.
    pub fn new(connections: usize) -> Self {
        Self {
            connections: connections.clamp(1, Semaphore::MAX_PERMITS),
            silence: HEAD_WITHIN,
        }
    }
}

/// A connection's place among all. Put into every request, for who keeps the connection when the request is answered, or
/// ends it before.
#[derive(Clone)]
pub struct Place {
    #[allow(dead_code)]
    held: Arc<(Option<OwnedSemaphorePermit>, TaskTrackerToken)>,
    /// Ends the answer at once: its stream of HTTP/2, of HTTP/1 the connection. Whoever reads it knows that it broke off.
    pub cut: CancellationToken,
}

tokio::task_local! {
    /// Cuts the stream of HTTP/2 that is being answered.
    static CUT: CancellationToken;
}

/// Runs the streams of HTTP/2, each until it is cut. No body can end its stream itself while nothing of it is taken: it is
/// not asked for anything then.
#[derive(Clone)]
struct Streams;

impl<F: Future + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let cut = CancellationToken::new();
        tokio::spawn(CUT.scope(cut.clone(), async move {
            let _ = cut.run_until_cancelled(stream).await;
        }));
    }
}

/// Answers whoever connects, until `stop`; then finishes the requests there are. HTTP/1.1 and HTTP/2.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Offered>,
    app: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(bounds.connections));
    let mut said = None;
    let mut next = async || {
        let held = place(&room, bounds, &mut said).await;
        (held, accept(&listener).await)
    };
    while let Some((held, (stream, peer))) = stop.run_until_cancelled(next()).await {
        let tls = tls.as_ref().map(|offered| offered.borrow().clone());
        let place = Place {
            held: Arc::new((held, connections.token())),
            cut: CancellationToken::new(),
        };
        let met = (peer, place);
        let connected = connected(stream, met, tls, app.clone(), bounds.silence, stop.clone());
        connections.spawn(connected);
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// A place among the connections, once there is one; `None` can't be, for the room is never closed.
async fn place(
    room: &Arc<Semaphore>,
    bounds: Bounds,
    said: &mut Option<Instant>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(held) = room.clone().try_acquire_owned() {
        return Some(held);
    }
    if said.is_none_or(|said| said.elapsed() > SAID_EVERY) {
        *said = Some(Instant::now());
        tracing::warn!(
            connections = bounds.connections,
            "no further connection is taken until one ends"
        );
    }
    room.clone().acquire_owned().await.ok()
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
    met: (SocketAddr, Place),
    tls: Option<Arc<ServerConfig>>,
    app: Router,
    silence: Duration,
    stop: CancellationToken,
) {
    // An answer goes out at once; where the system refuses, it is only later.
    let _ = stream.set_nodelay(true);
    let (stream, peer) = (Patient::new(stream), met.0);
    let Some(config) = tls else {
        return converse(stream, met, app, silence, stop).await;
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, handshake);
    match stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => converse(stream, met, app, silence, stop).await,
        Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
        None => {}
    }
}

async fn converse<S>(
    stream: S,
    (peer, place): (SocketAddr, Place),
    app: Router,
    silence: Duration,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cut = place.cut.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let seen = asked.clone();
    let app = app.map_request(move |mut request: Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Peer(peer));
        let mut place = place.clone();
        if let Ok(cut) = CUT.try_with(Clone::clone) {
            place.cut = cut;
        }
        request.extensions_mut().insert(place);
        request.map(Body::new)
    });
    let mut builder = Builder::new(Streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(silence);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(STREAMS_MAX);
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = nothing_asked(&asked, silence) => {
            return tracing::debug!(%peer, "a connection that asked for nothing is closed");
        }
        () = cut.cancelled() => return tracing::debug!(%peer, "a connection is cut"),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = cut.cancelled() => return tracing::debug!(%peer, "a connection is cut"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection ended");
    }
}

/// Ends when that time has passed without a request. hyper itself waits for ever until it knows the HTTP version.
async fn nothing_asked(asked: &AtomicBool, silence: Duration) {
    tokio::time::sleep(silence).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;

    use axum::Extension;
    use axum::routing::get;
    use futures_util::StreamExt;
    use futures_util::stream::{once, pending};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, mpsc};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::web::tls::{Certificates, Config};

    /// A server with a route that answers at once, one that waits until it may, and one that answers more than a client
    /// takes that doesn't read, and never ends.
    struct Fixture {
        at: SocketAddr,
        stop: CancellationToken,
        served: JoinHandle<()>,
        asked: Arc<Notify>,
        may: Arc<Notify>,
        /// Cut the answers of the last.
        cuts: mpsc::UnboundedReceiver<CancellationToken>,
    }

    async fn begun(tls: Option<Offered>) -> Fixture {
        begun_within(tls, Bounds::new(100)).await
    }

    async fn begun_within(tls: Option<Offered>, bounds: Bounds) -> Fixture {
        let (asked, may) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (asked, may) = (asked.clone(), may.clone());
            async move || {
                asked.notify_one();
                may.notified().await;
                "done"
            }
        };
        let (cut, cuts) = mpsc::unbounded_channel();
        let large = async move |Extension(place): Extension<Place>| {
            let _ = cut.send(place.cut);
            let zeros = once(ready(Ok::<_, Infallible>(vec![0; 16 << 20])));
            Body::from_stream(zeros.chain(pending()))
        };
        let app = Router::new()
            .route("/who", get(async |Extension(Peer(peer))| peer.ip().to_string()))
            .route("/slow", get(slow))
            .route("/large", get(large));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = tokio::spawn(serve(listener, tls, app, bounds, stop.clone()));
        Fixture {
            at,
            stop,
            served,
            asked,
            may,
            cuts,
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
    async fn whoever_asks_nothing_is_let_go_and_keeps_the_only_place_no_longer() {
        let bounds = Bounds {
            connections: 1,
            silence: Duration::from_millis(200),
        };
        let server = begun_within(None, bounds).await;
        // Nothing at all, and the beginning of what may be either version of HTTP.
        for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut silent = TcpStream::connect(server.at).await.unwrap();
            silent.write_all(said.as_bytes()).await.unwrap();
            let url = format!("http://{}/who", server.at);
            let answer = client().build().unwrap().get(url).send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "127.0.0.1");
            // Not to be waited for: that one was to end before the other was taken.
            let silent = silent.into_std().unwrap();
            let ended = std::io::Read::read_to_end(&mut &silent, &mut Vec::new());
            assert!(
                ended.is_ok(),
                "{said:?} had ended before the other was taken: {ended:?}"
            );
        }
        server.stop.cancel();
        server.served.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_breaks_off_and_others_on_its_connection_do_not() {
        let mut server = begun_within(None, Bounds::new(1)).await;
        let at = server.at;
        let url = |path| format!("http://{at}{path}");
        let client_of_2 = client().http2_prior_knowledge().build().unwrap();
        let slow = tokio::spawn(client_of_2.get(url("/slow")).send());
        server.asked.notified().await;
        let mut cut = async |client: &reqwest::Client| {
            let answer = client.get(url("/large")).send().await.unwrap();
            server.cuts.recv().await.unwrap().cancel();
            answer.bytes().await
        };
        assert!(cut(&client_of_2).await.is_err());
        server.may.notify_one();
        assert_eq!(slow.await.unwrap().unwrap().text().await.unwrap(), "done");
        drop(client_of_2);
        assert!(cut(&client().build().unwrap()).await.is_err());
        server.stop.cancel();
        server.served.await.unwrap();
    }

    #[tokio::test]
    async fn one_connection_is_told_how_many_requests_it_may_have_under_way() {
        let server = begun(None).await;
        let mut client = TcpStream::connect(server.at).await.unwrap();
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        // The server's first frame: three bytes of length, its type (4: settings), flags, stream; then settings of
        // six bytes each.
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4);
        let mut settings = vec![0; usize::from(head[2])];
        client.read_exact(&mut settings).await.unwrap();
        let streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
        assert_eq!(
            streams.map(|setting| &setting[2..]),
            Some(&STREAMS_MAX.to_be_bytes()[..])
        );
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
