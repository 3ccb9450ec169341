//! ENUM and SET: numbers in the profile `canal`, labels in the profile `dts`.

use super::super::golden::{MYSQL_5_6, Table, Value, column, table, value};

const ENUM: i32 = 4;
const SET: i32 = -7;
/// What Canal says of a SET that is NULL.
const NULL_SET: i32 = 2004;

/// And by both paths it comes as that: `check` names the table.
const AS_SHOWN: &str = "a label as the catalogue shows it, with ? for a character beyond U+FFFF";

/// A label by its number.
fn numbered(number: usize, label: &str) -> Value {
    value(number.to_string(), number.to_string()).label(label)
}

fn definition(kind: &str, labels: impl IntoIterator<Item = String>) -> String {
    let labels: Vec<_> = labels.into_iter().map(|label| format!("'{label}'")).collect();
    format!("{kind}({})", labels.join(","))
}

pub(super) fn enums() -> Vec<Table> {
    let many = |count: usize| definition("ENUM", (1..=count).map(|number| format!("label {number}")));
    vec![table(
        "enums",
        [
            column(
                "ENUM('a','it''s','c,d','','(\"x\")','back\\\\slash','é潮')",
                ENUM,
                [
                    value("'a'", "1").label("a"),
                    numbered(2, "it's"),
                    numbered(3, "c,d"),
                    numbered(4, ""),
                    numbered(5, "(\"x\")"),
                    numbered(6, "back\\slash"),
                    numbered(7, "é潮"),
                    // A label that there is not, without strict mode.
                    value("'unknown'", "0").label(""),
                ],
            ),
            column("ENUM('ü','é') CHARACTER SET latin1", ENUM, [numbered(1, "ü"), numbered(2, "é")]),
            column("ENUM('中','文') CHARACTER SET gbk", ENUM, [numbered(1, "中"), numbered(2, "文")]),
            column("ENUM('潮','a') CHARACTER SET utf16", ENUM, [numbered(1, "潮"), numbered(2, "a")]),
            column("ENUM('潮','b') CHARACTER SET utf32", ENUM, [numbered(1, "潮"), numbered(2, "b")]),
            column("ENUM('🌊','b') CHARACTER SET utf8mb4", ENUM, [numbered(1, "🌊"), numbered(2, "b")]).differing(
                MYSQL_5_6,
                AS_SHOWN,
                |column| column.with_label("1", "?"),
            ),
            column("ENUM('one')", ENUM, [numbered(1, "one")]),
            // The number takes a second byte from 256 labels on.
            column(many(255), ENUM, [numbered(255, "label 255"), numbered(1, "label 1")]),
            column(many(256), ENUM, [numbered(256, "label 256"), numbered(1, "label 1")]),
            column(many(3000), ENUM, [numbered(3000, "label 3000"), value("'unknown'", "0").label("")]),
        ],
    )]
}

pub(super) fn sets() -> Vec<Table> {
    let member = |number: usize| format!("m{number}");
    let members = |bits: u64| {
        let members: Vec<_> = (0..64).filter(|bit| bits >> bit & 1 == 1).map(member).collect();
        value(bits.to_string(), bits.to_string()).label(members.join(","))
    };
    // One byte for 8 members, eight bytes from 33 on.
    let mut columns: Vec<_> = [1, 8, 9, 16, 17, 24, 25, 32, 33, 64]
        .map(|count: usize| {
            let all = u64::MAX >> (64 - count);
            let values =
                [members(all), members(1 << (count - 1)), members(1), members(0), members(all & 0x5555_5555_5555_5555)];
            column(definition("SET", (0..count).map(member)), SET, values).null_sql_type(NULL_SET)
        })
        .into();
    columns.push(
        column("SET('🌊','b') CHARACTER SET utf8mb4", SET, [numbered(1, "🌊"), numbered(3, "🌊,b")])
            .null_sql_type(NULL_SET)
            .differing(MYSQL_5_6, AS_SHOWN, |column| column.with_label("1", "?").with_label("3", "?,b")),
    );
    columns.push(
        column(
            "SET('a','it''s','é潮') CHARACTER SET utf8mb4",
            SET,
            // In the order of the definition, not in that of the statement.
            [value("'é潮,a'", "5").label("a,é潮"), value("'it''s'", "2").label("it's"), value("''", "0").label("")],
        )
        .null_sql_type(NULL_SET),
    );
    columns
        .push(column("SET('ü','b') CHARACTER SET latin1", SET, [value("3", "3").label("ü,b")]).null_sql_type(NULL_SET));
    vec![table("sets", columns)]
}
