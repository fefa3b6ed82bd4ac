//! The language, read and written back.

use proptest::prelude::*;

use super::ast::{Clauses, Comparison, Constant, Expr, Item, Literal, Operand, Order, Path, Query};
use super::parse;

fn path(text: &str) -> Path {
    Path {
        text: text.to_owned(),
        at: 0,
    }
}

fn any_path() -> impl Strategy<Value = Path> {
    "[A-Z][a-z]{1,6}(__c)?(\\.[A-Z][a-z]{1,6})?".prop_filter_map("a keyword", |text| {
        let keyword = [
            "select", "from", "where", "group", "having", "order", "limit", "offset", "and", "or",
            "not", "in", "like", "null", "true", "false", "asc", "desc", "nulls", "as", "for",
            "with",
        ];
        (!keyword.contains(&text.to_lowercase().as_str())).then(|| path(&text))
    })
}

fn any_constant() -> impl Strategy<Value = Constant> {
    prop_oneof![
        Just(Constant::Null),
        any::<bool>().prop_map(Constant::Bool),
        any::<i32>().prop_map(|number| Constant::Number(number.to_string())),
        "[ -~\\n]{0,12}".prop_map(Constant::Text),
        Just(Constant::Date("2026-11-23".to_owned())),
        Just(Constant::DateTime("2026-11-23T21:00:00Z".to_owned())),
    ]
}

fn any_literal() -> impl Strategy<Value = Literal> {
    any_constant().prop_map(|value| Literal { value, at: 0 })
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::GreaterOrEqual),
        Just(Comparison::Like),
    ];
    let leaf = prop_oneof![
        (any_path(), comparison, any_literal()).prop_map(|(path, comparison, literal)| {
            Expr::Compare(Operand::Field(path), comparison, literal)
        }),
        (
            any_path(),
            any::<bool>(),
            prop::collection::vec(any_literal(), 1..4)
        )
            .prop_map(|(path, negated, literals)| Expr::In(
                Operand::Field(path),
                negated,
                literals
            )),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    let order =
        (any_path(), any::<bool>(), any::<bool>()).prop_map(|(path, descending, nulls_last)| {
            Order {
                operand: Operand::Field(path),
                descending,
                nulls_last,
            }
        });
    (
        prop::collection::vec(any_path().prop_map(Item::Field), 1..4),
        "[A-Z][a-z]{2,8}x".prop_map(|text| path(&text)),
        prop::option::of("[a-z]x".prop_map(String::from)),
        prop::option::of(any_expr()),
        prop::collection::vec(order, 0..3),
        prop::option::of(0..5_000_usize),
    )
        .prop_map(|(select, from, alias, filter, order_by, limit)| Query {
            select,
            from,
            alias,
            clauses: Clauses {
                filter,
                order_by,
                limit,
                ..Clauses::default()
            },
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(query in any_query()) {
        let text = query.to_string();
        prop_assert_eq!(parse(&text).map_err(|refusal| refusal.message), Ok(query));
    }

    #[test]
    fn no_text_upsets_the_parser(text in "\\PC{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!("SELECT Id FROM Task WHERE {text}"));
    }

    #[test]
    fn no_mixture_of_tokens_upsets_the_parser(
        words in prop::collection::vec(prop_oneof![
            Just("SELECT"), Just("FROM"), Just("WHERE"), Just("("), Just(")"), Just("NOT"), Just("IN"),
            Just("'x'"), Just("Id"), Just("="), Just(","), Just("COUNT("), Just("5"), Just("GROUP BY"),
        ], 0..30)
    ) {
        let _ = parse(&words.join(" "));
    }
}

#[test]
fn refusals_read_as_salesforce_writes_them() {
    for (text, message) in [
        (
            "SELECT Id FORM Task",
            "\nSELECT Id FORM Task\n          ^\nERROR at Row:1:Column:11\nunexpected token: 'FORM'",
        ),
        (
            "SELECT Id FROM",
            "\nSELECT Id FROM\n              ^\nERROR at Row:1:Column:15\nunexpected token: '<EOF>'",
        ),
        (
            "SELECT Id\nFROM Task WHERE A = 1 AND B = 2 OR C = 3",
            "\nFROM Task WHERE A = 1 AND B = 2 OR C = 3\n                                ^\n\
             ERROR at Row:2:Column:33\nunexpected token: 'OR'",
        ),
    ] {
        let refusal = parse(text).unwrap_err();
        assert_eq!(
            (refusal.code.as_str(), refusal.message.as_str()),
            ("MALFORMED_QUERY", message)
        );
    }
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let text = format!("SELECT Id FROM Task WHERE {}Id = null", "(".repeat(50_000));
    assert_eq!(parse(&text).unwrap_err().code, "MALFORMED_QUERY");
    let text = format!(
        "SELECT Id FROM Task WHERE {}Id = null",
        "NOT ".repeat(20_000)
    );
    assert_eq!(parse(&text).unwrap_err().code, "MALFORMED_QUERY");
}
