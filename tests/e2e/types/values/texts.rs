//! Text in all character sets, and binary strings.

use super::super::golden::{Column, MYSQL, OTHERS, Table, Value, column, null, table, value};

const CHAR: i32 = 1;
const VARCHAR: i32 = 12;
const CLOB: i32 = 2005;
const BLOB: i32 = 2004;

/// Every set of the server but `binary`, with text that needs its tables. Bytes that would be a quote or backslash of their
/// own stand inside characters of big5, cp932, gbk and sjis.
pub(super) const CHARSETS: [(&str, &str); 40] = [
    ("armscii8", "Հայ"),
    ("ascii", "~plain"),
    ("big5", "中文功許"),
    ("cp1250", "žluťoučký€"),
    ("cp1251", "Привет€"),
    ("cp1256", "سلام"),
    ("cp1257", "ąčęėž"),
    ("cp850", "éÄ░"),
    ("cp852", "Łódź"),
    ("cp866", "Привет"),
    ("cp932", "ｱ日本ソ表①"),
    ("dec8", "éŒ"),
    ("eucjpms", "日本ｱ①"),
    ("euckr", "한국"),
    ("gb18030", "中文🌊"),
    ("gb2312", "中文"),
    ("gbk", "中文誠"),
    ("geostd8", "ქართ"),
    ("greek", "αβΏ"),
    ("hebrew", "שלום"),
    ("hp8", "éÅ"),
    ("keybcs2", "čďť"),
    ("koi8r", "Привет"),
    ("koi8u", "Привіт"),
    ("latin1", "é€"),
    ("latin2", "Łódź"),
    ("latin5", "ğış"),
    ("latin7", "ąčž"),
    ("macce", "čęű"),
    ("macroman", "é∂"),
    ("sjis", "ｱ日本ソ表"),
    ("swe7", "Åäö"),
    ("tis620", "ไทย"),
    ("ucs2", "潮a"),
    ("ujis", "日本ｱ丂"),
    ("utf16", "🌊a"),
    ("utf16le", "🌊a"),
    ("utf32", "🌊a"),
    ("utf8mb3", "潮é"),
    ("utf8mb4", "🌊é"),
];

fn quoted(text: &str) -> Value {
    value(format!("'{text}'"), text)
}

pub(super) fn charsets() -> Vec<Table> {
    let in_set = |kind: &str, code: i32| -> Vec<Column> {
        let definition = |set: &str| format!("{kind} CHARACTER SET {set}");
        let of = |(set, text): &(&str, &str)| {
            let column = column(definition(set), code, [quoted(text), quoted("")]);
            if *set == "gb18030" { column.lacking(OTHERS, "no gb18030") } else { column }
        };
        CHARSETS.iter().map(of).collect()
    };
    let special = [
        // Bytes to which cp1252 gives no character are control characters to MySQL's latin1.
        column(
            "VARCHAR(20) CHARACTER SET latin1",
            VARCHAR,
            [("X'818d8f909d'", "\u{81}\u{8d}\u{8f}\u{90}\u{9d}"), ("X'80ff'", "€ÿ")],
        ),
        // To this collation alone they are nothing; what the bytes are does not depend on how they sort.
        column(
            "VARCHAR(20) CHARACTER SET latin2 COLLATE latin2_czech_cs",
            VARCHAR,
            [value("X'418042'", "A\u{80}B"), quoted("č")],
        ),
        // A character without a place in Unicode is what the server says it is.
        column("VARCHAR(20) CHARACTER SET gbk", VARCHAR, [("X'a2a0'", "?")]),
        column("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_ja_0900_as_cs", VARCHAR, [quoted("日本🌊")])
            .lacking(OTHERS, "no utf8mb4_ja_0900_as_cs"),
        column("VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin", VARCHAR, [quoted("ü")]),
        column(
            "VARCHAR(300)",
            VARCHAR,
            [("CONCAT(CHAR(0), CHAR(31), CHAR(127), '\"\\\\/<')", "\u{0}\u{1f}\u{7f}\"\\/<")],
        ),
        column("TEXT", CLOB, [value("REPEAT('é', 30000)", "é".repeat(30_000))]),
        column("MEDIUMTEXT", CLOB, [value("REPEAT('\\n\"潮', 50000)", "\n\"潮".repeat(50_000))]),
    ];
    vec![
        table("charsets", in_set("VARCHAR(20)", VARCHAR)),
        table("charsets_of_text", in_set("TEXT", CLOB)),
        table("charsets_special", special),
        // The table's own set, which no column names.
        table("charsets_by_default", [column("VARCHAR(20)", VARCHAR, [quoted("中文")])]).options("CHARACTER SET gbk"),
    ]
}

/// Spaces behind a CHAR are not part of it, zero bytes behind a BINARY are.
pub(super) fn padding() -> Vec<Table> {
    let zeros = |bytes: &str, length: usize| format!("{bytes:\0<length$}");
    vec![table(
        "padding",
        [
            column("CHAR(10)", CHAR, [("'trailing  '", "trailing"), ("''", ""), ("'   '", ""), ("' é潮🌊'", " é潮🌊")]),
            column("CHAR(10) CHARACTER SET latin1", CHAR, [("'ü  '", "ü")]),
            column("CHAR(10) CHARACTER SET ucs2", CHAR, [("'潮  '", "潮")]),
            column("CHAR(10) CHARACTER SET utf16", CHAR, [("'🌊  '", "🌊")]),
            column("CHAR(10) CHARACTER SET utf16le", CHAR, [("'🌊  '", "🌊")]),
            column("CHAR(10) CHARACTER SET utf32", CHAR, [("'🌊  '", "🌊")]),
            column("CHAR(10) CHARACTER SET gbk", CHAR, [("'中  '", "中")]),
            column("CHAR(0)", CHAR, [("''", "")]),
            column("VARCHAR(10)", VARCHAR, [("'trailing  '", "trailing  "), ("'  '", "  ")]),
            column("VARCHAR(10) CHARACTER SET utf16", VARCHAR, [("'a  '", "a  ")]),
            column("TEXT", CLOB, [("'trailing  '", "trailing  ")]),
            column(
                "BINARY(4)",
                BLOB,
                [
                    ("X'0100'", "\u{1}\0\0\0"),
                    ("X'00000000'", "\0\0\0\0"),
                    ("X'ff80'", "\u{ff}\u{80}\0\0"),
                    ("''", "\0\0\0\0"),
                ],
            ),
            column("BINARY(1)", BLOB, [("X'00'", "\0"), ("'a'", "a")]),
            column("BINARY(255)", BLOB, [value("'a'", zeros("a", 255)), value("' '", zeros(" ", 255))]),
            column("BINARY(0)", BLOB, [("''", "")]),
            column("VARBINARY(300)", BLOB, [("X'0100'", "\u{1}\0"), ("X''", ""), ("'a  '", "a  ")]),
            column("BLOB", BLOB, [("X'0100'", "\u{1}\0")]),
        ],
    )]
}

/// Around the lengths at which a length takes a second byte, in the row and in the table map.
pub(super) fn long_chars() -> Vec<Table> {
    let full = |letter: &str, count: usize| value(format!("REPEAT('{letter}', {count})"), letter.repeat(count));
    let of = |kind: &str, set: &str, code: i32, letter: &str, count: usize| {
        let set = if set.is_empty() { String::new() } else { format!(" CHARACTER SET {set}") };
        column(format!("{kind}({count}){set}"), code, [full(letter, count), full(letter, 1), full(letter, 0)])
    };
    vec![table(
        "long_chars",
        [
            of("CHAR", "utf8mb4", CHAR, "🌊", 63),
            of("CHAR", "utf8mb4", CHAR, "🌊", 64),
            of("CHAR", "utf8mb4", CHAR, "🌊", 128),
            of("CHAR", "utf8mb4", CHAR, "🌊", 192),
            of("CHAR", "utf8mb4", CHAR, "🌊", 255),
            of("CHAR", "utf8mb4", CHAR, "a", 200),
            of("CHAR", "utf8mb3", CHAR, "潮", 85),
            of("CHAR", "utf8mb3", CHAR, "潮", 86),
            of("CHAR", "gbk", CHAR, "中", 128),
            of("CHAR", "utf32", CHAR, "🌊", 64),
            of("CHAR", "latin1", CHAR, "ü", 255),
            of("VARCHAR", "utf8mb4", VARCHAR, "🌊", 63),
            of("VARCHAR", "utf8mb4", VARCHAR, "🌊", 64),
            of("VARCHAR", "latin1", VARCHAR, "ü", 255),
            of("VARCHAR", "latin1", VARCHAR, "ü", 256),
            of("VARCHAR", "latin1", VARCHAR, "ü", 20_000),
            of("VARBINARY", "", BLOB, "a", 255),
            of("VARBINARY", "", BLOB, "a", 256),
        ],
    )]
}

/// Bytes as the characters of the same numbers.
pub(super) fn blobs() -> Vec<Table> {
    let all: Vec<u8> = (0..=255).collect();
    let hex: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
    let all = || value(format!("X'{hex}'"), all.iter().map(|&byte| char::from(byte)).collect::<String>());
    let quotes = || value("X'225c0a00'", "\"\\\n\0");
    let empty = || value("''", "");
    vec![table(
        "blobs",
        [
            column("VARBINARY(256)", BLOB, [all(), quotes(), empty()]),
            column("BINARY(255)", BLOB, [value("REPEAT(X'e9', 255)", "\u{e9}".repeat(255))]),
            column("TINYBLOB", BLOB, [value("X'00ff'", "\0\u{ff}"), quotes(), empty()]),
            column("BLOB", BLOB, [all(), value("REPEAT(X'f0', 65535)", "\u{f0}".repeat(65_535)), empty()]),
            column("MEDIUMBLOB", BLOB, [all(), value("REPEAT(X'81', 70000)", "\u{81}".repeat(70_000)), empty()]),
            column("LONGBLOB", BLOB, [all(), quotes(), empty()]),
        ],
    )]
}

/// The same bytes as text and as binary strings, which differ in their codes. NULL has its column's code.
pub(super) fn text_and_blob_codes() -> Vec<Table> {
    let texts = ["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "TEXT CHARACTER SET latin1"];
    let blobs =
        ["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "VARBINARY(9)", "BINARY(4)", "TEXT CHARACTER SET binary"];
    let columns = texts.map(|text| column(text, CLOB, [("'text'", "text")])).into_iter();
    let columns = columns.chain(blobs.map(|blob| column(blob, BLOB, [("'text'", "text")])));
    let columns = columns
        .chain([column("CHAR(9)", CHAR, [("'text'", "text")]), column("VARCHAR(9)", VARCHAR, [("'text'", "text")])]);
    vec![table("text_and_blob_codes", columns)]
}

/// What MariaDB shows of addresses and UUIDs: its own types, of which the binlog has other bytes than the text.
pub(super) fn addresses() -> Vec<Table> {
    let inet6 = [
        value("'::'", "::"),
        value("'::1'", "::1"),
        // Of the form that once stood for an address of version 4.
        value("'::1:2'", "::0.1.0.2"),
        value("'::ffff:1.2.3.4'", "::ffff:1.2.3.4"),
        // Of the zeros the longest row, of two alike the first.
        value("'1:0:0:2:0:0:0:3'", "1:0:0:2::3"),
        value("'1:0:0:2:3:0:0:4'", "1::2:3:0:0:4"),
        value("'1:2:3:4:5:6:7:8'", "1:2:3:4:5:6:7:8"),
        value("'fe80::'", "fe80::"),
        value("'FFFF:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        null(),
    ];
    let inet4 = ["'0.0.0.0'", "'1.2.3.4'", "'255.255.255.0'", "'10.0.0.0'"];
    let uuids = [
        "'00000000-0000-0000-0000-000000000000'",
        // Of version 4, and of version 7, which MariaDB stores in another order.
        "'123e4567-e89b-42d3-a456-426655440000'",
        "'018f3c5e-1b2a-7c3d-8e4f-5a6b7c8d9e0f'",
        "'123e4567-e89b-12d3-a456-426655440000'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    ];
    let unquoted = |sql: &str| value(sql, sql.trim_matches('\''));
    vec![table(
        "addresses",
        [
            column("INET6", CHAR, inet6),
            column("INET4", CHAR, inet4.map(unquoted)),
            column("UUID", CHAR, uuids.map(unquoted)),
        ]
        .map(|column| column.lacking(MYSQL, "MariaDB only")),
    )]
}

/// Columns that MariaDB packs by themselves, in the row and in the binlog.
pub(super) fn compressed_columns() -> Vec<Table> {
    let long = |letters: &str, count: usize| value(format!("REPEAT('{letters}', {count})"), letters.repeat(count));
    vec![table(
        "compressed_columns",
        [
            column("VARCHAR(1000) COMPRESSED CHARACTER SET utf8mb4", VARCHAR, [long("naïve 潮", 100), quoted("")]),
            column("VARCHAR(200) COMPRESSED CHARACTER SET latin1", VARCHAR, [long("ä", 200), quoted("x"), quoted("")]),
            column("VARBINARY(400) COMPRESSED", BLOB, [value("REPEAT(X'00ff', 200)", "\0\u{ff}".repeat(200))]),
            column("TINYTEXT COMPRESSED", CLOB, [long("é", 100), quoted("")]),
            column("TEXT COMPRESSED CHARACTER SET utf16", CLOB, [long("🌊ä", 3000), quoted("🌊"), quoted("")]),
            column("MEDIUMTEXT COMPRESSED", CLOB, [long("tide", 50_000), quoted("")]),
            column("LONGTEXT COMPRESSED CHARACTER SET gbk", CLOB, [long("中", 70_000), quoted("中")]),
            column(
                "BLOB COMPRESSED",
                BLOB,
                [value("REPEAT(X'f0', 65535)", "\u{f0}".repeat(65_535)), value("X'00'", "\0")],
            ),
            column(
                "LONGBLOB COMPRESSED",
                BLOB,
                [value("REPEAT(X'0001', 50000)", "\0\u{1}".repeat(50_000)), value("''", "")],
            ),
        ]
        .map(|column| column.lacking(MYSQL, "MariaDB only")),
    )]
}
