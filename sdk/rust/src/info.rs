//! Who a reader is.

use serde_json::{Value, json};

use crate::Method;

/// Version of the contracts in this crate, the same as that of the Python SDK.
pub const API_VERSION: &str = "1.0";

/// A reader's name, version and powers.
///
/// ```
/// use dativo_sdk::Info;
/// const INFO: Info = Info::new("source-numbers", env!("CARGO_PKG_VERSION")).incremental().partitions();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    incremental: bool,
    checks: bool,
    partitions: bool,
    estimates: bool,
}

impl Info {
    /// A reader without powers beyond the five methods, whose streams are read whole.
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            incremental: false,
            checks: false,
            partitions: false,
            estimates: false,
        }
    }

    /// There are streams of which only what is new can be read.
    pub const fn incremental(mut self) -> Self {
        self.incremental = true;
        self
    }

    /// [`crate::Reader::check`] does more than to ask for the streams.
    pub const fn checks(mut self) -> Self {
        self.checks = true;
        self
    }

    /// [`crate::Reader::partitions`] may give some.
    pub const fn partitions(mut self) -> Self {
        self.partitions = true;
        self
    }

    /// [`crate::Reader::estimates`] may give some.
    pub const fn estimates(mut self) -> Self {
        self.estimates = true;
        self
    }

    /// Whether the power of this name is there.
    pub fn has(&self, power: &str) -> bool {
        self.powers().contains(&power)
    }

    /// The names of its powers.
    pub fn powers(&self) -> Vec<&'static str> {
        let all = [
            ("check", self.checks),
            ("partitions", self.partitions),
            ("estimates", self.estimates),
        ];
        all.iter()
            .filter_map(|(name, there)| there.then_some(*name))
            .collect()
    }

    /// What it can do, for machines.
    pub fn capabilities(&self) -> Value {
        let mut modes = vec![Method::FullRefresh.as_str()];
        if self.incremental {
            modes.push(Method::Incremental.as_str());
        }
        json!({
            "read": true,
            "write": false,
            "modes": modes,
            "powers": self.powers(),
            "formats": ["arrow", "json", "singer"],
            "releases_gil": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_name_the_powers_that_are_there() {
        const INFO: Info = Info::new("numbers", "1.2.3").incremental().partitions();
        let said = INFO.capabilities();
        assert_eq!(said["modes"], json!(["full_refresh", "incremental"]));
        assert_eq!(said["powers"], json!(["partitions"]));
        assert_eq!(Info::new("plain", "1").capabilities()["powers"], json!([]));
    }
}
