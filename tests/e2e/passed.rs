//! What stops a task for good, because rows may be lost by it, is passed over by whoever knows better: by its place, and
//! nothing else with it.

use super::harness::{Private, Servers, TaskFile, Tidegate, World};
use super::journal::history;
use super::xa::{Prepared, servers_of};

/// `binlog.000003:1234` in `… tidegate run --pass binlog.000003:1234`.
fn place_to_pass(output: &str) -> String {
    let (_, place) = output.split_once("tidegate run --pass ").unwrap_or_else(|| panic!("no way on in\n{output}"));
    place.split(';').next().expect("a place").to_owned()
}

fn run_passing(task: &TaskFile, place: &str) -> Tidegate {
    let mut arguments = task.run_arguments();
    arguments.extend(["--pass".into(), place.into()]);
    Tidegate::spawn(arguments)
}

#[test]
fn one_place_is_passed_over() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (server, mysql_url) in servers_of(&private) {
        let mut world = World::new(&format!("passed_{server}"), mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE unseen (id INT PRIMARY KEY)");
        world.mysql.run("CREATE TABLE changed (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO changed VALUES (1, 1)");
        let [one, two] = [("one", 3), ("two", 4)]
            .map(|(xid, id)| Prepared::new(&world, xid, &[format!("INSERT INTO unseen VALUES ({id})")]));
        // Where the task begins, there is nothing of them.
        world.mysql.run("FLUSH BINARY LOGS");
        let mut task = world.task();
        task.tables = format!("[{0}.marker, {0}.changed]", world.database);
        let mut reader = world.reader(["changed"]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| {});

        one.end("COMMIT");
        let ended = engine.wait();
        assert!(!ended.status.success() && ended.output.contains("XA COMMIT of X'6f6e65'"), "{}", ended.output);
        let place = place_to_pass(&ended.output);
        // Nobody is passed over but who is named.
        assert_eq!(place_to_pass(&Tidegate::fails(&task)), place);
        two.end("COMMIT");
        let ended = run_passing(&task, &place).wait();
        assert!(!ended.status.success() && ended.output.contains("XA COMMIT of X'74776f'"), "{}", ended.output);
        assert!(ended.output.contains("XA COMMIT passed over, as told"), "{}", ended.output);
        let mut engine = run_passing(&task, &place_to_pass(&ended.output));
        world.until_marker(&mut engine, &mut reader, |_| {});

        // A statement, in the middle of a transaction.
        world.mysql.run("SET SESSION binlog_format = STATEMENT");
        world.mysql.run("BEGIN");
        world.mysql.run("UPDATE marker SET id = id + 1000 WHERE id = 1");
        world.mysql.run("UPDATE unseen SET id = id + 1000");
        world.mysql.run("COMMIT");
        world.mysql.run("SET SESSION binlog_format = ROW");
        let ended = engine.wait();
        let words = "may have changed rows of table";
        assert!(!ended.status.success() && ended.output.contains(words), "{}", ended.output);
        let first = place_to_pass(&ended.output);
        let ended = run_passing(&task, &first).wait();
        let words = "passed over, as told: rows of table";
        assert!(!ended.status.success() && ended.output.contains(words), "{}", ended.output);
        // Both, since the transaction is read again.
        let mut engine = run_passing(&task, &format!("{first},{}", place_to_pass(&ended.output)));
        world.until_marker(&mut engine, &mut reader, |_| {});
        assert!(history(&task, &[]).contains(&format!("--pass {first},")), "{}", history(&task, &[]));
        // Rows without all of their columns. They come with the table, once it is asked for and they are passed.
        world.mysql.run("SET SESSION binlog_row_image = MINIMAL");
        world.mysql.run("UPDATE changed SET v = 2 WHERE id = 1");
        world.mysql.run("SET SESSION binlog_row_image = FULL");
        let ended = engine.wait();
        let words = "a row image lacks column";
        assert!(!ended.status.success() && ended.output.contains(words), "{}", ended.output);
        let table = format!("{}.changed", world.database);
        let asked = Tidegate::spawn(["reload".as_ref(), task.path.as_os_str(), table.as_ref()]).wait();
        assert!(asked.status.success(), "{}", asked.output);
        let mut engine = run_passing(&task, &place_to_pass(&ended.output));
        world.until_asked_is_loaded(&task, &mut engine);
        let mut rows = Vec::new();
        world.until_marker(&mut engine, &mut reader, |message| {
            rows.push(format!("{:?} {:?}", message.kind, message.data))
        });
        assert_eq!(rows, ["Insert id=\"1\" v=\"2\""], "{}", engine.output());
        engine.terminate(libc::SIGTERM);
        // That was all.
        world.finish(Tidegate::run(&task), &mut reader, |_| {});
    }
}
