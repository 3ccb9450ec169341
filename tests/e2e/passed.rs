//! What stops a task for good, because rows may be lost by it, is passed over by whoever knows better: by its place, and
//! nothing else with it.

use super::harness::{Private, Servers, TaskFile, Tidegate, World};

/// `binlog.000003:1234` in `… tidegate run --pass binlog.000003:1234`.
fn place_to_pass(output: &str) -> String {
    let (_, place) = output.split_once("tidegate run --pass ").unwrap_or_else(|| panic!("no way on in\n{output}"));
    place.lines().next().expect("a place").to_owned()
}

fn run_passing(task: &TaskFile, place: &str) -> Tidegate {
    let mut arguments = task.run_arguments();
    arguments.extend(["--pass".into(), place.into()]);
    Tidegate::spawn(arguments)
}

#[test]
fn one_place_is_passed_over() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, mysql_url) in [("passed_gtid", private.mysql()), ("passed_nogtid", private.mysql_nogtid())] {
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE unseen (id INT PRIMARY KEY)");
        for xid in ["one", "two"] {
            world.mysql.run(format!("XA START '{xid}'"));
            world.mysql.run(format!("INSERT INTO unseen VALUES ({})", xid.len() + usize::from(xid == "two")));
            world.mysql.run(format!("XA END '{xid}'"));
            world.mysql.run(format!("XA PREPARE '{xid}'"));
        }
        // Where the task begins, there is nothing of them.
        world.mysql.run("FLUSH BINARY LOGS");
        let mut task = world.task();
        task.tables = format!("[{}.marker]", world.database);
        let mut reader = world.reader([]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| {});

        world.mysql.run("XA COMMIT 'one'");
        let ended = engine.wait();
        assert!(!ended.status.success() && ended.output.contains("XA COMMIT of X'6f6e65'"), "{}", ended.output);
        let place = place_to_pass(&ended.output);
        // Nobody is passed over but who is named.
        assert_eq!(place_to_pass(&Tidegate::fails(&task)), place);
        world.mysql.run("XA COMMIT 'two'");
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
        engine.terminate(libc::SIGTERM);
        // That was all.
        world.finish(Tidegate::run(&task), &mut reader, |_| {});
    }
}
