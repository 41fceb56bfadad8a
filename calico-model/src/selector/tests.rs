#![allow(clippy::print_stdout, reason = "the seed is for whoever reads a failed test's output")]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

type Labels = BTreeMap<String, String>;

fn parse(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_form_has_its_canonical_text() {
    for (text, canonical) in [
        ("", "all()"),
        (" \t", "all()"),
        ("all()", "all()"),
        ("\tall( \t)  ", "all()"),
        ("global()", "global()"),
        ("global(  )", "global()"),
        ("has(a)", "has(a)"),
        ("has(\t a ) ", "has(a)"),
        ("has(projectcalico.org/x_Y-9)", "has(projectcalico.org/x_Y-9)"),
        ("a == 'b'", r#"a == "b""#),
        (r#"a=="b""#, r#"a == "b""#),
        (r#"a == 'say "b"'"#, r#"a == 'say "b"'"#),
        (r#"a == "it's""#, r#"a == "it's""#),
        (r#"a == "\n""#, r#"a == "\n""#),
        ("a == 'x\ny\tz'", "a == \"x\ny\tz\""),
        ("a == 'ü && ('", r#"a == "ü && (""#),
        ("a == ''", r#"a == """#),
        ("a!='b'", r#"a != "b""#),
        ("a contains 'b'", r#"a contains "b""#),
        ("a contains'b'", r#"a contains "b""#),
        ("a starts with 'b'", r#"a starts with "b""#),
        ("a startswith'b'", r#"a starts with "b""#),
        ("a starts \t with 'b'", r#"a starts with "b""#),
        ("a ends with 'b'", r#"a ends with "b""#),
        ("a endswith 'b'", r#"a ends with "b""#),
        ("a in {'b'}", r#"a in {"b"}"#),
        ("a in{ 'c' ,\"b\", 'c', }", r#"a in {"b", "c"}"#),
        (r#"a in {'"', "'", 'ü', 'z', 'B', ''}"#, r#"a in {"", '"', "'", "B", "z", "ü"}"#),
        ("a in {}", "a in {}"),
        ("a not in {'b'}", r#"a not in {"b"}"#),
        ("a notin {'b'}", r#"a not in {"b"}"#),
        ("a not\tin{'b'}", r#"a not in {"b"}"#),
        // Words are labels where a label is expected.
        ("contains contains 'contains'", r#"contains contains "contains""#),
        ("starts starts with 'x'", r#"starts starts with "x""#),
        ("in in {'x'}", r#"in in {"x"}"#),
        ("not not in {'x'}", r#"not not in {"x"}"#),
        ("has == 'x' && all != 'y' || global in {}", r#"((has == "x" && all != "y") || global in {})"#),
        ("has(has)", "has(has)"),
        ("has(all) && has(in)", "(has(all) && has(in))"),
        ("1 == 'x'", r#"1 == "x""#),
        ("-./_ == 'x'", r#"-./_ == "x""#),
        // Negation.
        ("!has(a)", "!has(a)"),
        ("! \t has(a)", "!has(a)"),
        ("!!has(a)", "has(a)"),
        ("! ! !has(a)", "!has(a)"),
        ("!(!has(a))", "has(a)"),
        ("!((!(has(a))))", "has(a)"),
        (r#"!a == "b""#, r#"!a == "b""#),
        (r#"!a == "b" && has(c)"#, r#"(!a == "b" && has(c))"#),
        ("!all()", "!all()"),
        ("!(has(a)||has(b))", "!(has(a) || has(b))"),
        // Groups.
        (r#"! (a == "b"&&! c != "d")"#, r#"!(a == "b" && !c != "d")"#),
        ("((has(a)))", "has(a)"),
        ("has(a)&&has(b)&&has(c)", "(has(a) && has(b) && has(c))"),
        ("has(a)||has(b)&&has(c)||has(d)", "(has(a) || (has(b) && has(c)) || has(d))"),
        ("(has(a)||has(b))&&has(c)", "((has(a) || has(b)) && has(c))"),
        ("(has(a)&&has(b))&&has(c)", "((has(a) && has(b)) && has(c))"),
        ("has(a)&&(has(b)&&has(c))", "(has(a) && (has(b) && has(c)))"),
        ("has(a)||(has(b)||has(c))", "(has(a) || (has(b) || has(c)))"),
        ("a=='b'&&c in{'d'}||!(e contains'f')", r#"((a == "b" && c in {"d"}) || !e contains "f")"#),
    ] {
        let selector = parse(text);
        assert_eq!(selector.to_string(), canonical, "{text:?}");
        assert_eq!(parse(canonical), selector, "{canonical:?}");
    }
}

#[test]
fn every_operator_selects_by_its_rule() {
    let one = labels(&[("a", "bcd")]);
    let none = labels(&[]);
    let empty = labels(&[("a", "")]);
    let ours = labels(&[("a", "b"), ("c", "d"), ("e", "ü")]);
    for (text, labels, selected) in [
        ("", &none, true),
        ("all()", &none, true),
        ("global()", &none, true),
        ("!all()", &one, false),
        ("!global()", &one, false),
        ("has(a)", &one, true),
        ("has(a)", &empty, true),
        ("has(a)", &none, false),
        ("has(A)", &one, false),
        ("a == 'bcd'", &one, true),
        ("a == 'bc'", &one, false),
        ("a == 'BCD'", &one, false),
        ("a == ''", &none, false),
        ("a == ''", &empty, true),
        ("a != 'bcd'", &one, false),
        ("a != 'bc'", &one, true),
        ("a != 'bcd'", &none, true),
        ("a != ''", &none, true),
        ("a contains 'cd'", &one, true),
        ("a contains 'bd'", &one, false),
        ("a contains 'C'", &one, false),
        ("a contains ''", &one, true),
        ("a contains ''", &empty, true),
        ("a contains ''", &none, false),
        ("a starts with 'bc'", &one, true),
        ("a starts with 'c'", &one, false),
        ("a starts with ''", &empty, true),
        ("a starts with ''", &none, false),
        ("a ends with 'cd'", &one, true),
        ("a ends with 'c'", &one, false),
        ("a ends with ''", &empty, true),
        ("a ends with ''", &none, false),
        ("a in {'x', 'bcd'}", &one, true),
        ("a in {'x', 'bc'}", &one, false),
        ("a in {'bcd'}", &none, false),
        ("a in {''}", &none, false),
        ("a in {''}", &empty, true),
        ("a in {}", &one, false),
        ("a in {}", &none, false),
        ("a not in {'x', 'bcd'}", &one, false),
        ("a not in {'x'}", &one, true),
        ("a not in {'bcd'}", &none, true),
        ("a not in {}", &one, true),
        ("a not in {}", &none, true),
        // A negation binds to the comparison that follows, not to the label or to more.
        ("!a == 'b'", &ours, false),
        ("!a == 'b'", &none, true),
        ("!has(x) && a == 'b'", &ours, true),
        ("!a == 'x' && a == 'x'", &ours, false),
        ("!(a == 'x' && a == 'x')", &ours, true),
        ("!!has(a)", &ours, true),
        ("a == 'b' && c == 'd'", &ours, true),
        ("a == 'b' && c == 'x'", &ours, false),
        ("a == 'x' || c == 'd'", &ours, true),
        ("a == 'x' || c == 'x'", &ours, false),
        // `&&` binds tighter than `||`.
        ("a == 'b' || a == 'x' && a == 'y'", &ours, true),
        ("(a == 'b' || a == 'x') && a == 'y'", &ours, false),
        ("e == 'ü'", &ours, true),
        ("e starts with 'u'", &ours, false),
    ] {
        assert_eq!(parse(text).matches(labels), selected, "{text:?} on {labels:?}");
    }
}

#[test]
fn every_error_says_where_it_is_and_what_is_missing() {
    const OPERAND: &str = "a label, `has(`, `all()`, `global()`, `!` or `(`";
    const OPERATOR: &str = "`==`, `!=`, `contains`, `starts with`, `ends with`, `in` or `not in`";
    const QUOTED: &str = "a text in quotes";
    const MORE: &str = "`&&`, `||` or the end";
    const MORE_INSIDE: &str = "`&&`, `||` or `)`";
    for (text, character, expected, found) in [
        // A bare label, and what is no operator.
        ("a", 2, OPERATOR, "the end"),
        ("a && has(b)", 3, OPERATOR, "`&&`"),
        ("(a)", 3, OPERATOR, "`)`"),
        ("a = 'b'", 3, OPERATOR, "`=`"),
        ("a b", 3, OPERATOR, "`b`"),
        ("a 'b'", 3, OPERATOR, "a quoted text"),
        ("a ! = 'b'", 3, OPERATOR, "`!`"),
        ("a inside {'b'}", 3, OPERATOR, "`inside`"),
        ("a containsb 'c'", 3, OPERATOR, "`containsb`"),
        ("a Contains 'c'", 3, OPERATOR, "`Contains`"),
        ("a not {'b'}", 3, OPERATOR, "`not`"),
        ("a not_in {'b'}", 3, OPERATOR, "`not_in`"),
        ("a starts 'b'", 3, OPERATOR, "`starts`"),
        ("a starts\nwith 'b'", 3, OPERATOR, "`starts`"),
        ("has (a)", 5, OPERATOR, "`(`"),
        ("all ()", 5, OPERATOR, "`(`"),
        ("global", 7, OPERATOR, "the end"),
        // What is no text.
        ("a == b", 6, QUOTED, "`b`"),
        ("a == 1", 6, QUOTED, "`1`"),
        ("a ==", 5, QUOTED, "the end"),
        ("a == = 'b'", 6, QUOTED, "`=`"),
        ("a != has(b)", 6, QUOTED, "`has(`"),
        ("a == == 'b'", 6, QUOTED, "`==`"),
        ("a == 'b", 6, QUOTED, "a text without its closing quote"),
        ("a == \"b'", 6, QUOTED, "a text without its closing quote"),
        ("a contains {'b'}", 12, QUOTED, "`{`"),
        // Sets.
        ("a in 'b'", 6, "`{`", "a quoted text"),
        ("a in", 5, "`{`", "the end"),
        ("a not in ('b')", 10, "`{`", "`(`"),
        ("a in {", 7, "a text in quotes or `}`", "the end"),
        ("a in {,}", 7, "a text in quotes or `}`", "`,`"),
        ("a in {'b',,}", 11, "a text in quotes or `}`", "`,`"),
        ("a in {b}", 7, "a text in quotes or `}`", "`b`"),
        ("a in {'b' 'c'}", 11, "`,` or `}`", "a quoted text"),
        ("a in {'b'", 10, "`,` or `}`", "the end"),
        ("a in {'b')", 10, "`,` or `}`", "`)`"),
        // Operands.
        ("'b' == a", 1, OPERAND, "a quoted text"),
        ("'b", 1, OPERAND, "a text without its closing quote"),
        ("== 'b'", 1, OPERAND, "`==`"),
        ("!= 'b'", 1, OPERAND, "`!=`"),
        ("!!='b'", 2, OPERAND, "`!=`"),
        ("()", 2, OPERAND, "`)`"),
        (")", 1, OPERAND, "`)`"),
        ("!", 2, OPERAND, "the end"),
        ("(", 2, OPERAND, "the end"),
        ("&& has(a)", 1, OPERAND, "`&&`"),
        ("has(a) &&", 10, OPERAND, "the end"),
        ("has(a) || ", 11, OPERAND, "the end"),
        ("has(a) && || has(b)", 11, OPERAND, "`||`"),
        ("{'a'}", 1, OPERAND, "`{`"),
        ("}", 1, OPERAND, "`}`"),
        (",", 1, OPERAND, "`,`"),
        ("$", 1, OPERAND, "`$`"),
        ("\n", 1, OPERAND, "the character \\n"),
        ("\u{a0}", 1, OPERAND, "`\u{a0}`"),
        ("ü == 'b'", 1, OPERAND, "`ü`"),
        ("=", 1, OPERAND, "`=`"),
        ("& has(a)", 1, OPERAND, "`&`"),
        // The calls.
        ("has()", 5, "a label", "`)`"),
        ("has('a')", 5, "a label", "a quoted text"),
        ("has(all())", 5, "a label", "`all(`"),
        ("has(", 5, "a label", "the end"),
        ("has(a", 6, "`)`", "the end"),
        ("has(a b)", 7, "`)`", "`b`"),
        ("all(a)", 5, "`)`", "`a`"),
        ("global(", 8, "`)`", "the end"),
        // What follows an operand.
        ("has(a) has(b)", 8, MORE, "`has(`"),
        ("has(a) & has(b)", 8, MORE, "`&`"),
        ("has(a) | has(b)", 8, MORE, "`|`"),
        ("has(a))", 7, MORE, "`)`"),
        ("a == 'b' 'c'", 10, MORE, "a quoted text"),
        ("a == 'b' == 'c'", 10, MORE, "`==`"),
        ("a == 'ü', b", 9, MORE, "`,`"),
        ("all() {", 7, MORE, "`{`"),
        ("has(a) !has(b)", 8, MORE, "`!`"),
        ("all()x", 6, MORE, "`x`"),
        ("(has(a)", 8, MORE_INSIDE, "the end"),
        ("((has(a))", 10, MORE_INSIDE, "the end"),
        ("(has(a)}", 8, MORE_INSIDE, "`}`"),
        ("(has(a) has(b))", 9, MORE_INSIDE, "`has(`"),
    ] {
        let error = match Selector::parse(text) {
            Err(error) => error,
            Ok(selector) => panic!("{text:?} is {selector}"),
        };
        assert_eq!((error.character, error.expected, error.found.as_str()), (character, expected, found), "{text:?}");
        assert_eq!(text[..error.offset].chars().count() + 1, character, "{text:?}");
    }
}

#[test]
fn an_error_quotes_the_text_around_its_place() {
    let error = |text: &str| Selector::parse(text).unwrap_err().to_string();
    assert_eq!(
        error("a = 'b'"),
        "no selector: at character 3, near `a = 'b'`: expected `==`, `!=`, `contains`, `starts with`, `ends with`, \
         `in` or `not in`, found `=`"
    );
    let long = format!("ä == '{}' ö {}", "ü".repeat(40), "é".repeat(40)).replacen('ä', "a", 1);
    let near = Selector::parse(&long).unwrap_err().near;
    assert_eq!(near, format!("{}' ö {}", "ü".repeat(14), "é".repeat(22)));
    assert_eq!(Selector::parse("a == 'b'\n\u{1b}[31m").unwrap_err().near, r"a == 'b'\n\u{1b}[31m");
}

#[test]
fn a_label_has_at_most_512_bytes() {
    let (longest, longer) = ("a".repeat(512), "a".repeat(513));
    assert_eq!(parse(&format!("has({longest})")).to_string(), format!("has({longest})"));
    assert!(parse(&format!("{longest}=='b'")).matches(&labels(&[(&longest, "b")])));
    for text in [format!("has({longer})"), format!("{longer} == 'b'"), format!("a {longer}")] {
        assert_eq!(Selector::parse(&text).unwrap_err().found, "a name of more than 512 bytes");
    }
    let error = Selector::parse(&format!("a {longest}")).unwrap_err();
    assert_eq!(error.found, format!("`{}...`", "a".repeat(64)));
    // Texts have no limit.
    let text = "b".repeat(100_000);
    assert!(parse(&format!("a == '{text}'")).matches(&labels(&[("a", &text)])));
}

/// A selector with three nodes above each other at every depth, and one more.
fn nested(depth: usize) -> String {
    format!("{}has(a){}", "!(has(b) || has(a) && ".repeat(depth), ")".repeat(depth))
}

#[test]
fn height_is_bounded() {
    let deepest = parse(&nested(85));
    assert_eq!(parse(&deepest.to_string()), deepest.clone());
    assert!(deepest.matches(&labels(&[])) && !deepest.matches(&labels(&[("a", "")])));
    assert!(!format!("{deepest:?}").is_empty());
    let higher = nested(86);
    let error = Selector::parse(&higher).unwrap_err();
    assert_eq!((error.character, error.found.as_str()), (higher.len(), "more"));
    assert!(error.expected.starts_with("at most 256 "));
    for text in [nested(100_000), "has(a)||(has(a)&&(".repeat(100_000) + "all()" + &"))".repeat(100_000)] {
        assert_eq!(Selector::parse(&text).unwrap_err().expected, error.expected);
    }
    // The highest tree for which a stored selector has room.
    let stored = format!("{}all(){}", "!(all()&&".repeat(101), ")".repeat(101));
    assert!(stored.len() <= 1024 && Selector::parse(&stored).is_ok());
}

#[test]
fn parentheses_negations_and_operands_have_no_limit() {
    let many = 100_000;
    let within = |open: &str| format!("{}has(a){}", open.repeat(many), ")".repeat(many));
    for (text, canonical) in [
        (within("("), "has(a)"),
        (within("!("), "has(a)"),
        (format!("!{}", within("!(")), "!has(a)"),
        (format!("{}has(a)", "!".repeat(many)), "has(a)"),
        (format!("{}has(a)", "! ".repeat(many + 1)), "!has(a)"),
    ] {
        assert_eq!(parse(&text).to_string(), canonical);
    }
    assert!(!parse(&vec!["(has(b))"; many].join(" || ")).matches(&labels(&[])));
    for text in ["(", "!", "!("] {
        let text = text.repeat(many);
        assert_eq!(Selector::parse(&text).unwrap_err().offset, text.len());
    }
    assert_eq!(Selector::parse(&format!("{}has(a)", "(".repeat(many))).unwrap_err().found, "the end");
}

/// A selector as a person might think of it, apart from the tree under test.
#[derive(Debug, Clone)]
enum Meaning {
    Always(&'static str),
    Has(&'static str),
    Compared(&'static str, &'static str, String),
    Member(&'static str, &'static str, Vec<String>),
    Not(Box<Meaning>),
    Both(Box<Meaning>, Box<Meaning>),
    Either(Box<Meaning>, Box<Meaning>),
}

impl Meaning {
    fn holds(&self, labels: &Labels) -> bool {
        let value = |label: &str| labels.iter().find(|(key, _)| *key == label).map(|(_, value)| value.as_bytes());
        match self {
            Meaning::Always(_) => true,
            Meaning::Has(label) => value(label).is_some(),
            Meaning::Compared(label, operator, text) => match (*operator, value(label), text.as_bytes()) {
                ("==", None, _) => false,
                ("!=", None, _) => true,
                ("==", Some(value), text) => value == text,
                ("!=", Some(value), text) => value != text,
                (_, None, _) => false,
                ("contains", Some(value), text) => (0..=value.len()).any(|i| value[i..].starts_with(text)),
                ("starts with", Some(value), text) => value.len() >= text.len() && &value[..text.len()] == text,
                ("ends with", Some(value), text) => {
                    value.len() >= text.len() && &value[value.len() - text.len()..] == text
                }
                other => panic!("{other:?}"),
            },
            Meaning::Member(label, operator, texts) => {
                let member = value(label).is_some_and(|value| texts.iter().any(|text| text.as_bytes() == value));
                if *operator == "in" { member } else { !member }
            }
            Meaning::Not(one) => !one.holds(labels),
            Meaning::Both(a, b) => a.holds(labels) && b.holds(labels),
            Meaning::Either(a, b) => a.holds(labels) || b.holds(labels),
        }
    }

    /// As written by someone who spares no parenthesis, or only those that change nothing. `blanks` says how many blanks
    /// stand where some may.
    fn write(&self, out: &mut String, sparing: bool, blanks: &mut dyn FnMut() -> &'static str) {
        let quote = |text: &str| if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") };
        out.push_str(blanks());
        match self {
            Meaning::Always(call) => out.push_str(&format!("{call}({})", blanks())),
            Meaning::Has(label) => out.push_str(&format!("has({}{label}{})", blanks(), blanks())),
            Meaning::Compared(label, operator, text) => {
                let operator = operator.replace(' ', blanks());
                out.push_str(&format!("{label} {operator}{}{}", blanks(), quote(text)));
            }
            Meaning::Member(label, operator, texts) => {
                out.push_str(&format!("{label} {}{}{{", operator.replace(' ', blanks()), blanks()));
                for text in texts {
                    out.push_str(&format!("{}{}{},", blanks(), quote(text), blanks()));
                }
                out.push('}');
            }
            Meaning::Not(one) => {
                out.push('!');
                let group = matches!(**one, Meaning::Both(..) | Meaning::Either(..));
                one.write_operand(out, sparing, group, blanks);
            }
            Meaning::Both(a, b) => {
                a.write_operand(out, sparing, matches!(**a, Meaning::Either(..)), blanks);
                out.push_str("&&");
                b.write_operand(out, sparing, matches!(**b, Meaning::Either(..)), blanks);
            }
            Meaning::Either(a, b) => {
                a.write_operand(out, sparing, false, blanks);
                out.push_str("||");
                b.write_operand(out, sparing, false, blanks);
            }
        }
        out.push_str(blanks());
    }

    fn write_operand(&self, out: &mut String, sparing: bool, needed: bool, blanks: &mut dyn FnMut() -> &'static str) {
        let parentheses = needed || !sparing;
        out.push_str(if parentheses { "(" } else { "" });
        self.write(out, sparing, blanks);
        out.push_str(if parentheses { ")" } else { "" });
    }
}

const LABEL_NAMES: [&str; 5] = ["a", "in", "has", "not", "x.y/z-1_B"];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ab]{1,3}", "[a\"ü&(!]{1,4}", "[a' \\t\\n}|,]{1,4}"]
}

fn meanings() -> impl Strategy<Value = Meaning> {
    let label = || prop::sample::select(&LABEL_NAMES[..]);
    let leaf = prop_oneof![
        1 => prop::sample::select(&["all", "global"][..]).prop_map(Meaning::Always),
        1 => label().prop_map(Meaning::Has),
        4 => (label(), prop::sample::select(&["==", "!=", "contains", "starts with", "ends with"][..]), texts())
            .prop_map(|(label, operator, text)| Meaning::Compared(label, operator, text)),
        2 => (label(), prop::sample::select(&["in", "not in"][..]), prop::collection::vec(texts(), 0..4))
            .prop_map(|(label, operator, texts)| Meaning::Member(label, operator, texts)),
    ];
    leaf.prop_recursive(6, 40, 2, |inner| {
        let pair = || (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        prop_oneof![
            inner.clone().prop_map(|one| Meaning::Not(Box::new(one))),
            pair().prop_map(|(a, b)| Meaning::Both(a, b)),
            pair().prop_map(|(a, b)| Meaning::Either(a, b)),
        ]
    })
}

fn label_maps() -> impl Strategy<Value = Labels> {
    let pair = (prop::sample::select(&LABEL_NAMES[..]).prop_map(str::to_owned), texts());
    prop::collection::btree_map(pair.0, pair.1, 0..4)
}

/// `SELECTOR_SEED` gives the seed (printed at the start), `SELECTOR_CASES` the number of cases.
fn runner() -> TestRunner {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let seed = number("SELECTOR_SEED", 20_261_123);
    let cases = number("SELECTOR_CASES", 3000) as u32;
    println!("SELECTOR_SEED={seed} SELECTOR_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn random_selectors_mean_what_they_say_and_survive_their_canonical_text() {
    let strategy = (meanings(), any::<bool>(), any::<u64>(), prop::collection::vec(label_maps(), 8));
    let result = runner().run(&strategy, |(meaning, sparing, mut numbers, maps)| {
        let mut text = String::new();
        meaning.write(&mut text, sparing, &mut || {
            numbers = numbers.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ["", "", " ", "\t "][(numbers >> 62) as usize]
        });
        let selector = Selector::parse(&text).map_err(|error| TestCaseError::fail(format!("{text:?}: {error}")))?;
        let canonical = selector.to_string();
        let again = Selector::parse(&canonical).map_err(|e| TestCaseError::fail(format!("{canonical:?}: {e}")))?;
        prop_assert_eq!(&again, &selector);
        prop_assert_eq!(again.to_string(), canonical);
        for labels in maps {
            prop_assert_eq!(selector.matches(&labels), meaning.holds(&labels), "{:?} on {:?}", &text, labels);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn random_texts_never_panic() {
    let piece = prop_oneof![
        any::<String>(),
        "\\PC{0,4}",
        prop::sample::select(
            &["a", " ", "\t", "(", ")", "{", "}", ",", "!", "=", "==", "!=", "&", "&&", "|", "||", "'", "\"", "'b'"][..]
        )
        .prop_map(str::to_owned),
        prop::sample::select(&["has(", "all(", "all()", "in", "not", "not in", "starts", "with", "contains", "ü"][..])
            .prop_map(str::to_owned),
    ];
    let strategy = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let result = runner().run(&strategy, |text| {
        match Selector::parse(&text) {
            Ok(selector) => {
                selector.matches(&Labels::new());
                prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
            }
            Err(error) => prop_assert!(text.is_char_boundary(error.offset), "{error:?}"),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
