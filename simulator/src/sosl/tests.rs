//! The language, read and written back.

use proptest::prelude::*;

use super::expression::{Expression, Term};
use super::statement::{Group, Statement};

fn any_expression() -> impl Strategy<Value = Expression> {
    let word = "[ -~]{2,10}".prop_filter_map("blank, keyword or phrase", |text| {
        let keyword = ["AND", "OR", "NOT"].contains(&text.to_uppercase().as_str());
        (!text.contains(' ') && !keyword).then_some(Term {
            text,
            wild: Vec::new(),
            quoted: false,
        })
    });
    let phrase = "[ -~]{2,14}".prop_map(|text| Term {
        text,
        wild: Vec::new(),
        quoted: true,
    });
    let leaf = prop_oneof![word, phrase].prop_map(Expression::Term);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Any),
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(expression in any_expression()) {
        let text = expression.to_string();
        let read = Expression::parse(&text).map_err(|refusal| refusal.message);
        prop_assert_eq!(read, Ok(Some(expression)));
    }

    #[test]
    fn no_text_upsets_the_parser(text in "\\PC{0,80}") {
        let _ = Statement::parse(&text);
        let _ = Expression::parse(&text);
        let _ = Statement::parse(&format!("FIND {{{text}}} IN PHONE FIELDS RETURNING {text}"));
    }
}

#[test]
fn a_statement_is_read_whole() {
    let text = r"FIND {\+44 OR 2079460000 OR (Ada AND NOT Ben*)} IN PHONE FIELDS
        RETURNING Contact(Id, Name WHERE Name != null ORDER BY Name LIMIT 3), Lead LIMIT 20";
    let statement = Statement::parse(text).unwrap();
    assert_eq!(statement.group, Group::Phone);
    assert_eq!(statement.returning.len(), 2);
    assert_eq!(statement.returning[0].clauses.limit, Some(3));
    assert_eq!(statement.limit, Some(20));
}

#[test]
fn what_salesforce_refuses_is_refused() {
    for text in [
        "FIND {}",
        "FIND {a}",
        "FIND {*1234}",
        "FIND {+441234}",
        "FIND {\"open}",
        "FIND {abc IN PHONE FIELDS",
        "FIND {abc} IN TYPE FIELDS",
        "FIND {abc} RETURNING Contact(Id LIMIT x)",
        "GET {abc}",
    ] {
        assert_eq!(
            Statement::parse(text).unwrap_err().code,
            "MALFORMED_SEARCH",
            "{text}"
        );
    }
}

#[test]
fn long_expressions_lose_their_operators_and_then_everything() {
    let terms = |count: usize| vec!["12345678"; count].join(" AND ");
    assert!(matches!(
        Expression::parse(&terms(300)),
        Ok(Some(Expression::All(_)))
    ));
    let flat = Expression::parse(&terms(400)).unwrap().unwrap();
    assert!(matches!(flat, Expression::Any(terms) if terms.len() == 400));
    assert_eq!(Expression::parse(&terms(1_000)), Ok(None));
}
