//! What is said of a route beside its handler: the words and shapes from which the OpenAPI document is made.
//!
//! Each route in [`super::routes`] carries a [`Doc`]. What follows from the route itself is not repeated in it: the
//! credential, and the problems that come with it, with a body, or with an id in the path ([`super::openapi`]).

mod filters;
mod params;

use serde_json::{Value, json};

pub use filters::filters;
pub use params::*;

/// What is said of a route.
#[derive(Clone, Debug)]
pub struct Doc {
    /// Its name for programs; examples of its answer and its request stand under this name in `schemas/examples`.
    pub id: &'static str,
    /// Under which heading it stands.
    pub tag: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What there is to know beyond that, in Markdown.
    pub text: &'static str,
    /// Of the query, the path or the headers.
    pub params: Vec<Param>,
    /// The forms in which its body may come; none: it has no body.
    pub bodies: Vec<Content>,
    /// Whether a request without a body is one as well.
    pub body_optional: bool,
    /// What it answers when all is well, and problems that are its own.
    pub answers: Vec<Answer>,
    /// Whether its answer does not end by itself.
    pub is_stream: bool,
}

/// One parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// `query`, `path` or `header`.
    pub place: &'static str,
    /// What it is for.
    pub text: String,
    /// Its JSON Schema.
    pub schema: Value,
    /// Whether it must be there.
    pub required: bool,
}

/// A body of one media type.
#[derive(Clone, Debug)]
pub struct Content {
    /// The media type.
    pub media: &'static str,
    /// Its JSON Schema; none where words have to do.
    pub schema: Option<Value>,
}

/// What it answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When.
    pub text: &'static str,
    /// In which forms; none: without a body.
    pub content: Vec<Content>,
    /// Headers beside `x-request-id`, each with what it says.
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Doc {
    /// A route's name, heading and one line about it.
    pub fn new(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            text: "",
            params: Vec::new(),
            bodies: Vec::new(),
            body_optional: false,
            answers: Vec::new(),
            is_stream: false,
        }
    }

    /// What there is to know beyond one line.
    pub fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    /// One more parameter.
    pub fn param(mut self, param: Param) -> Self {
        self.params.push(param);
        self
    }

    /// More parameters.
    pub fn params(mut self, params: impl IntoIterator<Item = Param>) -> Self {
        self.params.extend(params);
        self
    }

    /// It takes JSON of this component.
    pub fn takes(self, component: &'static str) -> Self {
        self.takes_as("application/json", component)
    }

    /// It takes this component under a media type.
    pub fn takes_as(mut self, media: &'static str, component: &'static str) -> Self {
        self.bodies.push(Content {
            media,
            schema: Some(component_ref(component)),
        });
        self
    }

    /// It takes this media type, of which its text says what it is.
    pub fn takes_also(mut self, media: &'static str) -> Self {
        self.bodies.push(Content { media, schema: None });
        self
    }

    /// A request without a body will do.
    pub fn body_optional(mut self) -> Self {
        self.body_optional = true;
        self
    }

    /// It answers JSON of this component.
    pub fn answers(self, status: u16, text: &'static str, component: &'static str) -> Self {
        self.answers_as(status, text, "application/json", component_ref(component))
    }

    /// It answers in this form, beside others under the same status.
    pub fn answers_as(mut self, status: u16, text: &'static str, media: &'static str, schema: Value) -> Self {
        let schema = Some(schema);
        let content = Content { media, schema };
        match self.answers.iter_mut().find(|answer| answer.status == status) {
            Some(answer) => answer.content.push(content),
            None => self.answers.push(Answer {
                status,
                text,
                content: vec![content],
                headers: Vec::new(),
            }),
        }
        self
    }

    /// It answers without a body.
    pub fn answers_nothing(mut self, status: u16, text: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            text,
            content: Vec::new(),
            headers: Vec::new(),
        });
        self
    }

    /// Its answer does not end by itself.
    pub fn is_stream(mut self) -> Self {
        self.is_stream = true;
        self
    }

    /// It answers with a problem that does not follow from what it asks.
    pub fn problem(self, status: u16, text: &'static str) -> Self {
        self.answers_as(status, text, PROBLEM, component_ref("Problem"))
    }

    /// It lists, page by page.
    pub fn lists(self, component: &'static str) -> Self {
        self.params(listing()).answers(200, "A page of them.", component)
    }

    /// It makes something of this component.
    pub fn makes(self, component: &'static str) -> Self {
        self.param(idempotency_key())
            .answers(201, "It is made.", component)
            .header("ETag", VERSION)
            .problem(404, "There is no such tenant, or what this request made was deleted since.")
            .problem(409, "The name is taken, there are too many of them, or the `Idempotency-Key` belongs to another request.")
    }

    /// It shows one thing of this component, unless the caller has it.
    pub fn shows(self, component: &'static str) -> Self {
        self.param(id())
            .param(if_none_match())
            .answers(200, "This one.", component)
            .header("ETag", VERSION)
            .answers_nothing(304, "It stands as the caller has it.")
            .header("ETag", VERSION)
    }

    /// It changes one thing of this component.
    pub fn changes(self, component: &'static str) -> Self {
        self.submits()
            .answers(200, "As it stands from now on.", component)
            .header("ETag", VERSION)
    }

    /// It takes one thing away.
    pub fn removes(self) -> Self {
        self.submits().answers_nothing(204, "It is gone.")
    }

    fn submits(self) -> Self {
        self.param(id())
            .param(if_match())
            .problem(
                409,
                "What it asks for can't be, or it keeps being changed by others: read it and try again.",
            )
            .problem(412, "It was changed since the version that `If-Match` names.")
    }

    /// The last answer has this header.
    pub fn header(mut self, name: &'static str, text: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, text));
        }
        self
    }
}

const VERSION: &str = "Its version.";

/// The media type of every problem.
pub const PROBLEM: &str = "application/problem+json";

/// The schema of a component of this name.
pub fn component_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A parameter of the URL.
pub fn query(name: impl Into<String>, text: impl Into<String>, schema: Value) -> Param {
    Param {
        name: name.into(),
        place: "query",
        text: text.into(),
        schema,
        required: false,
    }
}

/// A part of the path.
pub fn path(name: &'static str, text: &'static str, schema: Value) -> Param {
    Param {
        place: "path",
        required: true,
        ..query(name, text, schema)
    }
}

/// A header.
pub fn header(name: &'static str, text: &'static str, schema: Value) -> Param {
    Param {
        place: "header",
        ..query(name, text, schema)
    }
}

impl Param {
    /// It must be there.
    pub fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}
