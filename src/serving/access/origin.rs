//! Keeps web pages out of a port that needs no key.
//!
//! A page on another origin can make a browser send requests here, and read the answers if its own name leads to this
//! machine (DNS rebinding). The browser always says by `Host` which name the page used, and by `Origin` or
//! `Sec-Fetch-Site` where the page comes from.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};

use crate::serving::problem::{Kind, Problem};

/// The header in which a browser says which site made the request. It leaves it out for addresses that it does not trust.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The headers that proxies add, besides all that begin with `x-forwarded-`.
const OF_PROXIES: [&str; 3] = ["forwarded", "via", "x-real-ip"];

/// The names by which a port may be called: addresses, names without a point, which nobody else can register, `localhost`
/// and names below it, and those that the configuration lists.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<[String]>);

impl Hosts {
    pub fn new(listed: &[String]) -> Self {
        Self(
            listed
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// Whether the value of a `Host` header, with or without a port, is one of them.
    fn allow(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host().to_ascii_lowercase();
        let in_brackets = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        match in_brackets {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                !name.contains('.')
                    || name.ends_with(".localhost")
                    || name.parse::<Ipv4Addr>().is_ok()
                    || self.0.contains(&name)
            }
        }
    }
}

/// The first header that says that a proxy passed the request on.
pub fn proxy_header(headers: &HeaderMap) -> Option<&str> {
    let mut names = headers.keys().map(header::HeaderName::as_str);
    names.find(|name| OF_PROXIES.contains(name) || name.starts_with("x-forwarded-"))
}

/// Refuses requests that pages of other origins may have made.
///
/// # Errors
/// [`Kind::Misdirected`] for a name that is not allowed, [`Kind::CrossSite`] for a change that another origin asks for.
pub fn check(request: &Parts, hosts: &Hosts) -> Result<(), Problem> {
    check_host(request, hosts)?;
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
    if reads {
        // The browser shows the answer to no other origin, and reading changes nothing.
        return Ok(());
    }
    let headers = &request.headers;
    let other_site = headers.get(SEC_FETCH_SITE).is_some_and(|site| {
        let site = site.as_bytes();
        !site.eq_ignore_ascii_case(b"same-origin") && !site.eq_ignore_ascii_case(b"none")
    });
    let other_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let own = named(request).next();
        !authority
            .zip(own)
            .is_some_and(|(authority, own)| authority.eq_ignore_ascii_case(own))
    });
    if other_site || other_origin {
        let detail = "the browser says that a page of another origin made this request";
        return Err(Problem::new(Kind::CrossSite, detail));
    }
    Ok(())
}

/// Refuses requests by a name that may be anybody's. One without any name is not a browser's.
///
/// # Errors
/// [`Kind::Misdirected`].
pub fn check_host(request: &Parts, hosts: &Hosts) -> Result<(), Problem> {
    match named(request).find(|host| !hosts.allow(host)) {
        None => Ok(()),
        Some(host) => {
            let detail = format!(
                "this port is not known as {host:?}: call it by its address or as localhost, or add the name to http.hosts"
            );
            Err(Problem::new(Kind::Misdirected, detail))
        }
    }
}

/// The names that a request calls this server by: of its URL, and of its `Host` headers.
fn named(request: &Parts) -> impl Iterator<Item = &str> {
    let in_headers = request.headers.get_all(header::HOST).iter();
    // What is no text is no name that is allowed.
    let in_headers = in_headers.map(|host| host.to_str().unwrap_or("?"));
    let in_url = request.uri.authority().map(Authority::as_str);
    in_headers.chain(in_url)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Request};

    use super::{Hosts, check, proxy_header};
    use crate::serving::problem::Kind;

    fn hosts() -> Hosts {
        Hosts::new(&["Track.Shop.Example".to_owned()])
    }

    #[test]
    fn addresses_local_names_and_listed_names_are_allowed_and_others_are_not() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.168.1.7:80",
            "[::1]:8080",
            "[2001:db8::1]",
            "localhost:8080",
            "LOCALHOST",
            "api.localhost",
            "serve:8080",
            "track.shop.example:8080",
            "TRACK.shop.example",
        ] {
            assert!(hosts().allow(good), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "1.2.3.4.5",
            "shop.example",
            "a.track.shop.example",
            "localhost.",
            "evil.example.",
            "[evil.example]",
            "localhost@evil.example",
            "evil.example@localhost.evil.example",
            "",
            "?",
            "a b",
        ] {
            assert!(!hosts().allow(bad), "{bad}");
        }
    }

    fn asked(method: &str, headers: &[(&str, &str)]) -> Option<Kind> {
        let mut request = Request::builder().method(method).uri("/trackings");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        check(&parts, &hosts()).err().map(|problem| problem.kind())
    }

    #[test]
    fn a_change_must_come_from_the_same_origin_or_from_no_page() {
        let host = ("host", "localhost:8080");
        for good in [
            &[host][..],
            &[host, ("origin", "http://localhost:8080")],
            &[
                host,
                ("origin", "http://LOCALHOST:8080"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[host, ("sec-fetch-site", "none")],
            &[],
        ] {
            assert_eq!(asked("POST", good), None, "{good:?}");
        }
        for bad in [
            &[host, ("origin", "http://localhost:3000")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[("origin", "http://localhost:8080")],
        ] {
            assert_eq!(asked("DELETE", bad), Some(Kind::CrossSite), "{bad:?}");
            assert_eq!(asked("GET", bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_name_in_a_request_must_be_allowed() {
        for bad in [
            &[("host", "evil.example")][..],
            &[("host", "localhost"), ("host", "evil.example")],
        ] {
            for method in ["GET", "HEAD", "OPTIONS", "POST", "DELETE"] {
                assert_eq!(asked(method, bad), Some(Kind::Misdirected), "{bad:?}");
            }
        }
        let request = Request::get("http://evil.example/trackings").header("host", "localhost");
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        assert!(check(&parts, &hosts()).is_err());
    }

    #[test]
    fn what_proxies_add_is_recognized() {
        for name in [
            "Forwarded",
            "Via",
            "X-Real-IP",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
        ] {
            let name: axum::http::HeaderName = name.parse().expect("a name");
            let headers = HeaderMap::from_iter([(name.clone(), "x".parse().expect("a value"))]);
            assert_eq!(proxy_header(&headers), Some(name.as_str()));
        }
        assert_eq!(proxy_header(&HeaderMap::new()), None);
    }
}
