//! A headless Chromium that is told what to do over two pipes: messages of its DevTools protocol as JSON, each with a zero byte behind it.
//! So there is neither a port nor a crate.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wait_for;

/// A browser with one page. It ends when this is dropped.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// Of the page, once it has one.
    session: Option<String>,
    last_id: u64,
    complaints: Vec<String>,
    /// What a person types where a name and a password are asked for.
    password: Option<String>,
    folder: TempDir,
}

/// How long it may take to end after it was asked to.
const END_TIME: Duration = Duration::from_secs(10);

impl Browser {
    /// `None` without a browser: the caller returns, and the test counts as passed. Fails under `CI=true`.
    pub(crate) fn start() -> Option<Browser> {
        let program = tidegate_tests::variable("TIDEGATE_TEST_CHROMIUM")?;
        let folder = tempfile::Builder::new().prefix("tidegate-browser.").tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        // It reads descriptor 3 and writes 4.
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"]).arg(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", folder.path().display()));
        for variable in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, folder.path());
        }
        let log = File::create(folder.path().join("log")).expect("the folder can be written");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = child.expect("sh runs");
        let commands = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in output.split(0) {
                let Ok(message) = message else { return };
                let message = serde_json::from_slice(&message).expect("a message is JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            commands,
            messages,
            session: None,
            last_id: 0,
            complaints: Vec::new(),
            password: None,
            folder,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().expect("a session has a name").to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        // Times are told in one way wherever the test runs.
        browser.call("Emulation.setTimezoneOverride", json!({"timezoneId": "UTC"}));
        browser.call("Emulation.setLocaleOverride", json!({"locale": "de-DE"}));
        Some(browser)
    }

    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.tell(method, &parameters);
        loop {
            let mut answer = match self.messages.recv_timeout(super::deadline()) {
                Ok(answer) => answer,
                Err(error) => {
                    let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                    panic!("{method}: the browser does not answer, {error}:\n{log}");
                }
            };
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method} {parameters}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.hear(&answer);
        }
    }

    /// The number that its answer will have.
    fn tell(&mut self, method: &str, parameters: &Value) -> u64 {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        // One that has ended does not answer, and that is told.
        let _ = self.commands.write_all(format!("{message}\0").as_bytes());
        self.last_id
    }

    /// Gives this password wherever one is asked for.
    pub(crate) fn give_password(&mut self, password: &str) {
        self.password = Some(password.to_owned());
        self.call("Fetch.enable", json!({"handleAuthRequests": true}));
    }

    fn hear(&mut self, event: &Value) {
        let of = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(of["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if of["type"] != "log" => self.complaints.push(of.to_string()),
            // Also what the page's policy refuses, and requests that fail.
            "Log.entryAdded" => {
                let entry = &of["entry"];
                self.complaints.push(format!("{}: {} ({})", entry["source"], entry["text"], entry["url"]));
            }
            "Fetch.requestPaused" => _ = self.tell("Fetch.continueRequest", &json!({"requestId": of["requestId"]})),
            "Fetch.authRequired" => {
                let answer = json!({"response": "ProvideCredentials", "username": "me", "password": self.password});
                let parameters = json!({"requestId": of["requestId"], "authChallengeResponse": answer});
                self.tell("Fetch.continueWithAuth", &parameters);
            }
            _ => {}
        }
    }

    /// What it had to complain of since it was asked last.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // What has happened comes before an answer.
        self.evaluate("0");
        std::mem::take(&mut self.complaints)
    }

    pub(crate) fn open(&mut self, address: &str) {
        let url = format!("http://{address}/");
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// The value of an expression, awaited if it is a promise.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// Looks until the expression is neither null nor false.
    pub(crate) fn until(&mut self, what: &str, expression: &str) -> Value {
        wait_for(what, || Some(self.evaluate(expression)).filter(|value| !value.is_null() && *value != false))
    }

    pub(crate) fn press(&mut self, key: &str) {
        let (number, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "Delete" => (46, ""),
            _ => panic!("{key} is on no keyboard of ours"),
        };
        let down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": number, "text": text});
        let up = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": number});
        for event in [down, up] {
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Where the cursor is.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// `colors` is light or dark.
    pub(crate) fn look(&mut self, width: u32, colors: &str) {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": colors}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// What a screen reader finds.
    pub(crate) fn accessible(&mut self) -> Vec<Accessible> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("a tree has nodes").iter();
        let word = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let node = |node: &Value| Accessible {
            role: word(&node["role"]),
            name: word(&node["name"]),
            is_focusable: node["properties"].as_array().is_some_and(|properties| {
                properties.iter().any(|property| property["name"] == "focusable" && property["value"]["value"] == true)
            }),
        };
        nodes.filter(|node| node["ignored"] != true).map(node).collect()
    }

    /// The whole page as a picture in the folder TIDEGATE_TEST_SCREENSHOTS, if there is one.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("TIDEGATE_TEST_SCREENSHOTS") else { return };
        let picture = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture has bytes")).expect("base64");
        std::fs::create_dir_all(&folder).expect("the folder of pictures can be made");
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes).expect("it can be written");
    }
}

#[derive(Debug)]
pub(crate) struct Accessible {
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) is_focusable: bool,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked, so that it ends its other processes.
        let asked = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let start = Instant::now();
        while asked.is_ok() && start.elapsed() < END_TIME {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            super::pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
