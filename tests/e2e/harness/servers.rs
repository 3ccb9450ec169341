//! Where the servers are, and servers that a test has for itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::tokens::TokenListener;

/// The shared servers.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) mysql: String,
    pub(crate) mysql_nogtid: String,
    pub(crate) kafka: String,
    pub(crate) kafka_sasl: String,
}

impl Servers {
    /// `None` without servers: the caller returns, and the test counts as passed. Fails under `CI=true`.
    pub(crate) fn from_env() -> Option<Servers> {
        let [mysql, mysql_nogtid, kafka, kafka_sasl] = tidegate_tests::variables([
            "TIDEGATE_TEST_MYSQL",
            "TIDEGATE_TEST_MYSQL_NOGTID",
            "TIDEGATE_TEST_KAFKA",
            "TIDEGATE_TEST_KAFKA_SASL",
        ])?;
        Some(Servers { mysql, mysql_nogtid, kafka, kafka_sasl })
    }

    /// Also MariaDB, of the oldest and the newest kind that there is.
    pub(crate) fn with_mariadb() -> Option<(Servers, [String; 2])> {
        let mariadb = tidegate_tests::variables(["TIDEGATE_TEST_MARIADB", "TIDEGATE_TEST_MARIADB_11"])?;
        Servers::from_env().map(|servers| (servers, mariadb))
    }

    /// Also the oldest MySQL, with GTIDs.
    pub(crate) fn with_oldest() -> Option<(Servers, String)> {
        let [oldest] = tidegate_tests::variables(["TIDEGATE_TEST_MYSQL_56"])?;
        Servers::from_env().map(|servers| (servers, oldest))
    }

    /// Also the programs of others that read or write our formats.
    pub(crate) fn with_oracles() -> Option<Servers> {
        tidegate_tests::variables(["TIDEGATE_TEST_CANAL", "TIDEGATE_TEST_FLINK", "TIDEGATE_TEST_PYTHON"])?;
        Servers::from_env()
    }
}

/// A set of servers of its own, ended (by their ids) and removed when this is dropped.
pub(crate) struct Private {
    folder: TempDir,
    variables: HashMap<String, String>,
}

impl Private {
    /// `names` as for `scripts/servers.sh up`: mysql, mysql-gtid, mysql-nogtid, mysql-5.6, mariadb, kafka, kafka-0.10, …
    pub(crate) fn up(names: &[&str], mysqld_options: &str) -> Private {
        Private::up_in_zone(names, mysqld_options, "UTC")
    }

    /// The same in another time zone, as the environment variable TZ names it.
    pub(crate) fn up_in_zone(names: &[&str], mysqld_options: &str, zone: &str) -> Private {
        let folder = tempfile::Builder::new().prefix("tidegate-servers.").tempdir().expect("a temporary folder");
        let mut private = Private { folder, variables: HashMap::new() };
        let mut command = private.script();
        let output = command
            .arg("up")
            .args(names)
            .env("TIDEGATE_MYSQLD_OPTIONS", mysqld_options)
            .env("TIDEGATE_MARIADBD_OPTIONS", mysqld_options)
            .env("TZ", zone)
            .output();
        let output = output.expect("bash runs");
        assert!(output.status.success(), "servers.sh up {names:?}: {}", String::from_utf8_lossy(&output.stderr));
        let output = private.script().arg("env").output().expect("bash runs");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
                private.variables.insert(name.to_owned(), value.to_owned());
            }
        }
        private
    }

    pub(crate) fn mysql(&self) -> &str {
        &self.variables["TIDEGATE_TEST_MYSQL"]
    }

    pub(crate) fn mysql_nogtid(&self) -> &str {
        &self.variables["TIDEGATE_TEST_MYSQL_NOGTID"]
    }

    pub(crate) fn oldest(&self) -> &str {
        &self.variables["TIDEGATE_TEST_MYSQL_56"]
    }

    pub(crate) fn mariadb(&self) -> &str {
        &self.variables["TIDEGATE_TEST_MARIADB"]
    }

    /// mariadb or mariadb-11.
    pub(crate) fn mariadb_named(&self, name: &str) -> &str {
        &self.variables[if name == "mariadb" { "TIDEGATE_TEST_MARIADB" } else { "TIDEGATE_TEST_MARIADB_11" }]
    }

    pub(crate) fn kafka(&self) -> &str {
        &self.variables["TIDEGATE_TEST_KAFKA"]
    }

    pub(crate) fn kafka_sasl(&self) -> &str {
        &self.variables["TIDEGATE_TEST_KAFKA_SASL"]
    }

    /// Gives the user `app` of the Kafka called `kafka` another password for SCRAM-SHA-256.
    pub(crate) fn change_scram_password(&self, password: &str) {
        let mut command = Command::new("java");
        command
            .args(["-XX:TieredStopAtLevel=1", "-cp"])
            .arg(format!("{}/*", self.variables["TIDEGATE_TEST_KAFKA_JARS"]));
        command.args([
            "kafka.admin.ConfigCommand",
            "--bootstrap-server",
            self.kafka(),
            "--alter",
            "--entity-type",
            "users",
        ]);
        command.args(["--entity-name", "app", "--add-config"]).arg(format!("SCRAM-SHA-256=[password={password}]"));
        let output = command.output().expect("java runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Gives the user `app` of the Kafka called `name` rights, such as `TOPIC:orders:WRITE`. Of a thing on which anybody has some, nobody has
    /// others from then on.
    pub(crate) fn give_rights(&self, name: &str, rights: &[&str]) {
        let [jars] = tidegate_tests::variables(["TIDEGATE_TEST_KAFKA_JARS"]).expect("servers.sh has fetched Kafka");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles/Acls.java");
        let mut command = Command::new("java");
        command.args(["-XX:TieredStopAtLevel=1", "-cp"]).arg(format!("{jars}/*")).arg(source);
        let output = command.args([self.kafka_named(name).0, "app"]).args(rights).output().expect("java runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Without and with SASL, of the Kafka called `name`: kafka, kafka-0.10, kafka-0.11, kafka-2.7 or kafka-3.
    pub(crate) fn kafka_named(&self, name: &str) -> (&str, &str) {
        let variable = format!("TIDEGATE_TEST_{}", name.to_uppercase().replace(['-', '.'], "_"));
        (&self.variables[&variable], &self.variables[&format!("{variable}_SASL")])
    }

    /// The listener that wants tokens of the Kafka called `name`: kafka-3.
    pub(crate) fn tokens_of(&self, name: &str) -> TokenListener {
        let variable = format!("TIDEGATE_TEST_{}", name.to_uppercase().replace(['-', '.'], "_"));
        let of_listener = |what: &str| &*self.variables[&format!("{variable}_{what}")];
        TokenListener::new(of_listener("TOKENS"), of_listener("TOKEN_KEY"))
    }

    /// The data folder of the server called `name`: mysql, mysql-nogtid or kafka.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("data")
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&self, name: &str) {
        self.act("kill", name);
    }

    /// Asked politely.
    pub(crate) fn stop(&self, name: &str) {
        self.act("stop", name);
    }

    /// On the same port, with the same data.
    pub(crate) fn start(&self, name: &str) {
        self.act("start", name);
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, name: &str, signal: libc::c_int) {
        let id = std::fs::read_to_string(self.folder.path().join(name).join("pid")).expect("it runs");
        let id: libc::pid_t = id.trim().parse().expect("a number");
        // SAFETY: a system call without memory. The process is that of a server which nobody but this test ends.
        unsafe { libc::kill(id, signal) };
    }

    fn act(&self, action: &str, name: &str) {
        let output = self.script().arg(action).arg(name).output().expect("bash runs");
        assert!(output.status.success(), "servers.sh {action} {name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn script(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers.sh");
        let mut command = Command::new("bash");
        command.arg(script).env("TIDEGATE_SERVERS", self.folder.path());
        command
    }
}

impl Private {
    /// What its servers said last, which goes away with them.
    fn show_logs(&self) {
        const LINES: usize = 30;
        if let Ok(output) = self.script().arg("status").output() {
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
        }
        let folders = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        for log in folders.map(|folder| folder.path().join("log")) {
            let Ok(text) = std::fs::read(&log) else { continue };
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("the end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(LINES)..].join("\n"));
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        match self.script().arg("down").output() {
            Ok(output) if output.status.success() => {}
            result => eprintln!("could not end the servers in {}: {result:?}", self.folder.path().display()),
        }
    }
}
