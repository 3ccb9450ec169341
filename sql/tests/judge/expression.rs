//! Random expressions: a tree whose nodes know their type, so that most are what MySQL would take, and which can be made
//! smaller.

use fastrand::Rng;

use super::columns::{Column, TEXTS, Type, quoted};

/// An expression: text with holes, and what is in the holes.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it is counted as.
    pub(crate) name: &'static str,
    /// `{}` is a hole.
    template: String,
    pub(crate) children: Vec<Node>,
    pub(crate) of: Type,
}

impl Node {
    fn leaf(name: &'static str, text: String, of: Type) -> Node {
        // Braces of JSON are no holes.
        Node { name, template: text.replace("{}", "{ }"), children: Vec::new(), of }
    }

    pub(crate) fn text(&self) -> String {
        let mut parts = self.template.split("{}");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for (child, part) in self.children.iter().zip(parts) {
            out += &child.text();
            out += part;
        }
        out
    }

    /// Smaller expressions that may show the same: its parts, and itself with a simpler part.
    pub(crate) fn smaller(&self) -> Vec<Node> {
        let mut all = self.children.clone();
        for (at, child) in self.children.iter().enumerate() {
            for simpler in child.smaller().into_iter().chain(simplest(child)) {
                if simpler.of == child.of {
                    let mut node = self.clone();
                    node.children[at] = simpler;
                    all.push(node);
                }
            }
        }
        all
    }
}

fn simplest(node: &Node) -> Vec<Node> {
    if node.children.is_empty() {
        return Vec::new();
    }
    let literals: &[&str] = match node.of {
        Type::Integer => &["1", "0", "i_big"],
        Type::Decimal => &["1.5", "n_dec"],
        Type::Double => &["1e0", "x_double"],
        Type::Text => &["'a'", "s_text"],
        Type::Bytes => &["b_bytes"],
        Type::Date => &["d_date"],
        Type::DateTime => &["t_time0"],
        Type::Time => &["c_clock"],
        Type::Json => &["j_json"],
        Type::Condition => &["i_tiny = 1"],
    };
    literals.iter().map(|text| Node::leaf("literal", (*text).to_owned(), node.of)).collect()
}

/// Name, template, what the holes take (`n` any number, `i` integer, `d` decimal, `x` double, `s` text, `b` bytes, `D` date, `T`
/// date-time, `M` date or date-time, `C` TIME, `j` JSON, `c` condition, `*` any of one type, `L` short literal integer), what it is
/// (`=` the type of the first hole).
type Form = (&'static str, &'static str, &'static str, Result<Type, ()>);

const SAME: Result<Type, ()> = Err(());

const I: Result<Type, ()> = Ok(Type::Integer);
const D: Result<Type, ()> = Ok(Type::Decimal);
const X: Result<Type, ()> = Ok(Type::Double);
const S: Result<Type, ()> = Ok(Type::Text);
const B: Result<Type, ()> = Ok(Type::Bytes);
const C: Result<Type, ()> = Ok(Type::Condition);
const DATE: Result<Type, ()> = Ok(Type::Date);
const TIME: Result<Type, ()> = Ok(Type::DateTime);
const CLOCK: Result<Type, ()> = Ok(Type::Time);
const J: Result<Type, ()> = Ok(Type::Json);

// Not here: GREATEST and LEAST of dates, which bring MySQL 9.7 down over '2010-00-10'.
const FORMS: &[Form] = &[
    // Arithmetic
    ("+", "({} + {})", "nn", SAME),
    ("-", "({} - {})", "nn", SAME),
    ("*", "({} * {})", "nn", SAME),
    ("+", "({} + {})", "ii", I),
    ("-", "({} - {})", "ii", I),
    ("*", "({} * {})", "ii", I),
    ("+", "({} + {})", "dd", D),
    ("-", "({} - {})", "di", D),
    ("*", "({} * {})", "dd", D),
    ("+", "({} + {})", "xx", X),
    ("-", "({} - {})", "xn", X),
    ("*", "({} * {})", "xx", X),
    ("/", "({} / {})", "ii", D),
    ("/", "({} / {})", "dd", D),
    ("/", "({} / {})", "di", D),
    ("/", "({} / {})", "xn", X),
    ("DIV", "({} DIV {})", "ii", I),
    ("DIV", "({} DIV {})", "dd", I),
    ("%", "({} % {})", "ii", I),
    ("MOD", "({} MOD {})", "dd", D),
    ("mod", "mod({}, {})", "xx", X),
    ("neg", "(-{})", "i", I),
    ("neg", "(-{})", "d", D),
    ("neg", "(-{})", "x", X),
    ("&", "({} & {})", "ii", I),
    ("|", "({} | {})", "ii", I),
    ("^", "({} ^ {})", "ii", I),
    ("~", "(~{})", "i", I),
    ("<<", "({} << {})", "il", I),
    (">>", "({} >> {})", "il", I),
    ("bit_count", "bit_count({})", "i", I),
    ("abs", "abs({})", "i", I),
    ("abs", "abs({})", "d", D),
    ("abs", "abs({})", "x", X),
    ("sign", "sign({})", "n", I),
    ("floor", "floor({})", "i", I),
    ("floor", "floor({})", "d", D),
    ("floor", "floor({})", "x", X),
    ("ceil", "ceil({})", "i", I),
    ("ceiling", "ceiling({})", "d", D),
    ("ceil", "ceil({})", "x", X),
    ("round", "round({})", "d", D),
    ("round", "round({}, {})", "dP", D),
    ("round", "round({}, {})", "iP", I),
    ("round", "round({}, {})", "xP", X),
    ("round", "round({})", "x", X),
    ("truncate", "truncate({}, {})", "dP", D),
    ("truncate", "truncate({}, {})", "iP", I),
    ("truncate", "truncate({}, {})", "xP", X),
    ("pow", "pow({}, {})", "nl", X),
    ("sqrt", "sqrt({})", "n", X),
    ("exp", "exp({})", "l", X),
    ("ln", "ln({})", "n", X),
    ("log", "log({})", "n", X),
    ("log", "log({}, {})", "nn", X),
    ("log2", "log2({})", "n", X),
    ("log10", "log10({})", "n", X),
    ("sin", "sin({})", "n", X),
    ("cos", "cos({})", "n", X),
    ("tan", "tan({})", "x", X),
    ("asin", "asin({})", "x", X),
    ("acos", "acos({})", "x", X),
    ("atan", "atan({})", "x", X),
    ("atan2", "atan2({}, {})", "xx", X),
    ("degrees", "degrees({})", "x", X),
    ("radians", "radians({})", "x", X),
    ("greatest", "greatest({}, {})", "ii", I),
    ("least", "least({}, {}, {})", "ddd", D),
    ("greatest", "greatest({}, {})", "xn", X),
    ("greatest", "greatest({}, {})", "ss", S),
    // Text
    ("concat", "concat({}, {})", "ss", S),
    ("concat", "concat({}, {})", "si", S),
    ("concat", "concat({}, {})", "sd", S),
    ("concat", "concat({}, {})", "sM", S),
    ("concat_ws", "concat_ws({}, {}, {})", "sss", S),
    ("char_length", "char_length({})", "s", I),
    ("length", "length({})", "s", I),
    ("length", "length({})", "b", I),
    ("bit_length", "bit_length({})", "s", I),
    ("ascii", "ascii({})", "s", I),
    ("ord", "ord({})", "s", I),
    ("bin", "bin({})", "i", S),
    ("oct", "oct({})", "i", S),
    ("hex", "hex({})", "i", S),
    ("hex", "hex({})", "s", S),
    ("hex", "hex({})", "b", S),
    ("conv", "conv({}, {}, {})", "sLL", S),
    ("conv", "conv({}, 10, {})", "iL", S),
    ("elt", "elt({}, {}, {})", "lss", S),
    ("field", "field({}, {}, {})", "sss", I),
    ("field", "field({}, {})", "ii", I),
    ("find_in_set", "find_in_set({}, {})", "ss", I),
    ("insert", "insert({}, {}, {}, {})", "slls", S),
    ("instr", "instr({}, {})", "ss", I),
    ("locate", "locate({}, {})", "ss", I),
    ("locate", "locate({}, {}, {})", "ssl", I),
    ("position", "position({} IN {})", "ss", I),
    ("left", "left({}, {})", "sl", S),
    ("right", "right({}, {})", "sl", S),
    ("lower", "lower({})", "s", S),
    ("upper", "upper({})", "s", S),
    ("lpad", "lpad({}, {}, {})", "sls", S),
    ("rpad", "rpad({}, {}, {})", "sls", S),
    ("ltrim", "ltrim({})", "s", S),
    ("rtrim", "rtrim({})", "s", S),
    ("trim", "trim({})", "s", S),
    ("trim", "trim({} FROM {})", "ss", S),
    ("trim", "trim(LEADING {} FROM {})", "ss", S),
    ("trim", "trim(TRAILING {} FROM {})", "ss", S),
    ("quote", "quote({})", "s", S),
    ("repeat", "repeat({}, {})", "sl", S),
    ("replace", "replace({}, {}, {})", "sss", S),
    ("reverse", "reverse({})", "s", S),
    ("space", "space({})", "l", S),
    ("strcmp", "strcmp({}, {})", "ss", I),
    ("substring", "substring({}, {})", "sl", S),
    ("substring", "substring({}, {}, {})", "sll", S),
    ("substr", "substr({}, {})", "si", S),
    ("mid", "mid({}, {}, {})", "sll", S),
    ("substring_index", "substring_index({}, {}, {})", "ssl", S),
    ("to_base64", "to_base64({})", "s", S),
    ("to_base64", "to_base64({})", "b", S),
    ("from_base64", "from_base64({})", "s", B),
    ("unhex", "unhex({})", "s", B),
    ("unhex", "unhex({})", "i", B),
    ("format", "format({}, {})", "nP", S),
    ("make_set", "make_set({}, {}, {})", "lss", S),
    ("like", "({} LIKE {})", "sp", C),
    ("not like", "({} NOT LIKE {})", "sp", C),
    ("like escape", "({} LIKE {} ESCAPE '|')", "sp", C),
    ("regexp", "({} REGEXP {})", "sr", C),
    ("regexp_like", "regexp_like({}, {})", "sr", C),
    ("regexp_replace", "regexp_replace({}, {}, 'x')", "sr", S),
    ("regexp_substr", "regexp_substr({}, {})", "sr", S),
    ("regexp_instr", "regexp_instr({}, {})", "sr", I),
    // Hashes and addresses
    ("crc32", "crc32({})", "s", I),
    ("md5", "md5({})", "s", S),
    ("sha1", "sha1({})", "s", S),
    ("sha2", "sha2({}, 256)", "s", S),
    ("sha2", "sha2({}, 512)", "s", S),
    ("sha2", "sha2({}, 224)", "b", S),
    ("inet_aton", "inet_aton({})", "a", I),
    ("inet_ntoa", "inet_ntoa({})", "i", S),
    ("inet6_aton", "inet6_aton({})", "a", B),
    ("inet6_ntoa", "inet6_ntoa({})", "b", S),
    ("is_ipv4", "is_ipv4({})", "a", C),
    ("is_ipv6", "is_ipv6({})", "a", C),
    // Dates
    ("date", "date({})", "M", DATE),
    ("time", "time({})", "T", CLOCK),
    ("year", "year({})", "M", I),
    ("month", "month({})", "M", I),
    ("day", "day({})", "M", I),
    ("quarter", "quarter({})", "M", I),
    ("hour", "hour({})", "T", I),
    ("hour", "hour({})", "C", I),
    ("minute", "minute({})", "T", I),
    ("second", "second({})", "C", I),
    ("microsecond", "microsecond({})", "T", I),
    ("dayofweek", "dayofweek({})", "M", I),
    ("weekday", "weekday({})", "M", I),
    ("dayofyear", "dayofyear({})", "M", I),
    ("dayname", "dayname({})", "M", S),
    ("monthname", "monthname({})", "M", S),
    ("week", "week({})", "M", I),
    ("week", "week({}, {})", "Mm", I),
    ("weekofyear", "weekofyear({})", "M", I),
    ("yearweek", "yearweek({})", "M", I),
    ("yearweek", "yearweek({}, {})", "Mm", I),
    ("last_day", "last_day({})", "M", DATE),
    ("to_days", "to_days({})", "M", I),
    ("to_seconds", "to_seconds({})", "M", I),
    ("from_days", "from_days({})", "i", DATE),
    ("makedate", "makedate({}, {})", "il", DATE),
    ("sec_to_time", "sec_to_time({})", "i", CLOCK),
    ("time_to_sec", "time_to_sec({})", "C", I),
    ("datediff", "datediff({}, {})", "MM", I),
    ("date_format", "date_format({}, {})", "MF", S),
    ("str_to_date", "str_to_date({}, '%Y-%m-%d')", "s", DATE),
    ("str_to_date", "str_to_date({}, {})", "gG", TIME),
    ("date_add", "date_add({}, INTERVAL {} DAY)", "Dl", DATE),
    ("date_add", "date_add({}, INTERVAL {} MONTH)", "Tl", TIME),
    ("date_add", "date_add({}, INTERVAL {} SECOND)", "Ti", TIME),
    ("date_sub", "date_sub({}, INTERVAL {} HOUR)", "Dl", TIME),
    ("interval", "({} + INTERVAL {} YEAR)", "Dl", DATE),
    ("interval", "({} - INTERVAL {} WEEK)", "Tl", TIME),
    ("interval", "({} - INTERVAL {} MICROSECOND)", "Tl", TIME),
    ("adddate", "adddate({}, {})", "Dl", DATE),
    ("timestampdiff", "timestampdiff(MONTH, {}, {})", "MM", I),
    ("timestampdiff", "timestampdiff(SECOND, {}, {})", "MM", I),
    ("timestampdiff", "timestampdiff(DAY, {}, {})", "MM", I),
    ("timestampdiff", "timestampdiff(QUARTER, {}, {})", "MM", I),
    ("timestampadd", "timestampadd(MINUTE, {}, {})", "lT", TIME),
    ("unix_timestamp", "unix_timestamp({})", "M", SAME),
    ("from_unixtime", "from_unixtime({})", "i", TIME),
    ("extract", "extract(YEAR FROM {})", "M", I),
    ("extract", "extract(MICROSECOND FROM {})", "T", I),
    ("extract", "extract(QUARTER FROM {})", "M", I),
    // JSON
    ("json_extract", "json_extract({}, {})", "jJ", J),
    ("->", "j_json->{}", "J", J),
    ("->>", "j_json->>{}", "J", S),
    ("json_extract", "json_extract({}, {}, {})", "jJJ", J),
    ("json_unquote", "json_unquote({})", "j", S),
    ("json_length", "json_length({})", "j", I),
    ("json_length", "json_length({}, {})", "jJ", I),
    ("json_depth", "json_depth({})", "j", I),
    ("json_keys", "json_keys({})", "j", J),
    ("json_contains", "json_contains({}, {})", "jK", C),
    ("json_contains", "json_contains({}, {}, {})", "jKJ", C),
    ("json_contains_path", "json_contains_path({}, 'one', {}, {})", "jJJ", C),
    ("json_contains_path", "json_contains_path({}, 'all', {}, {})", "jJJ", C),
    ("json_valid", "json_valid({})", "s", C),
    ("json_quote", "json_quote({})", "s", S),
    // Choice
    ("if", "if({}, {}, {})", "c**", SAME),
    ("ifnull", "ifnull({}, {})", "**", SAME),
    ("nullif", "nullif({}, {})", "**", SAME),
    ("coalesce", "coalesce({}, {}, {})", "***", SAME),
    ("case", "CASE WHEN {} THEN {} ELSE {} END", "c**", SAME),
    ("case", "CASE WHEN {} THEN {} END", "c*", SAME),
    ("case", "CASE {} WHEN {} THEN 1 WHEN {} THEN 2 ELSE 3 END", "***", I),
    ("isnull", "isnull({})", "*", C),
    // Conditions
    ("=", "({} = {})", "**", C),
    ("<>", "({} <> {})", "**", C),
    ("<", "({} < {})", "**", C),
    (">=", "({} >= {})", "**", C),
    ("=", "({} = {})", "nn", C),
    ("<", "({} < {})", "nn", C),
    (">", "({} > {})", "nn", C),
    ("<=>", "({} <=> {})", "**", C),
    ("=", "({} = {})", "DT", C),
    ("<", "({} < {})", "MM", C),
    ("between", "({} BETWEEN {} AND {})", "***", C),
    ("in", "({} IN ({}, {}))", "***", C),
    ("not in", "({} NOT IN ({}, {}))", "***", C),
    ("row", "(({}, {}) = ({}, {}))", "isis", C),
    ("row", "(({}, {}) <> ({}, {}))", "isis", C),
    ("row in", "(({}, {}) IN (({}, {}), (1, 'a')))", "isis", C),
    ("and", "({} AND {})", "cc", C),
    ("or", "({} OR {})", "cc", C),
    ("xor", "({} XOR {})", "cc", C),
    ("not", "(NOT {})", "c", C),
    ("!", "(!{})", "c", C),
    ("not", "(NOT {})", "n", C),
    ("!", "(!{})", "n", C),
    ("and", "({} AND {})", "nc", C),
    ("xor", "({} XOR {})", "nc", C),
    ("is true", "({} IS TRUE)", "c", C),
    ("is false", "({} IS FALSE)", "n", C),
    ("is null", "({} IS NULL)", "*", C),
    ("is not null", "({} IS NOT NULL)", "*", C),
    ("condition as number", "({} + {})", "ci", I),
    // Casts
    ("cast signed", "CAST({} AS SIGNED)", "n", I),
    ("cast unsigned", "CAST({} AS UNSIGNED)", "n", I),
    ("cast decimal", "CAST({} AS DECIMAL(20,4))", "n", D),
    ("cast double", "CAST({} AS DOUBLE)", "n", X),
    ("cast char", "CAST({} AS CHAR)", "i", S),
    ("cast char", "CAST({} AS CHAR)", "d", S),
    ("cast char", "CAST({} AS CHAR)", "M", S),
    ("cast char", "CAST({} AS CHAR(3))", "s", S),
    ("cast date", "CAST({} AS DATE)", "M", DATE),
    ("cast datetime", "CAST({} AS DATETIME)", "M", TIME),
    ("cast datetime", "CAST({} AS DATETIME(3))", "T", TIME),
    ("cast signed", "CAST({} AS SIGNED)", "N", I),
    ("cast decimal", "CAST({} AS DECIMAL(10,2))", "N", D),
    ("cast double", "CAST({} AS DOUBLE)", "N", X),
    ("cast date", "CAST({} AS DATE)", "g", DATE),
    ("convert", "hex(CONVERT({} USING utf8mb4))", "s", S),
    ("convert", "length(CONVERT({} USING utf8mb4))", "s", I),
    ("convert", "CONVERT({}, SIGNED)", "n", I),
    ("cast binary", "CAST({} AS BINARY)", "s", B),
];

/// Forms that a server does not have, or that mean something else there in a way that no expression of ours follows.
fn missing(name: &str, is_mariadb: bool) -> bool {
    match is_mariadb {
        true => {
            let json = name.starts_with("json_") || name.starts_with("->");
            // See README.md for what it does differently.
            let others = [
                "/",
                "DIV",
                "round",
                "truncate",
                "replace",
                "regexp_substr",
                "str_to_date",
                "cast date",
                "cast datetime",
                "date",
                "time_to_sec",
                "from_unixtime",
                "unix_timestamp",
                "is_ipv4",
                "is_ipv6",
                "locate",
                "make_set",
                "log2",
                "xor",
                "format",
                "greatest",
                "least",
                "MOD",
                "%",
            ];
            json || others.contains(&name)
        }
        // A component there.
        false => matches!(name, "md5" | "sha1" | "sha2"),
    }
}

pub(crate) struct Generator<'a> {
    pub(crate) rng: Rng,
    pub(crate) columns: &'a [Column],
    pub(crate) is_mariadb: bool,
}

impl Generator<'_> {
    pub(crate) fn expression(&mut self) -> Node {
        let depth = self.rng.u32(1..4);
        loop {
            let form = &FORMS[self.rng.usize(..FORMS.len())];
            if let Some(node) = self.of_form(form, depth) {
                return node;
            }
        }
    }

    fn of_form(&mut self, form: &Form, depth: u32) -> Option<Node> {
        let (name, template, holes, of) = form;
        if missing(name, self.is_mariadb) {
            return None;
        }
        let any = self.any();
        let children: Vec<Node> = holes.chars().map(|hole| self.hole(hole, any, depth - 1)).collect();
        let of = match of {
            Ok(of) => *of,
            Err(()) if *name == "unix_timestamp" => Type::Decimal,
            Err(()) => {
                let numbers = [Type::Integer, Type::Decimal, Type::Double];
                let branches: Vec<Type> =
                    children.iter().map(|child| child.of).filter(|of| *of != Type::Condition).collect();
                match branches.iter().copied().filter(|of| numbers.contains(of)).max() {
                    Some(widest) => widest,
                    None => any,
                }
            }
        };
        Some(Node { name, template: (*template).to_owned(), children, of })
    }

    fn any(&mut self) -> Type {
        let all = [
            Type::Integer,
            Type::Integer,
            Type::Decimal,
            Type::Double,
            Type::Text,
            Type::Text,
            Type::Date,
            Type::DateTime,
            Type::Time,
            Type::Bytes,
        ];
        all[self.rng.usize(..all.len())]
    }

    fn one(&mut self, of: &[&str]) -> String {
        of[self.rng.usize(..of.len())].to_owned()
    }

    fn hole(&mut self, hole: char, any: Type, depth: u32) -> Node {
        let literal = |text: String, of: Type| Node::leaf("literal", text, of);
        match hole {
            'i' => self.of_type(Type::Integer, depth),
            'd' => self.of_type(Type::Decimal, depth),
            'x' => self.of_type(Type::Double, depth),
            's' => self.of_type(Type::Text, depth),
            'b' => self.of_type(Type::Bytes, depth),
            'D' => self.of_type(Type::Date, depth),
            'T' => self.of_type(Type::DateTime, depth),
            'C' => self.of_type(Type::Time, depth),
            'j' => self.of_type(Type::Json, depth),
            'c' => self.of_type(Type::Condition, depth),
            '*' => self.of_type(any, depth),
            'n' => {
                let of = [Type::Integer, Type::Decimal, Type::Double][self.rng.usize(..3)];
                self.of_type(of, depth)
            }
            'M' => {
                let of = [Type::Date, Type::DateTime][self.rng.usize(..2)];
                self.of_type(of, depth)
            }
            'l' => {
                literal(self.one(&["0", "1", "2", "3", "5", "-1", "-2", "10", "i_tiny", "64", "NULL"]), Type::Integer)
            }
            'L' => literal(self.one(&["2", "8", "10", "16", "36", "-10", "-16", "1", "37"]), Type::Integer),
            'P' => literal(self.one(&["0", "1", "2", "3", "4", "-1", "-2", "6", "10", "-20"]), Type::Integer),
            'm' => literal(self.one(&["0", "1", "2", "3", "4", "5", "6", "7"]), Type::Integer),
            'p' => literal(
                self.one(&[
                    "'a%'",
                    "'%b%'",
                    "'_'",
                    "'%'",
                    "''",
                    "'a\\\\_c'",
                    "'|_|%%'",
                    "'%ß%'",
                    "'é'",
                    "s_text",
                    "'\\\\%'",
                ]),
                Type::Text,
            ),
            'r' => literal(
                self.one(&[
                    "'^a'",
                    "'b+'",
                    "'[a-c]+'",
                    "'a|b'",
                    "'.$'",
                    "'^$'",
                    "'(a)(b)?c'",
                    "'[^a-z ]'",
                    "'l{2}'",
                    "'é|ß'",
                    "'.'",
                    "'\\\\.'",
                ]),
                Type::Text,
            ),
            'F' => literal(
                self.one(&[
                    "'%Y-%m-%d'",
                    "'%a %b %c %D %d %e'",
                    "'%f %H %h %I %i'",
                    "'%k %l %p %r'",
                    "'%S %s %T %%'",
                    "'%y%m'",
                    "'%Y/%j'",
                    "'%U %u'",
                    "'%V %X'",
                    "'%v %x'",
                    "'%W %w %M'",
                    "'x%qz'",
                    "''",
                ]),
                Type::Text,
            ),
            'g' => literal(
                self.one(&[
                    "'2024-02-29'",
                    "'2023-02-29'",
                    "'31.12.2024 10:20:30'",
                    "'1999-01-02 03:04:05.678'",
                    "s_text",
                    "''",
                    "'2024-1-2'",
                    "' 2024-01-31 '",
                ]),
                Type::Text,
            ),
            'G' => literal(
                self.one(&["'%Y-%m-%d %H:%i:%s'", "'%d.%m.%Y %H:%i:%s'", "'%Y-%m-%d %T.%f'", "'%Y-%c-%e %k'"]),
                Type::Text,
            ),
            'a' => literal(
                self.one(&[
                    "'127.0.0.1'",
                    "'255.255.255.255'",
                    "'10.0.0.256'",
                    "'::1'",
                    "'fe80::1:2'",
                    "'1.2.3'",
                    "s_text",
                    "'01.2.3.4'",
                    "'::ffff:1.2.3.4'",
                ]),
                Type::Text,
            ),
            'N' => literal(self.one(&["s_number", "'12'", "'-7.5'", "' 3 '", "'1e2'"]), Type::Text),
            'J' => literal(
                self.one(&[
                    "'$'",
                    "'$.a'",
                    "'$.b[1]'",
                    "'$[0]'",
                    "'$[last]'",
                    "'$.a.a'",
                    "'$.\"k y\"'",
                    "'$.name'",
                    "'$.a[0].b'",
                    "'$[last-1]'",
                    "'$.b[2].c'",
                ]),
                Type::Text,
            ),
            'K' => literal(
                self.one(&[
                    "'1'",
                    "'[1]'",
                    "'\"a\"'",
                    "'{\"a\": 1}'",
                    "'null'",
                    "'[1, 2]'",
                    "'{\"b\": 1}'",
                    "'2.5'",
                    "'[[3]]'",
                    "'{\"name\": \"\"}'",
                ]),
                Type::Text,
            ),
            other => panic!("no hole {other}"),
        }
    }

    fn of_type(&mut self, of: Type, depth: u32) -> Node {
        if depth > 0 && self.rng.u8(..3) > 0 {
            let forms: Vec<&Form> =
                FORMS.iter().filter(|form| form.3 == Ok(of) || (form.3 == SAME && form.2.contains('*'))).collect();
            for _ in 0..4 {
                let form = forms[self.rng.usize(..forms.len())];
                if let Some(node) = self.of_form(form, depth)
                    && node.of == of
                {
                    return node;
                }
            }
        }
        if self.rng.u8(..3) == 0
            && let Some(literal) = self.literal(of)
        {
            return Node::leaf("literal", literal, of);
        }
        let columns: Vec<&Column> = self.columns.iter().filter(|column| column.of == of).collect();
        if columns.is_empty() {
            let text = match of {
                Type::Condition => "(i_tiny > 0)",
                _ => "j_json",
            };
            return Node::leaf("column", text.to_owned(), of);
        }
        Node::leaf("column", columns[self.rng.usize(..columns.len())].name.to_owned(), of)
    }

    fn literal(&mut self, of: Type) -> Option<String> {
        Some(match of {
            Type::Integer => {
                self.one(&["0", "1", "-1", "2", "7", "100", "9223372036854775807", "18446744073709551615", "3"])
            }
            Type::Decimal => self.one(&["0.0", "1.5", "-0.01", "2.50", "3.333", "0.5", "1234567.891"]),
            Type::Double => self.one(&["0e0", "1e0", "-1.5e0", "1e10", "0.1e0", "2.5e0"]),
            Type::Text => {
                let text = TEXTS[self.rng.usize(..TEXTS.len())];
                quoted(text)
            }
            Type::Date => self.one(&["DATE '2024-02-29'", "DATE '1999-12-31'"]),
            Type::DateTime => self.one(&["TIMESTAMP '2024-02-29 12:13:14'", "TIMESTAMP '2000-01-01 00:00:00.5'"]),
            Type::Condition => {
                self.one(&["(i_int > 0)", "(s_text = 'a')", "TRUE", "(i_tiny IS NULL)", "(n_dec < 1.5)"])
            }
            _ => return None,
        })
    }
}
