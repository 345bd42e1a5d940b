//! What was asked for, as control state keeps it: the query of a URL, and beside it what its asker could see then, so
//! that the file holds no more whoever begins the work again, and goes to nobody who may see less.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::control;
use crate::event::problem::Problem;
use crate::query::export::Export;
use crate::query::{QueryError, Scope, params};

/// Names that no question may have.
const OWN: &str = "scope:own";
const LIMIT: &str = "scope:limit";
const FROM: &str = "scope:from";

/// Reads the parameters of an export.
pub fn parse(
    query: &[(String, String)],
    format: Option<&str>,
    compression: Option<&str>,
) -> Result<Export, Vec<Problem>> {
    let refused = ["format", "compression", "tenant_id", OWN, LIMIT, FROM];
    let wrong = query.iter().find(|(name, _)| refused.contains(&name.as_str()));
    if let Some((name, _)) = wrong {
        return Err(vec![Problem::new(
            name.as_str(),
            "does not belong into the query of an export",
        )]);
    }
    let mut params = query.to_vec();
    for (name, value) in [("format", format), ("compression", compression)] {
        params.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    Export::parse(&params)
}

/// The text that is kept.
pub fn text(query: &[(String, String)], scope: &Scope) -> String {
    let from = scope.visible_from().map(|from| from.micros().to_string());
    let marks = [
        (OWN, scope.own()),
        (LIMIT, scope.limit_text()),
        (FROM, from.as_deref()),
    ];
    let marks = marks.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let asked = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    params::query_of(asked.chain(marks))
}

/// The query as it was asked.
pub fn asked(export: &control::Export) -> String {
    let (asked, _) = apart(export);
    params::query_of(asked.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// What is to be read, and how it is to be written.
pub fn read(export: &control::Export, state: &control::State) -> Result<(Scope, Export), QueryError> {
    let (asked, marks) = apart(export);
    let order = parse(&asked, Some(&export.format), export.compression.as_deref());
    let order = order.map_err(QueryError::Invalid)?;
    Ok((scope(export, &marks, state)?, order))
}

/// Whether somebody who sees `scope` may have what is in the file: who sees all of the tenant, or exactly as much as its
/// asker did.
pub fn may_have(scope: &Scope, export: &control::Export) -> bool {
    let (_, marks) = apart(export);
    let of_file = |name| value(&marks, name);
    let is_same = scope.own() == of_file(OWN) && scope.limit_text() == of_file(LIMIT);
    *scope.tenant() == export.tenant && (!scope.is_restricted() || is_same)
}

/// Whether events were cleaned up since, so that the file may have some that nobody is to see any more.
pub fn is_outdated(scope: &Scope, export: &control::Export) -> bool {
    let (_, marks) = apart(export);
    let then = value(&marks, FROM).and_then(|micros| micros.parse().ok());
    scope.visible_from() > then.map(Timestamp::from_micros)
}

type Pairs = Vec<(String, String)>;

fn apart(export: &control::Export) -> (Pairs, Pairs) {
    // It was read before it was kept.
    let pairs = params::pairs(&export.query).unwrap_or_default();
    pairs
        .into_iter()
        .partition(|(name, _)| ![OWN, LIMIT, FROM].contains(&name.as_str()))
}

fn scope(export: &control::Export, marks: &Pairs, state: &control::State) -> Result<Scope, QueryError> {
    let limit = value(marks, LIMIT).map(Arc::from);
    Scope::restricted(
        export.tenant.clone(),
        value(marks, OWN).map(str::to_owned),
        limit.as_ref(),
        state,
    )
}

fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ExportState;
    use crate::event::TenantId;

    fn scope(tenant: &str, own: Option<&str>, limit: Option<&str>) -> Scope {
        let limit = limit.map(Arc::from);
        let tenant = TenantId::parse(tenant).unwrap();
        Scope::restricted(
            tenant,
            own.map(str::to_owned),
            limit.as_ref(),
            &control::State::default(),
        )
        .unwrap()
    }

    fn kept(query: &str, by: &Scope) -> control::Export {
        let query = params::pairs(query).unwrap();
        control::Export {
            id: "x".into(),
            tenant: by.tenant().clone(),
            query: text(&query, by).into(),
            format: "csv".into(),
            compression: Some("gzip".into()),
            instance: "i".into(),
            state: ExportState::Queued,
            expires_at: Timestamp::default(),
            created_by: "ada".into(),
            version: 1,
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn an_order_is_read_back_with_what_its_asker_could_see() {
        let by = scope("a", Some("ada"), Some("tag=x&q=a b"));
        let export = kept("user_id=b&fields=time", &by);
        let (scope, order) = read(&export, &control::State::default()).unwrap();
        assert_eq!(scope, by);
        assert_eq!(
            (order.extension(), order.fields.columns().len()),
            ("csv.gz".to_owned(), 1)
        );
        assert_eq!(asked(&export), "user_id=b&fields=time");
    }

    #[test]
    fn a_file_goes_to_nobody_who_sees_less() {
        let all = scope("a", None, None);
        let (ada, limited) = (scope("a", Some("ada"), None), scope("a", None, Some("tag=x")));
        for (by, reader, may) in [
            (&all, &all, true),
            (&ada, &all, true),
            (&limited, &all, true),
            (&all, &ada, false),
            (&all, &limited, false),
            (&ada, &ada, true),
            (&ada, &scope("a", Some("bob"), None), false),
            (&limited, &scope("a", None, Some("tag=y")), false),
            (&limited, &limited, true),
            (&all, &scope("b", None, None), false),
        ] {
            assert_eq!(may_have(reader, &kept("", by)), may, "{by:?} {reader:?}");
        }
    }

    #[test]
    fn a_file_from_before_a_clean_up_is_outdated() {
        let (then, later) = (Timestamp::from_micros(5), Timestamp::from_micros(6));
        let scope = || scope("a", None, None);
        for (made, asked, is_old) in [
            (None, None, false),
            (None, Some(then), true),
            (Some(then), Some(then), false),
            (Some(then), Some(later), true),
        ] {
            let seen = |from: Option<Timestamp>| from.map_or_else(scope, |from| scope().from(from));
            assert_eq!(is_outdated(&seen(asked), &kept("", &seen(made))), is_old);
        }
    }

    #[test]
    fn nobody_writes_the_marks_of_a_scope() {
        for name in ["scope:own", "scope:limit", "tenant_id", "format"] {
            let query = [(name.to_owned(), "x".to_owned())];
            assert_eq!(parse(&query, None, None).unwrap_err()[0].field, name);
        }
    }
}
