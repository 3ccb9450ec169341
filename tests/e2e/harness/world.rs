//! What a test has for itself: a database, topics, a folder, and the task between them.

use std::ffi::OsString;
use std::path::PathBuf;

use tempfile::TempDir;

use super::engine::Ended;
use super::mysql::Mysql;
use super::{Kind, Message, Reader, Tidegate, wait_for};

pub(crate) struct World {
    /// Also the task's name and the topics' prefix.
    pub(crate) database: String,
    pub(crate) mysql_url: String,
    pub(crate) kafka: String,
    pub(crate) mysql: Mysql,
    folder: TempDir,
    /// Where `Reader::until_marker` stands.
    markers: u64,
}

/// Written as the last change before a test compares; its message says that the engine has come that far.
pub(crate) const MARKER: &str = "marker";

impl World {
    pub(crate) fn new(test: &str, mysql_url: &str, kafka: &str) -> World {
        let database = format!("{test}_{:08x}", fastrand::u32(..));
        let mut mysql = Mysql::connect(mysql_url);
        mysql.run(format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"));
        mysql.run(format!("USE {database}"));
        mysql.run(format!("CREATE TABLE {MARKER} (id INT PRIMARY KEY)"));
        World {
            database,
            mysql_url: mysql_url.to_owned(),
            kafka: kafka.to_owned(),
            mysql,
            folder: tempfile::Builder::new().prefix("tidegate-e2e.").tempdir().expect("a temporary folder"),
            markers: 0,
        }
    }

    /// On a server without GTIDs, and on one whose GTIDs say too little of a view, begins a new binlog file. There a task reads from the
    /// start of the current file, and with `binlog_row_metadata=MINIMAL` it stops at the statement that made a table.
    pub(crate) fn begin_binlog_file(&mut self) {
        let has_exact_views = |mysql: &mut Mysql| {
            mysql.is_mariadb() || !mysql.is_oldest() && mysql.query_one::<String>("SELECT @@gtid_mode") == "ON"
        };
        if !has_exact_views(&mut self.mysql) {
            self.mysql.run("FLUSH BINARY LOGS");
        }
    }

    /// Waits until nothing is asked for, and begins the binlog files that it may take: see [`World::begin_binlog_file`].
    pub(crate) fn until_asked_is_loaded(&mut self, task: &TaskFile, engine: &mut Tidegate) {
        wait_for("what is asked for is loaded", || {
            engine.assert_running();
            self.begin_binlog_file();
            (!task.stored().to_string().contains("is_asked_for")).then_some(())
        });
    }

    /// Begins a new binlog file, and has the server forget those before it. It keeps one that somebody still reads, such as the
    /// connection of a run that has just ended, or that it needs for its own recovery.
    pub(crate) fn purge_binlog(&mut self) {
        self.mysql.run("FLUSH BINARY LOGS");
        let files = |mysql: &mut Mysql| -> Vec<String> {
            let rows: Vec<mysql_async::Row> = mysql.query("SHOW BINARY LOGS");
            rows.into_iter().map(|row| row.get(0).expect("a file has a name")).collect()
        };
        let last = files(&mut self.mysql).pop().expect("there is a binlog");
        wait_for("the older binlog files are gone", || {
            self.mysql.run(format!("PURGE BINARY LOGS TO '{last}'"));
            (files(&mut self.mysql) == [last.as_str()]).then_some(())
        });
    }

    /// After the server was away.
    pub(crate) fn reconnect(&mut self) {
        self.mysql = Mysql::connect(&self.mysql_url);
        self.mysql.run(format!("USE {}", self.database));
    }

    /// Waits until the load waits for a table that somebody has locked.
    pub(crate) fn until_load_is_locked_out(&self, engine: &mut Tidegate) {
        let mut mysql = Mysql::connect(&self.mysql_url);
        let waiting = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'tide' AND INFO LIKE '%{}%' \
             AND STATE LIKE 'Waiting for table metadata lock%'",
            self.database
        );
        wait_for("the load waits for the table", || {
            engine.assert_running();
            (mysql.query_one::<u64>(&waiting) > 0).then_some(())
        });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All tables of the database, Canal JSON, three partitions, default topics.
    pub(crate) fn task(&self) -> TaskFile {
        TaskFile {
            path: self.path("task.yaml"),
            state: self.path("state"),
            name: self.database.clone(),
            source: mysql_source(&self.mysql_url, "tide", "tide"),
            tables: format!("[\"{}.*\"]", self.database),
            sink: kafka_sink(&self.kafka, ""),
            format: "canal_json".to_owned(),
            more: String::new(),
            accept: "",
        }
    }

    /// All messages in one order: one topic, of the task's name, with one partition. `more` is of the sink's options.
    pub(crate) fn task_of_one_topic(&self, more: &str) -> TaskFile {
        let sink = kafka_sink(&self.kafka, &format!(", topic: \"{{task}}\", partition: zero{more}"));
        TaskFile { sink, ..self.task() }
    }

    pub(crate) fn topic(&self, table: &str) -> String {
        format!("{}.{table}", self.database)
    }

    /// A reader of these tables' default topics, and of the marker's.
    pub(crate) fn reader<'a>(&self, tables: impl IntoIterator<Item = &'a str>) -> Reader {
        let topics = tables.into_iter().chain([MARKER]).map(|table| self.topic(table));
        Reader::new(&self.kafka, topics.collect())
    }

    /// Writes a marker: its key.
    pub(crate) fn write_marker(&mut self) -> String {
        self.markers += 1;
        self.mysql.run(format!("INSERT INTO {MARKER} VALUES ({})", self.markers));
        self.markers.to_string()
    }

    /// Writes a marker and reads until it arrives. Other topics may then still be a few messages behind; whoever needs
    /// all of them ends the engine, which drains it, and then reads to the end.
    pub(crate) fn until_marker(&mut self, engine: &mut Tidegate, reader: &mut Reader, mut take: impl FnMut(Message)) {
        let id = self.write_marker();
        let mut seen = false;
        reader.until(engine, &format!("marker {id}"), |message| {
            seen |= message.table == MARKER && message.data.get("id") == Some(&id);
            if message.table != MARKER {
                take(message);
            }
            seen
        });
    }

    /// Reads until the full load of all tables is over. A marker may come by the full load itself; one that is written
    /// after it was seen comes by the binlog, and so after all full loads.
    pub(crate) fn until_loaded(&mut self, engine: &mut Tidegate, reader: &mut Reader, mut take: impl FnMut(Message)) {
        self.until_marker(engine, reader, &mut take);
        self.until_marker(engine, reader, &mut take);
        // By now every row of the full load is durable, though other topics may not have been read as far.
        reader.read_to_end(|message| {
            if message.table != MARKER {
                take(message);
            }
        });
    }

    /// Waits for markers, ends the engine with SIGTERM and reads what is left: after this, everything that was written
    /// before the call has been taken. Two markers, as in [`World::until_loaded`]: after a kill the engine may be loading
    /// once more.
    pub(crate) fn finish(&mut self, mut engine: Tidegate, reader: &mut Reader, mut take: impl FnMut(Message)) -> Ended {
        self.until_marker(&mut engine, reader, &mut take);
        self.until_marker(&mut engine, reader, &mut take);
        let ended = engine.terminate(libc::SIGTERM);
        reader.read_to_end(|message| {
            if message.table != MARKER {
                take(message);
            }
        });
        ended
    }

    /// Runs a task of one topic: loads the tables, runs the statements, ends. What came, and what was said.
    pub(crate) fn follow(&mut self, task: &TaskFile, statements: &[&str]) -> (Vec<Message>, String) {
        let mut reader = Reader::new(&self.kafka, vec![self.database.clone()]);
        let mut engine = Tidegate::run(task);
        // The full load is not of interest, and neither is the end of the marker's transaction, which may come behind it.
        let mut is_open = false;
        self.until_loaded(&mut engine, &mut reader, |message| match message.kind {
            Kind::Begin => is_open = true,
            Kind::Commit => is_open = false,
            _ => {}
        });
        if is_open {
            reader.until(&mut engine, "the end of the transaction", |message| message.kind == Kind::Commit);
        }
        for statement in statements {
            self.mysql.run(*statement);
        }
        let mut messages = Vec::new();
        let ended = self.finish(engine, &mut reader, |message| messages.push(message));
        (messages, ended.output)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("database {} is left as it is", self.database);
        } else {
            let _ = self.mysql.try_run(&format!("DROP DATABASE {}", self.database));
        }
    }
}

/// A task file; the fields are YAML.
#[derive(Clone)]
pub(crate) struct TaskFile {
    pub(crate) path: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) tables: String,
    pub(crate) sink: String,
    pub(crate) format: String,
    /// Further top-level keys.
    pub(crate) more: String,
    /// What `run` is told to accept.
    pub(crate) accept: &'static str,
}

impl TaskFile {
    pub(crate) fn write(&self) -> PathBuf {
        let TaskFile { path, state, name, source, tables, sink, format, more, accept: _ } = self;
        let state = state.display();
        let text = format!(
            "task: {name}\nsource: {source}\ntables: {tables}\nsink: {sink}\nformat: {format}\nstate: {state}\n{more}\n"
        );
        // A run that has just been started reads the one or the other, and no half of it.
        let new = path.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, path))
            .expect("the test's folder can be written");
        path.clone()
    }

    /// `run task.yaml`, and what it is to accept.
    pub(crate) fn run_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["run".into(), self.write().into_os_string()];
        if !self.accept.is_empty() {
            arguments.extend(["--accept".into(), self.accept.into()]);
        }
        arguments
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.state.join("checkpoint")
    }

    /// What `tidegate state --json` prints.
    pub(crate) fn stored(&self) -> serde_json::Value {
        let ended = Tidegate::spawn(["state".as_ref(), self.write().as_os_str(), "--json".as_ref()]).wait();
        assert!(ended.status.success(), "{}", ended.output);
        serde_json::from_str(&ended.output).expect("JSON")
    }
}

/// The server of `url` (which names an administrator) as another user sees it.
pub(crate) fn mysql_source(url: &str, user: &str, password: &str) -> String {
    let address = url.rsplit('@').next().expect("a URL has an address");
    format!("{{mysql: \"mysql://{user}@{address}\", password: \"{password}\"}}")
}

pub(crate) fn kafka_sink(brokers: &str, more: &str) -> String {
    format!("{{kafka: \"{brokers}\", create_topics: {{partitions: 3, replication: 1}}{more}}}")
}
