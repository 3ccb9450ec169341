//! JSON documents, geometries, vectors.

use super::super::golden::{Column, MARIADB, MYSQL_5_6, OTHERS, Table, Value, column, table, value};

const VARCHAR: i32 = 12;
const BLOB: i32 = 2004;
/// What Canal says of a JSON that is NULL.
pub(super) const NULL_JSON: i32 = 1111;

/// A document that is written as the server writes it.
fn alike(text: &str) -> Value {
    value(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")), text)
}

pub(super) fn json() -> Vec<Table> {
    let plain = column(
        "JSON",
        VARCHAR,
        [
            // Keys by length, then by bytes; one space behind colon and comma; the last of two values of a key.
            value(
                r#"'{"b":1.0,"aa":2,"a":[null,true,false],"B":{},"":[],"a":[1],"é":"潮"}'"#,
                r#"{"": [], "B": {}, "a": [1], "b": 1.0, "aa": 2, "é": "潮"}"#,
            ),
            alike(r#"[1.0, 1, -1, 0, 18446744073709551615, -9223372036854775808, 9223372036854775807]"#),
            alike(
                r#"[32767, 32768, -32768, -32769, 65535, 65536, 2147483647, 2147483648, -2147483648, 4294967295, 4294967296]"#,
            ),
            alike(r#"[1e100, -1e-100, 0.1, 1e15, 1e16, 0.0000001, -0.0, 123456.789, 1.7976931348623157e308, 5e-324]"#),
            alike(r#""text \" \\ \b \f \n \r \t \u0001 \u001f / é 潮 🌊""#),
            value(r#"'"\\u00e9 \\/ \\ud83c\\udf0a \\u007f"'"#, "\"é / 🌊 \u{7f}\""),
            alike("null"),
            alike("true"),
            alike("[]"),
            alike("{}"),
            alike("-7"),
            alike(r#""""#),
        ],
    );
    // Values of SQL types that JSON itself does not have.
    let opaque = column(
        "JSON",
        VARCHAR,
        [
            value(
                "JSON_ARRAY(CAST('1.50' AS DECIMAL(5,2)), CAST('-0.001' AS DECIMAL(5,3)), \
                 CAST('99999999999999999999999999999999999.999999999999999999999999999999' AS DECIMAL(65,30)))",
                "[1.50, -0.001, 99999999999999999999999999999999999.999999999999999999999999999999]",
            ),
            value(
                "JSON_ARRAY(CAST('12:00:00' AS TIME), CAST('-838:59:59' AS TIME), CAST('-00:00:00.25' AS TIME(2)))",
                r#"["12:00:00.000000", "-838:59:59.000000", "-00:00:00.250000"]"#,
            ),
            value(
                "JSON_OBJECT('date', DATE'2024-02-29', 'datetime', TIMESTAMP'9999-12-31 23:59:59.999999')",
                r#"{"date": "2024-02-29", "datetime": "9999-12-31 23:59:59.999999"}"#,
            ),
            value(
                "JSON_OBJECT('bits', b'101', 'bytes', X'00ff')",
                r#"{"bits": "base64:type15:BQ==", "bytes": "base64:type15:AP8="}"#,
            ),
            value("JSON_ARRAY(CAST(2024 AS YEAR), TRUE, 1 = 2, NULL)", "[2024, true, false, null]"),
            value("JSON_ARRAY(CAST('0000-00-00' AS DATE))", r#"["0000-00-00"]"#),
        ],
    );
    // Above 64 KiB, offsets and counts take four bytes, and integers of four bytes stand in their entries.
    let letters = |letter: &str, count: usize| letter.repeat(count);
    let numbers: Vec<_> = (0..20_000).map(|number| (number * 5).to_string()).collect();
    let keys: Vec<_> = (10_000..16_000).map(|number| format!("\"k{number}\": {}", number * 7)).collect();
    let nested = format!("{}1{}", "[".repeat(99), "]".repeat(99));
    let large = column(
        "JSON",
        VARCHAR,
        [
            value(
                "JSON_ARRAY(REPEAT('a', 40000), 70000, REPEAT('é', 20000), JSON_OBJECT('k', -70000))",
                format!("[\"{}\", 70000, \"{}\", {{\"k\": -70000}}]", letters("a", 40_000), letters("é", 20_000)),
            ),
            alike(&format!("[{}]", numbers.join(", "))),
            alike(&format!("{{{}}}", keys.join(", "))),
            alike(&nested),
            // Lengths of strings take a second byte from 128 on, a third from 16384 on.
            alike(&format!(
                "[\"{}\", \"{}\", \"{}\", \"{}\"]",
                letters("a", 127),
                letters("b", 128),
                letters("c", 16_383),
                letters("d", 16_384)
            )),
        ],
    );
    let large = large.differing(MARIADB, NO_JSON, |mut column| {
        // It allows 32 levels.
        column.values.retain(|value| !value.sql.starts_with("'[[["));
        column.stored_as_text()
    });
    let plain = plain.differing(MARIADB, NO_JSON, as_written);
    let opaque = opaque.differing(MARIADB, NO_JSON, |_| as_written_by_functions());
    let [plain, opaque, large] =
        [plain, opaque, large].map(|column| column.null_sql_type(NULL_JSON).lacking(MYSQL_5_6, "no JSON"));
    vec![table("json", [plain, opaque]), table("json_large", [large])]
}

const NO_JSON: &str = "JSON is LONGTEXT that the server checks: the text as it was written, 32 levels at most";

/// The text of a literal, whatever it says as a document.
fn as_written(mut column: Column) -> Column {
    for value in &mut column.values {
        let text = value.sql.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).expect("a literal");
        value.canal_json = Some(text.replace("\\\\", "\\"));
    }
    column.stored_as_text()
}

/// What functions of MariaDB write.
fn as_written_by_functions() -> Column {
    let values = [
        ("JSON_ARRAY(CAST('1.50' AS DECIMAL(5,2)), TRUE, NULL)", "[1.50, true, null]"),
        ("JSON_ARRAY(CAST('12:00:00' AS TIME))", r#"["12:00:00"]"#),
        ("'{\"b\": [1, 2.50],  \"a\": null, \"b\": 2}'", r#"{"b": [1, 2.50],  "a": null, "b": 2}"#),
        ("JSON_COMPACT('[1,  2]')", "[1,2]"),
    ];
    column("JSON", VARCHAR, values).stored_as_text()
}

/// A geometry's bytes as the characters of the same numbers.
fn bytes(hex: &str) -> String {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| char::from((pair[0] * 16 + pair[1]) as u8)).collect()
}

/// Little-endian doubles of small numbers.
const ZERO: &str = "0000000000000000";
const ONE: &str = "000000000000f03f";
const TWO: &str = "0000000000000040";
const THREE: &str = "0000000000000840";
const TEN: &str = "0000000000002440";
const TWENTY: &str = "0000000000003440";

/// The SRID, then WKB, both little endian. Under SRID 4326 the stored order is x before y, which is longitude before
/// latitude and the other way round than in the text of the statement.
pub(super) fn geometries() -> Vec<Table> {
    let geometry = |text: &str, srid: u32, wkb: &[&str]| {
        let srid_bytes: String = srid.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        value(format!("ST_GeomFromText('{text}', {srid})"), bytes(&format!("{srid_bytes}{}", wkb.concat())))
    };
    let point = |x, y| ["0101000000", x, y].concat();
    let line = || ["0102000000", "02000000", ZERO, ZERO, ONE, TWO].concat();
    let ring = || ["04000000", ZERO, ZERO, TEN, ZERO, TEN, TEN, ZERO, ZERO].concat();
    let polygon = || ["0103000000", "01000000", &ring()].concat();
    vec![table(
        "geometries",
        [
            column(
                "GEOMETRY",
                BLOB,
                [
                    geometry("POINT(1 2)", 0, &[&point(ONE, TWO)]),
                    geometry("POINT(10 20)", 4326, &[&point(TWENTY, TEN)]),
                    geometry("GEOMETRYCOLLECTION EMPTY", 0, &["0107000000", "00000000"]),
                    geometry("GEOMETRYCOLLECTION EMPTY", 4326, &["0107000000", "00000000"]),
                ],
            )
            .differing(OTHERS, "the order of the axes is that of the text", |column| {
                column.with_text(
                    "ST_GeomFromText('POINT(10 20)', 4326)",
                    &bytes(&["e6100000", "0101000000", TEN, TWENTY].concat()),
                )
            })
            .differing(MYSQL_5_6, "no empty collections", |mut column| {
                column.values.retain(|value| !value.sql.contains("EMPTY"));
                column
            }),
            column("POINT", BLOB, [geometry("POINT(1 2)", 0, &[&point(ONE, TWO)])]),
            column("POINT SRID 4326", BLOB, [geometry("POINT(10 20)", 4326, &[&point(TWENTY, TEN)])])
                .lacking(OTHERS, "no SRID of a column"),
            column("LINESTRING", BLOB, [geometry("LINESTRING(0 0, 1 2)", 0, &[&line()])]),
            column("POLYGON", BLOB, [geometry("POLYGON((0 0, 10 0, 10 10, 0 0))", 0, &[&polygon()])]),
            column(
                "MULTIPOINT",
                BLOB,
                [geometry(
                    "MULTIPOINT(1 2, 3 1)",
                    0,
                    &["0104000000", "02000000", &point(ONE, TWO), &point(THREE, ONE)],
                )],
            ),
            column(
                "MULTILINESTRING",
                BLOB,
                [geometry("MULTILINESTRING((0 0, 1 2))", 0, &["0105000000", "01000000", &line()])],
            ),
            column(
                "MULTIPOLYGON",
                BLOB,
                [geometry("MULTIPOLYGON(((0 0, 10 0, 10 10, 0 0)))", 0, &["0106000000", "01000000", &polygon()])],
            ),
            column(
                "GEOMETRYCOLLECTION",
                BLOB,
                [geometry(
                    "GEOMETRYCOLLECTION(POINT(1 2), LINESTRING(0 0, 1 2))",
                    0,
                    &["0107000000", "02000000", &point(ONE, TWO), &line()],
                )],
            ),
        ],
    )]
}

pub(super) fn vectors() -> Vec<Table> {
    let long: Vec<_> = (0..2000).map(|number| format!("{number}.5")).collect();
    vec![
        table(
            "vectors",
            [
                column(
                    "VECTOR(3)",
                    VARCHAR,
                    [
                        ("TO_VECTOR('[1, 2.5, -3]')", "[1.0,2.5,-3.0]"),
                        ("TO_VECTOR('[1234567.9, 1e-4, -0]')", "[1234567.9,1.0E-4,-0.0]"),
                        ("TO_VECTOR('[3.4028235e38]')", "[3.4028235E38]"),
                    ],
                ),
                column(
                    "VECTOR",
                    VARCHAR,
                    [value(format!("TO_VECTOR('[{}]')", long.join(",")), format!("[{}]", long.join(",")))],
                ),
                column("VECTOR(16383)", VARCHAR, [("TO_VECTOR('[0.1]')", "[0.1]")]),
                // The binlog counts a VECTOR among the strings, so that sets of those behind it stand one further.
                column("VARCHAR(9) CHARACTER SET latin1", VARCHAR, [("'é'", "é")]),
                column("VARCHAR(9) CHARACTER SET gbk", VARCHAR, [("'中'", "中")]),
            ],
        )
        .lacking(OTHERS, "no VECTOR as MySQL writes it"),
    ]
}
