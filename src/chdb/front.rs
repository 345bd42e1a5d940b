//! The door: one HTTP request becomes one statement. Read the body to its end, take a place, run, answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::get;
use http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::accounts::{Accounts, User};
use super::answer::{self, HELD, Shape};
use super::body::{self, Reading};
use super::door::Flushed;
use super::engine::{Engine, Job, Route};
use super::exception::Exception;
use super::places::{Places, QueryIds};
use super::plan::Plan;
use super::pump::{Piece, Pump};
use super::reader::{Fenced, ReaderLimits, denied};
use super::request::{Asked, header, url_parameters};
use super::sessions::Sessions;
use super::statement::{self, Statement};

/// The most that `wait_end_of_query` keeps back; an answer beyond that is streamed all the same.
const HELD_TO_THE_END: usize = 64 << 20;

/// What all requests share.
pub(super) struct Front {
    pub engine: Arc<Engine>,
    pub accounts: Accounts,
    pub sessions: Arc<Sessions>,
    pub limits: ReaderLimits,
    pub spool: PathBuf,
    pub body_max: u64,
    pub patience: Duration,
    pub places: Places,
    /// A part of the places: the read-only user can't take them all.
    pub reader_places: Places,
    pub query_ids: QueryIds,
}

/// The routes of the interface.
pub(super) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/", get(root).post(query))
        .route("/ping", get(|| async { answer::text(StatusCode::OK, "Ok.\n") }))
        .route(
            "/replicas_status",
            get(|| async { answer::text(StatusCode::OK, "Ok.\n") }),
        )
        .fallback(|| async {
            answer::text(
                StatusCode::NOT_FOUND,
                "There is no such path: /, /ping and /replicas_status are\n",
            )
        })
        .layer(DefaultBodyLimit::disable())
        .with_state(front)
}

async fn root(front: State<Arc<Front>>, request: Request) -> Response {
    match request.uri().query().is_none_or(str::is_empty) {
        true => answer::text(StatusCode::OK, "Ok.\n"),
        false => query(front, request).await,
    }
}

async fn query(State(front): State<Arc<Front>>, request: Request) -> Response {
    let mut query_id = String::new();
    match front.serve(request, &mut query_id).await {
        Ok(response) => response,
        Err(exception) => answer::refuse(&front.engine.facts, &query_id, &exception),
    }
}

impl Front {
    async fn serve(self: &Arc<Self>, request: Request, query_id: &mut String) -> Result<Response, Exception> {
        let (parts, body) = request.into_parts();
        let flushed = parts.extensions.get::<ConnectInfo<Flushed>>();
        let flushed = flushed
            .map(|ConnectInfo(flushed)| flushed.clone())
            .unwrap_or_default();
        let pairs = url_parameters(&parts)?;
        let user = self.accounts.authenticate(&parts.headers, &pairs)?;
        let mut asked = Asked::new(&parts, pairs)?;
        let has_body = parts.method == Method::POST
            || header(&parts.headers, "content-length").is_some_and(|length| length != "0");
        let body = asked.take_form(parts, body).await?.filter(|_| has_body);
        query_id.clone_from(&asked.query_id);
        self.allow(user, &asked)?;
        let reading = Reading {
            encoding: asked.body_encoding,
            framed: asked.block_body,
            directory: self.spool.clone(),
            limit: self.body_max,
        };
        let received = body::receive(asked.query.take(), body, reading).await?;
        let held = if asked.wait_end { HELD_TO_THE_END } else { HELD };
        let plan = Plan::new(&mut asked, received, user)?;
        let shape = Shape {
            facts: self.engine.facts.clone(),
            query_id: asked.query_id.clone(),
            format: plan.format.clone(),
            encoding: asked.answer_encoding,
            framed: asked.block_answer,
            flushed,
        };
        let pieces = self.start(asked, plan, user).await?;
        Ok(answer::answer(shape, pieces, held).await)
    }

    /// What the read-only user may not even ask.
    fn allow(&self, user: User, asked: &Asked) -> Result<(), Exception> {
        if user == User::Operator {
            return Ok(());
        }
        let hidden = |name: &str| {
            ["system", "information_schema"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        };
        if let Some(database) = asked.database.as_deref().filter(|name| hidden(name)) {
            return Err(denied(&format!("{database} as current database")));
        }
        match asked
            .settings
            .iter()
            .find(|(name, value)| !self.limits.allow(name, value))
        {
            None => Ok(()),
            Some((name, _)) => {
                let text =
                    format!("Cannot modify '{name}' setting in readonly mode, or not beyond its limit");
                Err(Exception::new(164, "READONLY", text))
            }
        }
    }

    /// Hands the statement to a lane, and its rows to a pump.
    async fn start(
        self: &Arc<Self>,
        asked: Asked,
        plan: Plan,
        user: User,
    ) -> Result<mpsc::Receiver<Piece>, Exception> {
        let running = self.query_ids.enter(&asked.query_id)?;
        let session = match (&asked.session, user) {
            (Some(session), User::Operator) => Some(self.sessions.take(session, Instant::now())?),
            _ => None,
        };
        let share = match user {
            User::Reader => Some(self.reader_places.take().await?),
            User::Operator => None,
        };
        let place = match plan.route {
            Route::Work => Some(self.places.take().await?),
            _ => None,
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let reader = plan.fenced_tail.map(|tail| Fenced {
            limits: self.limits,
            tail,
            table_functions: Arc::clone(&self.engine.facts.table_functions),
        });
        let statement = Statement {
            only_data: plan.pipe.is_some() || plan.input.is_some(),
            text: plan.text,
            format: plan.format,
            parameters: asked.parameters,
            read_only: asked.read_only && session.is_none() && user == User::Operator,
            settings: asked.settings,
            database: asked.database,
            query_id: asked.query_id.clone(),
            session,
            reader,
            output: None,
            input: plan.input,
            cancelled: Arc::clone(&cancelled),
        };
        let (pipe, output) = match plan.pipe {
            Some((reading, writing)) => (Some(reading), Some(writing)),
            None => (None, None),
        };
        let statement = Statement { output, ..statement };
        let (report, outcome) = oneshot::channel();
        let job: Job = Box::new(move |lane| {
            let _held = (share, place, running);
            let outcome = statement::run(lane, statement);
            let _ = report.send(outcome);
        });
        self.engine.submit(plan.route, job)?;
        let (out, pieces) = mpsc::channel(2);
        let pump = Pump {
            engine: Arc::clone(&self.engine),
            query_id: asked.query_id,
            outcome,
            cancelled,
            patience: self.patience,
        };
        tokio::spawn(pump.run(pipe, out));
        Ok(pieces)
    }
}

impl Front {
    /// Stops whatever runs.
    pub(super) fn cancel_all(&self) {
        for query_id in self.query_ids.all() {
            self.engine.cancel(&query_id);
        }
    }
}
