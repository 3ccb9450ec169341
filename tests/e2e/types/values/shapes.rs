//! Columns that are computed, hidden or many, and NULL in any of them.

use super::super::golden::{Column, MARIADB, MYSQL_5_6, OTHERS, Table, column, null, table, value};
use super::documents::NULL_JSON;

const TINYINT: i32 = -6;
const INT: i32 = 4;
const VARCHAR: i32 = 12;

/// All of these columns are in a row image, in the order of the definition; `SELECT *` would not show the invisible ones.
pub(super) fn generated_columns() -> Vec<Table> {
    vec![
        table(
            "generated_columns",
            [
                column("INT", INT, ["5", "-7"]),
                column("INT GENERATED ALWAYS AS (c0 * 2) VIRTUAL", INT, ["10", "-14"]),
                column("INT GENERATED ALWAYS AS (c0 + 1) STORED", INT, ["6", "-6"]),
                column("VARCHAR(20) GENERATED ALWAYS AS (CONCAT('n', c0)) VIRTUAL INVISIBLE", VARCHAR, ["n5", "n-7"]),
                column("INT INVISIBLE", INT, ["1", "2"]),
                column(
                    "JSON GENERATED ALWAYS AS (CONCAT('{\"n\": ', c0, '}')) STORED",
                    VARCHAR,
                    [r#"{"n": 5}"#, r#"{"n": -7}"#],
                )
                .null_sql_type(NULL_JSON)
                .differing(MARIADB, "JSON is LONGTEXT", Column::stored_as_text),
                column("INT", INT, ["3", "4"]),
            ],
        )
        .lacking(MYSQL_5_6, "no generated or invisible columns"),
        // Keys on expressions are hidden virtual columns, which no row image has.
        table(
            "generated_columns_of_keys",
            [
                column("INT", INT, ["5", "-7"]),
                column("JSON", VARCHAR, [("'[1,2]'", "[1, 2]")]).null_sql_type(NULL_JSON),
            ],
        )
        .keys(", KEY by_sum ((c0 + 1)), KEY by_members ((CAST(c1 AS UNSIGNED ARRAY)))")
        .lacking(OTHERS, "no keys on expressions"),
    ]
}

/// Columns of numbers, of which one row has every third, and the next the others. With `id` there is one column more.
fn many(name: &str, count: usize) -> Table {
    let columns = (0..count).map(|index| {
        let number = (index % 100).to_string();
        let shown = value(number.clone(), number);
        column("TINYINT", TINYINT, if index % 3 == 0 { [shown, null()] } else { [null(), shown] })
    });
    table(name, columns)
}

/// NULL bits fill bytes: tables just below, at and above whole ones.
pub(super) fn null_bits() -> Vec<Table> {
    [7, 8, 9, 15, 16, 17, 63, 64, 65, 72].map(|count| many(&format!("null_bits_{count}"), count - 1)).into()
}

/// As many columns as InnoDB takes, and as the server does.
pub(super) fn wide_tables() -> Vec<Table> {
    vec![
        many("wide_tables", 1016),
        many("wide_tables_of_2000", 1999).options("ENGINE = MyISAM"),
        many("wide_tables_of_4096", 4095).options("ENGINE = MyISAM").lacking(OTHERS, "no definition of 4096 columns"),
    ]
}
