//! Answers a call of a carrier: counts it, applies limit and delays, and lets faults spoil the answer.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::faults::Fault;
use crate::http::error::{ApiError, Params};
use crate::ledger::End;

/// Time for the server to write half a body before the connection breaks.
const FLUSH_WAIT: Duration = Duration::from_millis(20);

/// The size of one piece of a huge body.
const PIECE_BYTES: usize = 64 * 1024;

/// An extension of a response: the server closes the connection instead of sending the response.
#[derive(Clone, Copy, Debug)]
pub struct CloseConnection;

/// Answers one call of `carrier` about `numbers`: counts it, takes its `answer`, and applies the faults to that.
pub async fn deliver(
    emulator: &Emulator,
    carrier: &str,
    numbers: &[&str],
    uri: &Uri,
    answer: impl FnOnce(&[Fault]) -> Result<Value, ApiError>,
) -> Response {
    let Some(admitted) = emulator.arrive(carrier, numbers) else {
        return ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{carrier} allows no more calls this minute"),
        )
        .into_response();
    };
    let response = answered(emulator, uri, &admitted.faults, answer).await;
    let end = if response.status().is_success() {
        End::Ok
    } else {
        End::Failed
    };
    emulator.end(carrier, end);
    response
}

async fn answered(
    emulator: &Emulator,
    uri: &Uri,
    faults: &[Fault],
    answer: impl FnOnce(&[Fault]) -> Result<Value, ApiError>,
) -> Response {
    let params = match read(uri) {
        Ok(params) => params,
        Err(error) => return error.into_response(),
    };
    let (delay_ms, fail_rate) = params;
    emulator
        .sleep(Duration::from_millis(delay_ms) + latency(emulator, faults))
        .await;
    if faults.contains(&Fault::Hang) {
        emulator.hang().await;
    }
    if emulator.fails(fail_rate) {
        return ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "failed by chance: failRate is set",
        )
        .into_response();
    }
    if let Some(instead) = faults
        .iter()
        .find_map(|fault| instead_of_answer(emulator, fault))
    {
        return instead;
    }
    let mut body = match answer(faults) {
        Ok(value) => value.to_string().into_bytes(),
        Err(error) => return error.into_response(),
    };
    if faults.contains(&Fault::InvalidUtf8) {
        spoil(&mut body);
    }
    for fault in faults {
        match fault {
            Fault::Malformed => body = b"<html>502 Bad Gateway</html> {\"status\":".to_vec(),
            Fault::Truncated => return truncated(&body),
            Fault::WrongContentType => return with(StatusCode::OK, "text/html", Body::from(body)),
            Fault::WrongStatus { code } => {
                let status =
                    StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return with(status, "application/json", Body::from(body));
            }
            Fault::SlowDrip { every_ms } => {
                let body = drip(emulator.clone(), body, Duration::from_millis(*every_ms));
                return with(StatusCode::OK, "application/json", body);
            }
            _ => {}
        }
    }
    with(StatusCode::OK, "application/json", Body::from(body))
}

fn read(uri: &Uri) -> Result<(u64, f64), ApiError> {
    let params = Params::read(uri)?;
    Ok((params.delay_ms()?, params.fail_rate()?))
}

fn latency(emulator: &Emulator, faults: &[Fault]) -> Duration {
    let millis = faults.iter().map(|fault| match fault {
        Fault::Latency {
            fixed_ms,
            spread_ms,
        } => fixed_ms + (*spread_ms as f64 * emulator.share()) as u64,
        _ => 0,
    });
    Duration::from_millis(millis.sum())
}

/// The response that a fault sends instead of the answer.
fn instead_of_answer(emulator: &Emulator, fault: &Fault) -> Option<Response> {
    match fault {
        Fault::Status { code } => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some((status, "the carrier is out of order").into_response())
        }
        Fault::Complaint { code, words } => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = json!({"status": "error", "error": words, "detail": words});
            let body = Body::from(body.to_string());
            Some(with(status, "application/json", body))
        }
        Fault::TooManyRequests {
            retry_after_secs,
            as_date,
        } => Some(too_many(emulator, *retry_after_secs, *as_date)),
        Fault::NotFound => Some(ApiError::new(StatusCode::NOT_FOUND, "not found").into_response()),
        Fault::HugeBody { bytes } => Some(huge(*bytes)),
        Fault::Closed => {
            let mut response = StatusCode::OK.into_response();
            response.extensions_mut().insert(CloseConnection);
            Some(response)
        }
        _ => None,
    }
}

fn too_many(emulator: &Emulator, retry_after_secs: Option<u64>, as_date: bool) -> Response {
    let mut response =
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many calls").into_response();
    if let Some(secs) = retry_after_secs {
        let text = if as_date {
            let at = emulator.now() + Duration::from_secs(secs);
            at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
        } else {
            secs.to_string()
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

fn with(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Sends half of what Content-Length announces, then breaks the connection.
fn truncated(body: &[u8]) -> Response {
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    // The server writes only when the body is not ready. Without the wait, the error would come before anything is sent.
    let breaks = stream::once(async {
        tokio::time::sleep(FLUSH_WAIT).await;
        Err(std::io::Error::other("truncated on purpose"))
    });
    let pieces = futures_util::StreamExt::chain(stream::iter([Ok(half)]), breaks);
    let mut response = with(
        StatusCode::OK,
        "application/json",
        Body::from_stream(pieces),
    );
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    response
}

/// A body of this many bytes that keeps one piece in memory at a time.
fn huge(bytes: u64) -> Response {
    let piece = Bytes::from(vec![b'x'; PIECE_BYTES]);
    let pieces = stream::unfold(bytes, move |left| {
        let size = left.min(PIECE_BYTES as u64);
        let piece = piece.slice(..usize::try_from(size).unwrap_or(PIECE_BYTES));
        async move { (left > 0).then(|| (std::io::Result::Ok(piece), left - size)) }
    });
    let head = stream::iter([Ok(Bytes::from_static(b"{\"status\":\""))]);
    with(
        StatusCode::OK,
        "application/json",
        Body::from_stream(futures_util::StreamExt::chain(head, pieces)),
    )
}

fn drip(emulator: Emulator, body: Vec<u8>, every: Duration) -> Body {
    let drops = stream::unfold(
        (emulator, body.into_iter()),
        move |(emulator, mut rest)| async move {
            let byte = rest.next()?;
            emulator.sleep(every).await;
            Some((
                std::io::Result::Ok(Bytes::from(vec![byte])),
                (emulator, rest),
            ))
        },
    );
    Body::from_stream(drops)
}

/// Puts bytes that are not UTF-8 into the first text.
fn spoil(body: &mut Vec<u8>) {
    let place = body
        .iter()
        .position(|byte| *byte == b':')
        .map_or(0, |place| place + 2);
    let place = place.min(body.len());
    body.splice(place..place, [0xff, 0xfe, 0xc3]);
}
