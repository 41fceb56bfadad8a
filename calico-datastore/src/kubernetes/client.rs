//! The client of the Kubernetes API: what is sent, what is sent again, and what a failure means.

use super::call::{Call, Failure, Reply};
use super::settings::Settings;
use crate::deadline::Deadline;
use crate::error::Error;

/// A connection to the API.
pub struct Client {
    settings: Settings,
}

impl Client {
    /// Reads the settings and connects.
    pub async fn connect(settings: &Settings, _deadline: Deadline) -> Result<Client, Error> {
        Ok(Client { settings: settings.clone() })
    }

    /// Whether these settings lead to the same server with the same credentials.
    pub fn serves(&self, settings: &Settings) -> bool {
        self.settings == *settings
    }

    /// Sends a request.
    pub async fn send(&self, call: &Call) -> Result<Reply, Failure> {
        Err(Failure::Lost(call.path.clone()))
    }

    /// Which API this is, for messages.
    pub fn name(&self) -> String {
        "the Kubernetes API".to_owned()
    }
}
