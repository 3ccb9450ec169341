//! What needs no server. `tests/e2e/collations.rs` holds everything against the servers themselves.

use std::cmp::Ordering::{self, Equal, Greater, Less};

use super::*;

fn collation(name: &str) -> &'static Collation {
    let known = Collation::of(Family::MySql, name).or_else(|| Collation::of(Family::MariaDb, name));
    known.unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn texts_compare_as_their_weights_level_by_level() {
    let cases: &[(&str, &str, &str, Ordering)] = &[
        ("utf8mb4_0900_ai_ci", "DE", "de", Equal),
        ("utf8mb4_0900_ai_ci", "Straße", "STRASSE", Equal),
        ("utf8mb4_0900_ai_ci", "e\u{301}", "É", Equal),
        ("utf8mb4_0900_ai_ci", "a", "a ", Less),
        ("utf8mb4_0900_ai_ci", "a\0b", "ab", Equal),
        ("utf8mb4_0900_ai_ci", "가", "\u{1100}\u{1161}", Equal),
        ("utf8mb4_0900_ai_ci", "😀", "😁", Less),
        ("utf8mb4_0900_as_ci", "e", "é", Less),
        ("utf8mb4_0900_as_ci", "é", "É", Equal),
        ("utf8mb4_0900_as_cs", "a", "A", Less),
        ("utf8mb4_0900_as_cs", "ab", "Aa", Greater),
        ("utf8mb4_0900_bin", "a", "a ", Less),
        ("utf8mb4_bin", "a", "a ", Equal),
        ("utf8mb4_bin", "a\t", "a", Less),
        ("utf8mb4_bin", "a", "A", Greater),
        ("binary", "a", "a ", Less),
        ("utf8mb4_general_ci", "Straße", "STRASE", Equal),
        ("utf8mb4_general_ci", "😀", "😁", Equal),
        ("utf8mb4_general_ci", "é  ", "E", Equal),
        ("utf8mb4_unicode_ci", "Straße", "strasse  ", Equal),
        ("utf8mb4_unicode_520_ci", "ł", "l", Equal),
        ("latin1_swedish_ci", "Ä", "ä ", Equal),
        ("latin1_swedish_ci", "Å", "A", Greater),
        ("ascii_general_ci", "A", "a", Equal),
        ("utf8mb4_uca1400_ai_ci", "a", "A  ", Equal),
        ("utf8mb4_uca1400_nopad_ai_ci", "a", "A  ", Less),
        ("utf8mb4_uca1400_ai_cs", "é", "e", Equal),
        ("utf8mb4_uca1400_as_ci", "\u{418}\u{306}", "\u{439}", Equal),
    ];
    for (name, a, b, expected) in cases {
        let collation = collation(name);
        assert_eq!(collation.compare(a, b), *expected, "{name}: {a:?}, {b:?}");
        assert_eq!(collation.compare(b, a), expected.reverse(), "{name}: {b:?}, {a:?}");
        assert_eq!(keys(collation, a) == keys(collation, b), expected.is_eq(), "{name}: {a:?}, {b:?}");
        assert_eq!(Literal::new(collation, a).equals(b), expected.is_eq(), "{name}: {a:?}, {b:?}");
        assert_eq!(Literal::new(collation, b).compare(a), *expected, "{name}: {a:?}, {b:?}");
    }
}

fn keys(collation: &Collation, text: &str) -> Vec<u8> {
    let mut key = Vec::new();
    collation.key(text, &mut key);
    key
}

#[test]
fn mariadb_has_its_own_weights_under_mysqls_names() {
    let of = |server| Collation::of(server, "utf8mb4_0900_ai_ci").unwrap();
    // A letter of Unicode 11, which is newer than MySQL's weights.
    let (small, large) = ("\u{10d0}", "\u{1c90}");
    assert!(!of(Family::MySql).equal(small, large));
    assert!(of(Family::MariaDb).equal(small, large));
    assert_eq!(Collation::of_id(Family::MySql, 255).unwrap().name(), "utf8mb4_0900_ai_ci");
    assert_eq!(Collation::of_id(Family::MySql, 45).unwrap().name(), "utf8mb4_general_ci");
}

#[test]
fn what_is_not_known_is_not_guessed() {
    for name in ["utf8mb4_sv_0900_ai_ci", "utf8mb4_german2_ci", "latin1_german2_ci", "gbk_chinese_ci", "sjis_bin", ""] {
        assert!(Collation::of(Family::MySql, name).is_none(), "{name}");
    }
    assert!(Collation::of(Family::MySql, "utf8mb4_uca1400_ai_ci").is_none());
}

#[test]
fn characters_of_other_sets_are_not_covered() {
    assert!(collation("latin1_swedish_ci").covers("Ä€\u{81}"));
    assert!(!collation("latin1_swedish_ci").covers("Ł"));
    assert!(!collation("latin1_swedish_ci").covers("😀"));
    assert!(!collation("ascii_bin").covers("ä"));
    assert!(!collation("utf8mb3_general_ci").covers("😀"));
    assert!(collation("utf8mb4_0900_ai_ci").covers("😀\u{378}"));
}

#[test]
fn like_goes_character_by_character() {
    let cases: &[(&str, &str, &str, bool)] = &[
        ("utf8mb4_0900_ai_ci", "Déjà vu", "deja%", true),
        ("utf8mb4_0900_ai_ci", "ß", "ss", false),
        ("utf8mb4_0900_ai_ci", "e\u{301}", "e_", true),
        ("utf8mb4_0900_ai_ci", "e\u{301}", "e", false),
        ("utf8mb4_0900_ai_ci", "\u{301}", "\u{302}", true),
        ("utf8mb4_0900_as_cs", "\u{301}", "\u{302}", false),
        ("utf8mb4_general_ci", "a ", "a", false),
        // Of CJK ideographs the server keeps no table.
        ("utf8mb4_0900_ai_ci", "\u{f900}", "\u{8c48}", false),
        ("utf8mb4_uca1400_as_ci", "\u{1d482}", "a", false),
        ("utf8mb4_0900_as_ci", "\u{1d482}", "a", true),
        ("utf8mb4_unicode_ci", "😀", "😁", false),
        ("utf8mb4_general_ci", "😀", "😁", true),
        ("utf8mb4_bin", "A", "a", false),
        ("utf8mb4_bin", "abcabd", "%ab_", true),
        ("utf8mb4_bin", "100%", "100\\%", true),
        ("utf8mb4_bin", "1000", "100\\%", false),
        ("utf8mb4_bin", "a\\", "a\\", true),
        ("utf8mb4_bin", "", "%", true),
        ("utf8mb4_bin", "", "_", false),
        ("utf8mb4_bin", "aaab", "%a%b%", true),
        ("utf8mb4_bin", "mississippi", "%iss%ip%i", true),
        ("utf8mb4_bin", "mississippi", "%iss%ss%ss%", false),
    ];
    for (name, text, pattern, expected) in cases {
        let matches = Pattern::new(pattern, Some('\\')).matches(collation(name), text);
        assert_eq!(matches, *expected, "{name}: {text:?} LIKE {pattern:?}");
    }
}

/// Random texts of few characters, so that they have much in common.
fn text(random: &mut fastrand::Rng, characters: &[char]) -> String {
    (0..random.usize(0..24)).map(|_| characters[random.usize(..characters.len())]).collect()
}

#[test]
fn the_quick_way_says_what_the_weights_say() {
    let mut random = fastrand::Rng::with_seed(1);
    for collation in Collation::all(Family::MySql).chain(Collation::all(Family::MariaDb)) {
        for _ in 0..2_000 {
            let characters = match random.u8(0..4) {
                0 => vec!['a', 'A'],
                1 => vec!['a', ' '],
                2 => vec!['a', 'A', ' ', '\t', '\0', 'z', '[', '{', '\u{7f}'],
                _ => (0..3).map(|_| char::from(random.u8(0..128))).collect(),
            };
            let (a, b) = (text(&mut random, &characters), text(&mut random, &characters));
            let (order, name) = (collation.compare(&a, &b), collation.name());
            let equal = order.is_eq();
            assert_eq!(Literal::new(collation, &b).compare(&a), order, "{name}: {a:?}, {b:?}");
            assert_eq!(Literal::new(collation, &a).equals(&b), equal, "{name}: {a:?}, {b:?}");
            assert_eq!(keys(collation, &a) == keys(collation, &b), equal, "{name}: {a:?}, {b:?}");
            let others = [a.as_str(), &a[..a.len().min(3)], "aaaaaaaaaa", ""];
            let found = others.iter().any(|other| collation.equal(other, &b));
            assert_eq!(Literals::new(collation, &others).have(&b), found, "{name}: {others:?}, {b:?}");
        }
    }
}

#[test]
fn parts_of_a_pattern_are_found_as_character_by_character() {
    let mut random = fastrand::Rng::with_seed(2);
    let collations =
        ["utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_general_ci", "utf8mb4_bin", "latin1_swedish_ci"];
    for collation in collations.map(collation) {
        for _ in 0..20_000 {
            let characters: Vec<char> = ["aA", "ab", "aAbB é", "ab\t"][random.usize(..4)].chars().collect();
            let text = text(&mut random, &characters);
            let some = [characters.as_slice(), &['%', '%', '_'][..random.usize(2..4)]].concat();
            let like: String = (0..random.usize(0..6)).map(|_| some[random.usize(..some.len())]).collect();
            let pattern = Pattern::new(&like, Some('\\'));
            let (quick, slow) = (pattern.matches(collation, &text), pattern.matches_by_character(collation, &text));
            assert_eq!(quick, slow, "{}: {text:?} LIKE {like:?}", collation.name());
        }
    }
}
