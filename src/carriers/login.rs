//! Log-ins: what tells the credentials of one from others, and how the answer is read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::carriers::reading::complaint::{not_in_form, refused, said};
use crate::carriers::{Answer, Body, CarrierError, Method, Request, reading};
use crate::clock::Time;
use crate::model::token::Token;

/// How long a token lives whose answer does not say so. If it lives shorter, the carrier's 401 ends it.
pub const LIFE_UNSAID: Duration = Duration::from_secs(3_600);

/// The fields that may hold the words of a refusal.
const ERROR_FIELDS: &[&str] = &["error", "error_description", "message", "errors"];

/// A request as bytes, different for every request. They hold the account's secret.
pub fn as_bytes(request: &Request) -> Vec<u8> {
    let body = match &request.body {
        Body::None => Value::Null,
        Body::Json(json) => json!(["json", json]),
        Body::Form(fields) => json!(["form", fields]),
        Body::Text { content_type, text } => json!([content_type, text]),
    };
    let Request { url, headers, .. } = request;
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    json!([method, url.as_str(), headers, body])
        .to_string()
        .into_bytes()
}

/// Reads the answer to a log-in that was sent at `now`, in the form of OAuth 2.0 (RFC 6749, section 5, October 2012):
/// `access_token`, and `expires_in` as a number or, as UPS writes it, as a text. No error shows the account's `secret`.
///
/// # Errors
/// [`CarrierError::KeyRefused`] or [`CarrierError::Unauthorized`] if the log-in is refused.
pub fn oauth_token(answer: &Answer, now: Time, secret: &str) -> Result<Token, CarrierError> {
    let body = reading::json(answer, secret);
    if !(200..=299).contains(&answer.status) {
        return Err(refusal(answer.status, &body, secret));
    }
    let body = body?;
    let life = life(&body["expires_in"]).unwrap_or(LIFE_UNSAID);
    let token = body["access_token"].as_str();
    let token = token.and_then(|token| Token::new(token, now, life));
    token.ok_or_else(|| not_in_form(&body, secret, "it holds no token"))
}

/// A log-in names nothing but our credentials, so a refusal in the carrier's own form is a refusal of these.
fn refusal(status: u16, body: &Result<Value, CarrierError>, secret: &str) -> CarrierError {
    let own = body.as_ref().ok().and_then(|body| said(body, ERROR_FIELDS));
    match refused(status, body, own, secret, |_| false) {
        Err(CarrierError::Refused { said, .. } | CarrierError::NotServed { said }) => {
            CarrierError::KeyRefused { said }
        }
        Err(error) => error,
        Ok(_) => CarrierError::Status { status },
    }
}

/// Whether a failed log-in says that its credentials will not do, rather than that something went wrong on the way.
pub fn is_refusal(error: &CarrierError) -> bool {
    matches!(
        error,
        CarrierError::Unauthorized { .. }
            | CarrierError::KeyRefused { .. }
            | CarrierError::NotServed { .. }
    )
}

/// Seconds; a life that has ended is none.
fn life(expires_in: &Value) -> Option<Duration> {
    let text = || {
        expires_in
            .as_str()
            .and_then(|text| text.trim().parse().ok())
    };
    let secs: f64 = expires_in.as_f64().or_else(text)?;
    Some(Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::proptest;
    use reqwest::Url;
    use serde_json::json;

    use super::{as_bytes, is_refusal, oauth_token};
    use crate::carriers::fixture::{json_like, ok};
    use crate::carriers::{Answer, Body, CarrierError, Method, Request};
    use crate::model::fixture::at;

    const SECRET: &str = "hunter2";

    fn refused(status: u16, body: &str) -> CarrierError {
        let body = body.as_bytes().to_vec();
        oauth_token(&Answer { status, body }, at(0), SECRET).expect_err("is refused")
    }

    #[test]
    fn requests_that_differ_anywhere_are_other_bytes() {
        let url = Url::parse("http://h/token").expect("an address");
        let form = |secret: &str| Body::Form(vec![("secret".to_owned(), secret.to_owned())]);
        let request = Request::get(url.clone());
        let with = |body: Body| Request {
            body,
            ..request.clone()
        };
        let others = [
            Request {
                method: Method::Post,
                ..request.clone()
            },
            Request {
                headers: vec![("a".into(), "b".to_owned())],
                ..request.clone()
            },
            with(form("a")),
            with(form("b")),
            with(Body::Json(json!([["secret", "a"]]))),
            Request::get(url.join("/other").expect("an address")),
            request.clone(),
        ];
        let bytes: BTreeSet<Vec<u8>> = others.iter().map(as_bytes).collect();
        assert_eq!(bytes.len(), others.len());
    }

    #[test]
    fn the_life_of_a_token_is_a_number_or_a_text_or_an_hour() {
        let lives = [
            (json!(3599), 3_599),
            (json!("14399"), 14_399),
            (json!(-5), 0),
            (json!(null), 3_600),
            (json!("soon"), 3_600),
            (json!(1e300), 30 * 86_400),
        ];
        for (expires_in, secs) in lives {
            let body = json!({"access_token": "t", "expires_in": expires_in}).to_string();
            let token = oauth_token(&ok(&body), at(0), SECRET).expect("a token");
            assert_eq!(token.expose(), "t");
            assert_eq!(token.life(), Duration::from_secs(secs), "{body}");
        }
    }

    #[test]
    fn a_refused_login_is_told_from_trouble_on_the_way() {
        let bodies = [
            (400, r#"{"error":"invalid_client"}"#),
            (
                400,
                r#"{"error":"invalid_request","error_description":"no"}"#,
            ),
            (401, r#"{"error":"invalid_client"}"#),
            (401, ""),
            (403, r#"{"errors":[{"code":"NOT.AUTHORIZED.ERROR"}]}"#),
        ];
        for (status, body) in bodies {
            let error = refused(status, body);
            assert!(is_refusal(&error), "{status} {body}: {error}");
        }
        let bodies = [
            (200, r#"{"expires_in":60}"#),
            (429, r#"{"error":"slow_down"}"#),
            (502, "<html><title>Bad Gateway</title>"),
            (404, "<html>"),
        ];
        for (status, body) in bodies {
            let error = refused(status, body);
            assert!(!is_refusal(&error), "{status} {body}: {error}");
        }
    }

    #[test]
    fn no_error_shows_the_secret() {
        for status in [200, 400, 401, 404, 500] {
            for field in ["error", "message", "error_description"] {
                let body = json!({field: "the secret hunter2 is wrong"}).to_string();
                let error = refused(status, &body);
                assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused_without_a_panic(
            body in json_like(["access_token", "expires_in", "error"].map(str::to_owned).to_vec()),
            status in 100_u16..600,
        ) {
            if let Ok(token) = oauth_token(&Answer { status, body }, at(0), SECRET) {
                assert!(!token.expose().is_empty());
            }
        }
    }
}
