//! Log-ins of other shapes than OAuth 2.0, on other hosts, and choices among several parcels.

use std::time::Duration;

use reqwest::Url;

use crate::carriers::adapters::Adapter;
use crate::carriers::declared::file::File;
use crate::carriers::login::is_refusal;
use crate::carriers::{Access, Answer, Auth, Body, Step, TOKEN_MARK, fixture};
use crate::model::fixture::at;

/// An answer of DPD.
fn soap(inner: &str) -> Vec<u8> {
    let open = "<soap:Envelope xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'><soap:Body>";
    format!("{open}{inner}</soap:Body></soap:Envelope>").into_bytes()
}

#[test]
fn a_token_may_stand_in_xml_and_in_the_request_for_a_number() {
    let dpd = fixture::adapter("dpd", "https://api.example/");
    let Step::Send(request, _) = fixture::start(dpd.as_ref(), &["05308801410058"]) else {
        panic!("asks nothing");
    };
    assert_eq!(request.auth, Auth::TokenInside);
    let Body::Text { text, .. } = &request.body else {
        panic!("is XML");
    };
    let place = format!("<delisId>us3r</delisId><authToken>{TOKEN_MARK}</authToken>");
    assert!(text.contains(&place), "{text}");
    let login = dpd.login().expect("logs in");
    assert_eq!(login.request.auth, Auth::None);
    let ends = (at(3_600)).with_timezone(&chrono_tz::Europe::Amsterdam);
    let ends = ends.format("%Y-%m-%dT%H:%M:%S%.3f");
    let token =
        format!("<authToken>t0k&amp;en</authToken><authTokenExpires>{ends}</authTokenExpires>");
    let body = soap(&format!(
        "<getAuthResponse><return>{token}</return></getAuthResponse>"
    ));
    let answer = Answer { status: 200, body };
    let token = dpd.read_token(&login, &answer, at(0)).expect("a token");
    assert_eq!(token.expose(), "t0k&en");
    assert_eq!(token.life(), Duration::from_secs(3_600));
    let fault = "<errorCode>DELICOM_ERR_AUTHENTICATION</errorCode><errorMessage>check s3cret</errorMessage>";
    let fault = format!(
        "<Fault><detail><authenticationFault>{fault}</authenticationFault></detail></Fault>"
    );
    for (status, inner, refuses) in [
        (500, fault.as_str(), true),
        (200, "<getAuthResponse><return/></getAuthResponse>", false),
        (502, "", false),
    ] {
        let answer = Answer {
            status,
            body: soap(inner),
        };
        let error = dpd.read_token(&login, &answer, at(0)).expect_err("is none");
        assert_eq!(is_refusal(&error), refuses, "{status}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn a_log_in_goes_to_the_host_that_the_file_names_or_the_section() {
    let text = include_str!("../../../../carriers/gls.toml");
    let text = text.replace(
        "[login]\n",
        "[login]\nbase_url = \"https://login.example/v1\"\n",
    );
    let file = File::parse("x.toml", &text).expect("is right");
    let adapter = Adapter::new(file, true);
    let host = |login_url: Option<&str>| {
        let made = adapter.make(Access {
            login_url: login_url.map(|url| Url::parse(url).expect("an address")),
            ..fixture::access("https://api.example/")
        });
        let Step::Send(request, _) = fixture::start(made.as_ref(), &["N1"]) else {
            panic!("asks nothing");
        };
        assert_eq!(request.url.host_str(), Some("api.example"));
        made.login().expect("logs in").request.url.to_string()
    };
    assert_eq!(host(None), "https://login.example/v1/oauth2/v2/token");
    assert_eq!(
        host(Some("http://localhost:1")),
        "http://localhost:1/oauth2/v2/token"
    );
}

#[test]
fn what_could_not_work_is_refused() {
    let dpd = include_str!("../../../../carriers/dpd.toml");
    let fedex = include_str!("../../../../carriers/fedex.toml");
    let cdek = include_str!("../../../../carriers/cdek.toml");
    for (text, from, to, said) in [
        (
            dpd,
            "V2_0\"\nheaders",
            "V2_0/{token}\"\nheaders",
            "names the token",
        ),
        (
            dpd,
            "<password>{secret}",
            "<password>{token}",
            "names a number",
        ),
        (
            fedex,
            "newest = \"scanEvents[0].date\"\n",
            "",
            "needs items and newest",
        ),
        (
            cdek,
            "https://api.cdek.ru",
            "http://api.cdek.ru",
            "neither https nor",
        ),
        (
            cdek,
            "url = \"{push_url}\"",
            "url = \"x\"",
            "names no address to push to",
        ),
        (
            cdek,
            "cdek_number = \"{number}\"",
            "cdek_number = \"{number}{push_key}\"",
            "names where to push",
        ),
        (
            cdek,
            "failed = { path = \"requests[*].state\"",
            "refused = \"x\"\nfailed = { path = \"requests[*].state\"",
            "no number is subscribed",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let wrong = File::parse("x.toml", &text.replace(from, to)).expect_err(said);
        let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|it| it.contains(said)), "{said}: {told:?}");
    }
}
