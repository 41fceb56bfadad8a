//! The measurements, in Prometheus' text format.

use std::fmt::Write;

use crate::status::Status;

/// All of them. Those of the token only where it is managed.
pub fn text(status: &Status) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{value}\n");
    };
    let build = format!("{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    metric("calico_install_build_info", "gauge", "The version of calico-install.", build);
    let ready = u8::from(status.missing.is_empty());
    metric("calico_install_ready", "gauge", "Whether everything is installed.", format!(" {ready}"));
    let help = "What could not be installed or put back, and tokens that were not issued.";
    metric("calico_install_errors_total", "counter", help, format!(" {}", status.errors));
    if let Some(seconds) = status.last_success {
        let help = "When everything was last seen to be installed, in seconds since 1970.";
        metric("calico_install_last_success_timestamp_seconds", "gauge", help, format!(" {seconds}"));
    }
    if let Some(token) = &status.token {
        if let Some(end) = token.end {
            let help = "When the plugins' token expires, in seconds since 1970.";
            metric("calico_install_token_expiry_timestamp_seconds", "gauge", help, format!(" {end}"));
        }
        let help = "How many tokens were issued for the plugins.";
        metric("calico_install_token_renewals_total", "counter", help, format!(" {}", token.renewals));
        let help = "How often no token was issued for the plugins.";
        metric("calico_install_token_renewal_errors_total", "counter", help, format!(" {}", token.failures));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::TokenStatus;

    #[test]
    fn every_metric_has_a_type_and_one_value() {
        let mut status = Status { last_success: Some(7), errors: 2, ..Status::default() };
        assert!(!text(&status).contains("token_"));
        status.token = Some(TokenStatus { end: Some(1_800_000_000), renewals: 3, failures: 1 });
        let text = text(&status);
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "calico_install_build_info{version=\"0.1.0\"} 1",
            "calico_install_ready 0",
            "calico_install_errors_total 2",
            "calico_install_last_success_timestamp_seconds 7",
            "calico_install_token_expiry_timestamp_seconds 1800000000",
            "calico_install_token_renewals_total 3",
            "calico_install_token_renewal_errors_total 1",
        ];
        assert_eq!(values, expected);
        assert_eq!(text.matches("# TYPE ").count(), expected.len());
    }
}
