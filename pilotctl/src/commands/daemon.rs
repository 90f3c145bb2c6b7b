//! `daemon`: start, run, stop, ask.

use super::peer::{items, words};
use super::status;
use crate::agent::{Agent, Metrics};
use crate::cli::args::{DaemonArgs, DaemonCommand};
use crate::cli::{CliError, Context, Kind, Result};
use crate::server::{IpcServer, serve};
use crate::state::{
    Lock, PidFile, Settings, TrustFile, insecure_warnings, load_or_create_identity, recording_warning, state_dir,
};
use driver::Driver;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long `start` waits for the registry.
const START: Duration = Duration::from_secs(15);
/// How long `stop` waits before it forces.
const STOP: Duration = Duration::from_secs(10);
/// Between two looks at a starting or stopping daemon.
const LOOK: Duration = Duration::from_millis(50);
/// A longer log is put aside at the next start.
const MAX_LOG: u64 = 10 * 1024 * 1024;

pub(super) async fn run(context: &Context, command: DaemonCommand) -> Result<()> {
    match command {
        DaemonCommand::Start(arguments) if arguments.foreground => foreground(context, arguments).await,
        DaemonCommand::Start(arguments) => start(context, &arguments).await,
        DaemonCommand::Run(arguments) => foreground(context, arguments).await,
        DaemonCommand::Stop => {
            let (pid, forced) = stop(context).await?;
            context.output.result(&json!({"pid": pid, "forced": forced}), || format!("stopped process {pid}"));
            Ok(())
        }
        DaemonCommand::Restart(arguments) => {
            if Lock::holder(&context.paths.lock()).is_some() {
                stop(context).await?;
            }
            start(context, &arguments).await
        }
        DaemonCommand::Status => state(context).await,
        DaemonCommand::Logs { lines } => logs(context, lines),
    }
}

/// Runs the daemon as a process of its own and waits until it is registered.
async fn start(context: &Context, arguments: &DaemonArgs) -> Result<()> {
    state_dir(&context.paths.state)?;
    if let Some(pid) = Lock::holder(&context.paths.lock()) {
        return Err(CliError::new(Kind::AlreadyExists, format!("the daemon runs already (process {pid})"))
            .hint("`pilotctl daemon restart` takes new settings"));
    }
    let mut child = spawn(context, arguments)?;
    let limit = context.timeout.unwrap_or(START);
    let registered = context.output.waiting("the registry", wait_until_registered(context, &mut child, limit)).await?;
    let driver = context.driver().await?;
    let info = status::state(&driver).await?;
    let warnings = items(&info, "warnings").iter().filter_map(Value::as_str);
    warnings.filter(|text| text.starts_with("INSECURE")).for_each(|text| context.output.say(text));
    let data = json!({
        "pid": child.id(),
        "node_id": info.get("node_id"),
        "address": info.get("address"),
        "hostname": info.get("hostname"),
        "registered": registered,
        "socket": context.socket().display().to_string(),
        "log_file": context.paths.log().display().to_string(),
    });
    arguments.record.iter().for_each(|path| context.output.say(&recording_warning(path)));
    if !registered {
        let message = format!("the daemon runs (process {}), but is not registered after {limit:?}", child.id());
        return Err(CliError::new(Kind::Timeout, message)
            .hint("it goes on trying; see `pilotctl netcheck` and `pilotctl daemon logs`"));
    }
    context.output.result(&data, || status::page(&info));
    Ok(())
}

fn spawn(context: &Context, arguments: &DaemonArgs) -> Result<Child> {
    let log_path = context.paths.log();
    if std::fs::metadata(&log_path).is_ok_and(|about| about.len() > MAX_LOG) {
        std::fs::rename(&log_path, log_path.with_extension("log.1"))?;
    }
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&log_path)?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    if arguments.compat_socket.is_some() {
        // The reference's `daemon stop` ends no process of another name.
        command.arg0("pilot-daemon");
    }
    command.args(daemon_words(context, arguments));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command.spawn()?)
}

/// `daemon run` with the same settings.
fn daemon_words(context: &Context, arguments: &DaemonArgs) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["daemon".into(), "run".into(), "--detached".into()];
    let mut option = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            words.extend([name.into(), value]);
        }
    };
    option("--socket", Some(context.socket().into()));
    option("--config", context.config.clone().map(Into::into));
    option("--instance", context.instance.clone().map(Into::into));
    option("--hostname", arguments.hostname.clone().map(Into::into));
    option("--registry", arguments.registry.clone().map(Into::into));
    option("--registry-fingerprint", arguments.registry_fingerprint.clone().map(Into::into));
    option("--beacon", (!arguments.beacon.is_empty()).then(|| arguments.beacon.join(",").into()));
    option("--listen", arguments.listen.map(|address| address.to_string().into()));
    option("--endpoint", arguments.endpoint.map(|address| address.to_string().into()));
    option("--email", arguments.email.clone().map(Into::into));
    option("--admin-token-file", arguments.admin_token_file.clone().map(Into::into));
    option("--record", arguments.record.clone().map(Into::into));
    option("--metrics-listen", arguments.metrics_listen.map(|address| address.to_string().into()));
    option("--quota", Some(arguments.quota.to_string().into()));
    let flags = [
        ("--public", arguments.public),
        ("--relay-only", arguments.relay_only),
        ("--no-spray", arguments.no_spray),
        ("--no-port-mapping", arguments.no_port_mapping),
        ("--lan", arguments.lan),
        ("--trust-auto-approve", arguments.trust_auto_approve),
        ("--insecure-plaintext", arguments.insecure_plaintext),
        ("--insecure-anonymous-exchange", arguments.insecure_anonymous_exchange),
        ("--ephemeral", arguments.ephemeral),
    ];
    words.extend(arguments.compat_socket.as_ref().map(|path| {
        let mut word = OsString::from("--compat-socket");
        if let Some(path) = path {
            word.push("=");
            word.push(path);
        }
        word
    }));
    words.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| OsString::from(name)));
    words.extend((0..context.verbose).map(|_| OsString::from("-v")));
    words
}

/// `false` when the daemon runs but has no registration within `limit`.
async fn wait_until_registered(context: &Context, child: &mut Child, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    let mut answers = false;
    loop {
        if let Some(status) = child.try_wait()? {
            let kind = if status.code() == Some(8) { Kind::AlreadyExists } else { Kind::Internal };
            let said = last_lines(context, 5).join("\n");
            return Err(CliError::new(kind, format!("the daemon ended at once: {said}")));
        }
        if let Ok(driver) = Driver::connect(&context.socket()).await {
            answers = true;
            if driver.info().await?.get("registered") == Some(&Value::Bool(true)) {
                return Ok(true);
            }
        }
        if Instant::now() >= deadline {
            if answers {
                return Ok(false);
            }
            return Err(CliError::new(Kind::Timeout, "the daemon does not answer").hint("see `pilotctl daemon logs`"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The daemon itself, until a signal.
async fn foreground(context: &Context, arguments: DaemonArgs) -> Result<()> {
    if arguments.detached {
        // Fails only for a process that leads a group already, which is as good.
        let _ = rustix::process::setsid();
    }
    log_to_stderr(context.verbose);
    state_dir(&context.paths.state)?;
    let _lock = Lock::take(&context.paths.lock())?;
    let settings = Settings::load(&arguments, &context.paths.config).await?;
    for warning in insecure_warnings(settings.insecure) {
        tracing::warn!("{warning}");
    }
    if let Some(path) = &settings.record {
        tracing::warn!("{}", recording_warning(path));
    }
    let (identity, trust) = if arguments.ephemeral {
        (crate::state::new_identity()?, TrustFile::nowhere())
    } else {
        (load_or_create_identity(&context.paths.identity())?, TrustFile::at(context.paths.trust()))
    };
    let mailbox = mailbox(context, &settings)?;
    let agent = Arc::new(Agent::start(&settings, identity, trust, mailbox).await?);
    let metrics = match settings.metrics_listen {
        Some(address) => Some(Metrics::bind(address).await?),
        None => None,
    };
    let server = IpcServer::bind(&context.paths.socket).await?;
    let compat = match &settings.compat_socket {
        Some(path) => Some(IpcServer::bind(path).await?),
        None => None,
    };
    let _pid_file = compat.as_ref().map(|_| PidFile::write(mailbox)).transpose()?;
    tracing::info!(socket = %context.paths.socket.display(), registry = %settings.registry, "daemon started");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = serve(&server, compat.as_ref(), Arc::clone(&agent)) => ended?,
        () = Metrics::serve(metrics, Arc::clone(&agent)) => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("daemon stopping");
    drop((server, compat));
    agent.shutdown().await;
    Ok(())
}

/// Where messages and files of peers are kept: where the reference's clients look, when they are served.
fn mailbox<'a>(context: &'a Context, settings: &Settings) -> Result<&'a Path> {
    if settings.compat_socket.is_none() {
        return Ok(&context.paths.state);
    }
    context
        .paths
        .compat
        .as_deref()
        .ok_or_else(|| CliError::usage("--compat-socket needs HOME: clients look in ~/.pilot"))
}

/// Logs of servers go to stderr; `daemon start` points that at the log file.
pub(super) fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("PILOT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).try_init();
}

async fn stop(context: &Context) -> Result<(u32, bool)> {
    let lock = context.paths.lock();
    let pid = Lock::holder(&lock).ok_or_else(not_running)?;
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(not_running)?;
    for (sign, forced) in [(Signal::TERM, false), (Signal::KILL, true)] {
        kill_process(process, sign).map_err(std::io::Error::from)?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if Lock::holder(&lock).is_none() {
                return Ok((pid, forced));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Err(CliError::new(Kind::Timeout, format!("process {pid} does not end")))
}

fn not_running() -> CliError {
    CliError::new(Kind::NotRunning, "the daemon is not running").hint("start it with `pilotctl daemon start`")
}

async fn state(context: &Context) -> Result<()> {
    let driver = context.driver().await.map_err(|_| not_running())?;
    let info = driver.info().await?;
    let field = |name: &str| info.get(name).cloned().unwrap_or(Value::Null);
    let data = json!({
        "running": true,
        "responsive": true,
        "pid": field("pid"),
        "pid_file": context.paths.lock().display().to_string(),
        "socket": context.socket().display().to_string(),
        "node_id": field("node_id"),
        "address": field("address"),
        "hostname": field("hostname"),
        "registered": field("registered"),
        "uptime_secs": field("uptime_secs"),
        "peers": field("peers"),
        "connections": field("connections"),
    });
    context.output.result(&data, || {
        let registered = if field("registered") == Value::Bool(true) { "registered" } else { "not registered" };
        format!("running (process {}), {registered}, {}", words(&info, "pid"), words(&info, "address"))
    });
    Ok(())
}

fn logs(context: &Context, lines: usize) -> Result<()> {
    let path = context.paths.log();
    File::open(&path).map_err(|error| CliError::from(error).context(path.display()))?;
    let lines = last_lines(context, lines);
    let data = json!({"log_file": path.display().to_string(), "lines": lines});
    context.output.result(&data, || lines.join("\n"));
    Ok(())
}

fn last_lines(context: &Context, count: usize) -> Vec<String> {
    let text = std::fs::read(context.paths.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).map(|line| (*line).to_owned()).collect()
}
