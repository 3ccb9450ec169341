//! The lists of functions and operators in MySQL's manual, and what this crate makes of each: the table in `sql/README.md`.
//!
//! `TIDEGATE_COMPLETE=1` writes the table; without, it must be what is there.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{ALIASES, meaning, refused};
use crate::{BEFORE_MYSQL_9, ColumnSource, InputColumns, Kind, ON_MARIADB, Projection, TextOrder};

/// A chapter of the manual: functions by name; and what is written with words and signs, each with an example, and with what the judge
/// writes of it.
struct Chapter {
    title: &'static str,
    functions: &'static str,
    forms: &'static [(&'static str, &'static str, &'static str)],
}

const CHAPTERS: &[Chapter] = &[
    Chapter {
        title: "Comparison, logic and choice",
        functions: "coalesce greatest if ifnull interval isnull least nullif",
        forms: &[
            ("=", "i = 1", "({} = {})"),
            ("<=>", "i <=> 1", "({} <=> {})"),
            ("<>, !=", "i != 1", "({} != {})"),
            (">, >=, <, <=", "i >= 1", "({} >= {})"),
            ("BETWEEN", "i BETWEEN 1 AND 2", "({} BETWEEN {} AND {})"),
            ("IN", "i IN (1, 2)", "({} IN ({}, {}))"),
            ("(a, b) = (1, 2)", "(i, s) = (1, 'a')", "(({}, {}) = ({}, {}))"),
            ("(a, b) IN ((1, 2))", "(i, s) IN ((1, 'a'))", "(({}, {}) IN (({}, "),
            ("(a, b) < (1, 2)", "(i, i) < (1, 2)", "(({}, {}) < ({}, {}))"),
            ("NOT BETWEEN", "i NOT BETWEEN 1 AND 2", "({} NOT BETWEEN {} AND {})"),
            ("NOT IN", "i NOT IN (1, 2)", "({} NOT IN ({}, {}))"),
            ("IS NULL", "i IS NULL", "({} IS NULL)"),
            ("DEFAULT(x)", "DEFAULT(i)", ""),
            ("IS TRUE, IS UNKNOWN", "i IS TRUE", "({} IS UNKNOWN)"),
            ("AND, &&", "i AND i = 2", "({} AND {})"),
            ("OR", "i OR i = 2", "({} OR {})"),
            ("||", "i || i", ""),
            ("XOR", "i XOR i", "({} XOR {})"),
            ("NOT, !", "!i", "(!{})"),
            ("CASE", "CASE i WHEN 1 THEN 'a' ELSE 'b' END", "CASE {} WHEN {} THEN"),
            ("EXISTS", "EXISTS (SELECT 1)", ""),
        ],
    },
    Chapter {
        title: "Numbers",
        functions: "abs acos asin atan atan2 ceil ceiling conv cos cot crc32 degrees exp floor ln log log10 log2 mod pi pow power \
                    radians rand round sign sin sqrt tan truncate",
        forms: &[
            ("+, -, *", "i + 1 * 2 - n", "({} * {})"),
            ("/", "i / 2", "({} / {})"),
            ("DIV", "i DIV 2", "({} DIV {})"),
            ("%, MOD", "i MOD 2", "({} MOD {})"),
            ("-x", "-n", "(-{})"),
        ],
    },
    Chapter {
        title: "Bits",
        functions: "bit_count",
        forms: &[("&, |, ^", "i & 1 | 2 ^ 3", "({} ^ {})"), ("~", "~i", "(~{})"), ("<<, >>", "i << 2", "({} << {})")],
    },
    Chapter {
        title: "Text",
        functions: "ascii bin bit_length char char_length character_length concat concat_ws elt export_set field find_in_set format \
                    from_base64 hex insert instr lcase left length load_file locate lower lpad ltrim make_set mid oct octet_length \
                    ord position quote regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right rpad \
                    rtrim soundex space strcmp substr substring substring_index to_base64 trim ucase unhex upper weight_string",
        forms: &[
            ("LIKE", "s LIKE 'a%'", "({} LIKE {})"),
            ("LIKE … ESCAPE", "s LIKE 'a|%' ESCAPE '|'", "({} LIKE {} ESCAPE '|')"),
            ("NOT LIKE", "s NOT LIKE 'a%'", "({} NOT LIKE {})"),
            ("REGEXP, RLIKE", "s RLIKE '^a'", "({} REGEXP {})"),
            ("NOT REGEXP", "s NOT REGEXP '^a'", "({} NOT REGEXP {})"),
            ("SOUNDS LIKE", "s SOUNDS LIKE 'a'", "({} SOUNDS LIKE {})"),
            ("MATCH … AGAINST", "MATCH (s) AGAINST ('a')", ""),
            ("COLLATE", "s COLLATE utf8mb4_bin = 'a'", ""),
        ],
    },
    Chapter {
        title: "Dates and times",
        functions: "adddate addtime convert_tz curdate current_date current_time current_timestamp curtime date date_add date_format \
                    date_sub datediff day dayname dayofmonth dayofweek dayofyear from_days from_unixtime get_format hour last_day \
                    localtime localtimestamp makedate maketime microsecond minute month monthname now period_add period_diff \
                    quarter sec_to_time second str_to_date subdate subtime sysdate time time_format time_to_sec timediff \
                    timestamp timestampadd timestampdiff to_days to_seconds unix_timestamp utc_date utc_time utc_timestamp \
                    week weekday weekofyear year yearweek",
        forms: &[
            ("d + INTERVAL n unit", "d + INTERVAL i DAY", "({} + INTERVAL {} YEAR)"),
            ("EXTRACT", "EXTRACT(YEAR FROM d)", "extract(YEAR FROM {})"),
        ],
    },
    Chapter {
        title: "Conversion",
        functions: "",
        forms: &[
            ("CAST", "CAST(s AS SIGNED)", "CAST({} AS SIGNED)"),
            ("CONVERT(x, type)", "CONVERT(s, SIGNED)", "CONVERT({}, SIGNED)"),
            ("CONVERT(x USING utf8mb4)", "CONVERT(s USING utf8mb4)", "CONVERT({} USING utf8mb4)"),
            ("BINARY x", "BINARY s", "BINARY {}"),
        ],
    },
    Chapter {
        title: "JSON",
        functions: "json_array json_array_append json_array_insert json_contains json_contains_path json_depth json_extract json_insert \
                    json_keys json_length json_merge json_merge_patch json_merge_preserve json_object json_overlaps json_pretty \
                    json_quote json_remove json_replace json_schema_valid json_schema_validation_report json_search json_set \
                    json_storage_free json_storage_size json_table json_type json_unquote json_valid json_value",
        forms: &[
            ("->", "j->'$.a'", "j_json->{}"),
            ("->>", "j->>'$.a'", "j_json->>{}"),
            ("MEMBER OF", "1 MEMBER OF(j)", "({} MEMBER OF({}))"),
        ],
    },
    Chapter {
        title: "Hashes, masking, addresses and the rest",
        functions: "aes_decrypt aes_encrypt any_value bin_to_uuid compress inet6_aton inet6_ntoa inet_aton inet_ntoa is_ipv4 \
                    is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid mask_canada_sin mask_iban mask_inner mask_outer mask_pan \
                    mask_pan_relaxed mask_ssn mask_uk_nin mask_uuid md5 random_bytes sha sha1 sha2 sleep statement_digest \
                    statement_digest_text benchmark charset coercibility collation extractvalue format_bytes format_pico_time gen_range \
                    gen_rnd_email gtid_subset gtid_subtract st_astext st_x string_to_vector updatexml vector_dim vector_to_string \
                    uncompress uncompressed_length uuid uuid_short uuid_to_bin validate_password_strength",
        forms: &[],
    },
];

fn table() -> String {
    let judged = judged();
    let mut out = String::new();
    for chapter in CHAPTERS {
        writeln!(out, "\n### {}\n\n| | |\n|---|---|", chapter.title).unwrap();
        for (form, example, written) in chapter.forms {
            let said = match Projection::compile(&[format!("{example} AS x")], &input()) {
                Ok(_) if !written.is_empty() && JUDGE.contains(written) => same(form),
                Ok(_) => "as the manual shows, not judged".to_owned(),
                Err(error) => told(error.message(), error.hint()),
            };
            writeln!(out, "| `{}` | {said} |", form.replace('|', "\\|")).unwrap();
        }
        for name in chapter.functions.split_whitespace() {
            let said = match meaning(name) {
                Some(_) if judged.contains(name) => same(name),
                Some(_) => match ALIASES.iter().find(|(alias, _)| *alias == name) {
                    Some((_, of)) => format!("as `{of}`"),
                    None => "as the manual shows, not judged".to_owned(),
                },
                None => {
                    let (message, hint) = refused(name);
                    assert!(!message.starts_with("no function"), "{name}() is in the manual and not in a list here");
                    told(&message, hint.as_deref())
                }
            };
            writeln!(out, "| `{name}` | {said} |").unwrap();
        }
    }
    let lists = [
        ("### What MariaDB answers otherwise\n\n`tidegate check` names it where the source is MariaDB.", ON_MARIADB),
        (
            "### What MySQL answers otherwise before MySQL 9\n\nAs MySQL 5.6 answers; of the versions up to 8.4 none was asked. `tidegate check` names it where the source is \
             older than MySQL 9.",
            BEFORE_MYSQL_9,
        ),
    ];
    for (heading, list) in lists {
        write!(out, "\n{heading}\n\n| | |\n|---|---|\n").unwrap();
        for (name, what) in list {
            writeln!(out, "| `{name}` | {what} |").unwrap();
        }
    }
    out
}

/// What is said of a function that is the same, but for forms that are refused.
fn same(name: &str) -> String {
    let forms = REFUSED_FORMS.iter().filter(|(of, _)| *of == name);
    let refused: Vec<String> = forms
        .map(|(_, example)| match Projection::compile(&[format!("{example} AS x")], &input()) {
            Ok(_) => panic!("{example} is not refused"),
            Err(_) => format!("`{}`", example.replace('|', "\\|")),
        })
        .collect();
    if refused.is_empty() { "same".to_owned() } else { format!("same; refused: {}", refused.join(", ")) }
}

const JUDGE: &str = include_str!("../../tests/judge/forms.rs");

/// Of functions that are the same, what is refused all the same: an example each.
const REFUSED_FORMS: &[(&str, &str)] = &[
    ("BETWEEN", "s BETWEEN 1 AND 2"),
    ("CAST", "CAST(s AS TIME)"),
    ("CONVERT(x USING utf8mb4)", "CONVERT(s USING latin1)"),
    ("EXTRACT", "EXTRACT(DAY_HOUR FROM d)"),
    ("EXTRACT", "EXTRACT(WEEK FROM d)"),
    ("IN", "s IN (1, 2)"),
    ("IS NULL", "always IS NULL"),
    ("LIKE … ESCAPE", "s LIKE s ESCAPE '|'"),
    ("REGEXP, RLIKE", "s RLIKE s"),
    ("REGEXP, RLIKE", "s RLIKE '\\\\d+'"),
    ("coalesce", "coalesce(i, '0')"),
    ("concat", "concat(x, 'a')"),
    ("concat", "concat(b, 'a')"),
    ("convert_tz", "convert_tz(d, 'UTC', 'Asia/Tokyo')"),
    ("d + INTERVAL n unit", "d + INTERVAL '1:2' HOUR_MINUTE"),
    ("field", "field(n, 1)"),
    ("format", "format(i, 2, 'de_DE')"),
    ("from_unixtime", "from_unixtime(i, '%Y')"),
    ("from_unixtime", "from_unixtime(x)"),
    ("greatest", "greatest(s, 'a')"),
    ("greatest", "greatest(i, NULL)"),
    ("if", "if(i = 1, i, 'none')"),
    ("ifnull", "ifnull(i, '0')"),
    ("instr", "instr(s, 'a')"),
    ("isnull", "isnull(always)"),
    ("json_contains", "json_contains(j, s)"),
    ("json_extract", "json_extract(j, '$.*')"),
    ("json_search", "json_search(j, 'one', s)"),
    ("least", "least(s, 'a')"),
    ("locate", "locate('a', s)"),
    ("position", "position('a' IN s)"),
    ("regexp_instr", "regexp_instr(s, 'a', 2)"),
    ("regexp_like", "regexp_like(s, 'a', 'c')"),
    ("regexp_replace", "regexp_replace(s, '(a)', '$1')"),
    ("regexp_substr", "regexp_substr(s, 'a', 2)"),
    ("round", "round(n, i)"),
    ("sec_to_time", "sec_to_time(x)"),
    ("str_to_date", "str_to_date(s, '%H:%i')"),
    ("str_to_date", "str_to_date(s, s)"),
    ("strcmp", "strcmp(i, s)"),
    ("truncate", "truncate(n, i)"),
    ("unix_timestamp", "unix_timestamp()"),
];

/// What the judge calls: names before a bracket.
fn judged() -> HashSet<&'static str> {
    let before_brackets = JUDGE.split('(');
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    before_brackets.filter_map(|text| text.rsplit(|c| !is_of_name(c)).next()).collect()
}

fn told(message: &str, hint: Option<&str>) -> String {
    let text = match hint {
        Some(hint) => format!("refused: {hint}"),
        None => format!("refused: {message}"),
    };
    text.replace('|', "\\|").replace('\n', " ")
}

/// One column of each kind that the examples read.
fn input() -> InputColumns {
    let columns = [
        ("i", DataType::Int64, Kind::Plain),
        ("n", DataType::Decimal128(10, 2), Kind::Plain),
        ("s", DataType::Utf8, Kind::Plain),
        ("d", DataType::Timestamp(TimeUnit::Microsecond, None), Kind::Plain),
        ("j", DataType::Utf8, Kind::Json),
        ("x", DataType::Float64, Kind::Plain),
        ("b", DataType::Binary, Kind::Plain),
        ("always", DataType::Date32, Kind::Plain),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type, _)| Field::new(*name, data_type.clone(), *name != "always")).collect();
    InputColumns {
        schema: Arc::new(Schema::new(fields)),
        pushdown: Vec::new(),
        sources: columns.iter().map(|(_, _, kind)| ColumnSource { kind: *kind, ..ColumnSource::default() }).collect(),
        texts: columns
            .iter()
            .map(|(name, ..)| if *name == "s" { TextOrder::of(Some("utf8mb4_0900_ai_ci")) } else { TextOrder::Bytes })
            .collect(),
    }
}

#[test]
fn the_manual_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).expect("a README");
    let mark = "<!-- from here on written by a test: TIDEGATE_COMPLETE=1 -->\n";
    let (by_hand, written) = text.split_once(mark).expect("a mark in the README");
    let table = table();
    if std::env::var_os("TIDEGATE_COMPLETE").is_some() {
        std::fs::write(&path, format!("{by_hand}{mark}{table}")).expect("the README can be written");
    } else {
        assert_eq!(written, table, "run with TIDEGATE_COMPLETE=1");
    }
}
