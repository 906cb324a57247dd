//! The Airbyte protocol: lines to messages, states merged, records counted.

mod catalog;
mod census;
mod merged_state;
mod messages;
mod record;
mod state;

pub use catalog::{CatalogError, ConfiguredStream, parse_configured_catalog};
pub use census::{Census, Count};
pub use merged_state::{MergedState, StateError, StateParts};
pub use messages::{
    ConnectionStatus, ControlMessage, ErrorTrace, EstimateTrace, LogLevel, LogMessage, StatusTrace,
    TraceMessage, parse_catalog, parse_connection_status, parse_control, parse_log, parse_spec,
    parse_trace,
};
pub use record::AirbyteRecords;
pub use state::{StateBody, StateMessage, parse_state};

use crate::lines::MessageKind;

/// The messages other than RECORD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// STATE.
    State,
    /// TRACE.
    Trace,
    /// CONTROL.
    Control,
    /// SPEC.
    Spec,
    /// CATALOG.
    Catalog,
    /// CONNECTION_STATUS.
    ConnectionStatus,
    /// BATCH: the header of a frame with rows.
    Batch,
    /// REJECTS: the header of a frame with rows that could not be read.
    Rejects,
    /// LOG.
    Log,
}

impl MessageKind for Message {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("STATE", Self::State),
        ("TRACE", Self::Trace),
        ("CONTROL", Self::Control),
        ("SPEC", Self::Spec),
        ("CATALOG", Self::Catalog),
        ("CONNECTION_STATUS", Self::ConnectionStatus),
        ("BATCH", Self::Batch),
        ("REJECTS", Self::Rejects),
        ("LOG", Self::Log),
    ];
    /// A LOG that does not parse is worth no more than what it says.
    const NEEDED: usize = 8;
}
