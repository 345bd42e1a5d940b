//! SQL that can't be injected into: the text is put together from literals of this program alone, and everything
//! that comes from elsewhere is bound as a parameter that the server substitutes.

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;

/// SQL text and its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    sql: String,
    values: Vec<Value>,
    settings: Vec<(&'static str, String)>,
}

/// A value for a parameter. Numbers are decimal, so that one kind serves every width up to 128 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Value(Shape);

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    One(String),
    Texts(Vec<String>),
    Numbers(Vec<i128>),
}

impl Value {
    /// A text; also dates and anything else that ClickHouse reads from text.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Shape::One(text.into()))
    }

    /// A number.
    pub fn number(number: impl ToString) -> Self {
        Self(Shape::One(number.to_string()))
    }

    /// An array of texts.
    pub fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Shape::Texts(texts.into_iter().map(Into::into).collect()))
    }

    /// An array of numbers.
    pub fn numbers(numbers: impl IntoIterator<Item = i128>) -> Self {
        Self(Shape::Numbers(numbers.into_iter().collect()))
    }

    /// An array of moments for `Array(DateTime64(6, 'UTC'))`. Only as texts, not computed from numbers, do they prune
    /// on the primary key.
    pub fn moments(moments: impl IntoIterator<Item = Timestamp>) -> Self {
        let text = |at: Timestamp| at.to_string().replace('T', " ").trim_end_matches('Z').to_owned();
        Self::texts(moments.into_iter().map(text))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Shape::One(text) => text.serialize(serializer),
            Shape::Texts(texts) => texts.serialize(serializer),
            Shape::Numbers(numbers) => numbers.serialize(serializer),
        }
    }
}

impl Statement {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text. Only literals fit through this door.
    pub fn push(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a placeholder of a ClickHouse type, and its value.
    pub fn bind(&mut self, kind: &'static str, value: Value) -> &mut Self {
        use std::fmt::Write;
        // Writing into memory does not fail.
        let _ = write!(self.sql, "{{p{}:{kind}}}", self.values.len());
        self.values.push(value);
        self
    }

    /// Sends a setting along with this statement.
    pub fn set(&mut self, name: &'static str, value: impl ToString) -> &mut Self {
        self.settings.push((name, value.to_string()));
        self
    }

    /// The text with its placeholders.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Names and values of the parameters.
    pub fn params(&self) -> impl Iterator<Item = (String, &Value)> {
        self.values
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("p{index}"), value))
    }

    /// Settings of this statement.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_beside_the_text() {
        let mut statement = Statement::new();
        statement
            .push("SELECT ")
            .bind("String", Value::text("'; DROP TABLE events"))
            .push(" LIMIT ");
        statement.bind("UInt16", Value::number(5));
        assert_eq!(statement.sql(), "SELECT {p0:String} LIMIT {p1:UInt16}");
        assert_eq!(statement.params().count(), 2);
    }
}
