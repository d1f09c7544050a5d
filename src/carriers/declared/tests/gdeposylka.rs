//! gdeposylka's file.

use crate::carriers::{CarrierError, Step, Verdict, fixture};

fn said(body: &str) -> Result<Verdict, CarrierError> {
    let adapter = fixture::adapter("gdeposylka", "https://api.example/");
    Ok(fixture::verdicts(&*adapter, &fixture::ok(body), &["N1"])?.remove(0))
}

#[test]
fn a_number_is_escaped_in_the_query() {
    let adapter = fixture::adapter("gdeposylka", "https://api.example/");
    let Step::Send(request, _) = fixture::start(&*adapter, &["../a?b&token=x"]) else {
        panic!("nothing is sent");
    };
    assert_eq!(
        request.url.as_str(),
        "https://api.example/gdeposylka/api/v4/track?token=k3y&track=..%2Fa%3Fb%26token%3Dx"
    );
}

#[test]
fn an_error_never_repeats_the_token() {
    let failed = Verdict::Failed {
        reason: "the carrier says: too many numbers".to_owned(),
    };
    assert_eq!(
        said(r#"{"result":"error","error":"too many numbers"}"#),
        Ok(failed)
    );
    let error = said(r#"{"result":"error","error":"bad token k3y"}"#).expect_err("is unreadable");
    assert!(!error.to_string().contains("k3y"), "{error}");
}
