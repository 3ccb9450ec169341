//! Random expressions: a tree whose nodes know their type, so that most are what MySQL would take, and which can be made
//! smaller.

use fastrand::Rng;

use super::columns::{Column, TEXTS, Type, quoted};
use super::forms::{FORMS, Form, SAME, missing};

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
        Type::Foreign => &[],
    };
    literals.iter().map(|text| Node::leaf("literal", (*text).to_owned(), node.of)).collect()
}

/// Without the parentheses around it: what is inside then binds as operators say.
fn without_parentheses(template: &str) -> &str {
    let Some(inner) = template.strip_prefix('(').and_then(|template| template.strip_suffix(')')) else {
        return template;
    };
    let mut depth = 0;
    let is_whole = inner.chars().all(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth >= 0
    });
    if is_whole { inner } else { template }
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
        let template = match self.rng.bool() {
            true => without_parentheses(template),
            false => template,
        };
        Some(Node { name, template: template.to_owned(), children, of })
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
            'Y' => self.of_type(Type::Foreign, 0),
            'E' => Node::leaf("column", self.one(&["s_enum", "s_set", "s_label", "s_labels"]), Type::Text),
            'v' => {
                let of = [Type::Integer, Type::Decimal, Type::Text, Type::Date, Type::DateTime, Type::Time, Type::Json];
                match self.rng.usize(..of.len() + 1) {
                    at if at < of.len() => self.of_type(of[at], depth),
                    _ => literal(self.one(&["NULL", "TRUE", "(i_int > 0)", "(s_text LIKE 'a%')"]), Type::Condition),
                }
            }
            // What becomes text where text is taken.
            'V' => {
                let of = [Type::Integer, Type::Decimal, Type::Date, Type::DateTime, Type::Time, Type::Condition];
                let of = of[self.rng.usize(..of.len())];
                self.of_type(of, 0)
            }
            'B' => literal(self.one(&["TRUE", "FALSE", "NULL", "0", "1", "(i_int > 0)"]), Type::Condition),
            't' => literal(
                self.one(&["0", "59", "60", "30.5", "59.999999", "-1", "NULL", "i_tiny", "n_dec"]),
                Type::Decimal,
            ),
            'q' => literal(
                self.one(&["202401", "9912", "7001", "6912", "101", "199912", "NULL", "999912", "13"]),
                Type::Integer,
            ),
            'z' => {
                literal(self.one(&["'+00:00'", "'+05:30'", "'-13:59'", "'+14:00'", "'-1:00'", "'+01:00'"]), Type::Text)
            }
            'k' => literal(self.one(&["65", "0", "50089", "4036984960", "NULL", "97"]), Type::Integer),
            'f' => literal(
                self.one(&["'%H:%i:%s'", "'%k %l %p'", "'%r|%T'", "'%h %I %f'", "'%S %q %%'", "''", "'x'"]),
                Type::Text,
            ),
            'u' => literal(
                self.one(&[
                    "'12345678-1234-5678-9abc-567812345678'",
                    "'{12345678-1234-5678-9ABC-567812345678}'",
                    "'12345678123456789abc567812345678'",
                    "'12345678-1234-5678-9abc-56781234567'",
                    "'12345678-1234-5678-9abc-56781234567g'",
                    "s_text",
                    "NULL",
                ]),
                Type::Text,
            ),
            'w' => literal(
                self.one(&[
                    "x'12345678123456789abc567812345678'",
                    "x'00000000000000000000000001020304'",
                    "x'00000000000000000000000000000001'",
                    "x'00000000000000000000ffff01020304'",
                    "x'01020304'",
                    "x'00010000000200030004000500060007'",
                    "x'00000001000200030004000500060007'",
                    "x'00010002000300040005000600070000'",
                    "x'00010000000000030004000000000007'",
                    "b_bytes",
                    "s_text",
                ]),
                Type::Bytes,
            ),
            'e' => literal(
                self.one(&[
                    "'2024-02-29'",
                    "'1999-12-31'",
                    "'0001-01-01'",
                    "'9999-12-31'",
                    "'2010-00-10'",
                    "'2024-2-9'",
                ]),
                Type::Text,
            ),
            'y' => literal(
                self.one(&[
                    "'2024-02-29 12:13:14'",
                    "'2000-01-01 00:00:00.5'",
                    "'2024-02-29'",
                    "'1969-12-31 23:59:59.999999'",
                    "'9999-12-31 23:59:59'",
                    "'2024-02-29T12:13:14'",
                ]),
                Type::Text,
            ),
            'h' => literal(
                self.one(&["'12:34:56.789'", "'-00:00:01.5'", "'838:59:59'", "'23:59:59'", "'12:34'", "'00:00:00'"]),
                Type::Text,
            ),
            'o' => literal(
                self.one(&[
                    "'5'",
                    "'1'",
                    "'1.50'",
                    "'-0.01'",
                    "'1e3'",
                    "' 7 '",
                    "'007'",
                    // MariaDB compares BIGINT UNSIGNED with it as a DOUBLE.
                    if self.is_mariadb { "'12345'" } else { "'9223372036854775807'" },
                    "'0.1'",
                ]),
                Type::Text,
            ),
            'A' => literal(
                self.one(&[
                    "'$[0]'",
                    "'$[1]'",
                    "'$[last]'",
                    "'$.b[1]'",
                    "'$.a[0]'",
                    "'$[9]'",
                    "'$[last-4]'",
                    "'$[0][0]'",
                ]),
                Type::Text,
            ),
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
                    "'January 5, 2024'",
                    "'Feb 29 2024'",
                    "'5th March 2024'",
                    "'20240131'",
                    "'24-1-31'",
                    "'2024-060'",
                    "'31.12.2024 11:05 PM'",
                    "'2024-02-29 11:05:06 PM'",
                    "'Thursday 29 February 2024'",
                ]),
                Type::Text,
            ),
            'G' => literal(
                self.one(&[
                    "'%Y-%m-%d %H:%i:%s'",
                    "'%d.%m.%Y %H:%i:%s'",
                    "'%Y-%m-%d %H:%i:%s.%f'",
                    "'%Y-%c-%e %k'",
                    "'%Y-%m-%d'",
                    "'%M %d, %Y'",
                    "'%b %e %Y'",
                    "'%D %M %Y'",
                    "'%Y%m%d'",
                    "'%y-%m-%d'",
                    "'%Y-%j'",
                    "'%d.%m.%Y %h:%i %p'",
                    "'%Y-%m-%d %r'",
                    "'%W %d %M %Y'",
                    "'%Y-%m-%d %l:%i:%S %p'",
                ]),
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
            Type::Bytes => self.one(&["x'61'", "x'ff00'", "x''"]),
            Type::Condition => {
                self.one(&["(i_int > 0)", "(s_text = 'a')", "TRUE", "(i_tiny IS NULL)", "(n_dec < 1.5)"])
            }
            _ => return None,
        })
    }
}
