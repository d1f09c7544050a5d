//! What a text must be to be of use: the formats that the schema names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use chrono_tz::Tz;
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::config::Per;
use crate::config::keys::quoted;
use crate::config::secret::{MASK, hide_password, is_masked};
use crate::model::CarrierCode;
use crate::model::tenant::TenantCode;

/// The most characters of one text.
const TEXT_CHARS_MAX: usize = 4_096;

/// The most characters of a wrong value that an error shows.
const SHOWN_CHARS_MAX: usize = 80;

/// The most characters of a topic's name, as Kafka has it.
const TOPIC_CHARS_MAX: usize = 249;

/// The topic under which the log inside the process keeps its offsets and dead letters.
const IN_PROCESS_TOPIC: &str = "in-process";

/// What a text of this format must be, in words.
pub fn expected(format: &str) -> &'static str {
    match format {
        "socket" => "an IP address and a port (0.0.0.0 for all interfaces)",
        "network" => "an IP address such as 10.0.0.1 or a network such as 10.0.0.0/8",
        "database" => {
            "sqlite://FILE, such as sqlite://trackbox.db, or postgres://USER:PASSWORD@HOST:5432/DATABASE, with \
             / @ : ? # in the password as %2F %40 %3A %3F %23"
        }
        "further database" => {
            "sqlite://FILE or postgres://USER:PASSWORD@HOST:5432/DATABASE; empty for the one of store.url"
        }
        "redis" => {
            "redis://HOST:6379, redis://:PASSWORD@HOST:6379/0 or, with TLS, rediss://…; empty for none"
        }
        "host" => "a name such as track.example.org, without a scheme and a port",
        "public address" => {
            "https:// and a host, such as https://track.example.org, or an address of this machine; without a path; empty for none"
        }
        "host:port" => "a broker such as localhost:9092, without a scheme",
        "topic" => {
            "1 to 249 of the characters a-z, A-Z, 0-9, point, _ and -, such as tracking.updated"
        }
        "file" => "the path of a PEM file; empty for none",
        "log filter" => {
            "error, warn, info, debug or trace, or levels by module such as info,trackbox::store=debug"
        }
        "time zone" => "an IANA name such as Europe/Moscow or UTC",
        "span of a limit" => {
            "a time from 1s to 24h such as 5s, 10m or 1h, or day or month, which go by the calendar of zone"
        }
        "tenant" => "a tenant's code: 1 to 40 of the characters a-z, 0-9 and -",
        "account" => "a name of 1 to 64 characters, the same one in all sections that share it",
        "secret" => "the secret itself",
        _ => "at most 4096 characters",
    }
}

/// Reads a text of this format and returns it as it is kept.
///
/// # Errors
/// What is wrong with the text, fit to be shown.
pub fn read(format: &str, text: &str) -> Result<String, String> {
    // Bytes that are not UTF-8 arrive as the replacement character.
    if text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        return Err("holds a control character, or bytes that are not UTF-8".to_owned());
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err("is too long".to_owned());
    }
    if is_masked(text) {
        return Err(format!(
            "holds {MASK}, which replaces a secret when a configuration is shown"
        ));
    }
    let refused = |why: &str| Err(wrong(text, why));
    match format {
        "socket" if text.parse::<SocketAddr>().is_err() => {
            refused("which is no address with a port")
        }
        "network" => {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            match address.or_else(|_| text.parse::<IpNet>()) {
                Ok(network) => Ok(network.to_string()),
                Err(_) => refused("which is no IP address and no network"),
            }
        }
        "further database" if text.is_empty() => Ok(String::new()),
        "database" | "further database" => database(text).or_else(|why| refused(&why)),
        "redis" if !is_redis(text) => refused("which is no address of a Redis"),
        "host" if !is_host_and_port(&format!("{text}:1")) || text.contains(':') => {
            refused("which is no name of a host")
        }
        "public address" => public_address(text).or_else(refused),
        "host:port" if !is_host_and_port(text) => refused("which is not host:port"),
        "topic" if text == IN_PROCESS_TOPIC => {
            refused("the name that the log inside the process goes by")
        }
        "topic" if !is_topic(text) => refused("which Kafka does not take as a name"),
        "file" if !text.is_empty() && !Path::new(text).is_file() => {
            refused("and there is no such file")
        }
        "log filter" => match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => refused(&format!("which is no filter: {error}")),
        },
        "time zone" if text.parse::<Tz>().is_err() => refused("which is no time zone"),
        "span of a limit" => match text.parse::<Per>() {
            Ok(_) => Ok(text.to_owned()),
            Err(why) => refused(&format!("which is {why}")),
        },
        "tenant" if TenantCode::parse(text).is_err() => refused("which is no tenant's code"),
        "account" => match CarrierCode::parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => refused(&format!("which is no name: it {error}")),
        },
        _ => Ok(text.to_owned()),
    }
}

/// What is wrong with a value: the end of a sentence that begins with its key.
pub fn wrong(text: &str, why: &str) -> String {
    format!("is {}, {why}", shown(text))
}

/// A text as an error shows it: in quotes, not too long, without a password.
pub fn shown(text: &str) -> String {
    let text = hide_password(text);
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => quoted(&format!("{}…", &text[..at])),
        None => quoted(&text),
    }
}

fn database(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(("sqlite", rest)) => {
            let file = rest.trim_start_matches('/').split('?').next();
            match file {
                None | Some("") => Err("which names no file".to_owned()),
                Some(_) => Ok(text.to_owned()),
            }
        }
        Some(("postgres" | "postgresql", _)) => match Url::parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(format!("which is no address: {error}")),
        },
        _ => Err("which is neither SQLite nor PostgreSQL".to_owned()),
    }
}

fn public_address(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let url = Url::parse(text).map_err(|_| "which is no address")?;
    if !is_safe(&url) {
        return Err("which is neither https nor an address of this machine");
    }
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_bare || !url.username().is_empty() || url.password().is_some() {
        return Err("which has more than a scheme, a host and a port");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether secrets may be sent to an address: encrypted, or on this machine.
pub fn is_safe(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    (url.scheme() == "https" && url.has_host()) || (url.scheme() == "http" && is_here)
}

fn is_redis(text: &str) -> bool {
    let is_redis = |url: Url| ["redis", "rediss"].contains(&url.scheme()) && url.has_host();
    text.is_empty() || Url::parse(text).is_ok_and(is_redis)
}

fn is_topic(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let fits = (1..=TOPIC_CHARS_MAX).contains(&text.len());
    fits && text.chars().all(legal) && text != "." && text != ".."
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_fits = match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    host_fits && port.parse::<u16>().is_ok_and(|port| port > 0)
}
