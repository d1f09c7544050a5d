//! What is shown of what was counted.

use std::time::Duration;

use super::{CheckOutcome, Metrics};

#[test]
fn what_is_counted_is_shown_with_its_labels() {
    let metrics = Metrics::new();
    metrics.check("CDEK", CheckOutcome::NotFound);
    metrics.check("CDEK", CheckOutcome::NotFound);
    metrics.http_request("/trackings", "POST", 422, Duration::from_millis(3));
    metrics.lag(3, 17);
    metrics.paused("CDEK", true);
    let text = metrics.encode();
    for line in [
        r#"trackbox_checks_total{account="CDEK",outcome="not_found"} 2"#,
        r#"trackbox_http_requests_total{route="/trackings",method="POST",status="422"} 1"#,
        r#"trackbox_http_request_duration_seconds_bucket{le="0.005",route="/trackings",method="POST"} 1"#,
        r#"trackbox_consumer_lag{partition="3"} 17"#,
        r#"trackbox_account_paused{account="CDEK"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[test]
fn two_registries_share_nothing() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.claimed(5);
    assert!(one.encode().contains("trackbox_claimed_total 5"));
    assert!(other.encode().contains("trackbox_claimed_total 0"));
}
