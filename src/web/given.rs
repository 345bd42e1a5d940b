//! The parameters of a request, read by their names. Whatever is wrong is said at once, each under its name: what is not
//! of its kind, what is given twice and means one thing, and what nobody has asked for.

use axum::http::StatusCode;

use super::ApiError;
use super::extract::unknown_parameter;
use crate::event::TenantId;
use crate::event::draft::Problem;

/// The parameters, as far as they are not read yet.
pub(crate) struct Given<'a> {
    params: &'a [(String, String)],
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Given<'a> {
    /// All of them.
    pub(crate) fn of(params: &'a [(String, String)]) -> Self {
        Self {
            params,
            known: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The values of a parameter that may be repeated.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<&'a str> {
        self.known.push(name);
        let params = self.params;
        let named = params.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a parameter that is given once, if at all, as `read` takes it; its error says what is wrong.
    pub(crate) fn one<T, E: Into<String>>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        let value = match self.all(name).as_slice() {
            [] => return None,
            [value] => read(value).map_err(Into::into),
            _ => Err("given more than once".to_owned()),
        };
        value.map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// Whether something is wanted; not said: not.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let read = |value: &str| match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("expected true or false"),
        };
        self.one(name, read).unwrap_or(false)
    }

    /// The tenant that is named.
    pub(crate) fn tenant(&mut self) -> Option<TenantId> {
        let read = |value: &str| TenantId::parse(value).ok_or("not the name of a tenant");
        self.one("tenant_id", read)
    }

    /// Whether a parameter is there, whatever it holds.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.params.iter().any(|(given, _)| given == name)
    }

    /// Something is wrong with a parameter, or it is missing.
    pub(crate) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.problems.push(Problem::new(name, detail));
    }

    /// 400 with all that is wrong, in the order in which it was given; what is missing comes last.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        for (place, (name, _)) in self.params.iter().enumerate() {
            let is_first = self.params.iter().position(|(other, _)| other == name) == Some(place);
            if is_first && !self.known.contains(&name.as_str()) {
                self.problems.push(unknown_parameter(name));
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let params = self.params;
        let place = |problem: &Problem| {
            let found = params.iter().position(|(name, _)| *name == problem.field);
            found.unwrap_or(params.len())
        };
        self.problems.sort_by_key(place);
        Err(ApiError::invalid(StatusCode::BAD_REQUEST, self.problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::params;

    type Read = (Option<u8>, bool, Option<TenantId>, usize);

    fn read(query: &str) -> Result<Read, Vec<String>> {
        let params = params::pairs(query).unwrap();
        let mut given = Given::of(&params);
        let number = given.one("n", |value| value.parse().map_err(|_| "a number"));
        let (flag, tenant, words) = (given.flag("dry"), given.tenant(), given.all("w").len());
        if !given.has("n") {
            given.wrong("n", "is needed");
        }
        let wrong = |error: ApiError| {
            let problems = error.errors.into_iter();
            problems
                .map(|problem| format!("{} {}", problem.field, problem.detail))
                .collect::<Vec<_>>()
        };
        given.finish().map_err(wrong)?;
        Ok((number, flag, tenant, words))
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let acme = TenantId::parse("acme");
        assert_eq!(
            read("n=7&dry=1&w=a&w=b&tenant_id=acme"),
            Ok((Some(7), true, acme, 2))
        );
        assert_eq!(read("n=7"), Ok((Some(7), false, None, 0)));
    }

    #[test]
    fn all_that_is_wrong_is_said_in_the_order_in_which_it_came() {
        assert_eq!(
            read("x=1&x=2&dry=maybe&n=many&tenant_id=a&tenant_id=a").unwrap_err(),
            [
                "x this route has no such parameter",
                "dry expected true or false",
                "n a number",
                "tenant_id given more than once",
            ]
        );
        assert_eq!(
            read("tenant_id=A B").unwrap_err(),
            ["tenant_id not the name of a tenant", "n is needed"]
        );
    }
}
