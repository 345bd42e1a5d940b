//! The parameters of other questions than a search: some of their own, and the filters of a search beside them.

use super::super::names::nearest;
use super::{Search, parse};
use crate::event::problem::Problem;

/// What was asked, taken apart.
#[derive(Debug, Default)]
pub struct Asked {
    /// The question's own parameters, in order; repeated ones repeat.
    pub own: Vec<(&'static str, String)>,
    /// The search beside them.
    pub search: Search,
    /// What is wrong with it. The caller adds what is wrong with its own.
    pub problems: Vec<Problem>,
}

impl Asked {
    /// The values of one of the question's own parameters.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.own.iter().filter(move |(own, _)| *own == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The value of one that is given once; a problem where it is given more often.
    pub fn one(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.all(name).map(str::to_owned);
        let (first, second) = (values.next(), values.next());
        drop(values);
        if second.is_some() {
            self.problems.push(Problem::new(name, "given more than once"));
        }
        first
    }
}

/// Takes a question apart: its `own` parameters, and those of a search, but for the `refused` ones, which steer what
/// this question does not have.
pub fn question(params: &[(String, String)], own: &[&'static str], refused: &[&str]) -> Asked {
    let mut asked = Asked::default();
    let mut rest = Vec::with_capacity(params.len());
    for (name, value) in params {
        if let Some(own) = own.iter().find(|own| *own == name) {
            asked.own.push((own, value.clone()));
            continue;
        }
        let bare = name.trim_end_matches('!').split('[').next().unwrap_or_default();
        if own.contains(&bare) {
            let detail = format!("`{bare}` takes a value and neither an operator nor `!`");
            asked.problems.push(Problem::new(name.as_str(), detail));
        } else if refused.contains(&bare) {
            asked
                .problems
                .push(Problem::new(name.as_str(), "this route has no such parameter"));
        } else if let Some(meant) = nearest(bare, own.iter().copied()) {
            let detail = format!(
                "unknown parameter; did you mean `{meant}`? For a detail of this name write `details.{bare}`"
            );
            asked.problems.push(Problem::new(name.as_str(), detail));
        } else {
            rest.push((name.clone(), value.clone()));
        }
    }
    match parse(&rest) {
        Ok(search) => asked.search = search,
        Err(problems) => asked.problems.extend(problems),
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        let params = crate::query::params::pairs(query).unwrap();
        question(&params, &["interval", "group_by"], &["cursor", "limit"])
    }

    #[test]
    fn own_parameters_stand_beside_those_of_a_search() {
        let mut found = asked("interval=day&user_id=a&group_by=x&group_by=y");
        assert_eq!(found.one("interval").as_deref(), Some("day"));
        assert_eq!(found.all("group_by").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(found.search.filter.conditions.len(), 1);
        assert!(found.problems.is_empty());
    }

    #[test]
    fn slips_and_what_this_question_does_not_have_are_named() {
        for (query, field) in [
            ("intervall=day", "intervall"),
            ("interval!=day", "interval!"),
            ("cursor=x", "cursor"),
            ("usr_id=a", "usr_id"),
            ("limit=5", "limit"),
        ] {
            assert_eq!(asked(query).problems[0].field, field, "{query}");
        }
        let mut twice = asked("interval=day&interval=hour");
        twice.one("interval");
        assert_eq!(twice.problems[0].field, "interval");
    }
}
