//! Log-ins: the token end point, and the guard that lets only calls with a token through.

use axum::extract::rejection::FormRejection;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::http::error::ApiError;
use crate::oauth::Counts;

#[derive(Deserialize)]
pub struct TokenRequest {
    grant_type: String,
    client_id: String,
    client_secret: String,
}

/// `POST /v1/oauth/token`
pub async fn token(
    State(emulator): State<Emulator>,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Response {
    let Some(oauth) = emulator.oauth() else {
        return ApiError::new(StatusCode::NOT_FOUND, "started without --oauth").into_response();
    };
    let refused = |status: StatusCode, error: &str| (status, Json(json!({"error": error})));
    let Ok(Form(request)) = form else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request").into_response();
    };
    if request.grant_type != "client_credentials" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type").into_response();
    }
    let (now, life_secs) = (emulator.now(), oauth.life.as_secs());
    let credentials = (request.client_id.as_str(), request.client_secret.as_str());
    match emulator.issued().log_in(oauth, credentials, now) {
        Ok(token) => Json(json!({
            "access_token": token, "token_type": "bearer", "expires_in": life_secs,
        }))
        .into_response(),
        Err("invalid_client") => {
            refused(StatusCode::UNAUTHORIZED, "invalid_client").into_response()
        }
        Err(error) => refused(StatusCode::FORBIDDEN, error).into_response(),
    }
}

/// Answers 401 to a call without a valid token, if the emulator gives tokens.
pub async fn guard(State(emulator): State<Emulator>, request: Request, next: Next) -> Response {
    if emulator.oauth().is_some() {
        let header = request.headers().get(AUTHORIZATION);
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.strip_prefix("Bearer "));
        let now = emulator.now();
        let admitted = emulator.issued().admit(token, now);
        if let Err(detail) = admitted {
            return ApiError::new(StatusCode::UNAUTHORIZED, detail).into_response();
        }
    }
    next.run(request).await
}

/// `GET /v1/admin/logins`
pub async fn counts(State(emulator): State<Emulator>) -> Json<Counts> {
    Json(emulator.issued().counts())
}

/// `DELETE /v1/admin/tokens`
pub async fn revoke(State(emulator): State<Emulator>) -> Json<Value> {
    emulator.issued().revoke();
    Json(json!({"status": "ok"}))
}
