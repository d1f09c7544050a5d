//! What `GET /metrics` shows of what was counted.

use std::time::Duration;

use super::{CheckOutcome, LoginOutcome, Metrics, PushOutcome, SubscriptionOutcome, TicketOutcome};

/// Every exported metric: name, kind and labels. Dashboards and alerts depend on them, so a change here breaks some.
const EXPORTED: &[&str] = &[
    "trackbox_http_requests counter route method status",
    "trackbox_http_request_duration_seconds histogram route method",
    "trackbox_http_connections gauge",
    "trackbox_http_connections_refused counter",
    "trackbox_keys_refused counter reason",
    "trackbox_key_lookups counter",
    "trackbox_pushes counter section outcome",
    "trackbox_cache_hits counter",
    "trackbox_cache_misses counter",
    "trackbox_checks counter account outcome",
    "trackbox_answers_ahead counter account",
    "trackbox_carrier_calls counter account",
    "trackbox_carrier_call_duration_seconds histogram account",
    "trackbox_tickets counter account outcome",
    "trackbox_logins counter account outcome",
    "trackbox_subscriptions counter section outcome",
    "trackbox_claimed counter",
    "trackbox_permits_expired counter account",
    "trackbox_late_answers counter account",
    "trackbox_answers_archived counter",
    "trackbox_answers_not_archived counter",
    "trackbox_archive_bytes gauge",
    "trackbox_published counter",
    "trackbox_publish_failures counter",
    "trackbox_due_trackings gauge account",
    "trackbox_account_paused gauge account",
    "trackbox_account_overdue_seconds gauge account",
    "trackbox_account_unanswered_seconds gauge account",
    "trackbox_failing_trackings gauge account",
    "trackbox_updates_applied counter",
    "trackbox_updates_without_effect counter",
    "trackbox_updates_unknown_tracking counter",
    "trackbox_events_new counter",
    "trackbox_events_unmapped counter",
    "trackbox_dead_letters counter",
    "trackbox_parcels_to_adopt gauge",
    "trackbox_consumer_lag gauge partition",
];

#[test]
fn what_is_counted_is_shown_with_its_labels() {
    let metrics = Metrics::new();
    metrics.checks("CDEK", CheckOutcome::NotFound).inc();
    metrics.checks("CDEK", CheckOutcome::NotFound).inc();
    metrics.http_request("/trackings", "POST", 422, Duration::from_millis(3));
    metrics.consumer_lag(3).set(17);
    metrics.account_paused("CDEK").set(1);
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
    one.claimed().inc_by(5);
    assert!(one.encode().contains("trackbox_claimed_total 5"));
    assert!(other.encode().contains("trackbox_claimed_total 0"));
}

/// The name, kind and labels of every metric in `text`.
fn exported(text: &str) -> Vec<String> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let label_names = |sample: &str| {
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest);
        let names: Vec<&str> = labels
            .split(',')
            .filter_map(|label| label.split_once('=').map(|(name, _)| name))
            .filter(|name| *name != "le")
            .collect();
        names.join(" ")
    };
    kinds
        .map(|kind| {
            let name = kind.split(' ').next().expect("has a name");
            let sample = text.lines().find(|line| line.starts_with(name));
            format!("{kind} {}", label_names(sample.expect("was counted")))
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn the_exported_metrics_are_those_that_dashboards_know() {
    let metrics = Metrics::new();
    metrics.http_request("/trackings", "GET", 200, Duration::ZERO);
    metrics.keys_refused("unknown").inc();
    metrics.pushes("CDEK", PushOutcome::Published).inc();
    metrics.checks("CDEK", CheckOutcome::Seen).inc();
    metrics.answers_ahead("CDEK").inc();
    metrics.carrier_call("CDEK", Duration::ZERO);
    metrics.tickets("CDEK", TicketOutcome::Given).inc();
    metrics.logins("CDEK", LoginOutcome::Good).inc();
    let made = SubscriptionOutcome::Made;
    metrics.subscriptions("CDEK", made).inc();
    metrics.permits_expired("CDEK").inc();
    metrics.late_answers("CDEK").inc();
    metrics.due_trackings("CDEK").set(1);
    metrics.account_paused("CDEK").set(1);
    metrics.account_overdue_seconds("CDEK").set(1);
    metrics.account_unanswered_seconds("CDEK").set(1);
    metrics.failing_trackings("CDEK").set(1);
    metrics.consumer_lag(0).set(1);
    assert_eq!(exported(&metrics.encode()), EXPORTED);
}
