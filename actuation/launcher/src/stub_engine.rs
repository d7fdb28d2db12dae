//! An engine that computes nothing: vLLM's health, sleep and completion routes, and knobs for every way in which an
//! engine can misbehave. For tests of launchers and controllers.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Json, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, extract::Query};
use clap::Parser;
use dormouse_runtime::serve::{Limits, serve};
use dormouse_runtime::{CancellationToken, net};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::process::sys;

/// A stand-in for an inference engine, with knobs. Unknown flags end it with status 2, as an engine's parser does.
///
/// Examples:
///   dormouse engine stub --port 8005
///   dormouse engine stub --port 8005 --ignore-sigterm --children 2
#[derive(Debug, Clone, Parser)]
#[command(name = "stub", verbatim_doc_comment)]
pub struct Args {
    /// Model to speak of.
    pub model: Option<String>,
    /// The same as a flag.
    #[arg(long = "model", id = "model_flag")]
    pub model_flag: Option<String>,
    /// Name to serve it under.
    #[arg(long)]
    pub served_model_name: Option<String>,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0", overrides_with = "host")]
    pub host: String,
    /// Port to listen on.
    #[arg(long, default_value_t = 8000, overrides_with = "port")]
    pub port: u16,
    /// Accepted; nothing changes.
    #[arg(long)]
    pub enable_sleep_mode: bool,

    /// SIGTERM and SIGINT do nothing.
    #[arg(long)]
    pub ignore_sigterm: bool,
    /// Ends by itself after so many milliseconds.
    #[arg(long, value_name = "MS")]
    pub exit_after: Option<u64>,
    /// With this status.
    #[arg(long, default_value_t = 0)]
    pub exit_code: u8,
    /// Starts so many children that outlive it.
    #[arg(long, default_value_t = 0)]
    pub children: u32,
    /// Starts one child that makes a session of its own, as a daemon.
    #[arg(long)]
    pub daemon: bool,
    /// Empties its log and writes exactly this (`\n` is a line end), then nothing more.
    #[arg(long)]
    pub log_text: Option<String>,
    /// Empties its log and writes exactly so many bytes, the digits 0 to 9 over and over.
    #[arg(long)]
    pub log_fill: Option<usize>,
    /// Writes a line to standard output and one to standard error, so many times, in turn.
    #[arg(long, default_value_t = 0)]
    pub log_pairs: u32,
    /// Writes so many bytes per second.
    #[arg(long, default_value_t = 0)]
    pub log_bytes_per_second: u64,
    /// Prints its environment variable of this name.
    #[arg(long)]
    pub log_env: Option<String>,
    /// Closes its standard output and error.
    #[arg(long)]
    pub close_log: bool,
    /// Listens only after so many milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub bind_delay: u64,
    /// Says 503 to `/health` for so many milliseconds after its start.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub startup_delay: u64,
    /// Time that going to sleep takes.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub sleep_delay: u64,
    /// Time that waking up takes.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub wake_delay: u64,
    /// Waking up fails with 500.
    #[arg(long)]
    pub fail_wake: bool,
    /// Time between two tokens of a streamed answer.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub token_delay: u64,
}

struct Engine {
    args: Args,
    ready_at: Instant,
    asleep: AtomicBool,
    requests: AtomicU64,
}

/// Runs until SIGTERM (unless that is ignored) or `shutdown`.
///
/// # Errors
/// When the port is taken.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    leave_children(&args)?;
    write_log(&args)?;
    let deadline = args.exit_after.map(|ms| Instant::now() + Duration::from_millis(ms));
    let code = args.exit_code;
    let shutdown = if args.ignore_sigterm { CancellationToken::new() } else { shutdown };
    let engine = Arc::new(Engine {
        ready_at: Instant::now() + Duration::from_millis(args.startup_delay),
        asleep: AtomicBool::new(false),
        requests: AtomicU64::new(0),
        args,
    });
    let serving = async {
        tokio::time::sleep(Duration::from_millis(engine.args.bind_delay)).await;
        let host = net::map_host(&engine.args.host);
        let listener = TcpListener::bind((host.as_str(), engine.args.port)).await?;
        // Children end with their parent here: an engine that is told to end must not wait for idle connections.
        let limits = Limits { grace: Duration::from_millis(200), ..Limits::default() };
        serve(listener, router(Arc::clone(&engine)), limits, shutdown).await?;
        anyhow::Ok(())
    };
    let chatter = chatter(engine.args.log_bytes_per_second);
    tokio::select! {
        served = serving => served,
        () = chatter => Ok(()),
        () = async { match deadline { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {
            std::process::exit(code.into());
        }
    }
}

fn leave_children(args: &Args) -> std::io::Result<()> {
    let sleeper = || {
        let mut command = Command::new("sleep");
        command.arg("300").stdin(Stdio::null());
        command
    };
    for _ in 0..args.children {
        sleeper().spawn()?;
    }
    if args.daemon {
        let mut command = sleeper();
        sys::detach(&mut command);
        command.spawn()?;
    }
    Ok(())
}

fn write_log(args: &Args) -> std::io::Result<()> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let exact = match (&args.log_text, args.log_fill) {
        (Some(text), _) => Some(text.replace("\\n", "\n").into_bytes()),
        (None, Some(n)) => Some((b'0'..=b'9').cycle().take(n).collect()),
        (None, None) => None,
    };
    if let Some(bytes) = exact {
        // Takes away what the launcher wrote before.
        rustix::fs::ftruncate(&out, 0)?;
        out.write_all(&bytes)?;
        out.flush()?;
    }
    for i in 0..args.log_pairs {
        writeln!(out, "out {i}")?;
        out.flush()?;
        writeln!(err, "err {i}")?;
    }
    if let Some(name) = &args.log_env {
        writeln!(out, "{name}={}", std::env::var(name).unwrap_or_else(|_| "(unset)".to_owned()))?;
    }
    if args.close_log {
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}

/// Writes to standard output at a rate, for ever; never for rate 0.
async fn chatter(bytes_per_second: u64) {
    if bytes_per_second == 0 {
        return std::future::pending().await;
    }
    let chunk = vec![b'.'; usize::try_from(bytes_per_second / 10).unwrap_or(0).clamp(1, 1 << 20)];
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        // A full disk or a closed pipe is no reason to end.
        let _ = std::io::stdout().write_all(&chunk);
    }
}

fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/is_sleeping", get(is_sleeping))
        .route("/sleep", post(sleep))
        .route("/wake_up", post(wake_up))
        .route("/v1/models", get(models))
        .route("/v1/completions", post(completions))
        .route("/metrics", get(metrics))
        .with_state(engine)
}

impl Engine {
    fn model(&self) -> &str {
        let args = &self.args;
        args.served_model_name.as_deref().or(args.model.as_deref()).or(args.model_flag.as_deref()).unwrap_or("stub")
    }
}

async fn health(State(engine): State<Arc<Engine>>) -> StatusCode {
    if Instant::now() < engine.ready_at { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

async fn is_sleeping(State(engine): State<Arc<Engine>>) -> Json<Value> {
    Json(json!({"is_sleeping": engine.asleep.load(Ordering::SeqCst)}))
}

async fn sleep(State(engine): State<Arc<Engine>>) -> StatusCode {
    tokio::time::sleep(Duration::from_millis(engine.args.sleep_delay)).await;
    engine.asleep.store(true, Ordering::SeqCst);
    StatusCode::OK
}

async fn wake_up(State(engine): State<Arc<Engine>>) -> Response {
    tokio::time::sleep(Duration::from_millis(engine.args.wake_delay)).await;
    if engine.args.fail_wake {
        return (StatusCode::INTERNAL_SERVER_ERROR, "told to fail").into_response();
    }
    engine.asleep.store(false, Ordering::SeqCst);
    StatusCode::OK.into_response()
}

async fn models(State(engine): State<Arc<Engine>>) -> Json<Value> {
    Json(json!({"object": "list", "data": [{"id": engine.model(), "object": "model", "created": 0, "owned_by": "stub"}]}))
}

async fn metrics(State(engine): State<Arc<Engine>>) -> String {
    let (model, requests) = (engine.model(), engine.requests.load(Ordering::Relaxed));
    format!("# TYPE vllm:request_success counter\nvllm:request_success_total{{model_name={model:?}}} {requests}\n")
}

/// Echoes the prompt, word by word when streamed.
async fn completions(State(engine): State<Arc<Engine>>, Query(_): Query<Vec<(String, String)>>, Json(body): Json<Value>) -> Response {
    if engine.asleep.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": {"message": "the engine is asleep"}}))).into_response();
    }
    let number = engine.requests.fetch_add(1, Ordering::Relaxed);
    let prompt = body.get("prompt").and_then(Value::as_str).unwrap_or_default().to_owned();
    let model = engine.model().to_owned();
    let reply = move |text: &str, reason: Option<&str>| {
        json!({"id": format!("cmpl-{number}"), "object": "text_completion", "created": 0, "model": model,
               "choices": [{"index": 0, "text": text, "finish_reason": reason}]})
    };
    if body.get("stream").and_then(Value::as_bool) != Some(true) {
        return Json(reply(&prompt, Some("stop"))).into_response();
    }
    let delay = Duration::from_millis(engine.args.token_delay);
    let words: Vec<String> = prompt.split_inclusive(' ').map(str::to_owned).collect();
    let mut events: Vec<String> = words.iter().map(|w| format!("data: {}\n\n", reply(w, None))).collect();
    events.push(format!("data: {}\n\n", reply("", Some("stop"))));
    events.push("data: [DONE]\n\n".to_owned());
    let stream = futures::stream::unfold(events.into_iter(), move |mut rest| async move {
        let event = rest.next()?;
        tokio::time::sleep(delay).await;
        Some((Ok::<_, std::convert::Infallible>(event), rest))
    });
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(stream)).into_response()
}
