//! Metrics of requests. Their names stand in [`session_core::guide::metrics`]. Without the feature `metrics`, nothing.

#[cfg(feature = "metrics")]
pub(crate) fn login(outcome: &'static str) {
    metrics::counter!("latchkey_logins_total", "outcome" => outcome).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn login(_outcome: &'static str) {}

#[cfg(feature = "metrics")]
pub(crate) fn limit(limit: &'static str, outcome: &'static str) {
    let labels = [("limit", limit), ("outcome", outcome)];
    metrics::counter!("latchkey_limits_total", &labels).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn limit(_limit: &'static str, _outcome: &'static str) {}

#[cfg(feature = "metrics")]
pub(crate) fn refusal(status: http::StatusCode) {
    let status = status.as_u16().to_string();
    metrics::counter!("latchkey_refusals_total", "status" => status).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn refusal(_status: http::StatusCode) {}
