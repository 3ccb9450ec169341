//! `tidegate status`, `pause` and `resume`: ask a running task by its socket.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::error::StatusError;
use super::report::{Report, VERSION};
use super::server::INTENT;
use super::{socket, words};
use crate::config::Task;

/// A run that does not answer in this time is not at work.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a running task says of itself, as JSON; `None` if it does not run.
pub async fn ask(task: &Task) -> Result<Option<Bytes>, StatusError> {
    request(task, Request::get("/status")).await
}

/// Tells a running task to do what stands behind `path`. What it says to that; `None` if it does not run.
pub async fn tell(task: &Task, path: &str) -> Result<Option<Bytes>, StatusError> {
    request(task, Request::post(path).header(INTENT, "cli")).await
}

async fn request(task: &Task, request: hyper::http::request::Builder) -> Result<Option<Bytes>, StatusError> {
    let failed = |error| StatusError::Socket { folder: task.state.display().to_string(), error };
    let Some(stream) = socket::connect(&task.state).map_err(failed)? else { return Ok(None) };
    stream.set_nonblocking(true).map_err(failed)?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(failed)?;
    let silent = |error: hyper::Error| StatusError::Silent(error.to_string());
    let asked = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
        let request = request.header("host", "localhost").body(Empty::<Bytes>::new());
        let request = request.expect("a request without anything that could be wrong");
        let answer = async {
            let response = sender.send_request(request).await.map_err(silent)?;
            let code = response.status();
            let body = response.into_body().collect().await.map_err(silent)?.to_bytes();
            match code.is_success() {
                true => Ok(body),
                // What it says to that is a line for people.
                false if code.is_client_error() && code != StatusCode::NOT_FOUND => {
                    Err(StatusError::Refused(String::from_utf8_lossy(&body).trim_end().to_owned()))
                }
                false => Err(StatusError::Other(code.to_string())),
            }
        };
        tokio::pin!(connection);
        tokio::select! {
            // It may end together with the answer's last byte, which is an answer all the same.
            biased;
            answer = answer => answer,
            ended = &mut connection => Err(StatusError::Silent(ended.err().map_or("it has ended".to_owned(), |error| error.to_string()))),
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map(Some),
        Err(_) => Err(StatusError::Silent(format!("it has said nothing for {} s", PATIENCE.as_secs()))),
    }
}

/// Reads what [`ask`] brought.
pub fn read(json: &[u8]) -> Result<Report, StatusError> {
    let report: Report = serde_json::from_slice(json).map_err(|error| StatusError::Other(error.to_string()))?;
    match report.version {
        VERSION => Ok(report),
        other => Err(StatusError::Other(format!("version {other} of the status"))),
    }
}

/// How `tidegate status` shows it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub json: bool,
    pub watch: bool,
}

/// Prints the status, or until interrupted again and again. False if the task does not run.
pub async fn show(task: &Task, view: View, out: &mut (dyn Write + Send)) -> Result<bool, StatusError> {
    let is_terminal = std::io::stdout().is_terminal();
    let mut is_first = true;
    loop {
        let asked = match ask(task).await {
            // It may have ended in the midst of an answer.
            Err(StatusError::Silent(_)) if !is_first => ask(task).await,
            asked => asked,
        };
        let Some(json) = asked? else { return Ok(!is_first) };
        let text = match view.json {
            true => String::from_utf8_lossy(&json).into_owned(),
            false => words::page(&read(&json)?),
        };
        // A terminal shows it in place: to the begin, and what was there before is gone.
        let clear = if view.watch && !view.json && is_terminal { "\x1b[H\x1b[2J" } else { "" };
        let shown =
            out.write_all(clear.as_bytes()).and_then(|()| out.write_all(text.as_bytes())).and_then(|()| out.flush());
        // Nobody reads any more.
        if !view.watch || shown.is_err() {
            return Ok(true);
        }
        is_first = false;
        tokio::time::sleep(super::monitor::INTERVAL).await;
    }
}
