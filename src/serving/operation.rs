//! An operation in the OpenAPI document: what its handler's types tell, and the little that they cannot.
//!
//! From the types come parameters, bodies and most problems; from the handler's doc comment, by [`documented`], the
//! summary and the description. Examples and problems of its own are said in an [`Operation`].

use aide::axum::routing::{ApiMethodRouter, delete_with, get_with, patch_with, post_with};
use aide::generate::in_context;
use aide::openapi::{
    Header, HeaderStyle, MediaType, Parameter, ParameterSchemaOrContent, ReferenceOr, Response,
    SchemaObject, StatusCode,
};
use aide::operation::{OperationHandler, OperationInput, OperationOutput};
use aide::transform::TransformOperation;
use axum::handler::Handler;
use schemars::json_schema;
use serde_json::{Value, json};

use crate::model::tenant::Scope;
use crate::serving::problem::{FieldError, Kind, PROBLEM_JSON, ProblemBody};

/// Keeps the doc comment of a handler for the document: `#[apply(documented)]`.
///
/// Beside `fn list_events` it makes `mod list_events`, whose `operation` carries the function's name and comment. A
/// function and a module may share a name, and `use` imports both.
macro_rules! documented {
    ($(#[doc = $line:literal])+ $visibility:vis async fn $name:ident $($rest:tt)*) => {
        $(#[doc = $line])+
        $visibility async fn $name $($rest)*

        $visibility mod $name {
            use $crate::serving::operation::{Operation, Tag};

            /// The operation that the function of this name handles.
            pub fn operation(tag: Tag) -> Operation {
                Operation::new(stringify!($name), &[$($line),+], tag)
            }
        }
    };
}
pub(crate) use documented;

/// Operations that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    pub name: &'static str,
    pub description: &'static str,
    /// The problems that every one of these operations may answer with.
    pub problems: &'static [Kind],
}

/// What the document says about an operation beyond the types of its handler.
#[derive(Clone, Debug)]
pub struct Operation {
    handler: &'static str,
    comment: &'static [&'static str],
    tag: Tag,
    request: Option<Value>,
    answer: (&'static str, Value),
    problems: Vec<Kind>,
}

impl Operation {
    /// The operation of the handler with this name and doc comment.
    pub fn new(handler: &'static str, comment: &'static [&'static str], tag: Tag) -> Self {
        Self {
            handler,
            comment,
            tag,
            request: None,
            answer: ("", Value::Null),
            problems: tag.problems.to_vec(),
        }
    }

    /// An example of the request's body, ready to be sent.
    pub fn request(mut self, example: Value) -> Self {
        self.request = Some(example);
        self
    }

    /// What the answer 200 holds, with an example.
    pub fn answer(mut self, description: &'static str, example: impl Into<Value>) -> Self {
        self.answer = (description, example.into());
        self
    }

    /// Problems beyond those that follow from the method, the path, the body and the tag.
    pub fn problems(mut self, kinds: &[Kind]) -> Self {
        self.problems.extend_from_slice(kinds);
        self
    }

    /// Writes all of it into what aide derived from the handler's types.
    fn describe(mut self, mut op: TransformOperation<'_>) -> TransformOperation<'_> {
        let derived = op.inner_mut();
        let (summary, description) = text(self.comment);
        derived.operation_id = Some(camel_case(self.handler));
        derived.tags = vec![self.tag.name.to_owned()];
        derived.summary = Some(summary);
        derived.description = Some(description);

        let parameters = || derived.parameters.iter().filter_map(ReferenceOr::as_item);
        if parameters().any(|parameter| matches!(parameter, Parameter::Path { .. })) {
            self.problems.push(Kind::NotFound);
        }
        if parameters().any(|parameter| matches!(parameter, Parameter::Header { .. })) {
            self.problems.push(Kind::KeyBusy);
        }
        if parameters().next().is_some() || derived.request_body.is_some() {
            self.problems.push(Kind::Invalid);
        }
        if let Some(ReferenceOr::Item(body)) = &mut derived.request_body {
            let of_a_body = [Kind::SlowRequest, Kind::BodyTooLarge, Kind::EncodedBody];
            self.problems.extend(of_a_body);
            for media in body.content.values_mut() {
                media.example = self.request.clone();
            }
        }

        if !derived.security.is_empty() {
            let of_keys = [Kind::Unauthorized, Kind::Misdirected];
            let of_layers = [Kind::TooManyRequests, Kind::Internal, Kind::Unavailable];
            self.problems.extend(of_keys.into_iter().chain(of_layers));
            // Every key may read.
            let roles = derived.security.iter().flat_map(|it| it.values().flatten());
            if roles
                .into_iter()
                .any(|role| role != <&str>::from(Scope::Read))
            {
                self.problems.push(Kind::Forbidden);
            }
        }

        let responses = &mut derived.responses.get_or_insert_default().responses;
        if let Some(ReferenceOr::Item(answer)) = responses.get_mut(&StatusCode::Code(200)) {
            let (description, example) = self.answer;
            description.clone_into(&mut answer.description);
            for media in answer.content.values_mut() {
                media.example = Some(example.clone());
            }
        }
        self.problems.sort_by_key(|kind| kind.status());
        self.problems.dedup();
        for kinds in self.problems.chunk_by(|a, b| a.status() == b.status()) {
            let code = StatusCode::Code(kinds[0].status().as_u16());
            responses.insert(code, ReferenceOr::Item(problem(kinds)));
        }
        op
    }
}

/// A function for each method, which routes it to a handler as an [`Operation`] describes it.
macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $method:ident by $aide:ident, $problems:expr;)+) => {$(
        $(#[doc = $doc])+
        pub fn $method<H, I, O, T, S>(handler: H, operation: Operation) -> ApiMethodRouter<S>
        where
            H: Handler<T, S> + OperationHandler<I, O>,
            I: OperationInput,
            O: OperationOutput,
            T: 'static,
            S: Clone + Send + Sync + 'static,
        {
            let operation = operation.problems($problems);
            $aide(handler, |op| operation.describe(op))
        }
    )+};
}

methods! {
    /// Routes GET to `handler`, as `operation` describes it.
    get by get_with, &[];
    /// Routes POST to `handler`, as `operation` describes it.
    post by post_with, &[Kind::CrossSite];
    /// Routes PATCH to `handler`, as `operation` describes it.
    patch by patch_with, &[Kind::CrossSite];
    /// Routes DELETE to `handler`, as `operation` describes it.
    delete by delete_with, &[Kind::CrossSite];
}

/// A doc comment's first line, and the rest of it: each paragraph on one line.
fn text(comment: &[&str]) -> (String, String) {
    let mut lines = comment.iter().map(|line| line.trim());
    let summary = lines.next().unwrap_or_default().trim_end_matches('.');
    let lines: Vec<&str> = lines.skip_while(|line| line.is_empty()).collect();
    let paragraphs = lines.split(|line| line.is_empty());
    let paragraphs: Vec<String> = paragraphs.map(|lines| lines.join(" ")).collect();
    (summary.to_owned(), paragraphs.join("\n\n"))
}

/// `list_events` as `listEvents`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        camel.push_str(&first.to_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// The answer of these kinds, which have one status: an example shows the first.
fn problem(kinds: &[Kind]) -> Response {
    let kind = kinds[0];
    let schema = in_context(|ctx| ctx.schema.subschema_for::<ProblemBody<'_>>());
    let errors = match kind {
        Kind::Invalid => vec![FieldError::at("/items/17/trackNumber", "must not be empty")],
        _ => Vec::new(),
    };
    let body = ProblemBody {
        kind: kind.urn(),
        title: kind.title(),
        status: kind.status().as_u16(),
        detail: example_detail(kind),
        request_id: Some("0199f6a2-5b1c-7d3e-8f40-112233445566"),
        errors: &errors,
        more_errors: 0,
    };
    let media = MediaType {
        schema: Some(schema_object(schema)),
        example: Some(json!(body)),
        ..MediaType::default()
    };
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let mut response = Response {
        description: titles.join(", or: "),
        content: [(PROBLEM_JSON.to_owned(), media)].into_iter().collect(),
        ..Response::default()
    };
    if matches!(
        kind,
        Kind::TooManyRequests | Kind::Unavailable | Kind::KeyBusy
    ) {
        let header = Header {
            description: Some("Seconds to wait before the next attempt.".to_owned()),
            style: HeaderStyle::Simple,
            required: true,
            deprecated: None,
            format: ParameterSchemaOrContent::Schema(schema_object(
                json_schema!({"type": "integer", "minimum": 1}),
            )),
            example: Some(json!(1)),
            examples: Default::default(),
            extensions: Default::default(),
        };
        let name = "Retry-After".to_owned();
        response.headers.insert(name, ReferenceOr::Item(header));
    }
    response
}

fn example_detail(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthorized => {
            "this needs a key: send your key in the header `Authorization: Bearer tbx_…`"
        }
        Kind::Forbidden => "this needs a key of scope WRITE, and this key has READ",
        Kind::CrossSite => "the browser says that another site made this request",
        Kind::NotProven => "the signature is missing",
        Kind::NotFound => "there is no tracking 4711",
        Kind::MethodNotAllowed => "the header `allow` lists the methods of this path",
        Kind::SlowRequest => "the body did not arrive in time",
        Kind::KeyReused => {
            "another request was sent with this Idempotency-Key within 24 hours; take a new key for each new request"
        }
        Kind::KeyBusy => "send the request again in a moment",
        Kind::CursorExpired => {
            "the change that this cursor names is not kept any more; list your parcels, then go on with after=latest"
        }
        Kind::Conflict => {
            "only the first 65536 of its 100000 bytes were kept, so it cannot be published again"
        }
        Kind::BodyTooLarge => "a body may have at most 8388608 bytes",
        Kind::UrlTooLong => "a URL may have at most 8192 bytes",
        Kind::EncodedBody => "send the body without Content-Encoding",
        Kind::Misdirected => {
            "this port is not known as \"evil.example\": call it by its address or as localhost, or add the name to http.hosts"
        }
        Kind::Invalid => "1 of 18 items is refused; nothing was created",
        Kind::TooManyRequests => "this client makes too many requests",
        Kind::Internal => "the cause is in the log, under the id of this request",
        Kind::Unavailable => "the database is not available",
    }
}

fn schema_object(json_schema: schemars::Schema) -> SchemaObject {
    SchemaObject {
        json_schema,
        external_docs: None,
        example: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{camel_case, text};

    #[test]
    fn a_doc_comment_gives_the_summary_and_the_description() {
        let comment = [" Sum it up.", "", " One,", " still one.", "", " Two."];
        let (summary, description) = text(&comment);
        assert_eq!(summary, "Sum it up");
        assert_eq!(description, "One, still one.\n\nTwo.");
    }

    #[test]
    fn an_operations_id_is_its_handlers_name() {
        assert_eq!(camel_case("list_dead_letters"), "listDeadLetters");
        assert_eq!(camel_case("healthz"), "healthz");
    }
}
