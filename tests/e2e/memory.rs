//! The budget holds, whatever the size of a table or of a transaction.

use super::harness::{Kind, Servers, Tidegate, World, scaled};

/// `memory: 512MiB` is what rows, messages and queues may take together; the whole program stays below it, too, because
/// the stages get less than all of it.
const BUDGET_KIB: u64 = 512 << 10;

#[test]
fn memory_stays_under_the_budget() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("memory", &servers.mysql, &servers.kafka);
    let rows = scaled(500_000);
    let in_one_transaction = scaled(200_000);
    world.mysql.run("CREATE TABLE digits (d INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)");
    world.mysql.run("CREATE TABLE narrow (id INT PRIMARY KEY, a INT, b VARCHAR(20))");
    let numbers = |from: u64, count: u64| {
        format!(
            "INSERT INTO narrow SELECT n, n * 7, CONCAT('row ', n) FROM (
                SELECT {from} + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d + 1000000 * g.d AS n
                FROM digits a, digits b, digits c, digits d, digits e, digits f, digits g
                WHERE g.d <= {} AND f.d <= {}
             ) numbers WHERE n < {}",
            count / 1_000_000,
            if count >= 1_000_000 { 9 } else { count / 100_000 },
            from + count
        )
    };
    world.mysql.run(numbers(0, rows));
    let mut task = world.task();
    task.tables = format!("[{0}.narrow, {0}.marker]", world.database);
    task.more = "memory: 512MiB".to_owned();
    let mut reader = world.reader(["narrow"]);
    let mut engine = Tidegate::run(&task);
    let (mut loaded, mut changed) = (0, 0);
    world.until_loaded(&mut engine, &mut reader, |_| loaded += 1);

    // One statement, one transaction: as rows come, as they change, as they go.
    world.mysql.run(numbers(rows, in_one_transaction));
    world.mysql.run(format!("UPDATE narrow SET b = REVERSE(b) WHERE id >= {rows}"));
    world.mysql.run(format!("DELETE FROM narrow WHERE id >= {rows}"));
    world.until_marker(&mut engine, &mut reader, |message| {
        loaded += u64::from(message.kind == Kind::Insert);
        changed += u64::from(message.kind != Kind::Insert);
    });
    let ended = engine.terminate(libc::SIGTERM);
    reader.read_to_end(|message| {
        loaded += u64::from(message.table == "narrow" && message.kind == Kind::Insert);
        changed += u64::from(message.table == "narrow" && message.kind != Kind::Insert);
    });
    println!("memory: {rows} rows, {in_one_transaction} in a transaction: peak {} MiB", ended.peak_kib >> 10);
    assert_eq!((loaded, changed), (rows + in_one_transaction, 2 * in_one_transaction));
    assert!(ended.peak_kib > 0 && ended.peak_kib <= BUDGET_KIB, "peak {} KiB", ended.peak_kib);
}

/// Few rows, but large ones: batches are bounded by bytes.
#[test]
fn memory_stays_under_the_budget_with_large_rows() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("large", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE large (id INT AUTO_INCREMENT PRIMARY KEY, content LONGTEXT)");
    let rows = scaled(400);
    let insert = "INSERT INTO large (content) VALUES (REPEAT('0123456789abcdef', 50000))";
    for _ in 0..rows {
        world.mysql.run(insert);
    }
    let mut task = world.task();
    task.more = "memory: 256MiB".to_owned();
    let mut reader = world.reader(["large"]);
    let mut engine = Tidegate::run(&task);
    let mut count = 0;
    world.until_loaded(&mut engine, &mut reader, |_| count += 1);
    world.mysql.run("BEGIN");
    for _ in 0..rows {
        world.mysql.run(insert);
    }
    world.mysql.run("COMMIT");
    world.until_marker(&mut engine, &mut reader, |_| count += 1);
    let ended = engine.terminate(libc::SIGTERM);
    reader.read_to_end(|message| count += u64::from(message.table == "large"));
    println!("memory: {rows} rows of 800 kB, twice: peak {} MiB", ended.peak_kib >> 10);
    assert_eq!(count, 2 * rows);
    assert!(ended.peak_kib > 0 && ended.peak_kib <= BUDGET_KIB, "peak {} KiB", ended.peak_kib);
}
