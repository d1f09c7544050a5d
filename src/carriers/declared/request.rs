//! The request that a file describes.
//!
//! It goes to the section's `base_url` and nowhere else, but for a log-in whose host the file names.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use crate::carriers::declared::body::{BodyRule, body, fields};
use crate::carriers::declared::template::{Escape, Name, Template, Values};
use crate::carriers::declared::toml::Section;
use crate::carriers::subscription::Callback;
use crate::carriers::{Access, Asked, Auth, Body, Method, Request};
use crate::model::extra::Wants;

/// The most numbers in one call.
const NUMBERS_MAX: i64 = 3_000;

/// The most characters that a file may allow a number.
const NUMBER_CHARS_MAX: i64 = 100;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRule {
    /// How many numbers one call takes.
    pub numbers: usize,
    /// Whether one call may ask for numbers of several carrier codes.
    pub mixes_carriers: bool,
    /// A longer number is none of the carrier's, and is not sent.
    pub number_chars_max: Option<usize>,
    /// Where a log-in on a host of its own goes, instead of to the section's `base_url`.
    pub base_url: Option<Url>,
    method: Method,
    /// Segments behind the base address.
    path: Vec<Template>,
    query: Vec<(String, Template)>,
    headers: Vec<(String, Template)>,
    /// User and password of HTTP Basic.
    basic: Option<Template>,
    /// Stands between the numbers of `{numbers}`.
    join: String,
    body: BodyRule,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Numbers,
    Login,
    Ticket,
    Subscription,
}

impl RequestRule {
    pub fn read(section: &Section<'_>, of: Of) -> Option<Self> {
        let method = section.read("method", |text| match text {
            "GET" => Ok(Method::Get),
            "POST" => Ok(Method::Post),
            _ => Err("neither GET nor POST".to_owned()),
        });
        let path = section.needed("path", "/v1/track/{number}")?;
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let mut templates = Vec::new();
        for segment in segments {
            match Template::parse(segment) {
                Ok(template) => templates.push(template),
                Err(what) => section.wrong("path", &what, "write /a/{number}"),
            }
        }
        if path.contains(['?', '#']) {
            section.wrong(
                "path",
                "has a ? or a #",
                "write the fields of a query under query",
            );
        }
        let rule = Self {
            numbers: section
                .number("numbers", 1..NUMBERS_MAX + 1)
                .map_or(1, |it| it as usize),
            mixes_carriers: section.flag("mixes_carriers").unwrap_or(true),
            number_chars_max: section
                .number("number_chars_max", 1..NUMBER_CHARS_MAX + 1)
                .map(|it| it as usize),
            base_url: None,
            method: method.unwrap_or(Method::Get),
            path: templates,
            query: fields(section, "query"),
            headers: headers(section),
            basic: section.read("basic", Template::parse),
            join: section.text("join").unwrap_or_else(|| ",".to_owned()),
            body: body(section)?,
        };
        let of_xml: Vec<&Template> = match &rule.body {
            BodyRule::Xml { text, each, .. } => [text].into_iter().chain(each).collect(),
            _ => Vec::new(),
        };
        if rule
            .path
            .iter()
            .chain(of_xml)
            .any(Template::may_be_left_out)
        {
            let advice = "write it without the ?, so that the section must set it";
            let what = "or xml has a placeholder that may be empty, which leaves a hole there";
            section.wrong("path", what, advice);
        }
        rule.check_token(section);
        match of {
            Of::Numbers => rule.check(section),
            Of::Login => rule.check_login(section),
            Of::Ticket => rule.check_ticket(section),
            Of::Subscription => rule.check_subscription(section),
        }
        section.done();
        Some(rule)
    }

    fn check(&self, section: &Section<'_>) {
        if self.has(Name::PushUrl) || self.has(Name::PushKey) {
            let advice = "write {push_url} and {push_key} under [push.subscribe]";
            section.wrong("path", "or another part names where to push", advice);
        }
        if self.has(Name::Ticket) {
            let advice = "write {ticket} under [ticket], where the answer is asked for";
            section.wrong("path", "or another part names a ticket", advice);
        }
        if !self.has(Name::Number) && !self.has(Name::Numbers) {
            section.wrong(
                "path",
                "names no number, nor does anything else of the request",
                "put {number} where it goes",
            );
        }
        self.check_numbers(section);
        if self.method == Method::Get && self.body != BodyRule::None {
            section.wrong(
                "method",
                "is GET, but there is a body",
                "write method = \"POST\"",
            );
        }
    }

    /// Whether it names numbers.
    pub fn names_numbers(&self) -> bool {
        let of_numbers = [Name::Number, Name::Numbers, Name::Items];
        of_numbers.into_iter().any(|name| self.has(name))
    }

    /// Whether a part of it has this placeholder.
    fn has(&self, name: Name) -> bool {
        self.templates().any(|template| template.has(name))
    }

    /// A call of several numbers has a place for them.
    fn check_numbers(&self, section: &Section<'_>) {
        let in_json = matches!(&self.body, BodyRule::Json(json) if json.has(Name::Number));
        let in_list = in_json || self.has(Name::Items);
        if self.numbers > 1 && !self.has(Name::Numbers) && !in_list {
            let advice = "put {numbers} where they go, or {number} into a list of a JSON body or into xml_each";
            section.wrong(
                "numbers",
                "is more than 1, but the request names only one number",
                advice,
            );
        }
        let mut of_call = self.templates_of_call();
        if self.numbers > 1 && of_call.any(|it| it.extras().next().is_some()) {
            let what =
                "or another part that one call has once names what a shop told of one number";
            let advice =
                "put {extra.…} beside {number} into a list of a JSON body or into xml_each";
            section.wrong("query", what, advice);
        }
    }

    fn check_subscription(&self, section: &Section<'_>) {
        if !self.has(Name::PushUrl) {
            let what = "names no address to push to, nor does anything else of the request";
            section.wrong("path", what, "put {push_url} where it goes");
        }
        if self.has(Name::Ticket) {
            let advice = "leave {ticket} out";
            section.wrong("path", "or another part names a ticket", advice);
        }
        self.check_numbers(section);
    }

    /// The token is filled in where a header or XML has it.
    fn check_token(&self, section: &Section<'_>) {
        let in_headers = self.headers.iter().map(|(_, template)| template);
        let in_xml = match &self.body {
            BodyRule::Xml { text, .. } => Some(text),
            BodyRule::None | BodyRule::Json(_) | BodyRule::Form(_) => None,
        };
        let may = in_headers.chain(in_xml).filter(|it| it.has(Name::Token));
        if self.templates().filter(|it| it.has(Name::Token)).count() > may.count() {
            let advice = "put {token} into headers or xml, or leave it out: then it is sent as Authorization: Bearer";
            section.wrong("path", "or another part names the token", advice);
        }
    }

    fn check_ticket(&self, section: &Section<'_>) {
        if !self.has(Name::Ticket) {
            let what = "names no ticket, nor does anything else of the request";
            section.wrong("path", what, "put {ticket} where it goes");
        }
    }

    fn check_login(&self, section: &Section<'_>) {
        let is_of_number = |it: &Template| {
            it.extras().next().is_some() || it.names().any(|(name, _)| name.key().is_none())
        };
        if self.templates().any(is_of_number) {
            let advice = "use {user}, {secret} and {key}";
            section.wrong("path", "is a log-in's, but it names a number", advice);
        }
    }

    /// Every template that one call has once, however many numbers it names.
    fn templates_of_call(&self) -> impl Iterator<Item = &Template> {
        let pairs = self.query.iter().chain(&self.headers).map(|(_, it)| it);
        let body: Vec<&Template> = match &self.body {
            BodyRule::None => Vec::new(),
            BodyRule::Json(json) => json.templates_of_call(),
            BodyRule::Form(fields) => fields.iter().map(|(_, it)| it).collect(),
            BodyRule::Xml { text, .. } => vec![text],
        };
        self.path.iter().chain(pairs).chain(&self.basic).chain(body)
    }

    /// What it makes of what shops tell beside a number.
    pub fn wants(&self) -> Wants {
        let mut wants = Wants::default();
        for (name, may_be_empty) in self.templates().flat_map(Template::extras) {
            let add = |names: &mut Vec<String>| {
                if !names.iter().any(|it| it == name) {
                    names.push(name.to_owned());
                }
            };
            add(&mut wants.uses);
            if !may_be_empty {
                add(&mut wants.needs);
            }
        }
        wants.uses.sort_unstable();
        wants.needs.sort_unstable();
        wants
    }

    /// Every template of the request.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let pairs = self.query.iter().chain(&self.headers).map(|(_, it)| it);
        let body: Vec<&Template> = match &self.body {
            BodyRule::None => Vec::new(),
            BodyRule::Json(json) => json.templates(),
            BodyRule::Form(fields) => fields.iter().map(|(_, it)| it).collect(),
            BodyRule::Xml { text, each, .. } => [text].into_iter().chain(each).collect(),
        };
        self.path.iter().chain(pairs).chain(&self.basic).chain(body)
    }

    /// Whether no placeholder is empty, not even one that may be: an account without them does not log in.
    pub fn is_complete(&self, access: &Access) -> bool {
        let values = Values::of(access, &[], &self.join);
        let mut templates = self.templates();
        templates.all(|template| template.filled(&values, Escape::None).is_some())
    }

    /// The segments that are the same for all numbers, up to the first that is not.
    pub fn fixed_path(&self) -> Vec<String> {
        let segments = self.path.iter().map_while(Template::plain);
        segments.map(str::to_owned).collect()
    }

    /// Whether the carrier has numbers of this length.
    pub fn takes(&self, asked: &Asked) -> bool {
        let chars = asked.number.as_str().chars().count();
        self.number_chars_max.is_none_or(|max| chars <= max)
    }

    /// The request for these numbers; `None` if a URL cannot hold them.
    pub fn request(&self, access: &Access, asked: &[Asked], auth: Auth) -> Option<Request> {
        self.filled(Values::of(access, asked, &self.join), auth)
    }

    /// The request for the answer of a ticket; `None` if a URL cannot hold its name.
    pub fn request_of_ticket(&self, access: &Access, ticket: &str, auth: Auth) -> Option<Request> {
        let values = Values {
            ticket,
            ..Values::of(access, &[], &self.join)
        };
        self.filled(values, auth)
    }

    /// The request that the carrier pushes to `callback`; `None` if a URL cannot hold it.
    pub fn request_of_subscription(
        &self,
        access: &Access,
        callback: &Callback,
        asked: &[Asked],
        auth: Auth,
    ) -> Option<Request> {
        let values = Values {
            callback: Some(callback),
            ..Values::of(access, asked, &self.join)
        };
        self.filled(values, auth)
    }

    fn filled(&self, values: Values<'_>, auth: Auth) -> Option<Request> {
        let access = values.access;
        let base_url = match &self.base_url {
            Some(own) => access.login_url.as_ref().unwrap_or(own),
            None => &access.base_url,
        };
        let auth = match auth {
            Auth::Token if self.templates().any(|it| it.has(Name::Token)) => Auth::TokenInside,
            auth => auth,
        };
        let mut segments = base_url.path().trim_end_matches('/').to_owned();
        for template in &self.path {
            let segment = template.filled(&values, Escape::Segment)?;
            // The URL would lead to the parent folder, even with the dots escaped.
            if matches!(segment.as_str(), "." | "..") {
                return None;
            }
            segments.push('/');
            segments.push_str(&segment);
        }
        let mut url: Url = base_url.clone();
        url.set_path(&segments);
        let filled = |(name, template): &(String, Template), escape| {
            Some((name.clone(), template.filled(&values, escape)?))
        };
        let query = self
            .query
            .iter()
            .filter_map(|pair| filled(pair, Escape::None));
        for (name, value) in query {
            url.query_pairs_mut().append_pair(&name, &value);
        }
        let headers = self
            .headers
            .iter()
            .filter_map(|pair| filled(pair, Escape::Header));
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (Cow::Owned(name), value))
            .collect();
        if let Some(basic) = self
            .basic
            .as_ref()
            .and_then(|it| it.filled(&values, Escape::Header))
        {
            let value = format!("Basic {}", STANDARD.encode(basic));
            headers.push((Cow::Borrowed("Authorization"), value));
        }
        let body = match &self.body {
            BodyRule::None => Body::None,
            BodyRule::Json(json) => Body::Json(json.filled(&values)),
            BodyRule::Form(fields) => {
                let fields = fields.iter().filter_map(|pair| filled(pair, Escape::None));
                Body::Form(fields.collect())
            }
            BodyRule::Xml {
                content_type,
                text,
                each,
            } => {
                let item = |one| {
                    let one = Values {
                        one: Some(one),
                        ..values
                    };
                    each.as_ref()?.filled(&one, Escape::Xml)
                };
                let items: String = values.all.iter().filter_map(item).collect();
                let items = items.as_str();
                Body::Text {
                    content_type: Cow::Owned(content_type.clone()),
                    text: text.filled(&Values { items, ..values }, Escape::Xml)?,
                }
            }
        };
        Some(Request {
            method: self.method,
            url,
            headers,
            auth,
            body,
        })
    }
}

fn headers(section: &Section<'_>) -> Vec<(String, Template)> {
    let mut headers = fields(section, "headers");
    headers.retain(|(name, _)| {
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_name = !name.is_empty() && name.chars().all(of_name);
        // Ours: they frame the request, or a log-in gives them.
        let is_ours = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "content-type",
        ];
        let is_right = is_name && !is_ours.contains(&name.to_lowercase().as_str());
        if !is_right {
            section.wrong(
                "headers",
                &format!("has \"{name}\", which no file may set"),
                "leave it out",
            );
        }
        is_right
    });
    headers
}
