//! `engine/collation` against the servers: whatever two texts are, both say the same of them, by every collation that is known here.
//!
//! ```text
//! table pairs:   a        b                 for each collation of each server
//!                "straße" "STRASSE "        a = b, a < b, a LIKE b      the server's answer, and ours
//!                "\u{301}" ""
//! ```
//!
//! Every hundredth character alone is put in order as well, at `TIDEGATE_TEST_SCALE=100` each.

use std::collections::HashSet;

use mysql_async::Row;
use tidegate_collation::{Collation, Family, Literal, Pattern};

use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World, scaled, seeded};

/// Characters that are something to one collation or another, in groups of which a text has a few.
const GROUPS: &[&str] = &[
    // Letters that fold into others, or into several.
    "aAáÁàâäÄåÅªæÆ\u{1e9e}ßsSſšŠ",
    "iIıİíÍ\u{307}jJĳĲ",
    "oOöÖøØőŒœºdDđĐðÐlLłŁ",
    "kK\u{212a}å\u{212b}µμΜ",
    "αΆάΣσςϲὦᾧ\u{345}\u{1fbe}",
    "\u{418}\u{438}\u{306}\u{419}\u{439}еёЕЁ\u{308}іїІЇ",
    "\u{10d0}\u{1c90}\u{10a0}\u{2d00}ᏸᏰ\u{13a0}\u{ab70}",
    // Marks, and characters that are nothing.
    "eE\u{301}\u{300}\u{302}\u{323}\u{327}éèêẹÉ",
    "aA\u{0}\u{1}\u{8}\u{e}\u{7f}\u{80}\u{9f}\u{ad}\u{200b}\u{200d}\u{feff}\u{fe0f}\u{e0100}",
    // Spaces, and what is smaller.
    "aA \t\n\r\u{b}\u{a0}\u{3000}\u{2003}!",
    "a_%\\\\'\"|[]{}~^`@-:;.,0",
    // Numbers and signs in several forms.
    "1¹①１٣²½¼Ⅷⅷ№ℌ𝐀𝒂ＡａÅﬁﬀﬃ\u{fdfa}",
    // Hangul, whole and in letters.
    "가각힣한\u{1100}\u{1161}\u{11a8}\u{1112}\u{11ab}\u{3131}\u{a960}\u{d7b0}",
    // Vowels before their consonants; signs that become one.
    "กขเแโใไ\u{e48}\u{e4d}\u{e32}\u{e33}",
    "ກເແ\u{ecd}\u{eb2}\u{eb3}ໜ",
    "\u{9c7}\u{9be}\u{9d7}\u{9cb}ক\u{bc6}\u{bbe}\u{bd7}\u{bca}\u{cc6}\u{cc2}\u{cd5}\u{ccb}",
    "\u{dd9}\u{dca}\u{dcf}\u{ddf}\u{ddc}\u{ddd}\u{f71}\u{f72}\u{f80}\u{fb2}\u{fb3}\u{f76}\u{f77}\u{f81}",
    "\u{627}\u{653}\u{654}\u{655}آأإ\u{648}ؤ\u{64a}ئ\u{64b}\u{651}",
    "\u{1025}\u{102e}\u{1026}\u{1b05}\u{1b35}\u{1b06}\u{19b5}\u{1980}\u{aab5}\u{aa80}\u{11131}\u{11127}",
    // Characters whose weights are made by a rule.
    "中国豈豈一龥\u{9fff}\u{3400}\u{4dbf}\u{20000}\u{2a6df}\u{f900}\u{fa0e}\u{30000}〇",
    "\u{17000}\u{187f7}\u{18800}\u{1b170}\u{1b2fb}\u{18b00}\u{18cd5}\u{378}\u{e000}\u{f8ff}\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{1fffe}",
    "aＡ𝐀𝒂ａⒶ㋿\u{1f110}ﷲ\u{2f800}丽\u{1ee00}ا",
    "😀😁👍🏽👩\u{200d}🚀❤\u{fe0f}❤☺🇩🇪",
    "あアｱァゝがガか\u{3099}ー々ヽ",
];

fn character(random: &mut fastrand::Rng) -> char {
    let highest = [0x80, 0x250, 0x600, 0x3000, 0x1_0000, 0x2_0000, 0x11_0000][random.usize(..7)];
    std::iter::repeat_with(|| random.u32(0..highest)).find_map(char::from_u32).expect("an endless search")
}

/// A few characters, so that texts of them have much in common.
fn alphabet(random: &mut fastrand::Rng) -> Vec<char> {
    match random.u8(0..8) {
        0 => (0..3).map(|_| character(random)).collect(),
        1 => vec![char::from(random.u8(0..128)), char::from(random.u8(0..128)), ' '],
        _ => {
            let group: Vec<char> = GROUPS[random.usize(..GROUPS.len())].chars().collect();
            (0..random.usize(1..5)).map(|_| group[random.usize(..group.len())]).collect()
        }
    }
}

fn text(random: &mut fastrand::Rng, alphabet: &[char], longest: usize) -> String {
    (0..random.usize(0..=longest)).map(|_| alphabet[random.usize(..alphabet.len())]).collect()
}

fn pair(random: &mut fastrand::Rng) -> (String, String) {
    let characters = alphabet(random);
    let a = text(random, &characters, 6);
    let b = match random.u8(0..6) {
        0 => a.to_uppercase(),
        1 => format!("{a}{}", ["", " ", "  ", "\t", "%", "\u{301}", "\0"][random.usize(..7)]),
        2 => a.chars().map(|c| if random.bool() { c } else { ['_', '%', c][random.usize(..3)] }).collect(),
        3 => a.chars().map(|c| if random.bool() { c } else { characters[0] }).collect(),
        _ => text(random, &characters, 6),
    };
    if random.bool() { (a, b) } else { (b, a) }
}

/// The server's collations that are known here.
fn known(mysql: &mut Mysql) -> Vec<&'static Collation> {
    let (server, names) = match mysql.is_mariadb() {
        true => (
            Family::MariaDb,
            "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
        ),
        false => (Family::MySql, "SELECT COLLATION_NAME FROM information_schema.COLLATIONS"),
    };
    let there: HashSet<String> = mysql.query(names).into_iter().collect();
    let mut known: Vec<_> = Collation::all(server).filter(|collation| there.contains(collation.name())).collect();
    known.sort_by_key(|collation| collation.name());
    known
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn judge(url: &str, random: &mut fastrand::Rng) {
    let mut mysql = Mysql::connect(url);
    let version: String = mysql.query_one("SELECT VERSION()");
    mysql.run("CREATE DATABASE IF NOT EXISTS tidegate_collations");
    mysql.run("USE tidegate_collations");
    mysql.run(
        "CREATE TEMPORARY TABLE pairs (id INT PRIMARY KEY, a VARCHAR(64), b VARCHAR(64)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    );
    let pairs: Vec<(String, String)> = (0..scaled(3_000)).map(|_| pair(random)).collect();
    for (chunk, rows) in pairs.chunks(1_000).enumerate() {
        let rows = rows.iter().enumerate().map(|(at, (a, b))| {
            format!(
                "({}, CONVERT(X'{}' USING utf8mb4), CONVERT(X'{}' USING utf8mb4))",
                chunk * 1_000 + at,
                hex(a),
                hex(b)
            )
        });
        mysql.run(format!("INSERT INTO pairs VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    }
    let known = known(&mut mysql);
    let (mut compared, mut failures) = (0_u64, Vec::new());
    for collation in &known {
        let (name, charset) = (collation.name(), collation.charset());
        // Of bytes there is no character set to convert to and back.
        let converted = |column: &str| match charset {
            "binary" => format!("CONVERT({column} USING binary)"),
            charset => format!("CONVERT({column} USING {charset}) COLLATE {name}"),
        };
        let is_of_set = |column: &str| format!("CONVERT(CONVERT({column} USING {charset}) USING utf8mb4) = {column}");
        let (a, b) = (converted("a"), converted("b"));
        let query = format!(
            "SELECT id, {a} = {b}, {a} < {b}, {a} LIKE {b}, {} AND {} FROM pairs",
            is_of_set("a"),
            is_of_set("b")
        );
        mysql.for_each(&query, |row: Row| {
            let (id, equal, less, like, is_of_set): (usize, bool, bool, bool, bool) = mysql_async::from_row(row);
            let (a, b) = &pairs[id];
            let covers = charset == "binary" || collation.covers(a) && collation.covers(b);
            let mut check = |what: &str, ours: bool, theirs: bool| {
                if ours != theirs {
                    failures.push(format!("{version} {name}: {a:?} {what} {b:?} is {theirs}, here {ours}"));
                }
            };
            check("and characters of the set, as is", covers, is_of_set);
            if covers && is_of_set {
                compared += 1;
                check("=", collation.equal(a, b), equal);
                check("= (a literal)", Literal::new(collation, a).equals(b), equal);
                check("<", collation.compare(a, b).is_lt(), less);
                if charset != "binary" {
                    check("LIKE", Pattern::new(b, Some('\\')).matches(collation, a), like);
                }
            }
        });
    }
    println!("{version}: {} collations, {compared} pairs, {} differences", known.len(), failures.len());
    failures.truncate(40);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn servers_and_tables_say_the_same_of_texts() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    let mut random = seeded("collations");
    for url in [&servers.mysql, &mariadb[0], &mariadb[1]] {
        judge(url, &mut random);
    }
}

/// All characters, each a text, in the server's order and with its own count of what is equal.
#[test]
fn every_character_has_its_place() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    // Every hundredth, or as many more as the size allows.
    let step = (100 / scaled(1).max(1)).max(1);
    for url in [&servers.mysql, &mariadb[0], &mariadb[1]] {
        let mut mysql = Mysql::connect(url);
        let version: String = mysql.query_one("SELECT VERSION()");
        mysql.run("CREATE DATABASE IF NOT EXISTS tidegate_collations");
        mysql.run("USE tidegate_collations");
        mysql.run("CREATE TEMPORARY TABLE characters (c VARCHAR(1)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        let characters: Vec<char> = (0..0x11_0000).step_by(step as usize).filter_map(char::from_u32).collect();
        for some in characters.chunks(20_000) {
            let rows: Vec<String> =
                some.iter().map(|&c| format!("(CONVERT(X'{}' USING utf8mb4))", hex(&c.to_string()))).collect();
            mysql.run(format!("INSERT INTO characters VALUES {}", rows.join(", ")));
        }
        for collation in known(&mut mysql).into_iter().filter(|collation| collation.charset() == "utf8mb4") {
            let (mut before, mut failures, name) = (None::<(String, u64)>, Vec::new(), collation.name());
            mysql.for_each(
                &format!("SELECT c, DENSE_RANK() OVER (ORDER BY c COLLATE {name}) AS r FROM characters ORDER BY r"),
                |row: Row| {
                    let (text, rank): (String, u64) = mysql_async::from_row(row);
                    if let Some((smaller, rank_before)) = &before
                        && collation.compare(smaller, &text) != rank_before.cmp(&rank)
                    {
                        failures.push(format!("{version} {name}: {smaller:?} ({rank_before}), {text:?} ({rank})"));
                    }
                    before = Some((text, rank));
                },
            );
            println!(
                "{version} {name}: {} characters, {} places",
                characters.len(),
                before.map_or(0, |(_, rank)| rank)
            );
            failures.truncate(40);
            assert!(failures.is_empty(), "{}", failures.join("\n"));
        }
    }
}

/// LIKE with a prefix is asked as a range, since by an index servers lose rows of what is LIKE it.
#[test]
fn a_range_has_all_that_begins_with_a_prefix() {
    let Some(servers) = Servers::from_env() else { return };
    let mut mysql = Mysql::connect(&servers.mysql);
    let mut random = seeded("prefixes");
    mysql.run("CREATE DATABASE IF NOT EXISTS tidegate_collations");
    mysql.run("USE tidegate_collations");
    let heavy = ["a\u{1}", "a\u{fffd}", "a\u{fffd}b", "zz\u{fffd}"].map(str::to_owned);
    let texts: Vec<String> = (0..scaled(3_000)).map(|_| pair(&mut random).0).chain(heavy).collect();
    let ranges = [
        ("a", "b"),
        ("A", "b"),
        ("e", "f"),
        ("ss", "st"),
        ("s", "t"),
        ("k", "l"),
        ("1", "2"),
        ("9", "a"),
        ("aa", "ab"),
        ("D", "e"),
        ("j", "k"),
        ("o", "p"),
        ("i", "j"),
        ("l", "m"),
        ("zz", ""),
    ];
    let mut lost_by_like = false;
    for collation in ["utf8mb4_0900_ai_ci", "utf8mb4_0900_as_ci", "utf8mb4_0900_as_cs", "utf8mb4_0900_bin"] {
        mysql.run("DROP TEMPORARY TABLE IF EXISTS prefixes");
        mysql.run(format!(
            "CREATE TEMPORARY TABLE prefixes (c VARCHAR(64) CHARACTER SET utf8mb4 COLLATE {collation}, INDEX by_c (c))"
        ));
        for some in texts.chunks(1_000) {
            let rows: Vec<String> =
                some.iter().map(|text| format!("(CONVERT(X'{}' USING utf8mb4))", hex(text))).collect();
            mysql.run(format!("INSERT INTO prefixes VALUES {}", rows.join(", ")));
        }
        for (prefix, end) in ranges {
            let found = |mysql: &mut Mysql, by: &str, condition: &str| -> HashSet<String> {
                let select = format!("SELECT HEX(c) FROM prefixes {by} INDEX (by_c) WHERE {condition}");
                mysql.query(&select).into_iter().collect()
            };
            let like = format!("c LIKE '{prefix}%'");
            let range = match end {
                "" => format!("c >= '{prefix}'"),
                _ => format!("c >= '{prefix}' AND c < '{end}'"),
            };
            let by_hand = found(&mut mysql, "IGNORE", &like);
            lost_by_like |= !by_hand.is_subset(&found(&mut mysql, "FORCE", &like));
            let by_range = found(&mut mysql, "FORCE", &range);
            let lost: Vec<&String> = by_hand.difference(&by_range).collect();
            assert!(lost.is_empty(), "{collation} {range}: {lost:?}");
        }
    }
    assert!(lost_by_like, "by an index, LIKE itself has all rows by now");
}

/// `insert 7` per message, in the order of one partition.
fn shown(message: &Message) -> String {
    format!("{} {}", format!("{:?}", message.kind).to_lowercase(), message.data.get("id").expect("a key"))
}

/// By full load, asked of the server and not, and by the binlog: what passes is what the server selects, also after the column has got another
/// collation.
#[test]
fn a_filter_selects_what_the_server_selects_on_both_paths() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "--general-log=ON --log-output=TABLE");
    let mut world = World::new("collated", private.mysql(), &servers.kafka);
    let database = world.database.clone();
    // Of the second table the server is asked nothing.
    let conditions = [
        ("asked", "(country = 'de' OR name IN ('mük', 'MÜÜ')) AND name NOT LIKE '__ü'"),
        (
            "kept",
            "(concat(country, '') = 'de' OR concat(name, '') IN ('mük', 'MÜÜ')) AND concat(name, '') NOT LIKE '__ü'",
        ),
    ];
    for (table, _) in conditions {
        world.mysql.run(format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, country VARCHAR(10), name VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci)
                CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci"
        ));
    }
    let insert = |mysql: &mut Mysql, from: usize| {
        let values = ["de", "DE", "Dé", "de ", "d", "fr", "", "d\u{65}\u{301}", "\u{ff24}\u{ff25}", "dé\0"];
        let names = ["Mük", "müK", "mük ", "muk", "MÜÜ", "x"];
        for (table, _) in conditions {
            let rows = values.iter().map(|text| format!("CONVERT(X'{}' USING utf8mb4), 'x'", hex(text)));
            let rows = rows.chain(names.iter().map(|name| format!("'x', '{name}'"))).chain(["NULL, NULL".to_owned()]);
            let rows: Vec<String> = rows.enumerate().map(|(at, row)| format!("({}, {row})", from + at)).collect();
            mysql.run(format!("INSERT INTO {database}.{table} VALUES {}", rows.join(", ")));
        }
    };
    insert(&mut world.mysql, 100);
    let mut task = world.task();
    task.tables = format!("\n  - {}.marker", world.database);
    for (table, condition) in conditions {
        task.tables += &format!("\n  - table: {}.{table}\n    where: \"{condition}\"", world.database);
    }
    let mut reader = world.reader(["asked", "kept"]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    insert(&mut world.mysql, 200);
    world.finish(engine, &mut reader, |message| messages.push(message));
    let mut selected = HashSet::new();
    for (table, condition) in conditions {
        let ids: Vec<i32> = world.mysql.query(&format!("SELECT id FROM {table} WHERE {condition} ORDER BY id"));
        let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
        assert_eq!(ids.len(), 2 * (6 + 3), "{ids:?}");
        let mut found: Vec<String> = messages
            .iter()
            .filter(|message| message.table == table)
            .map(|message| message.data.get("id").expect("a key").clone())
            .collect();
        found.sort();
        assert_eq!(found, ids, "{table}");
        selected.insert(ids);
    }
    assert_eq!(selected.len(), 1, "both conditions mean the same");
    for (table, is_asked) in [("asked", true), ("kept", false)] {
        let by_chunks = format!(
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Execute' AND argument LIKE '%FROM `{database}`.`{table}`%'"
        );
        let statements: Vec<String> = world.mysql.query(&by_chunks);
        assert!(!statements.is_empty(), "{table}");
        for statement in statements {
            assert_eq!(statement.contains("`country` = "), is_asked, "{statement}");
            assert_eq!(statement.contains("`name` IN ("), is_asked, "{statement}");
            // Which an index would answer otherwise.
            assert!(!statement.contains(" LIKE "), "{statement}");
        }
    }

    // Rows stay, go and come by what the collation says.
    messages.clear();
    let engine = Tidegate::run(&task);
    for statement in [
        "UPDATE asked SET country = 'DÉ' WHERE id = 100",
        "UPDATE asked SET country = 'fr' WHERE id = 100",
        "UPDATE asked SET country = 'De' WHERE id = 100",
        "UPDATE asked SET country = 'at' WHERE id = 105",
        // From here on only the bytes count.
        "ALTER TABLE asked MODIFY country VARCHAR(10) COLLATE utf8mb4_bin",
        "UPDATE asked SET name = 'y' WHERE id = 100",
        "UPDATE asked SET country = 'de  ' WHERE id = 100",
        "DELETE FROM asked WHERE id = 101",
    ] {
        world.mysql.run(statement);
    }
    world.finish(engine, &mut reader, |message| messages.push(message));
    let found: Vec<String> = messages.iter().map(shown).collect();
    assert_eq!(found, ["update 100", "delete 100", "insert 100", "insert 100"]);

    // A task that goes on knows it.
    messages.clear();
    world.mysql.run("UPDATE asked SET country = 'DE' WHERE id = 100");
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| messages.push(message));
    let found: Vec<String> = messages.iter().map(shown).collect();
    assert_eq!(found, ["delete 100"]);
}

/// What cannot be compared as the server would is refused before anything is sent.
#[test]
fn a_collation_that_is_not_known_is_refused_with_the_way_out() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("uncollated", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(10) COLLATE utf8mb4_tr_0900_ai_ci)");
    world.mysql.run("INSERT INTO t VALUES (1, 'de'), (2, 'DE')");
    let mut task = world.task();
    let tables = format!("\n  - {0}.marker\n  - table: {0}.t\n    where: ", world.database);
    task.tables = format!("{tables}s = 'de'");
    let output = Tidegate::fails(&task);
    assert!(output.contains("utf8mb4_tr_0900_ai_ci") && output.contains("COLLATE utf8mb4_bin"), "{output}");

    task.tables = format!("{tables}s COLLATE utf8mb4_bin = 'de'");
    let mut reader: Reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    world.finish(engine, &mut reader, |message| messages.push(message));
    assert_eq!(messages.len(), 1);
    assert!(matches!(messages[0].kind, Kind::Insert | Kind::Init));
}
